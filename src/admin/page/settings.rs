//! The sections about certificates, rules and the configuration.

use super::html::Html;
use super::section::{begin, end, moment};
use super::table::{Cell, Table, code, text, with_note};
use super::words;
use crate::admin::status::{Certificate, Rule, Status};

pub(super) fn certificates(html: &mut Html, status: &Status) {
    begin(html, "certificates", "Certificates");
    if status.certificates.is_empty() {
        html.raw(
            "<p>None is in use: neither clients nor servers are spoken to by TLS with one.</p>",
        );
    } else {
        let table = Table {
            id: "in-files",
            caption: "Certificates in use, and when they expire",
            columns: &[("Names", false), ("Expires", false), ("Towards", false)],
        };
        table.write(html, status.certificates.iter().map(|of| certificate(of, status.now_s)));
    }
    end(html);
}

fn certificate(of: &Certificate, now_s: i64) -> Vec<Cell<'_>> {
    let expires = Box::new(move |html: &mut Html| {
        let days = (of.not_after_s - now_s).div_euclid(24 * 60 * 60);
        match days {
            ..0 => html.raw("<b class=\"tag bad\">expired</b>"),
            0..14 => html.raw("<b class=\"tag warn\">in ").text(days).raw(" days</b>"),
            _ => html.raw("in ").text(words::whole(days.unsigned_abs())).raw(" days"),
        };
        html.raw(" <small>");
        moment(html, of.not_after_s);
        html.raw("</small>");
    });
    let names = if of.names.is_empty() { "no name".to_owned() } else { of.names.join(", ") };
    vec![with_note(names, &*of.file), expires, text(of.used_for)]
}

pub(super) fn rules(html: &mut Html, status: &Status) {
    begin(html, "rules", "Rules");
    if status.rules.is_empty() {
        html.raw("<p>There is no <code>[[rule]]</code>: all writes are guarded, and none needs a ");
        html.raw("condition.</p>");
    } else {
        let table = Table {
            id: "in-effect",
            caption: "Rules in effect; the first that fits a key counts",
            columns: &[("Buckets", false), ("Prefix", false), ("What holds", false)],
        };
        table.write(html, status.rules.iter().map(rule));
    }
    end(html);
}

fn rule(of: &Rule) -> Vec<Cell<'_>> {
    let mut holds = vec![format!("mode {}", of.mode), format!("consistency {}", of.consistency)];
    holds.extend(of.require.iter().map(|require| format!("require {require}")));
    if !of.allow_configuration.is_empty() {
        holds.push(format!("allow_configuration {}", of.allow_configuration.join(" ")));
    }
    let prefix = of.prefix.as_ref().map_or_else(|| text("all keys"), |prefix| code(prefix));
    vec![code(of.buckets.join(", ")), prefix, text(holds.join(", "))]
}

pub(super) fn configuration(html: &mut Html, status: &Status) {
    html.raw(
        "<section id=\"configuration\" class=\"wide\" aria-labelledby=\"configuration-name\">",
    );
    html.raw("<h2 id=\"configuration-name\">Settings in effect</h2>\n<p id=\"loaded\" data-live>");
    html.raw("Loaded at ");
    moment(html, status.config_loaded_s);
    html.raw(
        ". Secrets are not shown.</p>\n<details><summary>Each setting and its origin</summary>",
    );
    html.raw("<pre id=\"written\" tabindex=\"0\" data-live>").text(&status.configuration);
    html.raw("</pre></details></section>\n");
}

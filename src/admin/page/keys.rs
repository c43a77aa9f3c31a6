//! The sections about keys: those that are asked for most, and the writes under way.

use super::html::Html;
use super::section::{begin, end};
use super::table::{Cell, Table, text};
use super::words;
use crate::admin::status::{HotKey, LeftInDoubt, Status, WriteUnderWay};

/// The name of a key, with a smaller text below.
fn key<'a>(bucket: &'a str, key: &'a str, note: &'static str) -> Cell<'a> {
    Box::new(move |html| {
        html.raw("<code>").text(bucket).raw("/").text(key).raw("</code>");
        if !note.is_empty() {
            html.raw(" ").element(("<small>", "</small>"), note);
        }
    })
}

/// Says that names are hidden, and how to see them.
fn hidden(html: &mut Html, status: &Status) {
    if !status.key_names {
        html.raw("<p class=\"note\">Names of keys are hidden; a mark stands for each");
        html.raw(" (<code>admin.key_names</code>).");
        if status.can_sign_in {
            html.raw(" <a href=\"/sign-in\">Sign in</a> with the token to see them.");
        }
        html.raw("</p>");
    }
}

pub(super) fn hot(html: &mut Html, status: &Status) {
    let hot = &status.hot_keys;
    begin(html, "keys", "Hot keys");
    if hot.keys.is_empty() {
        html.raw("<p>No key was asked for in the last minutes.</p>");
    } else {
        let table = Table {
            id: "hot",
            caption: "The keys that were asked for most",
            columns: &[("Key", false), ("Requests", true), ("Writes", true), ("Refused", true)],
        };
        table.write(html, hot.keys.iter().map(|of| hot_key(of, hot.requests)));
        html.raw("<p class=\"note\">Of ").text(words::whole(hot.requests));
        html.raw(" requests for keys in ").text(words::duration(hot.over_s));
        html.raw(". The counts of a key may begin late where many keys are asked for; then its ");
        html.raw("requests are given as from … to.</p>");
        hidden(html, status);
    }
    end(html);
}

fn hot_key(of: &HotKey, all: u64) -> Vec<Cell<'_>> {
    let (least, most) = (of.requests_at_least, of.requests_at_most);
    // In tenths of a percent.
    let share = (least * 1_000).checked_div(all).unwrap_or_default();
    let share = format!("{}.{} %", share / 10, share % 10);
    let requests = if least == most {
        words::whole(least)
    } else {
        format!("{} to {}", words::whole(least), words::whole(most))
    };
    vec![
        key(&of.bucket, &of.key, ""),
        super::table::with_note(requests, share),
        text(words::whole(of.writes)),
        text(words::whole(of.refused)),
    ]
}

pub(super) fn writes(html: &mut Html, status: &Status) {
    begin(html, "writes", "Writes: leases and doubts");
    html.raw("<dl class=\"numbers\">");
    for (name, number) in [
        ("Under way", status.writes.count.to_string()),
        ("Leases held", status.leases.to_string()),
        ("Waiting for one", status.waiting_for_a_lease.to_string()),
        ("In doubt", status.doubts.to_string()),
    ] {
        html.raw("<div><dt>").text(name).raw("</dt><dd>").text(number).raw("</dd></div>");
    }
    html.raw("</dl>");
    if status.writes.under_way.is_empty() {
        html.raw("<p>No guarded write is under way.</p>");
    } else {
        let table = Table {
            id: "under-way",
            caption: "Guarded writes under way, the oldest first",
            columns: &[("Key", false), ("Waits for", false), ("Age", true)],
        };
        table.write(html, status.writes.under_way.iter().map(under_way));
        let left_out = status.writes.count.saturating_sub(status.writes.under_way.len() as u64);
        if left_out > 0 {
            html.raw("<p class=\"note\">And ")
                .text(words::whole(left_out))
                .raw(" younger ones.</p>");
        }
    }
    if !status.writes.left_in_doubt.is_empty() {
        let table = Table {
            id: "left",
            caption: "Writes that ended in doubt: their clients were told that the outcome is unknown",
            columns: &[("Key", false), ("Ended", true), ("Its key is free", true)],
        };
        table.write(html, status.writes.left_in_doubt.iter().map(left));
    }
    if !(status.writes.under_way.is_empty() && status.writes.left_in_doubt.is_empty()) {
        hidden(html, status);
    }
    settled(html, status);
    end(html);
}

fn under_way(of: &WriteUnderWay) -> Vec<Cell<'_>> {
    let waits = Box::new(move |html: &mut Html| {
        if of.in_doubt {
            html.raw("<b class=\"tag warn\">in doubt</b> ");
        }
        if of.has_lease {
            html.raw("<b class=\"tag good\">has the lease</b> ");
        }
        html.text(of.waiting).raw(" <small>for ").text(words::duration(of.waited_s));
        if let Some(left) = of.waits_at_most_s {
            html.raw(", at most ").text(words::duration(left)).raw(" more");
        }
        html.raw("</small>");
    });
    vec![key(&of.bucket, &of.key, of.operation), waits, text(words::duration(of.age_s))]
}

fn left(of: &LeftInDoubt) -> Vec<Cell<'_>> {
    vec![
        key(&of.bucket, &of.key, of.operation),
        text(format!("{} ago", words::duration(of.ended_ago_s))),
        text(format!("in {} at the latest", words::duration(of.free_in_s))),
    ]
}

fn settled(html: &mut Html, status: &Status) {
    html.raw("<p class=\"note\">Doubts since the start: ");
    for (place, (how, count)) in status.doubts_settled.iter().enumerate() {
        html.raw(if place > 0 { ", " } else { "" });
        html.text(words::whole(*count)).raw(" ").text(how.replace('_', " "));
    }
    html.raw(".</p>");
}

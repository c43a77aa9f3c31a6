//! The sections about the register, the store and the limits.

use super::html::Html;
use super::section::{begin, end, moment};
use super::table::{Cell, Table, code, text};
use super::words;
use crate::admin::at_start::{Found, FoundAtStart};
use crate::admin::status::{Level, Node, Status};

pub(super) fn register(html: &mut Html, status: &Status) {
    let register = &status.register;
    begin(html, "register", "Register");
    html.raw("<p>");
    if register.problem.is_some() {
        html.raw("<b class=\"tag bad\">cannot be used</b> ");
    } else if register.quarantine_s > 0.0 {
        html.raw("<b class=\"tag warn\">in quarantine</b> ");
    } else {
        html.raw("<b class=\"tag good\">grants leases</b> ");
    }
    html.text(match register.kind {
        "memory" => "In the memory of this process.",
        "redis" => "In one Redis.",
        "redis+sentinel" => "In a Redis that Sentinels watch.",
        _ => "In a cluster of Redis.",
    });
    html.raw("</p>");
    if let Some(problem) = &register.problem {
        html.raw("<p>").text(problem).raw(".</p>");
    }
    html.raw("<dl class=\"numbers\">");
    for (name, number) in [
        ("Leases of all proxies", words::whole(register.leases_of_all_proxies)),
        ("Quarantine left", words::duration(register.quarantine_s)),
        (
            "Age of its memory",
            register.youngest_epoch_age_s.map_or_else(|| "not known".to_owned(), words::duration),
        ),
    ] {
        html.raw("<div><dt>").text(name).raw("</dt><dd>").text(number).raw("</dd></div>");
    }
    html.raw("</dl>");
    if !register.servers.is_empty() {
        let table = Table {
            id: "servers",
            caption: "The masters, when all of them answered last",
            columns: &[("Server", false), ("Leases", true), ("Quarantine", true)],
        };
        let rows = register.servers.iter().map(|of| {
            vec![
                code(&*of.name),
                text(words::whole(of.leases)),
                text(words::duration(of.quarantine_s)),
            ]
        });
        table.write(html, rows);
    }
    end(html);
}

pub(super) fn store(html: &mut Html, status: &Status) {
    let store = &status.store;
    begin(html, "store", "Store");
    html.raw("<p>");
    html.raw(if store.up {
        "<b class=\"tag good\">reached</b> The last request reached it: <code>"
    } else {
        "<b class=\"tag bad\">not reached</b> The last request did not reach it: <code>"
    });
    html.text(&store.address).raw("</code></p>");
    if store.nodes.is_empty() {
        html.raw("<p class=\"note\">Its nodes are not checked: there is one.</p>");
    } else {
        let table = Table {
            id: "nodes",
            caption: "Its nodes",
            columns: &[("Node", false), ("State", false), ("Requests", true), ("Changes", true)],
        };
        table.write(html, store.nodes.iter().map(|of| node(of, status.now_s)));
    }
    if let Some(found) = &store.probe_at_start {
        at_start(html, found);
    }
    end(html);
}

/// What the probe at the start found.
fn at_start(html: &mut Html, found: &FoundAtStart) {
    html.raw("<p id=\"at-start\">");
    html.raw(match (found.contradictions.len(), found.asked.len()) {
        (0, 0) => "<b class=\"tag warn\">not asked</b> It could not be asked whether it does what is configured, at ",
        (0, _) => "<b class=\"tag good\">as configured</b> It was asked whether it does what is configured, and does, at ",
        _ => "<b class=\"tag bad\">contradicts</b> It does otherwise than it is configured to, as it was asked at ",
    });
    moment(html, found.ended_s);
    html.raw(".</p>");
    let all = [
        ("contradicts", &found.contradictions),
        ("was not asked", &found.unasked),
        ("is unclear", &found.unclear),
    ];
    let mut rows = Vec::new();
    for (kind, each) in all {
        for Found { sentence, remedy, nodes } in each {
            let nodes = if nodes.is_empty() { "all".to_owned() } else { nodes.join(", ") };
            let remedy = remedy.as_deref().unwrap_or_default();
            rows.push(vec![text(kind), text(&**sentence), text(remedy), code(nodes)]);
        }
    }
    for what in &found.left {
        rows.push(vec![text("was not deleted"), text(&**what), text(""), text("")]);
    }
    if !rows.is_empty() {
        let table = Table {
            id: "found-at-start",
            caption: "What the probe at the start found",
            columns: &[("Finding", false), ("What", false), ("Remedy", false), ("Nodes", false)],
        };
        table.write(html, rows);
    }
}

fn node(of: &Node, now_s: i64) -> Vec<Cell<'_>> {
    let state = Box::new(move |html: &mut Html| {
        html.raw(match of.state {
            "up" => "<b class=\"tag good\">up</b>",
            _ => "<b class=\"tag bad\">down</b>",
        });
        html.raw(" <small>for ").text(words::between(of.since_s, now_s)).raw(", since ");
        moment(html, of.since_s);
        html.raw("</small>");
    });
    vec![code(&*of.name), state, text(words::whole(of.requests)), text(words::whole(of.changes))]
}

pub(super) fn limits(html: &mut Html, status: &Status) {
    begin(html, "limits", "Limits");
    let table = Table {
        id: "in-use",
        caption: "What is in use now, of how much there may be",
        columns: &[("Kind", false), ("In use", true), ("Limit", true), ("Share", false)],
    };
    let counts = status.in_flight.iter().map(|(kind, level)| level_row(kind, *level, words::whole));
    let bytes = [
        level_row("bodies in memory", status.body_memory_bytes, words::size),
        level_row("bodies on disk", status.spool_bytes, words::size),
    ];
    table.write(html, counts.chain(bytes));
    end(html);
}

fn level_row(kind: &str, level: Level, shown: fn(u64) -> String) -> Vec<Cell<'_>> {
    let Level { now, limit } = level;
    let share = Box::new(move |html: &mut Html| {
        if let Some(limit) = limit {
            html.raw("<meter min=\"0\" low=\"").text(limit - limit / 4).raw("\" high=\"");
            html.text(limit - limit / 10).raw("\" max=\"").text(limit).raw("\" value=\"").text(now);
            html.raw("\" aria-label=\"").text(kind).raw("\">").text(now).raw("</meter>");
        }
    });
    vec![text(kind), text(shown(now)), text(limit.map_or_else(|| "none".to_owned(), shown)), share]
}

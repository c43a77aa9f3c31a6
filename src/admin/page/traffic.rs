//! The sections about what clients ask for, and who has refused it.

use super::html::Html;
use super::section::{begin, end};
use super::table::{Table, code, text, with_note};
use super::words;
use crate::admin::status::{Second, Status, Traffic};

/// What a bar of the chart is wide and high, in its own units.
const BAR: u64 = 4;
const HIGH: u64 = 60;
const BARS: u64 = 60;

pub(super) fn section(html: &mut Html, status: &Status) {
    let traffic = &status.traffic;
    begin(html, "traffic", "Traffic");
    html.raw("<dl class=\"numbers\">");
    for (name, rate) in [
        ("Requests", traffic.requests_per_s),
        ("Refused", traffic.refused_per_s),
        ("Failed", traffic.failed_per_s),
    ] {
        html.raw("<div><dt>").text(name).raw("</dt><dd>").text(words::rate(rate));
        html.raw("<small>/s</small></dd></div>");
    }
    for (name, rate) in
        [("Received", traffic.request_bytes_per_s), ("Sent", traffic.response_bytes_per_s)]
    {
        html.raw("<div><dt>").text(name).raw("</dt><dd>").text(words::bytes(rate));
        html.raw("<small>/s</small></dd></div>");
    }
    html.raw("</dl><p class=\"note\">Over the last ").text(words::duration(traffic.over_s));
    html.raw(". Refused: status 4xx. Failed: 5xx, or no whole answer.</p>");
    chart(html, &traffic.by_second);
    durations(html, traffic);
    totals(html, traffic);
    end(html);
}

/// The requests of the last seconds as bars, the latest on the right.
fn chart(html: &mut Html, seconds: &[Second]) {
    let most = seconds.iter().map(|second| second.requests).max().unwrap_or_default();
    html.raw("<figure><svg viewBox=\"0 0 ").text(BAR * BARS).raw(" ").text(HIGH);
    html.raw(
        "\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Requests in each of the last ",
    );
    html.text(seconds.len()).raw(" seconds: at most ").text(most).raw("\">");
    for (place, second) in (BARS.saturating_sub(seconds.len() as u64)..).zip(seconds) {
        let good = second.requests.saturating_sub(second.refused + second.failed);
        let mut top = HIGH;
        for (class, count) in [
            ("<rect class=\"good\" x=\"", good),
            ("<rect class=\"warn\" x=\"", second.refused),
            ("<rect class=\"bad\" x=\"", second.failed),
        ] {
            let high = (count * HIGH).div_ceil(most.max(1)).min(top);
            if high > 0 {
                top -= high;
                html.raw(class).text(place * BAR).raw("\" y=\"").text(top).raw("\" width=\"");
                html.text(BAR - 1).raw("\" height=\"").text(high).raw("\"/>");
            }
        }
    }
    html.raw("</svg><figcaption>Requests in each of the last 60 seconds; the highest bar is ");
    html.text(words::whole(most));
    html.raw(". <span class=\"key good\">answered</span> <span class=\"key warn\">refused</span> ");
    html.raw("<span class=\"key bad\">failed</span></figcaption></figure>");
}

fn durations(html: &mut Html, traffic: &Traffic) {
    let table = Table {
        id: "durations",
        caption: "How long requests took, in the last minute or two",
        columns: &[("Kind", false), ("Requests", true), ("Half took", true), ("99 % took", true)],
    };
    if traffic.durations.is_empty() {
        html.raw("<p class=\"note\">There were no requests in the last minute or two.</p>");
        return;
    }
    let rows = traffic.durations.iter().map(|of| {
        vec![
            text(of.operation_class.replace('_', " ")),
            text(words::whole(of.requests)),
            text(format!("≤ {}", words::millis(of.p50_ms))),
            text(format!("≤ {}", words::millis(of.p99_ms))),
        ]
    });
    table.write(html, rows);
}

fn totals(html: &mut Html, traffic: &Traffic) {
    html.raw("<p class=\"note\">Since the start: ");
    for (outcome, count) in &traffic.requests {
        html.text(words::whole(*count)).raw(" ").text(outcome).raw(", ");
    }
    html.text(words::size(traffic.request_bytes)).raw(" received, ");
    html.text(words::size(traffic.response_bytes)).raw(" sent.</p>");
}

/// What a part of the proxy is, in words.
fn who(by: &str) -> &'static str {
    match by {
        "request" => "the request itself is at fault",
        "signature" => "it is missing, wrong or too old",
        "access" => "the client may not do that",
        "rule" => "a rule wants a condition",
        "limit" => "this proxy has too much to do",
        "early" => "the early look, before the body",
        "gate" => "the condition, under the key's lease; or no lease",
        "store" => "the store's own answers",
        _ => "",
    }
}

pub(super) fn refusals(html: &mut Html, status: &Status) {
    begin(html, "refusals", "Refusals");
    if status.refusals.is_empty() {
        html.raw("<p>Nothing was refused since the start.</p>");
    } else {
        let table = Table {
            id: "refused",
            caption: "Refusals since the start, by who decided",
            columns: &[("Decided by", false), ("Refusals", true), ("Codes", false)],
        };
        let rows = status.refusals.iter().map(|of| {
            let codes =
                of.codes.iter().map(|(code, count)| format!("{code} {}", words::whole(*count)));
            vec![
                with_note(of.by, who(of.by)),
                text(words::whole(of.refusals)),
                text(codes.collect::<Vec<_>>().join(", ")),
            ]
        });
        table.write(html, rows);
    }
    if !status.conditions.is_empty() {
        let table = Table {
            id: "conditions",
            caption: "Conditions of writes since the start",
            columns: &[("Header", false), ("Held", true), ("Failed", true)],
        };
        let rows = status.conditions.iter().map(|of| {
            vec![code(of.kind), text(words::whole(of.held)), text(words::whole(of.failed))]
        });
        table.write(html, rows);
    }
    html.raw("<p class=\"note\">Writes that were recognised as retries and answered again: ");
    html.text(words::whole(status.replays)).raw(".</p>");
    end(html);
}

//! The status page: the [`Status`] for people. One document without anything from elsewhere: its style
//! and its script are in it, named by their digests in the policy that the browser enforces. It is
//! whole as it is sent; the script only fetches it again and puts what has changed into place.

mod html;
mod keys;
mod parts;
mod section;
mod settings;
mod table;
mod traffic;
mod words;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::StatusCode;
use http::header::{CONTENT_SECURITY_POLICY, HeaderValue, LOCATION};
use sha2::{Digest as _, Sha256};

use super::answer::{self, Answer};
use super::status::{StandingAlarm, Status};
use html::Html;
use section::{end, moment};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a browser may load and run for the page: its own style and script, and what the script asks
/// of this listener.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let digest = |text: &str| BASE64.encode(Sha256::digest(text));
    let (style, script) = (digest(STYLE), digest(SCRIPT));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    // It has nothing but letters and signs of ASCII in it.
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
});

/// The page as an answer.
pub(super) fn answer(status: &Status) -> Answer {
    let mut answer = answer::answer(StatusCode::OK, "text/html; charset=utf-8", page(status));
    answer.headers_mut().insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    answer
}

/// Leads to the page.
pub(super) fn lead_to() -> Answer {
    let mut answer = answer::text(StatusCode::SEE_OTHER, "The status page is at /.\n");
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/"));
    answer
}

/// The sections, with their anchors.
const SECTIONS: [(&str, &str); 11] = [
    ("alarms", "Alarms"),
    ("traffic", "Traffic"),
    ("refusals", "Refusals"),
    ("register", "Register"),
    ("store", "Store"),
    ("limits", "Limits"),
    ("writes", "Writes"),
    ("keys", "Hot keys"),
    ("certificates", "Certificates"),
    ("rules", "Rules"),
    ("configuration", "Settings"),
];

/// The whole document.
pub(super) fn page(status: &Status) -> String {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    html.raw("<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n");
    html.raw("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n<title>");
    match status.standing_alarms.len() {
        0 => html.raw("ifmatch"),
        alarms => html.raw("(").text(alarms).raw(") ifmatch"),
    };
    html.raw("</title>\n<style>").raw(STYLE).raw("</style></head>\n<body>\n");
    html.raw("<a class=\"skip\" href=\"#main\">Skip to the content</a>\n");
    header(&mut html, status);
    html.raw("<main id=\"main\" tabindex=\"-1\">\n");
    alarms(&mut html, status);
    html.raw("<div class=\"column\">\n");
    traffic::section(&mut html, status);
    traffic::refusals(&mut html, status);
    parts::register(&mut html, status);
    parts::store(&mut html, status);
    parts::limits(&mut html, status);
    html.raw("</div>\n<div class=\"column\">\n");
    keys::writes(&mut html, status);
    keys::hot(&mut html, status);
    settings::certificates(&mut html, status);
    settings::rules(&mut html, status);
    html.raw("</div>\n");
    settings::configuration(&mut html, status);
    html.raw("</main>\n");
    footer(&mut html, status);
    html.raw("<script>").raw(SCRIPT).raw("</script>\n</body></html>\n");
    html.into_string()
}

fn header(html: &mut Html, status: &Status) {
    html.raw("<header><div class=\"top\"><h1>ifmatch</h1>\n<p id=\"process\" data-live>");
    let is_well = status.phase == "serving";
    html.raw(if is_well { "<b class=\"tag good\">" } else { "<b class=\"tag warn\">" });
    html.text(status.phase).raw("</b> version ").text(status.version);
    html.raw(", up for ").text(words::between(status.started_s, status.now_s)).raw("</p>\n");
    html.raw("<p class=\"fresh\"><span id=\"time\" data-live>As of ");
    moment(html, status.now_s);
    html.raw(".</span> <a href=\"/\">Look again</a>");
    html.raw(" <button id=\"pause\" type=\"button\" hidden>Pause</button></p></div>\n");
    html.raw("<nav aria-label=\"Sections\"><ul>");
    for (anchor, name) in SECTIONS {
        html.raw("<li><a href=\"#").text(anchor).raw("\">").text(name).raw("</a></li>");
    }
    html.raw("</ul></nav></header>\n");
}

fn alarms(html: &mut Html, status: &Status) {
    html.raw("<section id=\"alarms\" aria-labelledby=\"alarms-name\">");
    html.raw("<h2 id=\"alarms-name\">Alarms</h2>\n<p role=\"status\" id=\"verdict\" data-live>");
    match status.standing_alarms.len() {
        0 => html.raw("<b class=\"tag good\">Nothing is wrong</b>"),
        1 => html.raw("<b class=\"tag bad\">One thing is wrong</b>"),
        many => html.raw("<b class=\"tag bad\">").text(many).raw(" things are wrong</b>"),
    };
    html.raw("</p>\n<div id=\"alarms-live\" data-live>");
    if !status.standing_alarms.is_empty() {
        html.raw("<ul class=\"alarms\">");
        for StandingAlarm { name, critical, since_s, sentence, .. } in &status.standing_alarms {
            html.raw(if *critical {
                "<li class=\"bad\"><b>Urgent: "
            } else {
                "<li class=\"warn\"><b>"
            });
            html.text(name).raw("</b> ").text(sentence).raw(" <small>For ");
            html.text(words::between(*since_s, status.now_s)).raw(", since ");
            moment(html, *since_s);
            html.raw(".</small></li>");
        }
        html.raw("</ul><p class=\"note\">docs/operations.md has a paragraph under each name.</p>");
    }
    end(html);
}

fn footer(html: &mut Html, status: &Status) {
    html.raw("<footer><p>Version ").text(status.version).raw(", commit <code>");
    html.text(status.commit).raw("</code>, process ").text(status.pid).raw(", started at ");
    moment(html, status.started_s);
    html.raw(".</p>\n<nav aria-label=\"The same for programs\"><ul>");
    for (path, name) in [
        ("/status.json", "status.json"),
        ("/metrics", "Metrics"),
        ("/config", "Settings in effect"),
        ("/readyz?verbose", "Readiness"),
    ] {
        html.raw("<li><a href=\"").text(path).raw("\">").text(name).raw("</a></li>");
    }
    html.raw("</ul></nav></footer>\n");
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

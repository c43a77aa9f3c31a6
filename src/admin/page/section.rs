//! What the sections have in common: how they begin and end, and how they tell a time.

use super::html::Html;
use super::words;

/// Begins a section. What follows is exchanged as a whole where it has changed, until [`end`].
pub(super) fn begin(html: &mut Html, anchor: &'static str, name: &'static str) {
    html.raw("<section id=\"").text(anchor).raw("\" aria-labelledby=\"").text(anchor);
    html.raw("-name\"><h2 id=\"").text(anchor).raw("-name\">").text(name);
    html.raw("</h2>\n<div id=\"").text(anchor).raw("-live\" data-live>");
}

/// Ends it.
pub(super) fn end(html: &mut Html) {
    html.raw("</div></section>\n");
}

/// A moment, in UTC.
pub(super) fn moment(html: &mut Html, unix_s: i64) {
    if let Some((people, programs)) = words::moment(unix_s) {
        html.raw("<time datetime=\"").text(programs).raw("\">").text(people).raw("</time>");
    } else {
        html.raw("second ").text(unix_s).raw(" of Unix time");
    }
}

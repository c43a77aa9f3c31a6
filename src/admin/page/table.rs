//! Tables: each with a caption, headings of its columns, and a heading of each row.

use super::html::Html;

/// A table without rows in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Table {
    pub(super) id: &'static str,
    pub(super) caption: &'static str,
    /// The headings, and whether there are numbers below.
    pub(super) columns: &'static [(&'static str, bool)],
}

/// What stands in a cell.
pub(super) type Cell<'a> = Box<dyn Fn(&mut Html) + 'a>;

/// A text.
pub(super) fn text<'a>(text: impl Into<String>) -> Cell<'a> {
    let text = text.into();
    Box::new(move |html| {
        html.text(&text);
    })
}

/// A name, as a program would write it.
pub(super) fn code<'a>(name: impl Into<String>) -> Cell<'a> {
    let name = name.into();
    Box::new(move |html| {
        html.element(("<code>", "</code>"), &name);
    })
}

/// A text with a smaller one below it.
pub(super) fn with_note<'a>(first: impl Into<String>, note: impl Into<String>) -> Cell<'a> {
    let (first, note) = (first.into(), note.into());
    Box::new(move |html| {
        html.text(&first).raw(" ").element(("<small>", "</small>"), &note);
    })
}

impl Table {
    /// Writes it, with these rows; the first cell of each is its heading. The table can be scrolled
    /// sideways where it is too wide, also with the keyboard.
    pub(super) fn write<'a>(self, html: &mut Html, rows: impl IntoIterator<Item = Vec<Cell<'a>>>) {
        html.raw("<div class=\"scroll\" role=\"region\" tabindex=\"0\" id=\"").text(self.id);
        html.raw("\" aria-labelledby=\"").text(self.id).raw("-caption\"><table><caption id=\"");
        html.text(self.id).raw("-caption\">").text(self.caption).raw("</caption><thead><tr>");
        for (heading, is_number) in self.columns {
            html.raw(if *is_number {
                "<th scope=\"col\" class=\"n\">"
            } else {
                "<th scope=\"col\">"
            });
            html.text(heading).raw("</th>");
        }
        html.raw("</tr></thead><tbody>");
        for row in rows {
            html.raw("<tr>");
            let numbers = self.columns.iter().map(|(_, is_number)| *is_number);
            for (place, (cell, is_number)) in row.into_iter().zip(numbers).enumerate() {
                let (open, close) = match (place, is_number) {
                    (0, _) => ("<th scope=\"row\">", "</th>"),
                    (_, true) => ("<td class=\"n\">", "</td>"),
                    (_, false) => ("<td>", "</td>"),
                };
                html.raw(open);
                cell(html);
                html.raw(close);
            }
            html.raw("</tr>");
        }
        html.raw("</tbody></table></div>");
    }
}

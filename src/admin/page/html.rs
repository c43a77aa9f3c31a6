//! Writing HTML. What is marked up comes from the program's own text; everything else is escaped, and
//! no other way is offered: [`Html::raw`] takes only texts that are part of the program.

use std::fmt::{self, Display, Write as _};

/// A page, or a piece of one.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Writes markup.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Writes a text, also as the value of an attribute in double quotes.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to memory does not fail.
        let _ = write!(Escaping(&mut self.0), "{text}");
        self
    }

    /// Writes an element with nothing in it but a text.
    pub(super) fn element(&mut self, (open, close): Tag, text: impl Display) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// The page as it is sent.
    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// The beginning and the end of an element.
pub(super) type Tag = (&'static str, &'static str);

/// Escapes what is written. Characters that a terminal or a browser would not show are written as what
/// they are, among them those that turn the direction of what follows.
struct Escaping<'a>(&'a mut String);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '&' => self.0.push_str("&amp;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                _ if is_hidden(character) => write!(self.0, "\\u{{{:x}}}", u32::from(character))?,
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut html = Html::default();
        html.text(text);
        html.into_string()
    }

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(escaped("a/b c-ä.txt"), "a/b c-ä.txt");
        assert_eq!(
            escaped("<img src=x onerror='alert(1)'>"),
            "&lt;img src=x onerror=&#39;alert(1)&#39;&gt;"
        );
        assert_eq!(escaped("\"><script>&amp;"), "&quot;&gt;&lt;script&gt;&amp;amp;");
        assert_eq!(escaped("a\0\x1b[31m\r\t"), "a\\u{0}\\u{1b}[31m\\u{d}\\u{9}");
        assert_eq!(escaped("gpj\u{202e}exe\u{200b}"), "gpj\\u{202e}exe\\u{200b}");
        let all: String = (0..=0x0010_ffff).filter_map(char::from_u32).collect();
        let markup = ['<', '>', '"', '\''];
        assert!(!escaped(&all).contains(markup));
    }

    #[test]
    fn an_element_has_its_text_between_its_tags() {
        let mut html = Html::default();
        html.element(("<td>", "</td>"), 5).raw("<hr>").element(("<b>", "</b>"), "&");
        assert_eq!(html.into_string(), "<td>5</td><hr><b>&amp;</b>");
    }
}

//! `multipart/form-data` (RFC 7578), read from a body that is there whole.

use std::ops::Range;

/// One part of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The field's name as written.
    pub name: String,
    /// The file's name as written, if it has one.
    pub file_name: Option<String>,
    /// Where in the body the content is.
    pub content: Range<usize>,
}

/// The body is not what RFC 7578 and RFC 2046 §5.1 ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed multipart/form-data")]
pub struct Malformed;

/// Reads a form part by part.
#[derive(Debug)]
pub struct Parts<'a> {
    body: &'a [u8],
    /// `CRLF -- boundary`
    delimiter: Vec<u8>,
    /// The end of the delimiter last met; `None` before the first and after the last.
    at: Option<usize>,
}

impl<'a> Parts<'a> {
    /// Begins to read a body of this `Content-Type`. A preamble is passed over.
    pub fn of(content_type: &str, body: &'a [u8]) -> Result<Self, Malformed> {
        let boundary = parameter(content_type, "boundary")?.ok_or(Malformed)?;
        if !(1..=BOUNDARY_BYTES_MAX).contains(&boundary.len()) {
            return Err(Malformed);
        }
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter needs no line break before it when it begins the body.
        let at = if body.starts_with(&delimiter[2..]) && ends_line(&body[delimiter.len() - 2..]) {
            delimiter.len() - 2
        } else {
            find_delimiter(body, &delimiter, 0).ok_or(Malformed)? + delimiter.len()
        };
        Ok(Self { body, delimiter, at: Some(at) })
    }

    /// The next part; `None` after the last one.
    pub fn next_part(&mut self) -> Result<Option<Part>, Malformed> {
        let Some(at) = self.at.take() else {
            return Ok(None);
        };
        if self.body[at..].starts_with(b"--") {
            return Ok(None);
        }
        let line_end = find(self.body, b"\r\n", at).ok_or(Malformed)?;
        let headers_start = line_end + 2;
        let window = &self.body[..self.body.len().min(headers_start + HEADER_BYTES_MAX)];
        let headers_end = find(window, b"\r\n\r\n", headers_start).ok_or(Malformed)?;
        let headers =
            std::str::from_utf8(&self.body[headers_start..headers_end]).map_err(|_| Malformed)?;
        let disposition = disposition(headers)?;
        let start = headers_end + 4;
        let end = find_delimiter(self.body, &self.delimiter, start).ok_or(Malformed)?;
        self.at = Some(end + self.delimiter.len());
        Ok(Some(Part {
            name: parameter(disposition, "name")?.ok_or(Malformed)?,
            file_name: parameter(disposition, "filename")?,
            content: start..end,
        }))
    }
}

/// The value of the one `Content-Disposition: form-data` among a part's headers.
fn disposition(headers: &str) -> Result<&str, Malformed> {
    let mut found = None;
    for line in headers.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or(Malformed)?;
        if name.eq_ignore_ascii_case("content-disposition") && found.replace(value).is_some() {
            return Err(Malformed);
        }
    }
    let kind = |value: &str| value.split(';').next().unwrap_or_default().trim().to_owned();
    found.filter(|value| kind(value).eq_ignore_ascii_case("form-data")).ok_or(Malformed)
}

/// The value of a parameter in `type; name=value; name="value"`. Twice the same name is malformed:
/// the store or we might take the other one.
fn parameter(header: &str, wanted: &str) -> Result<Option<String>, Malformed> {
    let mut found = None;
    let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        if rest.is_empty() {
            return Ok(found);
        }
        let (name, after) = rest.split_once('=').ok_or(Malformed)?;
        let (value, left) = if let Some(quoted) = after.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let (value, left) = after.split_once(';').unwrap_or((after, ""));
            (value.trim().to_owned(), left)
        };
        rest = left;
        if name.trim().eq_ignore_ascii_case(wanted) && found.replace(value).is_some() {
            return Err(Malformed);
        }
    }
}

/// Splits at the closing quote. Only `\"` is an escape: browsers write the other backslashes of a
/// file's name as they are.
fn unquote(text: &str) -> Result<(String, &str), Malformed> {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' if !escaped => return Ok((text[..i].replace("\\\"", "\""), &text[i + 1..])),
            _ => escaped = c == '\\',
        }
    }
    Err(Malformed)
}

/// The next delimiter that is a line of its own: a boundary may be the beginning of another text.
fn find_delimiter(body: &[u8], delimiter: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = find(body, delimiter, from)?;
        if ends_line(&body[at + delimiter.len()..]) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// Whether this may follow a boundary: `--`, or white space and a line's end.
fn ends_line(rest: &[u8]) -> bool {
    let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    rest.starts_with(b"--") || rest[blank..].starts_with(b"\r\n")
}

fn find(body: &[u8], wanted: &[u8], mut from: usize) -> Option<usize> {
    let first = wanted.first()?;
    loop {
        let at = from + body.get(from..)?.iter().position(|byte| byte == first)?;
        if body[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
const HEADER_BYTES_MAX: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=B";

    fn parts(content_type: &str, body: &str) -> Result<Vec<String>, Malformed> {
        let mut parts = Parts::of(content_type, body.as_bytes())?;
        let mut found = Vec::new();
        while let Some(part) = parts.next_part()? {
            let file = part.file_name.map(|name| format!("<{name}>")).unwrap_or_default();
            found.push(format!("{}{file}={}", part.name, &body[part.content]));
        }
        Ok(found)
    }

    fn one(disposition: &str) -> Result<Vec<String>, Malformed> {
        parts(TYPE, &format!("--B\r\nContent-Disposition: {disposition}\r\n\r\nv\r\n--B--\r\n"))
    }

    #[test]
    fn parts_are_found_between_delimiters() {
        let body = "preamble\r\n--B \t\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\
             \r\n--B\r\ncontent-type: x\r\ncontent-disposition: form-data; name=b; \
             filename=\"f.txt\"\r\n\r\n\r\n--Bx\r\n--B--\r\nepilogue";
        assert_eq!(
            parts(TYPE, body),
            Ok(vec!["a=1\r\n2".to_owned(), "b<f.txt>=\r\n--Bx".to_owned()])
        );
        assert_eq!(parts("multipart/form-data; charset=x; Boundary=\"B\"", "--B--"), Ok(vec![]));
    }

    #[test]
    fn names_are_read_as_browsers_write_them() {
        for (disposition, expected) in [
            ("form-data; name=\"a;b\"; filename=\"c=d\"", "a;b<c=d>=v"),
            ("form-data; name=\"a\"; filename=\"C:\\dir\\x.txt\"", "a<C:\\dir\\x.txt>=v"),
            ("form-data; name=\"a\\\"b\"", "a\"b=v"),
            ("FORM-DATA;NAME=a", "a=v"),
            ("form-data; name=\"ü\"; filename=\"\"", "ü<>=v"),
        ] {
            assert_eq!(one(disposition), Ok(vec![expected.to_owned()]), "{disposition}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for disposition in
            ["form-data", "attachment; name=a", "form-data; name=\"a", "form-data; name=a; name=b"]
        {
            assert_eq!(one(disposition), Err(Malformed), "{disposition}");
        }
        let named = "Content-Disposition: form-data; name=a";
        for body in [
            String::new(),
            "--B".to_owned(),
            "--B\r\n".to_owned(),
            format!("--B\r\n{named}\r\n\r\nv"),
            format!("--B\r\n{named}\r\n\r\nv\r\n--B"),
            format!("--B\r\n{named}\r\nv\r\n--B--"),
            format!("--B\r\n{named}\r\n{named}\r\n\r\nv\r\n--B--"),
            format!("--B\r\nno colon\r\n{named}\r\n\r\nv\r\n--B--"),
            "--B\r\n\r\nv\r\n--B--".to_owned(),
            format!("--B\r\n{named}\r\nx:{}\r\n\r\nv\r\n--B--", "y".repeat(HEADER_BYTES_MAX)),
        ] {
            assert_eq!(parts(TYPE, &body), Err(Malformed), "{body:.80}");
        }
        let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
        for content_type in ["multipart/form-data", "multipart/form-data; boundary=", &long] {
            assert_eq!(parts(content_type, "--B--"), Err(Malformed), "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn content_without_the_delimiter_comes_out_as_it_went_in(
            content in "[\r\n\\-Ba ]{0,60}",
        ) {
            prop_assume!(!format!("\r\n{content}\r\n").contains("\r\n--B"));
            let body = format!("--B\r\nContent-Disposition: form-data; name=a\r\n\r\n{content}\r\n\
                --B--");
            prop_assert_eq!(parts(TYPE, &body), Ok(vec![format!("a={content}")]));
        }

        #[test]
        fn no_body_panics(pieces in prop::collection::vec(
            prop_oneof![
                Just("--B"), Just("\r\n"), Just("--"), Just("Content-Disposition: form-data"),
                Just("; name=a"), Just("\""), Just("\\"), Just(":"), Just("é"), Just(" "),
            ], 0..24))
        {
            let _ = parts(TYPE, &pieces.concat());
        }
    }
}

//! Headers of a form and of its parts: `Content-Type` with its boundary, `Content-Disposition` with
//! the names (RFC 7578 §4.2, RFC 2046 §5.1).

/// Which spellings of a form are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// All that browsers and HTTP libraries write. For a form from which a new request is made.
    Any,
    /// The one that every reader reads alike (docs/documents.md, "Forms"). For a form that is sent
    /// on as it came.
    Canonical,
}

/// Why a body is not an acceptable form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It does not follow RFC 7578 and RFC 2046 §5.1, or is cut short.
    #[error("not well-formed multipart/form-data")]
    Malformed,
    /// It may be well-formed, but two readers could read it differently, for this reason.
    #[error("{0}")]
    Ambiguous(&'static str),
    /// Everything but the file exceeds `FIELDS_BYTES_MAX`.
    #[error("the fields are too large")]
    FieldsTooLarge,
    /// Not exactly one part is named `file`.
    #[error("not exactly one file")]
    NumberOfFiles,
}

/// The headers of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartHead {
    /// The field's name as written.
    pub(super) name: String,
    /// The file's name as written, if it has one.
    pub(super) file_name: Option<String>,
    /// The charset of its text.
    pub(super) charset: Charset,
}

/// The charset of a field's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Charset {
    /// UTF-8, also the default (RFC 7578 §5.1.2).
    Utf8,
    /// A charset that equals UTF-8 for ASCII text. Java's clients call all text ISO-8859-1.
    AsciiAndMore,
    /// Another one.
    Other,
}

impl Charset {
    fn named(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "utf-8" | "utf8" => Self::Utf8,
            "us-ascii" | "ascii" => Self::AsciiAndMore,
            _ if ["iso-8859-", "windows-125"].iter().any(|family| name.starts_with(family)) => {
                Self::AsciiAndMore
            }
            _ => Self::Other,
        }
    }

    /// A field's value. Errors: it is not UTF-8, or its charset would give it another meaning.
    pub(super) fn text(self, value: &[u8]) -> Result<String, Fault> {
        match self {
            Self::AsciiAndMore if !value.is_ascii() => Err(Fault::Ambiguous(CHARSET)),
            Self::Other => Err(Fault::Ambiguous(CHARSET)),
            Self::Utf8 | Self::AsciiAndMore => {
                std::str::from_utf8(value).map(str::to_owned).map_err(|_| Fault::Malformed)
            }
        }
    }
}

/// The boundary in a form's `Content-Type`.
pub(super) fn boundary(content_type: &str, spelling: Spelling) -> Result<String, Fault> {
    let boundary = match spelling {
        Spelling::Any => Parameters::of(content_type)?.only("boundary")?.ok_or(Fault::Malformed)?,
        Spelling::Canonical => {
            let boundary = content_type.strip_prefix("multipart/form-data; boundary=");
            let is_plain = |text: &&str| {
                text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            };
            boundary.filter(is_plain).ok_or(Fault::Ambiguous(CONTENT_TYPE))?.to_owned()
        }
    };
    let fits = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len());
    if fits { Ok(boundary) } else { Err(Fault::Malformed) }
}

impl PartHead {
    /// Parses a part's header lines, without the empty line after them.
    pub(super) fn parse(headers: &str, spelling: Spelling) -> Result<Self, Fault> {
        match spelling {
            Spelling::Any => Self::parse_any(headers),
            Spelling::Canonical => Self::parse_canonical(headers),
        }
    }

    fn parse_any(headers: &str) -> Result<Self, Fault> {
        let (mut disposition, mut content_type) = (None, None);
        for line in headers.split("\r\n") {
            let (name, value) = line.split_once(':').ok_or(Fault::Malformed)?;
            let value = value.trim();
            let known = match name.trim().to_ascii_lowercase().as_str() {
                "content-disposition" => &mut disposition,
                "content-type" => &mut content_type,
                "content-transfer-encoding" if !is_identity(value) => {
                    return Err(Fault::Ambiguous(TRANSFER_ENCODING));
                }
                _ => continue,
            };
            if known.replace(value).is_some() {
                return Err(Fault::Malformed);
            }
        }
        let disposition = disposition.ok_or(Fault::Malformed)?;
        let kind = disposition.split(';').next().unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case("form-data") {
            return Err(Fault::Malformed);
        }
        let parameters = Parameters::of(disposition)?;
        let file_name = match parameters.only("filename")? {
            Some(name) => Some(name),
            None => parameters.only("filename*")?.map(|name| extended(&name)).transpose()?,
        };
        let name = parameters.only("name")?.ok_or(Fault::Malformed)?;
        let charset = content_type.map(|value| Parameters::of(value)?.only("charset"));
        let charset = charset.transpose()?.flatten();
        let charset = charset.map_or(Charset::Utf8, |name| Charset::named(&name));
        Ok(Self { name, file_name, charset })
    }

    /// `Content-Disposition: form-data; name="…"`, for the file with `; filename="…"` and perhaps a
    /// `Content-Type` before or after it, and nothing else.
    fn parse_canonical(headers: &str) -> Result<Self, Fault> {
        let mut lines = headers.split("\r\n");
        let (first, second) = (lines.next().unwrap_or_default(), lines.next());
        if lines.next().is_some() {
            return Err(Fault::Ambiguous(PART_HEADERS));
        }
        let disposition = |line| value_of(line, "content-disposition");
        let (disposition, other) = match (disposition(first), second) {
            (Some(value), other) => (value, other),
            (None, Some(second)) => {
                (disposition(second).ok_or(Fault::Ambiguous(PART_HEADERS))?, Some(first))
            }
            (None, None) => return Err(Fault::Ambiguous(PART_HEADERS)),
        };
        let names = disposition.strip_prefix("form-data; name=\"");
        let names = names.and_then(|names| names.strip_suffix('"'));
        let names = names.ok_or(Fault::Ambiguous(PART_HEADERS))?;
        let (name, file_name) = match names.split_once("\"; filename=\"") {
            Some((name, file_name)) => (name, Some(file_name)),
            None => (names, None),
        };
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=NAME_BYTES_MAX).contains(&name.len())
            || !name.bytes().all(is_plain)
            || name == "_charset_"
        {
            return Err(Fault::Ambiguous(PLAIN_NAME));
        }
        if !file_name.is_none_or(is_plain_file_name) {
            return Err(Fault::Ambiguous(PLAIN_FILE_NAME));
        }
        match other.map(|line| value_of(line, "content-type")) {
            None => {}
            Some(Some(media_type)) if file_name.is_some() && is_plain_type(media_type) => {}
            Some(_) => return Err(Fault::Ambiguous(PART_HEADERS)),
        }
        let file_name = file_name.map(str::to_owned);
        Ok(Self { name: name.to_owned(), file_name, charset: Charset::Utf8 })
    }
}

/// The value of a line `Name: value`, with one blank.
fn value_of<'a>(line: &'a str, wanted: &str) -> Option<&'a str> {
    let (name, value) = line.split_once(": ")?;
    name.eq_ignore_ascii_case(wanted).then_some(value)
}

/// Refuses characters that end a name or are an escape for some reader; and the empty name, which
/// some readers do not take for a file.
fn is_plain_file_name(name: &str) -> bool {
    let ends = |c: char| c.is_control() || matches!(c, '"' | '\\' | ';' | '\u{2028}' | '\u{2029}');
    !name.is_empty() && !name.contains(ends)
}

/// A media type, for a text with no other charset than UTF-8.
fn is_plain_type(media_type: &str) -> bool {
    let lower = media_type.to_ascii_lowercase();
    let plain = match lower.split_once(';') {
        Some((plain, parameter)) if parameter.trim_start_matches(' ') == "charset=utf-8" => plain,
        Some(_) => return false,
        None => &lower,
    };
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b))
    };
    plain.split_once('/').is_some_and(|(kind, of)| is_token(kind) && is_token(of))
}

/// RFC 2045 §6.2: the encodings that leave the content unchanged.
fn is_identity(encoding: &str) -> bool {
    ["7bit", "8bit", "binary"].iter().any(|identity| encoding.eq_ignore_ascii_case(identity))
}

/// The value of `filename*`, which older libraries write although RFC 7578 §4.2 forbids it (RFC
/// 8187 §3.2).
fn extended(value: &str) -> Result<String, Fault> {
    let mut parts = value.splitn(3, '\'');
    let (charset, _language, encoded) = (parts.next(), parts.next(), parts.next());
    match (charset, encoded) {
        (Some(charset), Some(encoded)) if charset.eq_ignore_ascii_case("utf-8") => {
            percent_encoding::percent_decode_str(encoded)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| Fault::Malformed)
        }
        _ => Err(Fault::Malformed),
    }
}

/// The parameters of `type; name=value; name="value"`, names in lower case.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn of(header: &str) -> Result<Self, Fault> {
        let mut found = Vec::new();
        let mut rest = header.split_once(';').map_or("", |(_, rest)| rest);
        loop {
            rest = rest.trim_start_matches([' ', '\t', ';']);
            if rest.is_empty() {
                return Ok(Self(found));
            }
            let (name, after) = rest.split_once('=').ok_or(Fault::Malformed)?;
            let (value, left) = if let Some(quoted) = after.strip_prefix('"') {
                unquote(quoted)?
            } else {
                let (value, left) = after.split_once(';').unwrap_or((after, ""));
                (value.trim().to_owned(), left)
            };
            rest = left;
            found.push((name.trim().to_ascii_lowercase(), value));
        }
    }

    /// The value of this parameter. A repeated parameter is malformed: either value may be meant.
    fn only(&self, wanted: &str) -> Result<Option<String>, Fault> {
        let mut values = self.0.iter().filter(|(name, _)| name == wanted);
        match (values.next(), values.next()) {
            (found, None) => Ok(found.map(|(_, value)| value.clone())),
            (_, Some(_)) => Err(Fault::Malformed),
        }
    }
}

/// Splits at the closing quote. Only `\"` is an escape: browsers do not escape the backslashes of a
/// file's name, not even one before the closing quote.
fn unquote(text: &str) -> Result<(String, &str), Fault> {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' if !escaped => return Ok((text[..i].replace("\\\"", "\""), &text[i + 1..])),
            _ => escaped = c == '\\',
        }
    }
    let end = text.rfind('"').ok_or(Fault::Malformed)?;
    let unescaped = !text[..end].contains('"');
    if unescaped { Ok((text[..end].to_owned(), &text[end + 1..])) } else { Err(Fault::Malformed) }
}

/// RFC 2046 §5.1.1.
const BOUNDARY_BYTES_MAX: usize = 70;
/// Some readers truncate longer names.
const NAME_BYTES_MAX: usize = 100;
const CONTENT_TYPE: &str = "Its Content-Type is \"multipart/form-data; boundary=\" and the boundary: \
     letters, digits, \"-\", \"_\" and \".\", without quotes; no other parameter.";
const PART_HEADERS: &str = "Each part has the header Content-Disposition: form-data; name=\"...\" and \
     no other, the file also ; filename=\"...\" and perhaps its Content-Type, without a charset but \
     utf-8.";
const PLAIN_NAME: &str = "A field's name consists of letters, digits, \"-\", \"_\" and \".\", and is \
     not \"_charset_\".";
const PLAIN_FILE_NAME: &str = "The file's name is not empty and has no quotes, backslashes, \
     semicolons or control characters.";
const TRANSFER_ENCODING: &str =
    "Its parts are sent as they are, without a Content-Transfer-Encoding (RFC 7578 §4.7).";
const CHARSET: &str =
    "A field's text is in UTF-8; its part names a charset in which it says something else.";

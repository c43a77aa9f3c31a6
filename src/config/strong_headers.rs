//! Headers by which a store is asked for a consistent answer.

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Headers that ask a store to answer consistently, for stores that do so on request. In the
/// configuration each is a text: `name: value`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct StrongHeaders(Vec<(HeaderName, HeaderValue)>);

impl StrongHeaders {
    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl TryFrom<Vec<String>> for StrongHeaders {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        texts.iter().map(|text| read(text)).collect::<Result<_, _>>().map(Self)
    }
}

impl From<StrongHeaders> for Vec<String> {
    fn from(headers: StrongHeaders) -> Self {
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap_or_default())
        };
        headers.iter().map(text).collect()
    }
}

fn read(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = text.split_once(':').and_then(|(name, value)| {
        let name: HeaderName = name.trim().parse().ok()?;
        let value = HeaderValue::from_str(value.trim()).ok()?;
        value.to_str().is_ok_and(|value| !value.is_empty()).then_some((name, value))
    });
    match parsed {
        None => Err(format!("\"{text}\" is not a header such as \"x-newest: true\"")),
        Some((name, _)) if has_a_meaning(name.as_str()) => Err(format!(
            "\"{name}\" has a meaning of its own in HTTP or S3; name a header by which this store \
             is asked to be consistent"
        )),
        Some(header) => Ok(header),
    }
}

/// Whether HTTP, S3 or this proxy gives the header a meaning.
fn has_a_meaning(name: &str) -> bool {
    let prefixes = ["x-amz-", "x-ifmatch-", "content-", "if-", "accept", "proxy-"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
        || matches!(
            name,
            "authorization"
                | "connection"
                | "cookie"
                | "date"
                | "expect"
                | "forwarded"
                | "host"
                | "keep-alive"
                | "range"
                | "te"
                | "trailer"
                | "transfer-encoding"
                | "upgrade"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(texts: &[&str]) -> Result<StrongHeaders, String> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        StrongHeaders::try_from(texts)
    }

    #[test]
    fn headers_are_read_and_written_as_texts() {
        let read = read_all(&["X-Tigris-Consistent: true", "consistency-control:strong-site"]);
        let texts = Vec::from(read.unwrap());
        assert_eq!(texts, ["x-tigris-consistent: true", "consistency-control: strong-site"]);
        assert!(read_all(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_header_or_has_a_meaning_is_refused() {
        for text in ["", "x-newest", "x-newest:", ": true", "a b: c", "x-newest: a\r\nb: c"] {
            assert!(read_all(&[text]).unwrap_err().contains("is not a header"), "{text:?}");
        }
        for name in ["Host", "authorization", "x-amz-acl", "Content-Length", "if-match", "range"] {
            let refused = read_all(&[&format!("{name}: x")]).unwrap_err();
            assert!(refused.contains("has a meaning of its own"), "{refused}");
        }
    }
}

//! The canonical request and the string to sign (AWS: Create a signed request, steps 1 to 3).

use std::borrow::Cow;

use http::HeaderValue;
use memchr::memchr2;
use sha2::{Digest, Sha256};

use super::date::AmzDate;
use super::key::SigningKey;
use super::signature::{Hex, Signature};
use crate::http1::fields::Fields;
use crate::s3::encoding;

/// The name of the algorithm, in `Authorization`, in queries and in strings to sign.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The parts of a canonical request, each in its canonical form.
#[derive(Debug, Clone, Copy)]
pub(super) struct CanonicalRequest<'a, F> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) fields: F,
    /// Lower-case names, joined by `;`.
    pub(super) signed_headers: &'a str,
    /// The value of `x-amz-content-sha256`, or its substitute.
    pub(super) payload: &'a str,
}

/// The fields that a signature covers.
pub(super) trait Signed {
    /// Appends the lines of the fields with these names, joined by `;`.
    fn push_lines(self, text: &mut Vec<u8>, names: &str);
}

/// All fields of a request, of which only those with the names are used.
impl Signed for &Fields {
    fn push_lines(self, text: &mut Vec<u8>, names: &str) {
        // Each signed name is looked for among all fields, whose names are spelled out once.
        let fields: Vec<_> = self.iter().map(|(name, it)| (name.as_str(), it)).collect();
        // On bytes: to search a text for characters costs several times as much.
        for name in names.as_bytes().split(|byte| *byte == b';') {
            let of_name = fields.iter().filter(|(field, _)| {
                field.len() == name.len() && field.as_bytes().eq_ignore_ascii_case(name)
            });
            push_line(text, name, of_name.map(|(_, value)| *value));
        }
    }
}

/// The fields with the names and no others, in the order of their names.
impl Signed for &[(&str, &HeaderValue)] {
    fn push_lines(self, text: &mut Vec<u8>, _: &str) {
        for field in self.chunk_by(|(a, _), (b, _)| a == b) {
            push_line(text, field[0].0.as_bytes(), field.iter().map(|(_, value)| *value));
        }
    }
}

/// Appends the line of a field with these values.
fn push_line<'a>(text: &mut Vec<u8>, name: &[u8], values: impl Iterator<Item = &'a HeaderValue>) {
    text.extend_from_slice(name);
    text.push(b':');
    for (i, value) in values.enumerate() {
        if i > 0 {
            text.push(b',');
        }
        push_collapsed(text, value.as_bytes());
    }
    text.push(b'\n');
}

impl<F: Signed + Copy> CanonicalRequest<'_, F> {
    /// The text whose digest is signed. Bytes, since a header's value need not be UTF-8.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut text = Vec::with_capacity(TEXT_BYTES_USUAL);
        for line in [self.method, self.path, self.query] {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        self.fields.push_lines(&mut text, self.signed_headers);
        text.push(b'\n');
        text.extend_from_slice(self.signed_headers.as_bytes());
        text.push(b'\n');
        text.extend_from_slice(self.payload.as_bytes());
        text
    }
}

/// The string to sign for a canonical request.
pub(super) fn string_to_sign(date: &AmzDate, key: &SigningKey, canonical: &[u8]) -> String {
    let digest = Hex::of(&Sha256::digest(canonical).into());
    string_to_sign_lines(date, key, &digest).join("\n")
}

fn string_to_sign_lines<'a>(
    date: &'a AmzDate,
    key: &'a SigningKey,
    digest: &'a Hex,
) -> [&'a str; 4] {
    [ALGORITHM, date.as_str(), key.scope_text(), digest.as_str()]
}

/// The signature of a canonical request.
pub(super) fn signature(date: &AmzDate, key: &SigningKey, canonical: &[u8]) -> Signature {
    let digest = Hex::of(&Sha256::digest(canonical).into());
    key.sign_lines(&string_to_sign_lines(date, key, &digest))
}

/// A path as S3 signs it: decoded once and encoded as AWS does, however the client encoded it. A
/// path that cannot be decoded stays unchanged.
pub(super) fn path(as_sent: &str) -> Cow<'_, str> {
    match as_sent {
        "" => "/".into(),
        plain if plain.bytes().all(|byte| byte == b'/' || is_unreserved(byte)) => plain.into(),
        other => {
            let decoded = encoding::decode(other);
            decoded.map_or_else(|| other.into(), |key| encoding::encode_path(&key).into())
        }
    }
}

/// A query as it is signed, from its pairs as sent: each name and value is decoded (`+` is a space)
/// and encoded as AWS does, sorted by name, then by value. Pairs that differ only in spelling give
/// the same text.
pub(super) fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut pairs: Vec<_> =
        pairs.map(|(name, value)| (query_text(name), query_text(value))).collect();
    pairs.sort_unstable();
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut text = String::with_capacity(bytes);
    for (name, value) in &pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(value);
    }
    text
}

fn query_text(as_sent: &str) -> Cow<'_, str> {
    if as_sent.bytes().all(is_unreserved) {
        return as_sent.into();
    }
    encoding::decode_query(as_sent)
        .map_or_else(|| as_sent.into(), |decoded| encoding::encode_query(&decoded).into())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Appends a header's value without surrounding white space, and with every run of inner white
/// space as one space.
fn push_collapsed(text: &mut Vec<u8>, value: &[u8]) {
    if memchr2(b' ', b'\t', value).is_none() {
        return text.extend_from_slice(value);
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    for (i, word) in value.split(is_space).filter(|word| !word.is_empty()).enumerate() {
        if i > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
}

/// The bytes of a usual text, and some more. The allocator has more to do for a KiB.
const TEXT_BYTES_USUAL: usize = 960;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_encoded_as_aws_does() {
        for (sent, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/b/k-._~", "/b/k-._~"),
            ("/b/a+b=c", "/b/a%2Bb%3Dc"),
            ("/b/a%2Bb", "/b/a%2Bb"),
            ("/b/a%2fb", "/b/a/b"),
            ("/b/a%2541", "/b/a%2541"),
            ("/b/%41", "/b/A"),
            ("/b/a//c/../d", "/b/a//c/../d"),
            ("/b/%C3%bc", "/b/%C3%BC"),
            ("/b/%zz", "/b/%zz"),
            ("/b/%ff", "/b/%ff"),
        ] {
            assert_eq!(path(sent), canonical, "{sent}");
        }
    }

    #[test]
    fn a_query_is_sorted_by_encoded_name_then_value() {
        let of = |text: &'static str| {
            query(text.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))))
        };
        assert_eq!(query([].into_iter()), "");
        assert_eq!(of("uploads"), "uploads=");
        assert_eq!(of("b=2&a=2&a=1&A=0"), "A=0&a=1&a=2&b=2");
        assert_eq!(of("prefix=a/b%20c&x=%2f"), "prefix=a%2Fb%20c&x=%2F");
        assert_eq!(of("a-b=1&a=2"), "a=2&a-b=1", "sorted by name, not by the joined text");
        assert_eq!(of("prefix=foo+bar%2F"), "prefix=foo%20bar%2F", "a plus is a space");
        assert_eq!(of("prefix=foo%2Bbar"), "prefix=foo%2Bbar");
        assert_eq!(of("x=%ff"), "x=%ff");
    }

    #[test]
    fn headers_are_trimmed_collapsed_and_joined() {
        let mut headers = Fields::new();
        headers.append("x-amz-meta-a", HeaderValue::from_static("  one   two\tthree "));
        headers.append("x-amz-meta-a", HeaderValue::from_static("four"));
        headers.append("x-amz-meta-b", HeaderValue::from_bytes(b"\xc3\xbc").expect("opaque"));
        let request = CanonicalRequest {
            method: "PUT",
            path: "/",
            query: "",
            fields: &headers,
            signed_headers: "host;x-amz-meta-a;x-amz-meta-b",
            payload: "p",
        };
        let expected = "PUT\n/\n\nhost:\nx-amz-meta-a:one two three,four\nx-amz-meta-b:ü\n\n\
                        host;x-amz-meta-a;x-amz-meta-b\np";
        assert_eq!(String::from_utf8_lossy(&request.to_bytes()), expected);
    }
}

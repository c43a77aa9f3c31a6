//! What the targets share: how their input is read. Requests are written as on the wire, so that a
//! seed is a text a person can read, and the fuzzer's dictionary of tokens is the protocol's own.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use ifmatch::s3::{Query, RequestHead};
use ifmatch::secret::Secret;
use ifmatch::sigv4::Credential;
use ifmatch::http1::fields::Fields;

/// The one client there is.
pub const ACCESS_KEY: &str = "AKIDEXAMPLE";

/// 20130524T000000Z, when all of AWS's examples were signed.
pub const NOW: i64 = 1_369_353_600;

/// A request: its line, its headers, an empty line, its body. Lines end with a line feed.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: Query,
    pub headers: Fields,
    pub body: Bytes,
}

impl Request {
    /// `None` where the HTTP server would not have let it in.
    pub fn read(input: &[u8]) -> Option<Self> {
        let mut rest = input;
        let mut line = || {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = &rest[..end];
            rest = &rest[end + 1..];
            Some(line)
        };
        let mut first = line()?.splitn(2, |byte| *byte == b' ');
        let method = Method::from_bytes(first.next()?).ok()?;
        let target = std::str::from_utf8(first.next()?).ok()?;
        let mut headers = Fields::new();
        while let Some(line) = line().filter(|line| !line.is_empty()) {
            let mut parts = line.splitn(2, |byte| *byte == b':');
            let name = HeaderName::from_bytes(parts.next()?).ok()?;
            headers.append(name, HeaderValue::from_bytes(parts.next()?.trim_ascii()).ok()?);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Some(Self {
            method,
            path: path.to_owned(),
            query: Query::parse(query),
            headers,
            body: Bytes::copy_from_slice(rest),
        })
    }

    pub fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
        }
    }
}

pub fn clients() -> HashMap<String, Credential> {
    let credential = Credential {
        access_key_id: ACCESS_KEY.to_owned(),
        secret: Secret::new("a-secret-that-no-input-knows"),
        session_token: None,
    };
    HashMap::from([(ACCESS_KEY.to_owned(), credential)])
}

/// Cuts a body into pieces whose lengths follow from a seed; none is empty.
pub fn cut(mut body: Bytes, mut seed: u64) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while !body.is_empty() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let small = usize::try_from(seed >> 60).unwrap_or(0) + 1;
        let length = if seed >> 32 & 1 == 0 { small } else { small * 37 };
        pieces.push(body.split_to(length.min(body.len())));
    }
    pieces
}

/// Every byte as an escape, which is another spelling of the same text.
pub fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

//! One request of a probe, as a value: what is sent, before it is signed. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::Method;
use md5::{Digest as _, Md5};

use crate::backend::addressing::{HostAndPath, host_and_path};
use crate::config::Addressing;
use crate::s3::ObjectName;
use crate::s3::encoding::encode_query;

/// A request of a probe.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// The path in path style, encoded.
    pub path: String,
    /// The query's names and values, encoded.
    pub query: Vec<(String, String)>,
    /// The headers, without those of the connection and the signature.
    pub headers: Vec<(&'static str, String)>,
    /// The content, without framing.
    pub content: Bytes,
    /// How the content is signed and framed.
    pub payload: Payload,
    /// By how many seconds the clock that signs it goes ahead; negative where it is behind.
    pub clock_ahead_s: i64,
    /// Whether the host names the bucket, whatever is configured.
    pub in_host: bool,
    /// Whether its signature is in the query, and covers all of its headers.
    pub presigned: bool,
}

/// How a content is signed and framed (`x-amz-content-sha256`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// By its SHA-256.
    Digest,
    /// Not at all.
    Unsigned,
    /// In `aws-chunked` framing.
    Chunks(Chunks),
}

/// The framing of a content in chunks (AWS: Transferring Payload in Multiple Chunks).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunks {
    /// Whether each chunk has a signature.
    pub signed: bool,
    /// The name and the value of the trailing header, where there is one.
    pub trailer: Option<(&'static str, String)>,
}

impl Ask {
    /// A request about an object, without content.
    pub fn new(method: Method, name: &ObjectName) -> Self {
        Self::at(method, name.path())
    }

    /// A request about this path.
    pub fn at(method: Method, path: String) -> Self {
        Self {
            method,
            path,
            query: Vec::new(),
            headers: Vec::new(),
            content: Bytes::new(),
            payload: Payload::Digest,
            clock_ahead_s: 0,
            in_host: false,
            presigned: false,
        }
    }

    /// Writes an object.
    pub fn put(name: &ObjectName, content: impl Into<Bytes>) -> Self {
        Self::new(Method::PUT, name).content(content)
    }

    /// With this content.
    #[must_use]
    pub fn content(mut self, content: impl Into<Bytes>) -> Self {
        self.content = content.into();
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With the digest of its content in `Content-MD5`.
    #[must_use]
    pub fn with_md5(self) -> Self {
        let digest = BASE64.encode(Md5::digest(&self.content));
        self.header("content-md5", digest)
    }

    /// With one more parameter; the value is not encoded yet.
    #[must_use]
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.query.push((encode_query(name), encode_query(value)));
        self
    }

    /// Whether it begins an upload (AWS: CreateMultipartUpload).
    pub fn begins_an_upload(&self) -> bool {
        self.method == Method::POST && self.query.iter().any(|(name, _)| name == "uploads")
    }

    /// Host and path, by what is configured, or by what the request is about.
    pub fn addressed(&self, configured: Addressing) -> HostAndPath<'_> {
        let addressing = if self.in_host { Addressing::VirtualHost } else { configured };
        host_and_path(addressing, &self.path)
    }

    /// The target: path and query.
    pub fn target(&self, path: &str) -> String {
        let mut target = path.to_owned();
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(name);
            if !value.is_empty() {
                target.push('=');
                target.push_str(value);
            }
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_its_parameters_encoded_once() {
        let ask = Ask::at(Method::GET, "/b/a%20b".to_owned())
            .parameter("acl", "")
            .parameter("uploadId", "a/b+c");
        assert_eq!(ask.target(&ask.path), "/b/a%20b?acl&uploadId=a%2Fb%2Bc");
    }
}

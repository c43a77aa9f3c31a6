//! What the room's tests share: AWS's example client, requests, and bodies in chunks.

use std::collections::HashMap;

use http::{HeaderName, HeaderValue, Method};
use sha2::{Digest, Sha256};

use super::accepted::{Accepted, Authenticated};
use super::auth_error::AuthError;
use super::authenticate::authenticate;
use super::chunk_chain::ChunkSeed;
use super::credential::{Credential, CredentialLookup};
use super::date::AmzDate;
use super::effective::EffectiveRequest;
use super::key::{Scope, SigningKey, SigningKeys};
use super::payload::PayloadKind;
use super::signature::Signature;
use crate::http1::fields::Fields;
use crate::s3::{Query, RequestHead};
use crate::secret::Secret;

pub(super) const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
pub(super) const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// 20130524T000000Z, when all of AWS's examples were signed.
pub(super) const NOW: i64 = 1_369_353_600;

pub(super) fn credential() -> Credential {
    Credential {
        access_key_id: ACCESS_KEY.into(),
        secret: Secret::new(SECRET),
        session_token: None,
    }
}

/// A client that changes its secret: [`SECRET`] is the one before.
pub(super) struct Rotating([Credential; 2]);

impl Rotating {
    pub(super) fn new() -> Self {
        Self([Credential { secret: Secret::new("its new one"), ..credential() }, credential()])
    }
}

impl CredentialLookup for Rotating {
    fn credentials(&self, access_key_id: &str) -> &[Credential] {
        if access_key_id == ACCESS_KEY { &self.0 } else { &[] }
    }
}

pub(super) fn key() -> SigningKey {
    let scope = Scope { date: "20130524".into(), region: "us-east-1".into(), service: "s3".into() };
    SigningKey::derive(&Secret::new(SECRET), &scope)
}

pub(super) fn seed(signature: &str) -> ChunkSeed {
    ChunkSeed {
        signature: Signature::from_hex(signature).expect("a signature"),
        date: AmzDate::from_unix(NOW),
        key: key().into(),
    }
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Query,
    pub(super) headers: Fields,
}

impl Request {
    pub(super) fn new(method: &Method, path: &str) -> Self {
        let (method, path) = (method.clone(), path.to_owned());
        Self { method, path, query: Query::default(), headers: Fields::new() }
            .header("host", "examplebucket.s3.amazonaws.com")
    }

    pub(super) fn query(mut self, query: &str) -> Self {
        self.query = Query::parse(query);
        self
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a value"));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.remove(name);
        self
    }

    /// The headers that every request signed by a header has, for an empty body.
    pub(super) fn dated(self) -> Self {
        self.header("x-amz-date", "20130524T000000Z").header("x-amz-content-sha256", EMPTY)
    }

    pub(super) fn authorization(self, signed_headers: &str, signature: &str) -> Self {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders={signed_headers},Signature={signature}"
        );
        self.without("authorization").header("authorization", &value)
    }

    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
        }
    }

    pub(super) fn effective(&self) -> EffectiveRequest<'_> {
        EffectiveRequest::of(self.head()).expect("a request with one meaning")
    }

    pub(super) fn authenticate_at(&self, now: i64) -> Result<Authenticated, AuthError> {
        let clients = HashMap::from([(ACCESS_KEY.to_owned(), credential())]);
        let accepted = Accepted { version_2: true, ..Accepted::default() };
        let effective = EffectiveRequest::of(self.head())?;
        authenticate(&effective, &clients, &SigningKeys::default(), &accepted, now)
    }

    pub(super) fn authenticate(&self) -> Result<Authenticated, AuthError> {
        self.authenticate_at(NOW)
    }
}

/// A body in chunks, with signatures if the kind has them, ending as AWS's examples do.
pub(super) fn framed(
    kind: PayloadKind,
    mut chain: ChunkSeed,
    chunks: &[&[u8]],
    trailers: &[(&str, &str)],
) -> Vec<u8> {
    let signed = matches!(kind, PayloadKind::SignedChunks { .. });
    let mut body = Vec::new();
    for chunk in chunks.iter().copied().chain([&b""[..]]) {
        let size = format!("{:x}", chunk.len());
        body.extend_from_slice(size.as_bytes());
        if signed {
            chain.signature = chain.chunk_signature(&Sha256::digest(chunk).into());
            let signature = chain.signature.to_hex();
            body.extend_from_slice(format!(";chunk-signature={}", signature.as_str()).as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        if !chunk.is_empty() {
            body.extend_from_slice(chunk);
            body.extend_from_slice(b"\r\n");
        }
    }
    let mut canonical = String::new();
    for (name, value) in trailers {
        canonical += &[name, ":", value, "\n"].concat();
        body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
    }
    if signed && kind.has_trailer() {
        let signature = chain.trailer_signature(canonical.as_bytes()).to_hex();
        let line = format!("x-amz-trailer-signature:{}\r\n", signature.as_str());
        body.extend_from_slice(line.as_bytes());
    }
    body.extend_from_slice(b"\r\n");
    body
}

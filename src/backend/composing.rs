//! Composing a request to a node: its host and path, its headers, its signature.

use http::Method;
use http::header::{self, HeaderValue};

use super::addressing::{HostAndPath, host_and_path};
use super::connection::Composed;
use super::headers::drop_checksums;
use super::{Signing, StoreRequest};
use crate::body::Body;
use crate::clock;
use crate::config::{Addressing, Backend, Endpoint};
use crate::http1::fields::Fields;
use crate::http1::request::{BadTarget, Request};
use crate::sigv4::{Credential, Hex, Outgoing, SigningKeys, UNSIGNED_PAYLOAD, sign};

/// A request that cannot be composed: an error of the proxy, or a header that no store would
/// accept.
#[derive(Debug, thiserror::Error)]
#[error("a request to the store cannot be composed: {0}")]
pub(super) struct Composing(pub(super) String);

impl From<BadTarget> for Composing {
    fn from(bad: BadTarget) -> Self {
        Self(bad.to_string())
    }
}

/// What requests are signed with.
#[derive(Debug, PartialEq)]
pub(super) struct Signer {
    pub(super) credential: Credential,
    pub(super) region: String,
}

impl Signer {
    pub(super) fn of(backend: &Backend) -> Self {
        let credential = Credential {
            access_key_id: backend.access_key_id.clone(),
            secret: backend.secret_access_key.clone(),
            session_token: backend.session_token.clone(),
        };
        Self { credential, region: backend.region.clone() }
    }
}

/// What a request to the store is composed by.
pub(super) struct Composer<'a> {
    pub(super) addressing: Addressing,
    /// Whether clients' checksums are not sent to the store.
    pub(super) drops_checksums: bool,
    pub(super) signer: &'a Signer,
    pub(super) keys: &'a SigningKeys,
}

impl Composer<'_> {
    /// Composes and signs a request for the node at this endpoint; `length` is its body's, where it
    /// has one.
    pub(super) fn compose(
        &self,
        request: &StoreRequest,
        length: Option<u64>,
        endpoint: &Endpoint,
    ) -> Result<Composed, Composing> {
        if let Signing::AsSent { .. } = request.signing {
            return compose_as_sent(request, length);
        }
        let addressed = host_and_path(self.addressing, &request.path);
        let mut headers = request.headers.with_room(FIELDS_OF_OURS);
        if self.drops_checksums {
            drop_checksums(&mut headers);
        }
        headers.insert(header::HOST, host(&addressed, endpoint)?);
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let digest = request.sha256.as_ref().map(Hex::of);
        let query: Vec<(&str, &str)> =
            request.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let outgoing = Outgoing {
            method: &request.method,
            path: addressed.path,
            query: &query,
            payload: digest.as_ref().map_or(UNSIGNED_PAYLOAD, Hex::as_str),
        };
        let now = clock::unix_seconds();
        let Signer { credential, region } = self.signer;
        sign(&outgoing, &mut headers, credential, region, self.keys, now)
            .map_err(|error| Composing(error.to_string()))?;
        let target = request_target(addressed.path, &request.query);
        let head = Request::new(request.method.clone(), target, headers)?;
        Ok(Composed { head, server_name: addressed.server_name(endpoint) })
    }
}

/// How many fields are added here: the host, the length, and those of the signature.
const FIELDS_OF_OURS: usize = 6;

/// A browser's preflight, unsigned: the sender is not authenticated.
pub(super) fn preflight(
    addressing: Addressing,
    path: &str,
    mut headers: Fields,
    endpoint: &Endpoint,
) -> Result<Composed, Composing> {
    let addressed = host_and_path(addressing, path);
    headers.insert(header::HOST, host(&addressed, endpoint)?);
    let head = Request::new(Method::OPTIONS, addressed.path, headers)?;
    Ok(Composed { head, server_name: addressed.server_name(endpoint) })
}

fn host(addressed: &HostAndPath<'_>, endpoint: &Endpoint) -> Result<HeaderValue, Composing> {
    let authority = addressed.authority(endpoint);
    HeaderValue::try_from(authority).map_err(|error| Composing(error.to_string()))
}

/// Whether a request with this method and no content has no Content-Length; all others have one,
/// even 0 (RFC 9110 §8.6). A DELETE has one too: where the delete brings an older version back,
/// Swift waits a minute for a body unless the length says that there is none.
pub(super) fn says_no_length(method: &Method, body: &Body) -> bool {
    body.length_bytes() == 0 && matches!(*method, Method::GET | Method::HEAD)
}

/// The request as its sender signed it. TLS is between the proxy and the store, so it uses the
/// endpoint's own name.
fn compose_as_sent(request: &StoreRequest, length: Option<u64>) -> Result<Composed, Composing> {
    let mut headers = request.headers.clone();
    if let Some(length) = length.filter(|_| !headers.contains_key(header::CONTENT_LENGTH)) {
        headers.append(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let head = Request::new(request.method.clone(), request.path.as_str(), headers)?;
    Ok(Composed { head, server_name: None })
}

fn request_target(path: &str, query: &[(String, String)]) -> String {
    let mut target = path.to_owned();
    for (i, (name, value)) in query.iter().enumerate() {
        target.push(if i == 0 { '?' } else { '&' });
        target.push_str(name);
        if !value.is_empty() {
            target.push('=');
            target.push_str(value);
        }
    }
    target
}

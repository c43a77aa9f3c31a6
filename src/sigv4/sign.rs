//! Signs a request to the store.

use http::header::InvalidHeaderValue;
use http::{HeaderValue, Method, header};

use super::canonical::{self, ALGORITHM, CanonicalRequest};
use super::credential::Credential;
use super::date::AmzDate;
use super::key::SigningKeys;
use super::names::{UNSIGNED_PAYLOAD, X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use crate::http1::fields::Fields;
use crate::s3::encoding::encode_query;

/// The signed parts besides the header fields.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as it will be sent, encoded by [`crate::s3::encoding::encode_path`].
    pub path: &'a str,
    /// The query's pairs as they will be sent, encoded by [`crate::s3::encoding::encode_query`],
    /// in any order.
    pub query: &'a [(&'a str, &'a str)],
    /// The body's SHA-256 as 64 hex digits, or [`super::UNSIGNED_PAYLOAD`].
    pub payload: &'a str,
}

/// A request that cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// `host` is part of every signature.
    #[error("the request has no Host header to sign")]
    NoHost,
    /// An access key, a region, a token or a payload's digest that no header can carry.
    #[error("the credential or region cannot be written into a header: {0}")]
    NotAHeader(#[from] InvalidHeaderValue),
}

/// Signs a request: sets `x-amz-date`, `x-amz-content-sha256`, `authorization` and, for a temporary
/// credential, `x-amz-security-token`. It signs `host`, which must be present, `content-type`,
/// `content-md5` and every `x-amz-*` header; headers that may change on the way are not signed.
/// `now_unix`: seconds since 1970.
pub fn sign(
    request: &Outgoing<'_>,
    headers: &mut Fields,
    credential: &Credential,
    region: &str,
    keys: &SigningKeys,
    now_unix: i64,
) -> Result<(), SignError> {
    if !headers.contains_key(header::HOST) {
        return Err(SignError::NoHost);
    }
    let date = AmzDate::from_unix(now_unix);
    headers.insert(X_AMZ_DATE, HeaderValue::from_str(date.as_str())?);
    headers.insert(X_AMZ_CONTENT_SHA256, HeaderValue::from_str(request.payload)?);
    headers.remove(X_AMZ_SECURITY_TOKEN);
    if let Some(token) = &credential.session_token {
        let mut token = HeaderValue::from_str(token.expose())?;
        token.set_sensitive(true);
        headers.insert(X_AMZ_SECURITY_TOKEN, token);
    }
    let signed = fields_in_order(headers, is_signed);
    let signed_headers = names(&signed);
    let canonical = CanonicalRequest {
        method: request.method.as_str(),
        path: request.path,
        query: &canonical::query(request.query.iter().copied()),
        fields: &*signed,
        signed_headers: &signed_headers,
        payload: request.payload,
    };
    let key = keys.key(credential, date.day(), region);
    let signature = canonical::signature(&date, &key, &canonical.to_bytes()).to_hex();
    let authorization = [
        ALGORITHM,
        " Credential=",
        &credential.access_key_id,
        "/",
        key.scope_text(),
        ",SignedHeaders=",
        &signed_headers,
        ",Signature=",
        signature.as_str(),
    ];
    let mut authorization = HeaderValue::try_from(authorization.concat())?;
    authorization.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, authorization);
    Ok(())
}

/// Signs a request by parameters of its query (AWS: Authenticating Requests: Using Query Parameters), for so
/// many seconds. All of these headers are signed, of which one must be `host`; the content is not.
/// Returns the parameters to send besides those of the request, encoded.
///
/// # Errors
/// There is no `host`.
pub fn presign(
    request: &Outgoing<'_>,
    headers: &Fields,
    credential: &Credential,
    region: &str,
    keys: &SigningKeys,
    (now_unix, expires_s): (i64, u32),
) -> Result<Vec<(String, String)>, SignError> {
    if !headers.contains_key(header::HOST) {
        return Err(SignError::NoHost);
    }
    let date = AmzDate::from_unix(now_unix);
    let key = keys.key(credential, date.day(), region);
    let signed = fields_in_order(headers, |_| true);
    let signed_headers = names(&signed);
    let scope = format!("{}/{}", credential.access_key_id, key.scope_text());
    let mut added = vec![
        ("X-Amz-Algorithm", ALGORITHM.to_owned()),
        ("X-Amz-Credential", scope),
        ("X-Amz-Date", date.as_str().to_owned()),
        ("X-Amz-Expires", expires_s.to_string()),
        ("X-Amz-SignedHeaders", signed_headers.clone()),
    ];
    if let Some(token) = &credential.session_token {
        added.push(("X-Amz-Security-Token", token.expose().to_owned()));
    }
    let mut added: Vec<_> =
        added.into_iter().map(|(name, value)| (name.to_owned(), encode_query(&value))).collect();
    let all = added.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let canonical = CanonicalRequest {
        method: request.method.as_str(),
        path: request.path,
        query: &canonical::query(request.query.iter().copied().chain(all)),
        fields: &*signed,
        signed_headers: &signed_headers,
        payload: UNSIGNED_PAYLOAD,
    };
    let signature = canonical::signature(&date, &key, &canonical.to_bytes()).to_hex();
    added.push(("X-Amz-Signature".to_owned(), signature.as_str().to_owned()));
    Ok(added)
}

/// Whether a header of ours with this name is signed.
fn is_signed(name: &str) -> bool {
    matches!(name, "host" | "content-type" | "content-md5") || name.starts_with("x-amz-")
}

/// The fields whose names are wanted, in the order of their names.
fn fields_in_order(
    headers: &Fields,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<(&str, &HeaderValue)> {
    let mut wanted = Vec::with_capacity(headers.len());
    let fields = headers.iter().map(|(name, value)| (name.as_str(), value));
    wanted.extend(fields.filter(|(name, _)| is_wanted(name)));
    // The values of one field keep their order.
    wanted.sort_by_key(|(name, _)| *name);
    wanted
}

/// The names of these fields, each once, joined by `;`.
fn names(signed: &[(&str, &HeaderValue)]) -> String {
    let mut names = String::with_capacity(SIGNED_HEADERS_BYTES_USUAL);
    for field in signed.chunk_by(|(a, _), (b, _)| a == b) {
        if !names.is_empty() {
            names.push(';');
        }
        names.push_str(field[0].0);
    }
    names
}

const SIGNED_HEADERS_BYTES_USUAL: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn credential(token: Option<&str>) -> Credential {
        Credential {
            access_key_id: "AKIA".into(),
            secret: Secret::new("secret"),
            session_token: token.map(Secret::new),
        }
    }

    fn outgoing<'a>() -> Outgoing<'a> {
        Outgoing { method: &Method::PUT, path: "/b/k", query: &[], payload: "UNSIGNED-PAYLOAD" }
    }

    fn signed(mut headers: Fields, credential: &Credential) -> Fields {
        sign(&outgoing(), &mut headers, credential, "us-east-1", &SigningKeys::default(), 0)
            .expect("a host and plain texts");
        headers
    }

    /// AWS: Authenticating Requests: Using Query Parameters, its example.
    #[test]
    fn a_presigned_url_is_that_of_aws() {
        let credential = Credential {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        let mut headers = Fields::new();
        headers.insert("host", HeaderValue::from_static("examplebucket.s3.amazonaws.com"));
        let request = Outgoing { method: &Method::GET, path: "/test.txt", query: &[], payload: "" };
        let keys = SigningKeys::default();
        let at = (1_369_353_600, 86_400);
        let added = presign(&request, &headers, &credential, "us-east-1", &keys, at).unwrap();
        let value = |wanted: &str| {
            let pair = added.iter().find(|(name, _)| name == wanted);
            pair.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        assert_eq!(
            value("X-Amz-Credential"),
            "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        );
        assert_eq!(
            value("X-Amz-Signature"),
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
        let nowhere = Fields::new();
        let refused = presign(&request, &nowhere, &credential, "us-east-1", &keys, at);
        assert!(matches!(refused, Err(SignError::NoHost)));
    }

    #[test]
    fn what_may_change_on_the_way_is_not_signed() {
        let mut headers = Fields::new();
        for name in [
            "host",
            "x-amz-meta-b",
            "user-agent",
            "connection",
            "content-type",
            "content-length",
            "content-md5",
            "if-match",
        ] {
            headers.insert(name, HeaderValue::from_static("v"));
        }
        let headers = signed(headers, &credential(None));
        let authorization = headers[header::AUTHORIZATION].to_str().expect("ASCII");
        assert!(
            authorization.starts_with(
                "AWS4-HMAC-SHA256 Credential=AKIA/19700101/us-east-1/s3/aws4_request,\
                 SignedHeaders=content-md5;content-type;host;x-amz-content-sha256;x-amz-date;\
                 x-amz-meta-b,Signature="
            ),
            "{authorization}"
        );
        assert_eq!(headers["x-amz-date"], "19700101T000000Z");
        assert_eq!(headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    }

    #[test]
    fn a_client_s_token_never_reaches_the_store() {
        let mut headers = Fields::new();
        headers.insert("host", HeaderValue::from_static("store"));
        headers.insert(X_AMZ_SECURITY_TOKEN, HeaderValue::from_static("the client's"));
        assert!(!signed(headers.clone(), &credential(None)).contains_key(X_AMZ_SECURITY_TOKEN));
        let signed = signed(headers, &credential(Some("ours")));
        assert_eq!(signed[X_AMZ_SECURITY_TOKEN], "ours");
        let shown = format!("{signed:?}");
        assert!(!shown.contains("ours") && !shown.contains("Signature="), "{shown}");
    }

    #[test]
    fn without_a_host_or_with_an_impossible_region_nothing_is_signed() {
        let keys = SigningKeys::default();
        let mut headers = Fields::new();
        let result = sign(&outgoing(), &mut headers, &credential(None), "r", &keys, 0);
        assert!(matches!(result, Err(SignError::NoHost)));
        headers.insert("host", HeaderValue::from_static("store"));
        let result = sign(&outgoing(), &mut headers, &credential(None), "r\n", &keys, 0);
        assert!(matches!(result, Err(SignError::NotAHeader(_))));
        assert!(!headers.contains_key(header::AUTHORIZATION));
    }
}

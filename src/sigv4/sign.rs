//! Signs a request to the store.

use http::header::InvalidHeaderValue;
use http::{HeaderValue, Method, header};

use super::canonical::{self, ALGORITHM, CanonicalRequest};
use super::credential::Credential;
use super::date::AmzDate;
use super::key::SigningKeys;
use super::names::{X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use crate::http1::fields::Fields;

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
    let signed_headers = signed_headers(headers);
    let canonical = CanonicalRequest {
        method: request.method.as_str(),
        path: request.path,
        query: &canonical::query(request.query.iter().copied()),
        headers,
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

fn signed_headers(headers: &Fields) -> String {
    let is_signed = |name: &&str| {
        matches!(*name, "host" | "content-type" | "content-md5") || name.starts_with("x-amz-")
    };
    let mut names: Vec<&str> =
        headers.keys().map(http::HeaderName::as_str).filter(is_signed).collect();
    names.sort_unstable();
    names.join(";")
}

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

//! Signature Version 2, which several clients still use by default: HMAC-SHA1 with the secret
//! itself over a few headers and the resource (AWS: Signing and authenticating REST requests). Of
//! the body it covers only `Content-MD5`, and of the query only the parameters listed here.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, header};
use sha1::Sha1;

use super::accepted::{Accepted, Authenticated, WhichSecret, check_session_token, check_skew};
use super::auth_error::{AuthError, Mismatch};
use super::canonical;
use super::credential::{Credential, CredentialLookup};
use super::date::AmzDate;
use super::effective::EffectiveRequest;
use super::names::{X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use super::payload::PayloadKind;
use crate::http1::fields::Fields;
use crate::s3::RequestHead;
use crate::s3::classify::is_subresource;
use crate::s3::decimal::decimal;

/// Authenticates the sender of a request with a signature of this version, in a header or in the
/// query.
pub(super) fn authenticate(
    request: &EffectiveRequest<'_>,
    clients: &impl CredentialLookup,
    accepted: &Accepted<'_>,
    now_unix: i64,
) -> Result<Authenticated, AuthError> {
    if !accepted.version_2 {
        return Err(AuthError::UnsupportedMechanism);
    }
    let EffectiveRequest { sent: head, mechanism, headers, .. } = request;
    let presigned = mechanism.is_presigned();
    let claim = if presigned {
        Claim::from_query(head, now_unix)?
    } else {
        Claim::from_header(head, now_unix)?
    };
    let credentials = clients.credentials(&claim.access_key_id);
    let [credential, ..] = credentials else {
        return Err(AuthError::InvalidAccessKeyId { access_key_id: claim.access_key_id });
    };
    let meant = RequestHead { headers, ..*head };
    check_session_token(meant.header(&X_AMZ_SECURITY_TOKEN), credential)?;
    let sha256 = headers
        .contains_key(X_AMZ_CONTENT_SHA256)
        .then(|| meant.header(&X_AMZ_CONTENT_SHA256).unwrap_or_default());
    let payload = PayloadKind::of(*mechanism, sha256, headers)?;
    let resources = resources(head, accepted.host_bucket)?;
    let texts = resources.iter().map(|resource| string_to_sign(&meant, &claim.date_line, resource));
    let texts: Vec<_> = texts.collect();
    let given = BASE64.decode(claim.signature.as_bytes()).unwrap_or_default();
    let has_signed = |credential: &Credential| {
        texts.iter().any(|text| {
            let mut mac = Hmac::<Sha1>::new_from_slice(credential.secret.expose().as_bytes())
                .expect("HMAC takes keys of any length");
            mac.update(text);
            mac.verify_slice(&given).is_ok()
        })
    };
    if let Some(place) = credentials.iter().position(has_signed) {
        let (access_key_id, secret) = (claim.access_key_id, WhichSecret::at(place));
        return Ok(Authenticated { access_key_id, payload, seed: None, presigned, secret });
    }
    Err(AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
        access_key_id: claim.access_key_id.clone(),
        string_to_sign: String::from_utf8_lossy(&texts[0]).into_owned(),
        signature_provided: claim.signature.to_owned(),
        canonical_request: String::new(),
    })))
}

struct Claim<'a> {
    access_key_id: String,
    /// In base64, as sent.
    signature: &'a str,
    /// The fourth line of the string to sign.
    date_line: String,
}

impl<'a> Claim<'a> {
    /// Parses `Authorization: AWS <access key>:<signature>`, signed at most fifteen minutes from
    /// now.
    fn from_header(head: &RequestHead<'a>, now_unix: i64) -> Result<Self, AuthError> {
        let value = head.header(&header::AUTHORIZATION).unwrap_or_default();
        let value = value.strip_prefix("AWS").unwrap_or_default().trim();
        let named = value.rsplit_once(':').filter(|(id, signature)| {
            !id.is_empty() && !signature.is_empty() && !id.contains(char::is_whitespace)
        });
        let (access_key_id, signature) =
            named.ok_or_else(|| AuthError::InvalidHeaderV2 { value: value.into() })?;
        // The line is empty where `x-amz-date`, which is signed with the `x-amz-*` headers,
        // replaces the `Date` header.
        let in_header = head.header(&header::DATE).unwrap_or_default();
        let (date, date_line) =
            head.header(&X_AMZ_DATE).map_or((in_header, in_header), |date| (date, ""));
        let date = AmzDate::from_date_header(date).ok_or(AuthError::MissingDate)?;
        check_skew(date, now_unix)?;
        Ok(Self {
            access_key_id: access_key_id.into(),
            signature: signature.trim(),
            date_line: date_line.to_owned(),
        })
    }

    /// Parses `AWSAccessKeyId`, `Expires` in seconds since 1970, and `Signature`, each once.
    fn from_query(head: &RequestHead<'a>, now_unix: i64) -> Result<Self, AuthError> {
        let only = |wanted: &str| {
            let mut values = head.query.get_all(wanted);
            match (values.next(), values.next()) {
                (Some(value), None) if !value.is_empty() => Ok(value),
                _ => Err(AuthError::IncompleteQueryV2),
            }
        };
        let (access_key_id, signature) = (only("AWSAccessKeyId")?, only("Signature")?);
        let expires = only("Expires")?;
        let at: i64 = decimal(expires)
            .ok_or_else(|| AuthError::InvalidExpiresV2 { value: expires.to_string() })?;
        if now_unix > at {
            return Err(AuthError::Expired {
                expires_seconds: None,
                expires_at: AmzDate::from_unix(at),
                server_time: AmzDate::from_unix(now_unix),
            });
        }
        Ok(Self {
            access_key_id: access_key_id.to_owned(),
            signature,
            date_line: expires.to_owned(),
        })
    }
}

/// The string to sign, with the resource at its end. Bytes, since a header's value need not be
/// UTF-8.
fn string_to_sign(meant: &RequestHead<'_>, date_line: &str, resource: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(TEXT_BYTES_USUAL);
    let mut line = |bytes: &[u8]| {
        text.extend_from_slice(bytes);
        text.push(b'\n');
    };
    line(meant.method.as_str().as_bytes());
    line(&joined(meant.headers, &CONTENT_MD5));
    line(&joined(meant.headers, &header::CONTENT_TYPE));
    line(date_line.as_bytes());
    let mut names: Vec<_> =
        meant.headers.keys().filter(|name| name.as_str().starts_with("x-amz-")).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    for name in names {
        line(&[name.as_str().as_bytes(), b":", &joined(meant.headers, name)].concat());
    }
    text.extend_from_slice(resource.as_bytes());
    text
}

/// All values of a header as one, each without surrounding white space.
fn joined(headers: &Fields, name: &HeaderName) -> Vec<u8> {
    let values: Vec<_> = headers.get_all(name).map(|value| value.as_bytes().trim_ascii()).collect();
    values.join(&b","[..])
}

/// The resource, in each spelling that clients sign: the path as sent or as AWS encodes it, a
/// bucket's path with or without the slash at its end, a subresource without a value with or
/// without `=`. All of them name the same resource.
fn resources(head: &RequestHead<'_>, host_bucket: Option<&str>) -> Result<Vec<String>, AuthError> {
    let mut signed = Vec::new();
    for (name, value) in head.query.parameters() {
        if SIGNED.contains(&name) || RESPONSE.contains(&name) {
            signed.push((name, value));
        } else if is_subresource(name) {
            return Err(AuthError::NotCoveredByV2 { name: name.to_owned() });
        }
    }
    signed.sort_by_key(|(name, _)| *name);
    let bucket = host_bucket.map(|bucket| format!("/{bucket}")).unwrap_or_default();
    let as_sent = if head.path.is_empty() { "/" } else { head.path };
    let mut paths = vec![Cow::Borrowed(as_sent)];
    paths.extend(Some(canonical::path(as_sent)).filter(|path| path != as_sent));
    if host_bucket.is_none() && as_sent != "/" && as_sent.matches('/').count() == 1 {
        paths.push(Cow::Owned(format!("{as_sent}/")));
    }
    let mut resources = Vec::new();
    for path in paths {
        for equals in ["", "="] {
            let pairs = signed.iter().map(|(name, value)| {
                let equals = if value.is_empty() { equals } else { "=" };
                [name, equals, value].concat()
            });
            let query: Vec<_> = pairs.collect();
            let mark = if query.is_empty() { "" } else { "?" };
            resources.push([&bucket, &*path, mark, &query.join("&")].concat());
            if !signed.iter().any(|(_, value)| value.is_empty()) {
                break;
            }
        }
    }
    Ok(resources)
}

/// The parameters that are part of the resource (AWS: Signing and authenticating REST requests,
/// "Constructing the CanonicalizedResource element", and newer ones that SDKs sign).
const SIGNED: [&str; 29] = [
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// The parameters that override headers of the answer.
const RESPONSE: [&str; 6] = [
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

const TEXT_BYTES_USUAL: usize = 256;

#[cfg(test)]
#[path = "version_2_tests.rs"]
mod tests;

//! Authentication of a request: verifies the signature that it carries.

use std::sync::Arc;

use super::accepted::{
    Accepted, Authenticated, SKEW_SECONDS_MAX, WhichSecret, check_session_token, check_skew,
};
use super::auth_error::{AuthError, Mismatch};
use super::canonical::{self, CanonicalRequest};
use super::chunk_chain::ChunkSeed;
use super::claim::{Claim, check_signed_headers};
use super::credential::CredentialLookup;
use super::date::AmzDate;
use super::effective::EffectiveRequest;
use super::key::{SigningKey, SigningKeys};
use super::payload::PayloadKind;
use super::signature::Signature;
use super::version_2;
use crate::s3::RequestHead;

/// Authenticates the sender of a request. The headers as sent must contain `host` as the client
/// sent it (HTTP/2: `:authority`). `now_unix`: seconds since 1970.
///
/// Every error but [`AuthError::Anonymous`] is final, and nothing else about the request may be
/// answered.
pub fn authenticate(
    request: &EffectiveRequest<'_>,
    clients: &impl CredentialLookup,
    keys: &SigningKeys,
    accepted: &Accepted<'_>,
    now_unix: i64,
) -> Result<Authenticated, AuthError> {
    let (head, mechanism) = (&request.sent, request.mechanism);
    if mechanism.is_version_2() {
        return version_2::authenticate(request, clients, accepted, now_unix);
    }
    let claim = Claim::from_head(head, mechanism, accepted.region)?;
    let credentials = clients.credentials(&claim.access_key_id);
    let [credential, ..] = credentials else {
        return Err(AuthError::InvalidAccessKeyId { access_key_id: claim.access_key_id });
    };
    check_time(&claim, now_unix)?;
    check_session_token(claim.session_token, credential)?;
    check_signed_headers(head.headers, claim.signed_headers)?;
    let payload = PayloadKind::of(mechanism, Some(claim.payload), head.headers)?;
    let key_of = |credential| keys.key(credential, claim.date.day(), &claim.region);
    let keys: Vec<_> = credentials.iter().map(key_of).collect();
    let Proved { signature, key, secret } = check_signature(head, &claim, &keys)?;
    Ok(Authenticated {
        payload,
        seed: Some(ChunkSeed { signature, date: claim.date, key }),
        presigned: claim.expires_seconds.is_some(),
        secret,
        access_key_id: claim.access_key_id,
    })
}

fn check_time(claim: &Claim<'_>, now_unix: i64) -> Result<(), AuthError> {
    let Some(expires_seconds) = claim.expires_seconds else {
        return check_skew(claim.date, now_unix);
    };
    let signed_at = claim.date.unix();
    let server_time = AmzDate::from_unix(now_unix);
    let end = signed_at + i64::from(expires_seconds);
    let expires_at = AmzDate::from_unix(end);
    if signed_at > now_unix.saturating_add(SKEW_SECONDS_MAX) {
        return Err(AuthError::NotYetValid { request_time: claim.date, expires_at, server_time });
    }
    // Zero seconds is never valid, even by a clock that is behind the client's.
    if now_unix > end || expires_seconds == 0 {
        let expires_seconds = Some(expires_seconds);
        return Err(AuthError::Expired { expires_seconds, expires_at, server_time });
    }
    Ok(())
}

/// A valid signature, and what made it.
struct Proved {
    signature: Signature,
    key: Arc<SigningKey>,
    secret: WhichSecret,
}

/// Each comparison takes constant time. How many there are shows at most that a client has a
/// previous secret.
fn check_signature(
    head: &RequestHead<'_>,
    claim: &Claim<'_>,
    keys: &[Arc<SigningKey>],
) -> Result<Proved, AuthError> {
    let presigned = claim.expires_seconds.is_some();
    let signed_pair = |(name, _): &(&str, &str)| !(presigned && *name == "X-Amz-Signature");
    let path = canonical::path(head.path);
    let request = CanonicalRequest {
        method: head.method.as_str(),
        path: &path,
        query: &canonical::query(head.query.pairs_as_sent().filter(signed_pair)),
        fields: head.headers,
        signed_headers: claim.signed_headers,
        payload: claim.payload,
    };
    let canonical = request.to_bytes();
    let given = Signature::from_hex(claim.signature);
    let proves = |canonical: &[u8]| {
        keys.iter().enumerate().find_map(|(place, key)| {
            let expected = canonical::signature(&claim.date, key, canonical);
            let signature = given.filter(|given| given.matches(&expected))?;
            Some(Proved { signature, key: Arc::clone(key), secret: WhichSecret::at(place) })
        })
    };
    if let Some(proved) = proves(&canonical) {
        return Ok(proved);
    }
    // Clients differ in what they encode in a path; some sign the path as they send it. Either way
    // the signature covers one spelling of the same key.
    if head.path != path
        && let Some(proved) = proves(&CanonicalRequest { path: head.path, ..request }.to_bytes())
    {
        return Ok(proved);
    }
    Err(AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
        access_key_id: claim.access_key_id.clone(),
        string_to_sign: keys
            .first()
            .map(|key| canonical::string_to_sign(&claim.date, key, &canonical))
            .unwrap_or_default(),
        signature_provided: claim.signature.to_owned(),
        canonical_request: String::from_utf8_lossy(&canonical).into_owned(),
    })))
}

#[cfg(test)]
#[path = "authenticate_tests.rs"]
mod tests;

//! Which signatures are accepted, and what is known once one was: what both versions share.

use subtle::ConstantTimeEq;

use super::auth_error::AuthError;
use super::chunk_chain::ChunkSeed;
use super::credential::Credential;
use super::date::AmzDate;
use super::payload::PayloadKind;

/// A request whose head was signed by a known client.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// Who signed.
    pub access_key_id: String,
    /// How the body is framed and what vouches for it. The body itself is not proved yet.
    pub payload: PayloadKind,
    /// What the signatures of the body's chunks continue from; `None` where none may be signed.
    pub seed: Option<ChunkSeed>,
    /// Whether the signature was in the query.
    pub presigned: bool,
}

/// Which signatures are accepted, and what they are about beside the head.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accepted<'a> {
    /// The only region accepted in the scope of a signature; `None` accepts any.
    pub region: Option<&'a str>,
    /// Whether Signature Version 2 is.
    pub version_2: bool,
    /// The bucket that the host names, which Version 2 signs; `None` where the path does.
    pub host_bucket: Option<&'a str>,
}

/// A request signed by its header is good for fifteen minutes, before and after.
pub(super) fn check_skew(signed_at: AmzDate, now_unix: i64) -> Result<(), AuthError> {
    if now_unix.abs_diff(signed_at.unix()) > SKEW_SECONDS_MAX.unsigned_abs() {
        return Err(AuthError::RequestTimeTooSkewed {
            request_time: signed_at,
            server_time: AmzDate::from_unix(now_unix),
            max_allowed_skew_ms: SKEW_MS_MAX,
        });
    }
    Ok(())
}

/// Compares in a time that says nothing about the token.
pub(super) fn check_session_token(
    given: Option<&str>,
    credential: &Credential,
) -> Result<(), AuthError> {
    match (given, &credential.session_token) {
        (None, None) => Ok(()),
        // To AWS, a temporary access key without its token is no access key.
        (None, Some(_)) => {
            let access_key_id = credential.access_key_id.clone();
            Err(AuthError::InvalidAccessKeyId { access_key_id })
        }
        (Some(given), Some(token))
            if bool::from(given.as_bytes().ct_eq(token.expose().as_bytes())) =>
        {
            Ok(())
        }
        (Some(_), _) => Err(AuthError::InvalidToken),
    }
}

/// AWS: REST Authentication, "The timestamp must be within 15 minutes of the system time".
pub(super) const SKEW_SECONDS_MAX: i64 = 15 * 60;
const SKEW_MS_MAX: u32 = 900_000;

//! Which signatures are accepted, and the result of an accepted signature: shared by both versions.

use subtle::ConstantTimeEq;

use super::auth_error::AuthError;
use super::chunk_chain::ChunkSeed;
use super::credential::Credential;
use super::date::AmzDate;
use super::payload::PayloadKind;

/// A request whose head was signed by a known client.
#[derive(Debug, Clone)]
pub struct Authenticated {
    /// The access key that signed.
    pub access_key_id: String,
    /// How the body is framed and how it is authenticated. The body itself is not verified yet.
    pub payload: PayloadKind,
    /// The head's signature, from which the chunks' signatures continue; `None` where chunks may
    /// not be signed.
    pub seed: Option<ChunkSeed>,
    /// Whether the signature was in the query.
    pub presigned: bool,
    /// Which of the client's secrets signed.
    pub secret: WhichSecret,
}

/// Which of a client's secrets made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichSecret {
    /// Its present one.
    Present,
    /// The one before it.
    Previous,
}

impl WhichSecret {
    /// The secret of the credential at this place among those of one access key.
    pub(super) const fn at(place: usize) -> Self {
        if place == 0 { Self::Present } else { Self::Previous }
    }
}

/// Which signatures are accepted, and the signed data outside the head.
#[derive(Debug, Clone, Copy, Default)]
pub struct Accepted<'a> {
    /// The only region accepted in the scope of a signature; `None` accepts any.
    pub region: Option<&'a str>,
    /// Whether Signature Version 2 is accepted.
    pub version_2: bool,
    /// The bucket in the host, which Version 2 signs; `None` where the path has it.
    pub host_bucket: Option<&'a str>,
}

/// Checks that a request signed by its header was signed at most fifteen minutes before or after
/// now.
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

/// Compares the session token in constant time.
pub(super) fn check_session_token(
    given: Option<&str>,
    credential: &Credential,
) -> Result<(), AuthError> {
    match (given, &credential.session_token) {
        (None, None) => Ok(()),
        // For AWS, a temporary access key without its token is not a valid access key.
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

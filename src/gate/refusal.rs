//! The gate's own error answers: one function for each reason not to write.

use std::time::Duration;

use super::Write;
use super::busy::Blocker;
use crate::backend::HeadError;
use crate::register::RegisterError;
use crate::s3::{Code, ObjectName, Precondition, S3Error};

/// `Retry-After` in seconds where no better value is known.
const RETRY_AFTER_S: u32 = 1;

const UNREACHABLE: &str = "The register of conditional writes cannot be reached. Please try again.";
const UNSUITABLE: &str = "The register of conditional writes cannot be used as it is, so nothing is \
                          written. Its operator has to look at this proxy's log.";
const FULL: &str = "The register of conditional writes is out of memory, so nothing new is written. Its \
                    operator has to give it more.";
const DISOWNED: &str = "This proxy's register is not, or not yet, the one that keeps the locks of this \
                        store, so nothing is written. Its operator has to look at its log.";

/// The register cannot be asked: nothing is written (L5).
pub(super) fn register_failed(error: &RegisterError) -> S3Error {
    tracing::error!(%error, "a write was refused");
    S3Error::service_unavailable(RETRY_AFTER_S).because(match error {
        RegisterError::Disowned(_) => DISOWNED,
        RegisterError::Unreachable(_) => UNREACHABLE,
        RegisterError::Unsuitable(_) => UNSUITABLE,
        RegisterError::Full(_) => FULL,
    })
}

/// The register has just begun a new epoch.
pub(super) fn quarantine(left: Duration) -> S3Error {
    S3Error::service_unavailable(whole_seconds(left)).because(
        "The register of conditional writes has just started and waits for earlier writes to end. \
         Please try again.",
    )
}

/// The key stayed busy. A write with a condition gets the conflict (409), and its client reads
/// again. A write without a condition, or one that another attempt of itself may block, gets 503
/// with what blocked the key, since SDKs retry 503 and not 409. Not `SlowDown`: fewer requests
/// would not help.
pub(super) fn busy(write: &Write<'_>, blocker: Blocker) -> S3Error {
    let own = match blocker {
        Blocker::Queue => false,
        Blocker::Write { own } | Blocker::Doubt { own, .. } => own,
    };
    match write.preconditions.first() {
        Some(header) if !own && write.attempt < 2 => header.conflict(write.name.key.as_str()),
        _ => waited_for(blocker),
    }
}

fn waited_for(blocker: Blocker) -> S3Error {
    let (seconds, sentence) = match blocker {
        Blocker::Queue => (
            RETRY_AFTER_S,
            "Earlier writes of this key have not ended yet. Please try again.".to_owned(),
        ),
        Blocker::Write { own: false } => (
            RETRY_AFTER_S,
            "Another write of this key has not ended yet. Please try again.".to_owned(),
        ),
        Blocker::Write { own: true } => (
            RETRY_AFTER_S,
            "An earlier attempt of this write has not ended yet. Please try again.".to_owned(),
        ),
        Blocker::Doubt { own, free_in } => {
            let seconds = whole_seconds(free_in);
            let whose = if own { "An earlier attempt of this write" } else { "Another write" };
            let sentence = format!(
                "{whose} may still take effect at this key: its outcome is not known. The key can \
                 be written again in {seconds} s. Please try again then."
            );
            (seconds, sentence)
        }
    };
    S3Error::service_unavailable(seconds).because(sentence)
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs() + 1).unwrap_or(u32::MAX)
}

/// For this time the store may show an older state of the key than the present one, and the register
/// does not know that.
pub(super) fn young(left: Duration) -> S3Error {
    let seconds = whole_seconds(left);
    S3Error::service_unavailable(seconds).because(format!(
        "The store may not show yet what was last written at this key, so the condition cannot be \
         judged. It can be in {seconds} s. Please try again then."
    ))
}

/// More writes of the key are waiting than could be served in time.
pub(super) fn crowded() -> S3Error {
    S3Error::slow_down(RETRY_AFTER_S)
        .because("Too many writes of this key are waiting. Please reduce your request rate.")
}

/// An earlier attempt of this write may have landed or not, and that cannot be known (yet).
pub(super) fn outcome_unknown() -> S3Error {
    S3Error::service_unavailable(RETRY_AFTER_S).because(
        "An earlier attempt of this write may have taken effect, and its outcome cannot be known \
         yet. Read the object before trying again.",
    )
}

/// A later attempt of this same write was refused already with this code, and the client has seen
/// it: the same refusal again. A code that only the store knows says too little.
pub(super) fn refused_before(write: &Write<'_>, code: &str) -> S3Error {
    let (header, key) = (write.preconditions.first(), write.name.key.as_str());
    match (Code::spelled(code), header) {
        (Some(Code::PreconditionFailed), Some(header)) => header.failed(),
        (Some(Code::ConditionalRequestConflict), Some(header)) => header.conflict(key),
        (Some(Code::NoSuchKey), _) => S3Error::no_such_key(key),
        (Some(Code::NoSuchBucket), _) => no_such_bucket(write.name),
        (Some(code), _) => S3Error::new(code),
        (None, _) => outcome_unknown(),
    }
}

/// The write was sent and its answer lost.
pub(super) fn answer_lost() -> S3Error {
    S3Error::service_unavailable(RETRY_AFTER_S).because(
        "The store's answer was lost. The write may have taken effect. Read the object before \
         trying again.",
    )
}

/// The write has landed at a store that lags, and the register does not know that.
pub(super) fn not_recorded() -> S3Error {
    S3Error::service_unavailable(RETRY_AFTER_S).because(
        "The store has taken the write, but the register of conditional writes could not record it, so \
         others may not see it yet. Read the object before trying again.",
    )
}

/// Nothing was sent: the store cannot be reached, or the lease would not have lasted.
pub(super) fn not_sent() -> S3Error {
    S3Error::service_unavailable(RETRY_AFTER_S)
        .because("The write was not sent to the store. Please try again.")
}

/// No answer to a request to the store that changes no object.
pub(super) fn store_silent() -> S3Error {
    S3Error::service_unavailable(RETRY_AFTER_S).because("The store cannot be reached.")
}

/// A HEAD that was needed gave no usable answer.
pub(super) fn head_failed(error: &HeadError) -> S3Error {
    match error {
        HeadError::Unavailable(why) => {
            tracing::warn!(why, "a write was refused: the store did not answer a HEAD");
            not_sent()
        }
        HeadError::Refused(status) if status.is_redirection() => {
            tracing::error!(
                %status,
                "a write was refused: the store redirects a HEAD; see backend.url, backend.region and \
                 backend.addressing"
            );
            S3Error::redirected(*status)
        }
        HeadError::Refused(status) => {
            tracing::warn!(%status, "a write was refused: the store refused a HEAD");
            S3Error::new(Code::AccessDenied).because(
                "The store does not let the proxy see the object that the condition is about.",
            )
        }
    }
}

/// This precondition is false. `exists`: whether there is an object.
pub(super) fn failed(
    precondition: Precondition,
    exists: bool,
    name: &ObjectName,
    bucket_exists: bool,
) -> S3Error {
    if precondition.has_nothing_to_match(exists) && !bucket_exists {
        no_such_bucket(name)
    } else {
        precondition.failed_by_write(exists, name.key.as_str())
    }
}

fn no_such_bucket(name: &ObjectName) -> S3Error {
    S3Error::new(Code::NoSuchBucket).with("BucketName", name.bucket.as_str())
}

//! Preconditions, as AWS judges them: of writes (PutObject, CompleteMultipartUpload, DeleteObject),
//! of reads and of a copy's source. The store judges for itself, in the transaction that writes. It
//! shares nothing with the gate, since tests compare the two.

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

use super::described::seconds;
use super::failure::{not_implemented, with_element};
use super::records::{Object, Version};

/// The conditions of a write.
#[derive(Debug, Default)]
pub(super) struct OfWrite {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl OfWrite {
    /// Refuses what AWS does not implement, before a body is read.
    pub(super) fn check(&self) -> S3Result<()> {
        let unsupported = match (&self.if_match, &self.if_none_match) {
            (Some(ETagCondition::Any), None) => "If-Match",
            (Some(_) | None, Some(ETagCondition::ETag(_))) | (Some(_), Some(_)) => "If-None-Match",
            _ => return Ok(()),
        };
        Err(not_implemented(unsupported))
    }

    /// The header of the one that there is.
    pub(super) fn name(&self) -> &'static str {
        if self.if_match.is_some() { "If-Match" } else { "If-None-Match" }
    }

    /// Whether there is any.
    pub(super) fn is_given(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// Judges a write of a key by its latest version.
    pub(super) fn judge(&self, latest: Option<&Version>) -> S3Result<()> {
        let object = latest.and_then(|version| version.object.as_ref());
        match (&self.if_match, object) {
            (Some(_), None) => {
                return Err(s3_error!(NoSuchKey, "The specified key does not exist."));
            }
            (Some(wanted), Some(object)) if !matches(wanted, object) => {
                return Err(failed("If-Match"));
            }
            _ => {}
        }
        match (&self.if_none_match, object) {
            (Some(_), Some(_)) => Err(failed("If-None-Match")),
            _ => Ok(()),
        }
    }
}

/// The conditions of a delete, also of one entry of a batch.
#[derive(Debug, Default)]
pub(super) struct OfDelete {
    pub(super) etag: Option<ETagCondition>,
    pub(super) size: Option<i64>,
    pub(super) modified: Option<Timestamp>,
}

impl OfDelete {
    /// Judges a delete by the version that would go. AWS: DeleteObject.
    pub(super) fn judge(&self, version: Option<&Version>) -> S3Result<()> {
        let Self { etag, size, modified } = self;
        if etag.is_none() && size.is_none() && modified.is_none() {
            return Ok(());
        }
        let Some((version, object)) =
            version.and_then(|version| Some((version, version.object.as_ref()?)))
        else {
            return Err(s3_error!(NoSuchKey, "The specified key does not exist."));
        };
        let same_etag = etag.as_ref().is_none_or(|wanted| matches(wanted, object));
        let same_size = size.is_none_or(|wanted| u64::try_from(wanted) == Ok(object.size));
        let same_time = modified.as_ref().is_none_or(|wanted| seconds(wanted) == of(version));
        if !same_etag {
            Err(failed("If-Match"))
        } else if !same_size {
            Err(failed("x-amz-if-match-size"))
        } else if !same_time {
            Err(failed("x-amz-if-match-last-modified-time"))
        } else {
            Ok(())
        }
    }
}

/// The conditions of a read, or of a copy's source.
#[derive(Debug, Default)]
#[allow(clippy::struct_field_names, reason = "they are the names of the header fields")]
pub(super) struct OfRead {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

/// The conditions in the fields of a request: those of a read, or those of a copy's source.
macro_rules! of_read {
    ($input:expr, $match:ident, $none_match:ident, $modified:ident, $unmodified:ident) => {
        $crate::embedded::store::conditions::OfRead {
            if_match: $input.$match.take(),
            if_none_match: $input.$none_match.take(),
            if_modified_since: $input.$modified.take(),
            if_unmodified_since: $input.$unmodified.take(),
        }
    };
    (read: $input:expr) => {
        of_read!($input, if_match, if_none_match, if_modified_since, if_unmodified_since)
    };
    (source: $input:expr) => {
        of_read!(
            $input,
            copy_source_if_match,
            copy_source_if_none_match,
            copy_source_if_modified_since,
            copy_source_if_unmodified_since
        )
    };
}

pub(super) use of_read;

/// What a read's conditions say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadJudgement {
    Passes,
    /// The reader has it already.
    NotModified,
    /// The name of the condition that fails.
    Failed(&'static str),
}

impl OfRead {
    /// RFC 9110 §13.2.2: the order in which they are judged.
    /// A date in the future is none (§13.1.3), as AWS does it; `now` is in seconds.
    pub(super) fn judge(&self, version: &Version, object: &Object, now: i64) -> ReadJudgement {
        match (&self.if_match, &self.if_unmodified_since) {
            (Some(wanted), _) if !matches(wanted, object) => {
                return ReadJudgement::Failed("If-Match");
            }
            (None, Some(since)) if of(version) > seconds(since) => {
                return ReadJudgement::Failed("If-Unmodified-Since");
            }
            _ => {}
        }
        match (&self.if_none_match, &self.if_modified_since) {
            (Some(known), _) if matches_weakly(known, object) => ReadJudgement::NotModified,
            (None, Some(since)) if (of(version)..=now).contains(&seconds(since)) => {
                ReadJudgement::NotModified
            }
            _ => ReadJudgement::Passes,
        }
    }

    /// A copy whose source's conditions do not hold fails, whichever it is (AWS: CopyObject).
    pub(super) fn judge_source(
        &self,
        version: &Version,
        object: &Object,
        now: i64,
    ) -> S3Result<()> {
        match self.judge(version, object, now) {
            ReadJudgement::Passes => Ok(()),
            ReadJudgement::Failed(name) => Err(failed(&format!("x-amz-copy-source-{name}"))),
            ReadJudgement::NotModified if self.if_none_match.is_some() => {
                Err(failed("x-amz-copy-source-If-None-Match"))
            }
            ReadJudgement::NotModified => Err(failed("x-amz-copy-source-If-Modified-Since")),
        }
    }
}

/// AWS: PreconditionFailed.
pub(super) fn failed(condition: &str) -> S3Error {
    tracing::debug!(condition, "a precondition of a request to the embedded store fails");
    let error = s3_error!(
        PreconditionFailed,
        "At least one of the pre-conditions you specified did not hold"
    );
    with_element(error, "Condition", condition)
}

fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(ETag::Strong(etag)) => *etag == object.etag,
        ETagCondition::ETag(ETag::Weak(_)) => false,
    }
}

fn matches_weakly(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => etag.value() == object.etag,
    }
}

/// When a version was written, in whole seconds, as HTTP dates are.
const fn of(version: &Version) -> i64 {
    version.modified_ms.div_euclid(1000)
}

//! Conditions of writes as RFC 9110 has them and Ceph's own tests expect them (`dialect = "rfc"`):
//! all that AWS accepts, and lists, weak ETags, `*` on either side, both headers together, and the
//! size and time of an object to be deleted.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use httpdate::HttpDate;

use super::answer::S3Error;
use super::condition::{
    Condition, ConditionHeader, Current, Refusal, Seen, Verdict, X_AMZ_IF_MATCH_SIZE,
    X_AMZ_IF_MATCH_TIME,
};
use super::etag::ETag;
use super::precondition::{Tags, date, seconds, tags};

/// A condition that only a HEAD can judge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RfcCondition {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    size_bytes: Option<u64>,
    last_modified_s: Option<i64>,
    /// To delete what is not there is done, whatever it should have been (Ceph: DeleteObject).
    deletes: bool,
}

impl RfcCondition {
    /// The condition of a write; of a delete where `deletes`. Those that AWS knows too are told as
    /// such: the register may see them fulfilled. 400 for a size or a time that is none.
    pub(super) fn parse(headers: &HeaderMap, deletes: bool) -> Result<Condition, S3Error> {
        let mut condition = Self {
            if_match: tags(headers, &IF_MATCH),
            if_none_match: tags(headers, &IF_NONE_MATCH),
            size_bytes: None,
            last_modified_s: None,
            deletes,
        };
        if deletes {
            if let Some(size) = headers.get(&X_AMZ_IF_MATCH_SIZE) {
                condition.size_bytes = Some(size_of(size.to_str().unwrap_or_default())?);
            }
            if let Some(time) = headers.get(&X_AMZ_IF_MATCH_TIME) {
                let read = date(headers, &X_AMZ_IF_MATCH_TIME);
                let written = time.to_str().unwrap_or_default();
                condition.last_modified_s = Some(seconds(read.ok_or_else(|| no_time(written))?));
            }
        }
        Ok(condition.simplified())
    }

    /// The condition in an entry of DeleteObjects.
    pub(super) fn of_entry(
        etag: Option<&str>,
        size: Option<&str>,
        last_modified_time: Option<&str>,
    ) -> Result<Condition, S3Error> {
        let if_match =
            etag.map(str::trim_ascii).filter(|etag| !etag.is_empty()).map(|etag| match etag {
                "*" => Tags::Any,
                etag => Tags::one(ETag::parse(etag.as_bytes())),
            });
        let time = |text: &str| {
            let read = text.trim().parse::<HttpDate>();
            read.map(seconds).map_err(|_| no_time(text))
        };
        let condition = Self {
            if_match,
            if_none_match: None,
            size_bytes: size.map(size_of).transpose()?,
            last_modified_s: last_modified_time.map(time).transpose()?,
            deletes: true,
        };
        Ok(condition.simplified())
    }

    fn simplified(self) -> Condition {
        let dated = self.size_bytes.is_some() || self.last_modified_s.is_some();
        match (&self.if_match, &self.if_none_match) {
            (None, None) if !dated => Condition::None,
            _ if dated || self.deletes => Condition::Rfc(Box::new(self)),
            (None, Some(Tags::Any)) => Condition::IfNoneMatchAny,
            (Some(Tags::Any), None) => Condition::IfMatchAny,
            (Some(Tags::List(list)), None) => match list.as_slice() {
                [one] if !one.weak && !one.etag.is_weak() => Condition::IfMatch(one.etag.clone()),
                _ => Condition::Rfc(Box::new(self)),
            },
            _ => Condition::Rfc(Box::new(self)),
        }
    }

    /// Judges it (RFC 9110 §13.2.2): `If-Match` first.
    pub(super) fn judge(&self, seen: &Seen) -> Verdict {
        let etag = match &seen.current {
            Current::Absent => return self.judge_absent(),
            Current::Present(etag) => etag,
        };
        let failed = |condition| Verdict::Refuse(Refusal::PreconditionFailed { condition });
        // Strong comparison: a weak tag equals none (RFC 9110 §13.1.1).
        let differs = self.if_match.as_ref().is_some_and(|tags| match tags {
            Tags::Any => false,
            Tags::List(list) => {
                etag.is_weak() || !list.iter().any(|tag| !tag.weak && tag.etag == *etag)
            }
        });
        // Weak comparison (RFC 9110 §13.1.2).
        let is_listed = self.if_none_match.as_ref().is_some_and(|tags| match tags {
            Tags::Any => true,
            Tags::List(list) => list.iter().any(|tag| tag.etag.opaque() == etag.opaque()),
        });
        if differs {
            failed(ConditionHeader::IfMatch)
        } else if is_listed {
            failed(ConditionHeader::IfNoneMatch)
        } else if self.size_bytes.is_some() && self.size_bytes != seen.size_bytes {
            failed(ConditionHeader::IfMatchSize)
        } else if self.last_modified_s.is_some() && self.last_modified_s != seen.last_modified_s {
            failed(ConditionHeader::IfMatchLastModifiedTime)
        } else {
            Verdict::Pass
        }
    }

    fn judge_absent(&self) -> Verdict {
        if self.if_match.is_some() && !self.deletes {
            Verdict::Refuse(Refusal::NoSuchKey)
        } else {
            Verdict::Pass
        }
    }

    /// The header that it stands in, the first where there are several.
    pub(super) const fn header(&self) -> ConditionHeader {
        if self.if_match.is_some() {
            ConditionHeader::IfMatch
        } else if self.if_none_match.is_some() {
            ConditionHeader::IfNoneMatch
        } else if self.size_bytes.is_some() {
            ConditionHeader::IfMatchSize
        } else {
            ConditionHeader::IfMatchLastModifiedTime
        }
    }
}

fn size_of(text: &str) -> Result<u64, S3Error> {
    let invalid = || S3Error::invalid_argument("Invalid size.", X_AMZ_IF_MATCH_SIZE.as_str(), text);
    text.trim().parse().map_err(|_| invalid())
}

fn no_time(text: &str) -> S3Error {
    S3Error::invalid_argument("Invalid time.", X_AMZ_IF_MATCH_TIME.as_str(), text)
}

#[cfg(test)]
#[path = "rfc_condition_tests.rs"]
mod tests;

//! The kinds of preconditions: their headers, and the answers to a request whose precondition is
//! false.

use http::header::{self, HeaderName};

use crate::s3::code::Code;
use crate::s3::error::S3Error;

/// A precondition, named by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precondition {
    /// `If-Match`
    IfMatch,
    /// `If-Unmodified-Since`
    IfUnmodifiedSince,
    /// `If-None-Match`
    IfNoneMatch,
    /// `If-Modified-Since`
    IfModifiedSince,
    /// `x-amz-if-match-size`, of a delete
    IfMatchSize,
    /// `x-amz-if-match-last-modified-time`, of a delete
    IfMatchLastModifiedTime,
    /// `x-ifmatch-if-generation-match`, of a write
    IfGenerationMatch,
}

impl Precondition {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::IfMatch,
        Self::IfUnmodifiedSince,
        Self::IfNoneMatch,
        Self::IfModifiedSince,
        Self::IfMatchSize,
        Self::IfMatchLastModifiedTime,
        Self::IfGenerationMatch,
    ];

    /// The header's name as AWS writes it, and as `<Condition>` and `<Header>` name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfUnmodifiedSince => "If-Unmodified-Since",
            Self::IfNoneMatch => "If-None-Match",
            Self::IfModifiedSince => "If-Modified-Since",
            Self::IfMatchSize => "x-amz-if-match-size",
            Self::IfMatchLastModifiedTime => "x-amz-if-match-last-modified-time",
            Self::IfGenerationMatch => "x-ifmatch-if-generation-match",
        }
    }

    /// The header.
    pub const fn header(self) -> HeaderName {
        match self {
            Self::IfMatch => header::IF_MATCH,
            Self::IfUnmodifiedSince => header::IF_UNMODIFIED_SINCE,
            Self::IfNoneMatch => header::IF_NONE_MATCH,
            Self::IfModifiedSince => header::IF_MODIFIED_SINCE,
            Self::IfMatchSize => HeaderName::from_static("x-amz-if-match-size"),
            Self::IfMatchLastModifiedTime => {
                HeaderName::from_static("x-amz-if-match-last-modified-time")
            }
            Self::IfGenerationMatch => IF_GENERATION_MATCH,
        }
    }

    /// Whether a read that fails it is answered with 304 instead of 412 (RFC 9110 §13.2.2).
    pub const fn means_not_modified(self) -> bool {
        matches!(self, Self::IfNoneMatch | Self::IfModifiedSince)
    }

    /// The answer to a write with this false precondition, where an object exists or not. AWS
    /// answers 404 where there is no object to match (AWS: the outcomes of conditional writes and
    /// deletes).
    pub fn failed_by_write(self, exists: bool, key: &str) -> S3Error {
        if self.has_nothing_to_match(exists) { S3Error::no_such_key(key) } else { self.failed() }
    }

    /// Whether it is false because no object exists, which `exists` says.
    pub const fn has_nothing_to_match(self, exists: bool) -> bool {
        matches!(self, Self::IfMatch) && !exists
    }

    /// 412: the precondition is false.
    pub fn failed(self) -> S3Error {
        S3Error::new(Code::PreconditionFailed).with("Condition", self.as_str())
    }

    /// 412 for a copy whose source fails the precondition (AWS answers all four in this way).
    pub fn failed_by_source(self) -> S3Error {
        let condition = format!("x-amz-copy-source-{}", self.as_str());
        S3Error::new(Code::PreconditionFailed).with("Condition", condition)
    }

    /// 409: another write of the key was under way; the precondition is not known to be false.
    pub fn conflict(self, key: &str) -> S3Error {
        S3Error::new(Code::ConditionalRequestConflict)
            .with("Condition", self.as_str())
            .with("Key", key)
    }
}

/// Compare-and-swap by generation, the register's own count of writes, which also counts writes of
/// equal bytes. This precondition is defined by ifmatch.
pub const IF_GENERATION_MATCH: HeaderName =
    HeaderName::from_static("x-ifmatch-if-generation-match");

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: &S3Error) -> String {
        String::from_utf8(error.to_xml(None, "R1", "H1")).unwrap()
    }

    #[test]
    fn a_refused_condition_reads_as_aws_writes_it() {
        assert_eq!(
            text(&Precondition::IfNoneMatch.failed()),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>PreconditionFailed</Code>\
             <Message>At least one of the pre-conditions you specified did not hold</Message>\
             <Condition>If-None-Match</Condition>\
             <RequestId>R1</RequestId><HostId>H1</HostId></Error>"
        );
        let conflict = Precondition::IfMatch.conflict("a/b");
        assert_eq!(conflict.status().as_u16(), 409);
        assert!(
            text(&conflict)
                .contains("</Message><Condition>If-Match</Condition><Key>a/b</Key><RequestId>")
        );
    }

    #[test]
    fn a_failed_write_answers_412_or_404_with_awss_fields() {
        let failed = Precondition::IfMatch.failed_by_write(true, "k");
        assert_eq!((failed.status().as_u16(), failed.field("Condition")), (412, Some("If-Match")));
        let missing = Precondition::IfMatch.failed_by_write(false, "a/b");
        assert_eq!((missing.status().as_u16(), missing.field("Key")), (404, Some("a/b")));
        let generation = Precondition::IfGenerationMatch.failed_by_write(false, "k");
        assert_eq!(generation.status().as_u16(), 412);
    }

    #[test]
    fn a_name_is_the_same_in_answers_and_among_the_headers() {
        for precondition in Precondition::ALL {
            let name = precondition.as_str().to_ascii_lowercase();
            assert_eq!(precondition.header().as_str(), name);
        }
    }
}

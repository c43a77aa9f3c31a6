//! The condition of a write, and how it is judged (AWS: Conditional requests).

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::S3Error;
use super::etag::ETag;
use super::head::RequestHead;
use super::operation::{Effect, Operation};
use super::rfc_condition::RfcCondition;

/// Whose answers are given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// AWS's, as recorded.
    #[default]
    Aws,
    /// RFC 9110's, as far as it goes beyond AWS.
    Rfc,
}

/// What must hold of the key's current version for a write to be done.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing.
    None,
    /// `If-None-Match: *`: there is no object.
    IfNoneMatchAny,
    /// `If-Match: <etag>`: there is one with this ETag.
    IfMatch(ETag),
    /// `If-Match: *`: there is one. To AWS on deletes only.
    IfMatchAny,
    /// Anything else, as `dialect = "rfc"` accepts it.
    Rfc(Box<RfcCondition>),
    /// `x-ifmatch-if-generation-match: <generation>`: nothing has been written since the key had
    /// this generation, not even the same again.
    GenerationMatch(Box<str>),
}

/// A condition's header, as `<Condition>` and `<Header>` name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionHeader {
    /// `If-Match`
    IfMatch,
    /// `If-None-Match`
    IfNoneMatch,
    /// `x-amz-if-match-size`
    IfMatchSize,
    /// `x-amz-if-match-last-modified-time`
    IfMatchLastModifiedTime,
    /// `x-ifmatch-if-generation-match`
    IfGenerationMatch,
}

/// The current version of a key. A delete marker counts as absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Current {
    /// There is no object.
    Absent,
    /// There is one, and this is its ETag.
    Present(ETag),
}

/// What a HEAD says of a key, and the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The current version.
    pub current: Current,
    /// When it was written, in seconds since 1970, by the store's clock; `None` where there is
    /// nothing, or the store does not say.
    pub last_modified_s: Option<i64>,
    /// How long it is; `None` where there is nothing, or the store does not say.
    pub size_bytes: Option<u64>,
    /// Its generation, where the register has said it.
    pub generation: Option<Box<str>>,
    /// What the write that left it has written on it, where it has.
    pub inscription: Option<Box<str>>,
}

impl Seen {
    /// There is no object.
    pub const ABSENT: Self = Self {
        current: Current::Absent,
        last_modified_s: None,
        size_bytes: None,
        generation: None,
        inscription: None,
    };
}

impl From<Current> for Seen {
    /// Where nothing more is known of it.
    fn from(current: Current) -> Self {
        Self { current, ..Self::ABSENT }
    }
}

/// How a condition was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It holds, or there was none.
    Pass,
    /// It does not hold.
    Refuse(Refusal),
}

/// Why a write is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// 412: the object is there although it must not be, or is another one.
    PreconditionFailed {
        /// The header that asked for it.
        condition: ConditionHeader,
    },
    /// 404: there is nothing to match.
    NoSuchKey,
}

/// Judges a condition against what is there now (AWS: the outcomes of conditional writes and
/// deletes).
pub fn judge(condition: &Condition, seen: &Seen) -> Verdict {
    let failed = |condition| Verdict::Refuse(Refusal::PreconditionFailed { condition });
    match (condition, &seen.current) {
        (Condition::Rfc(condition), _) => condition.judge(seen),
        (Condition::GenerationMatch(wanted), _) if seen.generation.as_ref() != Some(wanted) => {
            failed(ConditionHeader::IfGenerationMatch)
        }
        (Condition::IfNoneMatchAny, Current::Present(_)) => failed(ConditionHeader::IfNoneMatch),
        (Condition::IfMatch(_) | Condition::IfMatchAny, Current::Absent) => {
            Verdict::Refuse(Refusal::NoSuchKey)
        }
        (Condition::IfMatch(wanted), Current::Present(etag)) if wanted != etag => {
            failed(ConditionHeader::IfMatch)
        }
        (Condition::None | Condition::GenerationMatch(_), _)
        | (Condition::IfNoneMatchAny, Current::Absent)
        | (Condition::IfMatch(_) | Condition::IfMatchAny, Current::Present(_)) => Verdict::Pass,
    }
}

impl Condition {
    /// Reads the condition of a request. [`Condition::None`] for all that does not write a key:
    /// a read's conditions, and those on a copy's source, are [`super::precondition`]'s. An empty
    /// header counts as missing, as some SDKs send it.
    ///
    /// 501 for what AWS answers so, for `If-None-Match` on a delete (AWS does not define it, and
    /// to ignore it would delete what the client wants kept), and for every condition on an
    /// operation that AWS knows none for. The dialect `rfc` accepts more.
    pub fn parse(
        head: RequestHead<'_>,
        operation: Operation,
        dialect: Dialect,
    ) -> Result<Self, S3Error> {
        match operation.effect() {
            Effect::Read | Effect::Streams => return Ok(Self::None),
            Effect::WritesKey(_) | Effect::WritesKeysInBody | Effect::UnknownWrite(_) => {}
        }
        let deletes = deletes(head, operation);
        if let Some(condition) = generation_match(head, operation)? {
            return Ok(condition);
        }
        if dialect == Dialect::Rfc
            && (is_judged(head, operation) || operation == Operation::DeleteObjectVersion)
        {
            return RfcCondition::parse(head.headers, deletes);
        }
        if let Some(header) = directory_bucket_condition(head.headers).filter(|_| deletes) {
            return Err(S3Error::not_implemented(header, None));
        }
        let condition =
            match (values(head.headers, &IF_MATCH), values(head.headers, &IF_NONE_MATCH)) {
                (Values::Missing, Values::Missing) => return Ok(Self::None),
                (Values::Missing, Values::One(b"*")) if !deletes => Self::IfNoneMatchAny,
                (Values::One(b"*"), Values::Missing) if deletes => Self::IfMatchAny,
                (Values::One(etag), Values::Missing) if etag != b"*" => {
                    Self::IfMatch(ETag::parse(etag))
                }
                (Values::Missing, _) => {
                    let header = ConditionHeader::IfNoneMatch;
                    return Err(value_refused(header, IF_NONE_MATCH_VALUE));
                }
                (_, Values::Missing) => {
                    return Err(value_refused(ConditionHeader::IfMatch, IF_MATCH_VALUE));
                }
                (_, _) => {
                    let header = "If-Match,If-None-Match";
                    return Err(S3Error::not_implemented_by_aws(header, Some(BOTH)));
                }
            };
        if is_judged(head, operation) { Ok(condition) } else { Err(condition.unjudged()) }
    }

    /// The condition in an `<ETag>` of a DeleteObjects entry: an ETag or `*`; empty is none.
    pub fn if_match_of_entry(etag: &str) -> Self {
        match etag.trim_ascii() {
            "" => Self::None,
            "*" => Self::IfMatchAny,
            etag => Self::IfMatch(ETag::parse(etag.as_bytes())),
        }
    }

    /// The header the condition stands in; `None` when there is no condition.
    pub const fn header(&self) -> Option<ConditionHeader> {
        match self {
            Self::None => None,
            Self::IfNoneMatchAny => Some(ConditionHeader::IfNoneMatch),
            Self::IfMatch(_) | Self::IfMatchAny => Some(ConditionHeader::IfMatch),
            Self::Rfc(condition) => Some(condition.header()),
            Self::GenerationMatch(_) => Some(ConditionHeader::IfGenerationMatch),
        }
    }

    /// 501 for a condition that stands where none is judged.
    fn unjudged(&self) -> S3Error {
        let header = self.header().map_or("", ConditionHeader::as_str);
        S3Error::not_implemented(header, Some(UNJUDGED))
    }
}

impl ConditionHeader {
    /// The header's name as AWS writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
            Self::IfMatchSize => "x-amz-if-match-size",
            Self::IfMatchLastModifiedTime => "x-amz-if-match-last-modified-time",
            Self::IfGenerationMatch => "x-ifmatch-if-generation-match",
        }
    }
}

impl Refusal {
    /// The answer to the client.
    pub fn answer(self, key: &str) -> S3Error {
        match self {
            Self::PreconditionFailed { condition } => S3Error::precondition_failed(condition),
            Self::NoSuchKey => S3Error::no_such_key(key),
        }
    }
}

/// Whether a condition on this operation is judged. On a delete of one version AWS does not judge
/// either: 501. A PUT or DELETE of a key with a parameter that nobody knows is, to AWS, one without
/// it, and its condition counts; what else the store may make of it, the gate takes for possible.
fn is_judged(head: RequestHead<'_>, operation: Operation) -> bool {
    match operation {
        Operation::PutObject
        | Operation::CopyObject
        | Operation::CompleteMultipartUpload
        | Operation::DeleteObject => true,
        Operation::UnknownWrite => {
            matches!(*head.method, Method::PUT | Method::DELETE) && !head.query.has("versionId")
        }
        _ => false,
    }
}

/// Whether the object is gone where this is done.
fn deletes(head: RequestHead<'_>, operation: Operation) -> bool {
    match operation {
        Operation::DeleteObject | Operation::DeleteObjectVersion => true,
        Operation::UnknownWrite => *head.method == Method::DELETE,
        _ => false,
    }
}

/// Our own condition: a generation, or `absent` to create. It says all that any other could, so
/// none may stand beside it. 400 for a value that is none.
fn generation_match(
    head: RequestHead<'_>,
    operation: Operation,
) -> Result<Option<Condition>, S3Error> {
    let (name, header) = (&IF_GENERATION_MATCH, ConditionHeader::IfGenerationMatch);
    if !head.headers.contains_key(name) {
        return Ok(None);
    }
    if [&IF_MATCH, &IF_NONE_MATCH].iter().any(|other| head.headers.contains_key(*other)) {
        return Err(S3Error::not_implemented(header.as_str(), Some(BOTH)));
    }
    if !is_judged(head, operation) {
        return Err(S3Error::not_implemented(header.as_str(), Some(UNJUDGED)));
    }
    let value = head.header(name).unwrap_or_default();
    match value {
        "absent" if !deletes(head, operation) => Ok(Some(Condition::IfNoneMatchAny)),
        "absent" | "" => {
            let why = "A generation is expected, as an earlier answer named it.";
            Err(S3Error::invalid_argument(why, header.as_str(), value))
        }
        generation => Ok(Some(Condition::GenerationMatch(generation.into()))),
    }
}

/// A header's values, the empty ones left out.
enum Values<'a> {
    Missing,
    One(&'a [u8]),
    Differing,
}

/// The same value twice says one thing, and something on the way may have doubled it. Two values
/// make a list (RFC 9110 §5.3), which AWS does not accept as a condition of a write.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Values<'a> {
    let mut values = headers
        .get_all(name)
        .iter()
        .map(|value| value.as_bytes().trim_ascii())
        .filter(|value| !value.is_empty());
    match values.next() {
        None => Values::Missing,
        Some(first) if values.all(|value| value == first) => Values::One(first),
        Some(_) => Values::Differing,
    }
}

/// A condition that only directory buckets know; where both are sent, AWS names the time.
fn directory_bucket_condition(headers: &HeaderMap) -> Option<&'static str> {
    [ConditionHeader::IfMatchLastModifiedTime, ConditionHeader::IfMatchSize]
        .into_iter()
        .map(ConditionHeader::as_str)
        .find(|name| headers.contains_key(*name))
}

fn value_refused(header: ConditionHeader, additional: &str) -> S3Error {
    S3Error::not_implemented_by_aws(header.as_str(), Some(additional))
}

/// The size that an object to be deleted must have.
pub(super) const X_AMZ_IF_MATCH_SIZE: HeaderName = HeaderName::from_static("x-amz-if-match-size");

/// When an object to be deleted must have been written.
pub(super) const X_AMZ_IF_MATCH_TIME: HeaderName =
    HeaderName::from_static("x-amz-if-match-last-modified-time");

/// Compare-and-swap by the register's own count of writes, which equal bytes do not hide.
/// Our own condition, of a generation.
pub const IF_GENERATION_MATCH: HeaderName =
    HeaderName::from_static("x-ifmatch-if-generation-match");

const UNJUDGED: &str = "This operation has no conditions that are judged here";
const BOTH: &str = "Multiple conditional request headers present in the request";
const IF_MATCH_VALUE: &str = "We don't accept the provided value of If-Match header for this API";
const IF_NONE_MATCH_VALUE: &str =
    "We don't accept the provided value of If-None-Match header for this API";

#[cfg(test)]
#[path = "condition_tests.rs"]
mod tests;

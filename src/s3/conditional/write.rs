//! Preconditions of writes, and the dialect that decides which of them are accepted (AWS:
//! Conditional writes, conditional deletes; RFC 9110 §13).

use http::header::HeaderName;
use http::{HeaderValue, Method};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fields::{EntityTag, EntityTags, date_s, read_date_s};
use super::precondition::{IF_GENERATION_MATCH, Precondition};
use super::preconditions::Preconditions;
use crate::http1::fields::Fields;
use crate::s3::error::S3Error;
use crate::s3::etag::ETag;
use crate::s3::head::RequestHead;
use crate::s3::operation::{Effect, Operation};

/// The dialect: which rules decide the accepted preconditions and their answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// AWS's rules, as recorded.
    #[default]
    Aws,
    /// RFC 9110's rules where they go beyond AWS's: lists, weak ETags, `*` in either header, both
    /// headers together, and the size and time of an object to be deleted, as Ceph's own tests
    /// expect them.
    Rfc,
}

impl Preconditions {
    /// The preconditions on the key that the request writes; none for a request that writes no key.
    /// An empty header counts as missing, as some SDKs send it.
    ///
    /// 501 where AWS answers 501, for `If-None-Match` on a delete (AWS does not define it, and
    /// ignoring it would delete an object that the client wants to keep), and for every condition
    /// on an operation for which AWS defines none. The dialect `rfc` accepts more; 400 for an
    /// invalid size or time.
    pub fn of_write(
        head: RequestHead<'_>,
        operation: Operation,
        dialect: Dialect,
    ) -> Result<Self, S3Error> {
        #[cfg(test)]
        crate::readings::count("preconditions");
        match operation.effect() {
            Effect::Read | Effect::Streams => return Ok(Self::NONE),
            Effect::WritesKey(_) | Effect::WritesKeysInBody | Effect::UnknownWrite(_) => {}
        }
        let deletes = deletes(head, operation);
        if let Some(generation) = generation_match(head, operation)? {
            return Ok(generation);
        }
        let is_conditional = is_conditional(head, operation);
        if dialect == Dialect::Rfc
            && (is_conditional || operation == Operation::DeleteObjectVersion)
        {
            return rfc(head.headers, deletes);
        }
        let parsed = aws(head.headers, deletes)?;
        match parsed.first() {
            Some(header) if !is_conditional => {
                Err(S3Error::not_implemented(header.as_str(), Some(UNCONDITIONAL)))
            }
            _ => Ok(parsed),
        }
    }

    /// The preconditions in an entry of DeleteObjects: `<ETag>`, an ETag or `*`; `<Size>` and
    /// `<LastModifiedTime>`. 501 for those that are not accepted: the same rules as for the headers
    /// of DeleteObject. `of_version`: whether the entry names a version.
    pub fn of_entry(
        elements: EntryElements<'_>,
        of_version: bool,
        dialect: Dialect,
    ) -> Result<Self, S3Error> {
        let EntryElements { etag, size, last_modified_time } = elements;
        let tags = |tag| etag.and_then(|etag| EntityTags::of_element(etag, tag));
        if dialect == Dialect::Rfc {
            return Ok(Self {
                if_match: tags(EntityTag::parse),
                if_match_size_bytes: size.map(size_of).transpose()?,
                if_match_last_modified_s: last_modified_time.map(time_of).transpose()?,
                ..Self::NONE
            }
            .of_delete());
        }
        let if_match = tags(EntityTag::bytewise);
        let refused = [
            (Precondition::IfMatchLastModifiedTime, last_modified_time.is_some()),
            (Precondition::IfMatchSize, size.is_some()),
            (Precondition::IfMatch, if_match.is_some() && of_version),
        ];
        match refused.into_iter().find(|(_, is_there)| *is_there) {
            Some((header, _)) => Err(S3Error::not_implemented(header.as_str(), None)),
            None => Ok(Self { if_match, ..Self::NONE }),
        }
    }

    /// The rule of the dialect `rfc` for a delete: a delete of an absent object succeeds.
    fn of_delete(self) -> Self {
        Self { hold_of_nothing: !self.is_empty(), ..self }
    }
}

/// The elements of an entry of DeleteObjects that are preconditions, as written.
#[derive(Debug, Clone, Copy, Default)]
pub struct EntryElements<'a> {
    /// `<ETag>`
    pub etag: Option<&'a str>,
    /// `<Size>`
    pub size: Option<&'a str>,
    /// `<LastModifiedTime>`
    pub last_modified_time: Option<&'a str>,
}

/// AWS's rules: one precondition, in one of its few forms.
fn aws(headers: &Fields, deletes: bool) -> Result<Preconditions, S3Error> {
    if let Some(header) = directory_bucket_condition(headers).filter(|_| deletes) {
        return Err(S3Error::not_implemented(header.as_str(), None));
    }
    let if_match = values(headers, &Precondition::IfMatch.header());
    match (if_match, values(headers, &Precondition::IfNoneMatch.header())) {
        (Values::Missing, Values::Missing) => Ok(Preconditions::NONE),
        (Values::Missing, Values::One(b"*")) if !deletes => Ok(Preconditions::IF_NONE_MATCH_ANY),
        (Values::One(b"*"), Values::Missing) if deletes => Ok(Preconditions::IF_MATCH_ANY),
        (Values::One(etag), Values::Missing) if etag != b"*" => {
            Ok(Preconditions::if_match(ETag::parse(etag)))
        }
        (Values::Missing, _) => Err(value_refused(Precondition::IfNoneMatch, IF_NONE_MATCH_VALUE)),
        (_, Values::Missing) => Err(value_refused(Precondition::IfMatch, IF_MATCH_VALUE)),
        (_, _) => Err(S3Error::not_implemented_by_aws("If-Match,If-None-Match", Some(BOTH))),
    }
}

/// RFC 9110's rules, and for a delete the preconditions of AWS's directory buckets.
fn rfc(headers: &Fields, deletes: bool) -> Result<Preconditions, S3Error> {
    let tags = |precondition: Precondition| EntityTags::of_header(headers, &precondition.header());
    let parsed = Preconditions {
        if_match: tags(Precondition::IfMatch),
        if_none_match: tags(Precondition::IfNoneMatch),
        ..Preconditions::NONE
    };
    if !deletes {
        return Ok(parsed);
    }
    let text = |value: &HeaderValue| value.to_str().map(str::to_owned).unwrap_or_default();
    let size = headers.get(Precondition::IfMatchSize.header()).map(text);
    let name = Precondition::IfMatchLastModifiedTime.header();
    let time = |written| date_s(headers, &name).ok_or_else(|| no_time(written));
    let written = headers.get(&name).map(text);
    Ok(Preconditions {
        if_match_size_bytes: size.as_deref().map(size_of).transpose()?,
        if_match_last_modified_s: written.as_deref().map(time).transpose()?,
        ..parsed
    }
    .of_delete())
}

/// Whether AWS defines conditions for this operation. For a delete of one version it does not: 501.
/// For AWS, a PUT or DELETE of a key with an unknown parameter is one without it, and its condition
/// counts; the gate assumes that the store may do anything else with the request.
fn is_conditional(head: RequestHead<'_>, operation: Operation) -> bool {
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

/// Whether the operation deletes the object.
fn deletes(head: RequestHead<'_>, operation: Operation) -> bool {
    match operation {
        Operation::DeleteObject | Operation::DeleteObjectVersion => true,
        Operation::UnknownWrite => *head.method == Method::DELETE,
        _ => false,
    }
}

/// The precondition of ifmatch itself: a generation, or `absent` to create. It replaces any other
/// condition, so no other may stand beside it. 400 for an invalid value.
fn generation_match(
    head: RequestHead<'_>,
    operation: Operation,
) -> Result<Option<Preconditions>, S3Error> {
    let (name, header) = (&IF_GENERATION_MATCH, Precondition::IfGenerationMatch.as_str());
    if !head.headers.contains_key(name) {
        return Ok(None);
    }
    let others = [Precondition::IfMatch, Precondition::IfNoneMatch];
    if others.iter().any(|other| head.headers.contains_key(other.header())) {
        return Err(S3Error::not_implemented(header, Some(BOTH)));
    }
    if !is_conditional(head, operation) {
        return Err(S3Error::not_implemented(header, Some(UNCONDITIONAL)));
    }
    let value = head.header(name).unwrap_or_default();
    match value {
        "absent" if !deletes(head, operation) => Ok(Some(Preconditions::IF_NONE_MATCH_ANY)),
        "absent" | "" => {
            let why = "A generation is expected, as an earlier answer named it.";
            Err(S3Error::invalid_argument(why, header, value))
        }
        generation => Ok(Some(Preconditions::if_generation_match(generation))),
    }
}

/// A header's values without the empty ones.
enum Values<'a> {
    Missing,
    One(&'a [u8]),
    Differing,
}

/// The same value twice counts once: something on the way may have doubled it. Two different values
/// make a list (RFC 9110 §5.3), which AWS does not accept as a condition of a write.
fn values<'a>(headers: &'a Fields, name: &HeaderName) -> Values<'a> {
    let mut values = headers
        .get_all(name)
        .map(|value| value.as_bytes().trim_ascii())
        .filter(|value| !value.is_empty());
    match values.next() {
        None => Values::Missing,
        Some(first) if values.all(|value| value == first) => Values::One(first),
        Some(_) => Values::Differing,
    }
}

/// A precondition that only directory buckets have; if both are sent, AWS names the time.
fn directory_bucket_condition(headers: &Fields) -> Option<Precondition> {
    [Precondition::IfMatchLastModifiedTime, Precondition::IfMatchSize]
        .into_iter()
        .find(|precondition| headers.contains_key(precondition.header()))
}

fn value_refused(header: Precondition, additional: &str) -> S3Error {
    S3Error::not_implemented_by_aws(header.as_str(), Some(additional))
}

fn size_of(text: &str) -> Result<u64, S3Error> {
    let header = Precondition::IfMatchSize.as_str();
    text.trim().parse().map_err(|_| S3Error::invalid_argument("Invalid size.", header, text))
}

fn time_of(text: &str) -> Result<i64, S3Error> {
    read_date_s(text.trim()).ok_or_else(|| no_time(text))
}

fn no_time(text: &str) -> S3Error {
    let header = Precondition::IfMatchLastModifiedTime.as_str();
    S3Error::invalid_argument("Invalid time.", header, text)
}

const UNCONDITIONAL: &str = "This operation has no conditions that are judged here";
const BOTH: &str = "Multiple conditional request headers present in the request";
const IF_MATCH_VALUE: &str = "We don't accept the provided value of If-Match header for this API";
const IF_NONE_MATCH_VALUE: &str =
    "We don't accept the provided value of If-None-Match header for this API";

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;

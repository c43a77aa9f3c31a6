//! Preconditions on what is read: those of GetObject and HeadObject, and those that a copy puts on
//! its source (RFC 9110 §13; AWS: Conditional reads, CopyObject, UploadPartCopy). The conditions of
//! writes are another matter and stand in [`super::condition`].

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use httpdate::HttpDate;

use super::answer::S3Error;
use super::code::Code;
use super::etag::ETag;

/// What must hold of an object for it to be read: the preconditions of a request that take effect.
/// A date counts only where there is no condition on ETags beside it (RFC 9110 §13.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preconditions {
    /// It is still what the client knows: `If-Match`, or else `If-Unmodified-Since`.
    same: Option<Test>,
    /// It is no longer what the client knows: `If-None-Match`, or else `If-Modified-Since`.
    different: Option<Test>,
}

/// A precondition, by the header it stands in.
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
}

/// What an answer says of the object it is about, as far as preconditions ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Validators {
    etag: Option<Tag>,
    last_modified: Option<HttpDate>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    /// `*`
    Any,
    /// One of these. Those that cannot match in any way are left out already.
    ETags(Vec<ETag>),
    Date(HttpDate),
}

/// An entity tag; `W/"…"` is a weak one (RFC 9110 §8.8.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Tag {
    pub(super) weak: bool,
    pub(super) etag: ETag,
}

// === impl Preconditions ===

impl Preconditions {
    /// Those of a read. `now` in seconds since 1970.
    pub fn of_read(headers: &HeaderMap, now: i64) -> Self {
        Self::parse(headers, Precondition::header, now)
    }

    /// Those that a copy puts on its source (`x-amz-copy-source-if-…`). `now` in seconds since 1970.
    pub fn of_copy_source(headers: &HeaderMap, now: i64) -> Self {
        Self::parse(headers, Precondition::copy_source_header, now)
    }

    fn parse(headers: &HeaderMap, name: fn(Precondition) -> HeaderName, now: i64) -> Self {
        let tags = |precondition| tags(headers, &name(precondition));
        let date = |precondition| date(headers, &name(precondition));
        let same = match tags(Precondition::IfMatch) {
            // True of everything that can be read; what cannot is 404 before any condition.
            Some(Tags::Any) => None,
            // Strong comparison: a weak tag equals none (RFC 9110 §13.1.1).
            Some(Tags::List(list)) => {
                let strong = list.into_iter().filter(|tag| !tag.weak);
                Some(Test::ETags(strong.map(|tag| tag.etag).collect()))
            }
            None => date(Precondition::IfUnmodifiedSince).map(Test::Date),
        };
        let different = match tags(Precondition::IfNoneMatch) {
            Some(Tags::Any) => Some(Test::Any),
            // Weak comparison: weak or not is all the same (RFC 9110 §13.1.2).
            Some(Tags::List(list)) => {
                Some(Test::ETags(list.into_iter().map(|tag| tag.etag).collect()))
            }
            // What is modified only in the future is none (AWS; RFC 9110 §13.1.3).
            None => date(Precondition::IfModifiedSince)
                .filter(|date| seconds(*date) <= now)
                .map(Test::Date),
        };
        Self { same, different }
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first that does not hold of the object with these validators, in the order of RFC 9110
    /// §13.2.2; `None` when all hold. A date is not compared where the answer has none.
    pub fn failing(&self, of: &Validators) -> Option<Precondition> {
        match &self.same {
            Some(Test::ETags(etags)) if !of.strong_etag().is_some_and(|e| etags.contains(e)) => {
                return Some(Precondition::IfMatch);
            }
            Some(Test::Date(date)) if of.last_modified.is_some_and(|at| at > *date) => {
                return Some(Precondition::IfUnmodifiedSince);
            }
            _ => {}
        }
        match &self.different {
            Some(Test::Any) => Some(Precondition::IfNoneMatch),
            Some(Test::ETags(etags)) if of.etag().is_some_and(|e| etags.contains(e)) => {
                Some(Precondition::IfNoneMatch)
            }
            Some(Test::Date(date)) if of.last_modified.is_some_and(|at| at <= *date) => {
                Some(Precondition::IfModifiedSince)
            }
            _ => None,
        }
    }

    /// Whether an answer with these validators says all that is needed to check it, and the ETag
    /// that the client is to be told.
    pub fn can_be_checked_by(&self, of: &Validators) -> bool {
        let asks_date =
            [&self.same, &self.different].iter().any(|test| matches!(test, Some(Test::Date(_))));
        of.etag.is_some() && (of.last_modified.is_some() || !asks_date)
    }

    /// Puts these in the place of a read's conditions: in one spelling, and without what has no
    /// effect. Stores stumble over bare ETags, over `*`, over dates that are none.
    pub fn replace_in(&self, headers: &mut HeaderMap) {
        for precondition in Precondition::ALL {
            headers.remove(precondition.header());
        }
        for (test, by_etag, by_date) in [
            (&self.same, Precondition::IfMatch, Precondition::IfUnmodifiedSince),
            (&self.different, Precondition::IfNoneMatch, Precondition::IfModifiedSince),
        ] {
            let sent = match test {
                None => None,
                Some(Test::Any) => Some((by_etag, HeaderValue::from_static("*"))),
                Some(Test::ETags(etags)) => list_of(etags).map(|list| (by_etag, list)),
                Some(Test::Date(date)) => {
                    HeaderValue::try_from(date.to_string()).ok().map(|date| (by_date, date))
                }
            };
            if let Some((precondition, value)) = sent {
                headers.insert(precondition.header(), value);
            }
        }
    }
}

// === impl Precondition ===

impl Precondition {
    const ALL: [Self; 4] =
        [Self::IfMatch, Self::IfUnmodifiedSince, Self::IfNoneMatch, Self::IfModifiedSince];

    /// Whether a read that fails it is answered with 304 instead of 412 (RFC 9110 §13.2.2).
    pub const fn means_not_modified(self) -> bool {
        matches!(self, Self::IfNoneMatch | Self::IfModifiedSince)
    }

    /// 412 for a read.
    pub fn refusal(self) -> S3Error {
        S3Error::new(Code::PreconditionFailed).with("Condition", self.as_str())
    }

    /// 412 for a copy whose source fails it (AWS answers all four so, and spells them so).
    pub fn refusal_of_copy(self) -> S3Error {
        let condition = format!("x-amz-copy-source-{}", self.as_str());
        S3Error::new(Code::PreconditionFailed).with("Condition", condition)
    }

    /// The header of a read.
    const fn header(self) -> HeaderName {
        match self {
            Self::IfMatch => header::IF_MATCH,
            Self::IfUnmodifiedSince => header::IF_UNMODIFIED_SINCE,
            Self::IfNoneMatch => header::IF_NONE_MATCH,
            Self::IfModifiedSince => header::IF_MODIFIED_SINCE,
        }
    }

    /// The header of a copy.
    const fn copy_source_header(self) -> HeaderName {
        match self {
            Self::IfMatch => X_AMZ_COPY_SOURCE_IF_MATCH,
            Self::IfUnmodifiedSince => {
                HeaderName::from_static("x-amz-copy-source-if-unmodified-since")
            }
            Self::IfNoneMatch => HeaderName::from_static("x-amz-copy-source-if-none-match"),
            Self::IfModifiedSince => HeaderName::from_static("x-amz-copy-source-if-modified-since"),
        }
    }

    /// The header's name as AWS writes it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfUnmodifiedSince => "If-Unmodified-Since",
            Self::IfNoneMatch => "If-None-Match",
            Self::IfModifiedSince => "If-Modified-Since",
        }
    }
}

/// `x-amz-copy-source-if-match`
pub const X_AMZ_COPY_SOURCE_IF_MATCH: HeaderName =
    HeaderName::from_static("x-amz-copy-source-if-match");

// === impl Validators ===

impl Validators {
    /// The `ETag` and `Last-Modified` of an answer.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: headers.get(header::ETAG).map(|value| Tag::parse(value.as_bytes())),
            last_modified: date(headers, &header::LAST_MODIFIED),
        }
    }

    /// The ETag.
    pub fn etag(&self) -> Option<&ETag> {
        self.etag.as_ref().map(|tag| &tag.etag)
    }

    fn strong_etag(&self) -> Option<&ETag> {
        self.etag.as_ref().filter(|tag| !tag.weak).map(|tag| &tag.etag)
    }
}

// === reading ===

impl Tag {
    /// Quotes may be missing, as AWS allows. Of a weak tag they are part.
    fn parse(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        match value.strip_prefix(b"W/") {
            Some(quoted) if quoted.starts_with(b"\"") => {
                Self { weak: true, etag: ETag::parse(quoted) }
            }
            _ => Self { weak: false, etag: ETag::parse(value) },
        }
    }
}

/// What a header on ETags names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Tags {
    Any,
    List(Vec<Tag>),
}

impl Tags {
    /// One ETag.
    pub(super) fn one(etag: ETag) -> Self {
        Self::List(vec![Tag { weak: false, etag }])
    }
}

/// Reads `*`, an ETag, or a list of them, in one field or several (RFC 9110 §5.3, §5.6.1); `None`
/// when the header is missing or says nothing, as some SDKs send it.
pub(super) fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Tags> {
    let mut any = true;
    let mut list = Vec::new();
    for value in headers.get_all(name) {
        let mut quoted = false;
        let at_comma = move |byte: &u8| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        };
        let elements = value.as_bytes().split(at_comma).map(<[u8]>::trim_ascii);
        for element in elements.filter(|element| !element.is_empty()) {
            any &= element == b"*";
            list.push(Tag::parse(element));
        }
    }
    match list.is_empty() {
        true => None,
        false if any => Some(Tags::Any),
        false => Some(Tags::List(list)),
    }
}

/// Reads a date in any of HTTP's three forms; `None` for anything else, and for more than one (RFC
/// 9110 §5.6.7, §13.1.3, §13.1.4: such a condition is ignored).
pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<HttpDate> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then(|| value.parse().ok()).flatten()
}

/// When an object was written, as an answer about it says, in seconds since 1970.
pub fn last_modified_s(headers: &HeaderMap) -> Option<i64> {
    date(headers, &header::LAST_MODIFIED).map(seconds)
}

pub(super) fn seconds(date: HttpDate) -> i64 {
    let since = std::time::SystemTime::from(date).duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// The list as HTTP spells it; `None` where it cannot be spelled, which the store is then not asked
/// and the proxy judges alone.
fn list_of(etags: &[ETag]) -> Option<HeaderValue> {
    let plain = !etags.is_empty() && etags.iter().all(|etag| !etag.as_bytes().contains(&b'"'));
    let quoted: Vec<_> = etags.iter().map(ETag::quoted).collect();
    plain.then(|| HeaderValue::from_bytes(&quoted.join(&b", "[..])).ok()).flatten()
}

#[cfg(test)]
#[path = "precondition_tests.rs"]
mod tests;

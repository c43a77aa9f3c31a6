//! Preconditions of reads: those of GetObject and HeadObject, and those of a copy on its source
//! (AWS: Conditional reads, CopyObject, UploadPartCopy).

use std::time::{Duration, UNIX_EPOCH};

use http::header::{self, HeaderName, HeaderValue};

use super::fields::{EntityTag, EntityTags, date_s};
use super::preconditions::Preconditions;
use super::representation::Validators;
use crate::http1::fields::Fields;

impl Preconditions {
    /// The preconditions of a read. `now_s` in seconds since 1970.
    pub fn of_read(headers: &Fields, now_s: i64) -> Self {
        #[cfg(test)]
        crate::readings::count("preconditions of a read");
        Self::parse_read(headers, &OF_READ, now_s)
    }

    /// The preconditions of a copy on its source (`x-amz-copy-source-if-…`). `now_s` in seconds
    /// since 1970.
    pub fn of_copy_source(headers: &Fields, now_s: i64) -> Self {
        Self::parse_read(headers, &OF_COPY_SOURCE, now_s)
    }

    fn parse_read(headers: &Fields, names: &Names, now_s: i64) -> Self {
        let if_match = EntityTags::of_header(headers, &names.matching);
        let if_none_match = EntityTags::of_header(headers, &names.none_matching);
        Self {
            if_unmodified_since_s: date_s(headers, &names.unmodified_since)
                .filter(|_| if_match.is_none()),
            // A date in the future is ignored (AWS; RFC 9110 §13.1.3).
            if_modified_since_s: date_s(headers, &names.modified_since)
                .filter(|date_s| if_none_match.is_none() && *date_s <= now_s),
            // `*` is true for every object that can be read; a missing object is 404 before any
            // condition.
            if_match: if_match.filter(|tags| *tags != EntityTags::Any),
            if_none_match,
            ..Self::NONE
        }
    }

    /// Whether an answer with these validators has everything needed to evaluate these
    /// preconditions, and the ETag for the client.
    pub fn can_be_checked_by(&self, of: &Validators) -> bool {
        let asks_date = self.if_unmodified_since_s.is_some() || self.if_modified_since_s.is_some();
        of.etag().is_some() && (of.last_modified_s().is_some() || !asks_date)
    }

    /// Replaces a read's conditional headers by these preconditions, in one spelling and without
    /// those that have no effect. Stores fail on bare ETags, on `*`, and on invalid dates.
    pub fn replace_in(&self, headers: &mut Fields) {
        let names = OF_READ;
        let if_match = self.if_match.as_ref();
        let if_none_match = self.if_none_match.as_ref();
        for (name, value) in [
            (names.matching, if_match.and_then(|tags| spelled(tags, |tag| !tag.weak))),
            (names.unmodified_since, self.if_unmodified_since_s.and_then(spelled_date)),
            (names.none_matching, if_none_match.and_then(|tags| spelled(tags, |_| true))),
            (names.modified_since, self.if_modified_since_s.and_then(spelled_date)),
        ] {
            headers.remove(&name);
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

/// The headers of preconditions on reads: `If-Match` and so on, or their names in a copy.
struct Names {
    matching: HeaderName,
    unmodified_since: HeaderName,
    none_matching: HeaderName,
    modified_since: HeaderName,
}

const OF_READ: Names = Names {
    matching: header::IF_MATCH,
    unmodified_since: header::IF_UNMODIFIED_SINCE,
    none_matching: header::IF_NONE_MATCH,
    modified_since: header::IF_MODIFIED_SINCE,
};

const OF_COPY_SOURCE: Names = Names {
    matching: X_AMZ_COPY_SOURCE_IF_MATCH,
    unmodified_since: HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
    none_matching: HeaderName::from_static("x-amz-copy-source-if-none-match"),
    modified_since: HeaderName::from_static("x-amz-copy-source-if-modified-since"),
};

/// `x-amz-copy-source-if-match`
pub const X_AMZ_COPY_SOURCE_IF_MATCH: HeaderName =
    HeaderName::from_static("x-amz-copy-source-if-match");

/// The tags that `keep` selects, in HTTP's spelling; `None` where they cannot be spelled: then the
/// store does not get the condition, and the proxy judges it alone.
fn spelled(tags: &EntityTags, keep: fn(&&EntityTag) -> bool) -> Option<HeaderValue> {
    let EntityTags::List(list) = tags else { return Some(HeaderValue::from_static("*")) };
    let etags: Vec<_> = list.iter().filter(keep).map(|tag| &tag.etag).collect();
    let plain = !etags.is_empty() && etags.iter().all(|etag| !etag.as_bytes().contains(&b'"'));
    let quoted: Vec<_> = etags.iter().map(|etag| etag.quoted()).collect();
    plain.then(|| HeaderValue::from_bytes(&quoted.join(&b", "[..])).ok()).flatten()
}

fn spelled_date(date_s: i64) -> Option<HeaderValue> {
    let at = UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(date_s).ok()?))?;
    HeaderValue::try_from(httpdate::fmt_http_date(at)).ok()
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;

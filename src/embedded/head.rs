//! A request's head, made fit for `s3s`: it refuses what AWS ignores, or keeps as it is.

use http::header::{
    EXPIRES, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderValue, Method};
use s3s::dto::{ETagCondition, Range, Timestamp, TimestampFormat};

/// What was taken out of a head, for the store to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TakenOut {
    /// An `Expires` that is no date.
    pub(super) expires: Option<String>,
}

/// The conditions whose value is an ETag or `*`.
const ETAGS: [HeaderName; 4] = [
    IF_MATCH,
    IF_NONE_MATCH,
    HeaderName::from_static("x-amz-copy-source-if-match"),
    HeaderName::from_static("x-amz-copy-source-if-none-match"),
];

/// The conditions whose value is a date.
const DATES: [HeaderName; 4] = [
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    HeaderName::from_static("x-amz-copy-source-if-modified-since"),
    HeaderName::from_static("x-amz-copy-source-if-unmodified-since"),
];

/// An ETag that no object has: an object's begins with a digest.
const NO_ETAG: HeaderValue = HeaderValue::from_static("\"none\"");

/// Takes out what `s3s` cannot read. RFC 9110 §13.1.3, §14.2: a date or range that cannot be read is
/// as if it were not there. An ETag that cannot be read is that of no object.
pub(super) fn make_fit(method: &Method, headers: &mut HeaderMap) -> TakenOut {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    if is_read && headers.get(RANGE).is_some_and(|range| !is_range(range)) {
        headers.remove(RANGE);
    }
    for name in DATES {
        if headers.get(&name).is_some_and(|date| !is_date(date)) {
            headers.remove(name);
        }
    }
    for name in ETAGS {
        if let Some(etag) = headers.get_mut(name)
            && ETagCondition::parse_http_header(etag.as_bytes()).is_err()
        {
            *etag = NO_ETAG;
        }
    }
    let mut taken_out = TakenOut::default();
    if let Some(text) = headers.get(EXPIRES).filter(|date| !is_date(date)) {
        taken_out.expires = text.to_str().ok().map(str::to_owned);
        headers.remove(EXPIRES);
    }
    taken_out
}

fn read<T, E>(value: &HeaderValue, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
    value.to_str().ok().and_then(|text| parse(text).ok())
}

/// `s3s` takes a range without any number for one.
fn is_range(value: &HeaderValue) -> bool {
    value != "bytes=-" && read(value, Range::parse).is_some()
}

fn is_date(value: &HeaderValue) -> bool {
    read(value, |text| Timestamp::parse(TimestampFormat::HttpDate, text)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Wed, 21 Oct 2037 07:28:00 GMT";

    fn fitted(method: &Method, name: &'static str, value: &str) -> (Option<String>, TakenOut) {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let taken_out = make_fit(method, &mut headers);
        let left = headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (left, taken_out)
    }

    #[test]
    fn what_can_be_read_stays() {
        for (name, value) in [
            ("range", "bytes=1-2"),
            ("if-match", "\"etag\""),
            ("if-match", "0123-4"),
            ("if-none-match", "*"),
            ("if-modified-since", DATE),
            ("expires", DATE),
        ] {
            let left = fitted(&Method::GET, name, value);
            assert_eq!(left, (Some(value.to_owned()), TakenOut::default()), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_wish_and_no_etag() {
        for (name, value) in [
            ("range", "bytes=2-1"),
            ("range", "bytes=-"),
            ("if-unmodified-since", "yesterday"),
            ("x-amz-copy-source-if-modified-since", "0"),
        ] {
            assert_eq!(fitted(&Method::GET, name, value), (None, TakenOut::default()), "{name}");
        }
        let (left, _) = fitted(&Method::PUT, "if-match", "no_etag/");
        assert_eq!(left.as_deref(), Some("\"none\""));
    }

    #[test]
    fn a_time_to_expire_that_is_no_date_is_kept() {
        let taken_out = TakenOut { expires: Some("0".to_owned()) };
        assert_eq!(fitted(&Method::PUT, "expires", "0"), (None, taken_out));
    }
}

//! What a request says before any of its body was read.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method};

use super::answer::S3Error;
use super::code::Code;
use super::encoding::decode_query;

/// A request's head, borrowed from whatever HTTP server received it. Path and query are the bytes
/// as sent: nothing is decoded, so that a signature can be checked over exactly these.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as sent, percent-encoding and all, without `?` and what follows.
    pub path: &'a str,
    /// What follows the first `?`, as sent; empty when there is none.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
}

impl<'a> RequestHead<'a> {
    /// The only value of a header as text with surrounding white space removed; `None` when it is
    /// absent, repeated, or not visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Option<&'a str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        if values.next().is_some() {
            return None;
        }
        first.to_str().ok().map(str::trim)
    }

    /// The query's parameters in order, names and values as sent (still percent-encoded). A
    /// parameter without `=` has the empty value.
    pub fn query_pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + Clone + use<'a> {
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// Whether the query has a parameter of this name, however it is spelled.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.parameters().any(|(found, _)| found == name)
    }

    /// The query's parameters in order, decoded: what everything but a signature reads. What cannot
    /// be decoded stays as it was sent; see [`RequestHead::check_query`].
    pub fn parameters(
        &self,
    ) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + Clone + use<'a> {
        self.query_pairs().map(|(name, value)| (decoded(name), decoded(value)))
    }

    /// The value, decoded, of the first query parameter of this name.
    pub fn parameter(&self, wanted: &str) -> Option<Cow<'a, str>> {
        self.parameters().find(|(name, _)| name == wanted).map(|(_, value)| value)
    }

    /// 400 `InvalidURI` for a query that cannot be decoded, and for one of which some servers would
    /// read a part only: behind what they pass over may stand what makes another request of it.
    pub fn check_query(&self) -> Result<(), S3Error> {
        if self.query.split('&').count() > PARAMETERS_MAX {
            return Err(S3Error::new(Code::InvalidUri).because(TOO_MANY_PARAMETERS));
        }
        let reads = |part: &str| decode_query(part).is_some();
        if self.query_pairs().all(|(name, value)| reads(name) && reads(value)) {
            return Ok(());
        }
        Err(S3Error::new(Code::InvalidUri))
    }
}

/// Node's `querystring` reads 1000 parameters, empty ones counted, as do PHP and Tomcat. AWS names no
/// limit, and no operation of S3 has thirty; a presigned URL may carry metadata, 2 KiB of them.
const PARAMETERS_MAX: usize = 256;

const TOO_MANY_PARAMETERS: &str =
    "The query has more than 256 parameters, and not every server reads all of so many.";

fn decoded(part: &str) -> Cow<'_, str> {
    if !part.contains(['%', '+']) {
        return part.into();
    }
    decode_query(part).map_or(Cow::Borrowed(part), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_once_and_in_one_way() {
        let (method, headers) = (Method::GET, HeaderMap::new());
        let head = |query| RequestHead { method: &method, path: "/", query, headers: &headers };
        let query = "prefix=foo+bar%2F&&version%49d=a%2Bb&empty&=&a%2541=1";
        let read: Vec<_> = head(query).parameters().collect();
        let expected =
            [("prefix", "foo bar/"), ("versionId", "a+b"), ("empty", ""), ("", ""), ("a%41", "1")];
        assert_eq!(read, expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(head(query).parameter("versionId").as_deref(), Some("a+b"));
        assert!(head(query).check_query().is_ok());
        for broken in ["a=%zz", "%zz", "a=b&versionId=%ff", "%C3=b", "a=%", "a=+%"] {
            let refused = head(broken).check_query().unwrap_err();
            assert_eq!(refused.code(), "InvalidURI", "{broken}");
        }
    }

    #[test]
    fn no_parameter_stands_where_a_server_may_have_stopped_reading() {
        let (method, headers) = (Method::PUT, HeaderMap::new());
        let check = |query: &str| {
            RequestHead { method: &method, path: "/", query, headers: &headers }.check_query()
        };
        for pad in ["x-a", "", "a=b"] {
            assert!(check(&format!("{}uploadId=u", format!("{pad}&").repeat(255))).is_ok());
            let refused = check(&format!("{}uploadId=u", format!("{pad}&").repeat(256)));
            assert_eq!(refused.unwrap_err().code(), "InvalidURI", "{pad}");
        }
    }
}

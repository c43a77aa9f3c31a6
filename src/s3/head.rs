//! What a request says before any of its body was read.

use http::{HeaderMap, HeaderName, Method};

use super::encoding::decode;

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
        self.query_pairs().any(|(spelled, _)| decode(spelled).is_some_and(|found| found == name))
    }

    /// The value, as sent, of the first query parameter of this name.
    pub fn query_value(&self, name: &str) -> Option<&'a str> {
        self.query_pairs().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

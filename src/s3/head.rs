//! The head of a request, before its body.

use http::{HeaderName, Method};

use super::query::Query;
use crate::http1::fields::Fields;

/// A request's head, borrowed from the HTTP server that received it. The path is as sent, and the
/// query keeps the text as sent, so that a signature can be checked over exactly these bytes.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as sent, with its percent-encoding, without `?` and the query.
    pub path: &'a str,
    /// The query after the first `?`.
    pub query: &'a Query,
    /// The header fields.
    pub headers: &'a Fields,
}

impl<'a> RequestHead<'a> {
    /// The only value of a header as text with surrounding white space removed; `None` when it is
    /// absent, repeated, or not visible ASCII.
    pub fn header(&self, name: &HeaderName) -> Option<&'a str> {
        let mut values = self.headers.get_all(name);
        let first = values.next()?;
        if values.next().is_some() {
            return None;
        }
        first.to_str().ok().map(str::trim)
    }
}

//! Helpers for the tests of this module.

use http::{HeaderName, HeaderValue, Method};

use super::{Dialect, Preconditions};
use crate::http1::fields::Fields;
use crate::s3::{Operation, Query, RequestHead, S3Error};

/// The preconditions of a write with these headers.
pub(super) fn parse(
    dialect: Dialect,
    operation: Operation,
    headers: &[(&'static str, &str)],
) -> Result<Preconditions, S3Error> {
    let mut map = Fields::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let head = RequestHead {
        method: &Method::PUT,
        path: "/bucket/key",
        query: &Query::default(),
        headers: &map,
    };
    Preconditions::of_write(head, operation, dialect)
}

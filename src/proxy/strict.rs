//! Strict checks for a request that goes to the store as its sender signed it (`signatures =
//! "passthrough"`): anything that two servers could read differently is refused. The proxy judges
//! and leases by the same bytes that the store will read.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::header;

use crate::backend::headers::{is_of_a_vendor, is_of_body, is_reserved};
use crate::s3::target::without_port;
use crate::s3::{AMBIGUOUS, Code, Effect, Operation, RequestHead, S3Error};
use crate::sigv4::{CHOOSING, Claimed, Mechanism};

/// The host names under which the store may be reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hosts<'a> {
    /// The domains under which a bucket is named by the host.
    pub(super) domains: &'a [String],
    /// The host names of the store's nodes.
    pub(super) stores: &'a [&'a str],
}

/// Refuses a request that the store might read differently. 400 for a host that may or may not name
/// a bucket, for a path with characters that servers read differently, and for a `+` or `;` in the
/// query of a request that changes something. 501 for a signed header that a store has invented or
/// with `_` in its name, and for a parameter that some stores read as the header of another
/// operation. 403 for a header that must be signed and is not.
pub(super) fn check(
    head: RequestHead<'_>,
    claimed: &Claimed,
    hosts: Hosts<'_>,
    operation: Operation,
) -> Result<(), S3Error> {
    let host = head.header(&header::HOST).unwrap_or_default();
    if !hosts.is_known(host) {
        return Err(S3Error::new(Code::InvalidRequest).because(UNKNOWN_HOST));
    }
    let plain = operation.effect() == Effect::Read || is_plain_query(head);
    if !is_plain(head.path) || head.query.as_sent().contains('#') || !plain {
        return Err(S3Error::new(Code::InvalidUri));
    }
    let names = head.headers.iter().map(|(name, _)| name.as_str());
    // A presigned URL may carry a header as a parameter.
    let in_query = head.query.parameters().map(|(name, _)| name);
    if let Some(name) = names.clone().chain(in_query).find(|name| is_reserved(name)) {
        return Err(S3Error::not_implemented(name, Some(RESERVED)));
    }
    if let Some(name) = names.clone().find(|name| is_of_a_vendor(name) && claimed.covers(name)) {
        return Err(S3Error::not_implemented(name, Some(OF_A_VENDOR)));
    }
    let ambiguous = |name: &str| name.contains('_') && !name.starts_with("x-amz-meta-");
    if let Some(name) = names.clone().find(|name| ambiguous(name) && claimed.covers(name)) {
        return Err(S3Error::not_implemented(name, Some(AMBIGUOUS)));
    }
    let mut parameters = head.query.parameters().map(|(name, _)| name.to_ascii_lowercase());
    if let Some(name) = parameters.find(|name| differs_in_query(name, claimed.mechanism)) {
        return Err(S3Error::not_implemented(&name, Some(IN_QUERY)));
    }
    Ok(claimed.check_covers(head.headers, is_of_body)?)
}

const UNKNOWN_HOST: &str = "Whether this Host names a bucket to the store is not known to the proxy: \
     the hosts that clients use, also a bare name such as \"proxy\", stand in its setting `domains`, \
     in lower case and without a dot at the end.";
pub(super) const RESERVED: &str =
    "These metadata are the proxy's own, and cannot be left out of what is signed";

/// Whether stores differ over a parameter that stands for a header. All do where the signature does
/// not make it one, and some do over one that makes a PUT another operation.
fn differs_in_query(name: &str, mechanism: Mechanism) -> bool {
    let is_presigned = mechanism.is_presigned();
    (name.starts_with("x-amz-") && !is_presigned)
        || CHOOSING.iter().any(|choosing| name.starts_with(choosing))
}

const IN_QUERY: &str = "Not every store reads this in a query: send it as a header";

const OF_A_VENDOR: &str =
    "S3 gives this header no meaning, and the signature does not let it be left out";

impl Hosts<'_> {
    /// Addresses, `localhost` and the store's own name never name a bucket. A configured domain and
    /// the names under it are read alike here and at the store. Any other name may be a bucket's:
    /// s3rver, for one, takes a name without a dot for one. And not every store compares names as
    /// DNS does, which ignores case and a final dot.
    fn is_known(self, host: &str) -> bool {
        let name = without_port(host);
        if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
            return address.parse::<Ipv6Addr>().is_ok();
        }
        if name.parse::<Ipv4Addr>().is_ok() {
            return true;
        }
        let is_under = |domain: &String| {
            name.strip_suffix(domain.as_str())
                .is_some_and(|left| left.is_empty() || left.ends_with('.'))
        };
        let is_canonical = !name.ends_with('.') && !name.bytes().any(|b| b.is_ascii_uppercase());
        is_canonical
            && (name == "localhost"
                || self.stores.contains(&name)
                || self.domains.iter().any(is_under))
    }
}

/// A path that every server reads alike. Some read `+` as a space, `;` as the beginning of a
/// parameter, `\\` as a `/`; all are allowed in encoded form.
fn is_plain(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~/%!$&'()*,:=@".contains(&b))
}

/// A query that every server splits alike. `+` may be a space or not. `;` separates two parameters
/// (older Python, Ruby) or makes a server drop the parameter that contains it (Go), part number and
/// all. Some signers leave `;` unencoded between the names of signed headers, where it does no
/// harm.
fn is_plain_query(head: RequestHead<'_>) -> bool {
    let parted = |(name, value): (&str, &str)| {
        name.contains(';') || (value.contains(';') && name != "X-Amz-SignedHeaders")
    };
    !head.query.as_sent().contains('+') && !head.query.pairs_as_sent().any(parted)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::http1::fields::Fields;
    use crate::s3::Query;

    #[test]
    fn a_host_that_may_name_a_bucket_the_proxy_does_not_see_is_not_known() {
        let domains = ["s3.test".to_owned(), "proxy".to_owned()];
        let hosts = Hosts { domains: &domains, stores: &["garage.internal"] };
        for host in [
            "127.0.0.1",
            "127.0.0.1:9000",
            "[::1]:9000",
            "proxy",
            "proxy:9000",
            "s3.test",
            "localhost:9000",
            "s3.test:80",
            "bucket.s3.test",
            "a.b.s3.test:1",
            "garage.internal:3900",
        ] {
            assert!(hosts.is_known(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "[]",
            "[127.0.0.1]",
            "xs3.test",
            "bucket.garage.internal",
            "s3.test.evil",
            "1.2.3",
            "bucket",
            "atk:9000",
            "bucket.localhost",
            // The same name in DNS, but not at every store.
            "S3.test",
            "s3.test.",
            "LOCALHOST",
            "127.0.0.1.",
        ] {
            assert!(!hosts.is_known(host), "{host}");
        }
    }

    #[test]
    fn a_query_is_taken_that_all_servers_take_apart_alike() {
        let is_plain = |query| {
            let (method, headers) = (http::Method::PUT, Fields::new());
            is_plain_query(RequestHead {
                method: &method,
                path: "/b/k",
                query: &Query::parse(query),
                headers: &headers,
            })
        };
        for query in ["", "uploadId=a%3Bb&partNumber=1", "X-Amz-SignedHeaders=host;x-amz-acl&acl"] {
            assert!(is_plain(query), "{query}");
        }
        for query in ["uploadId=a;b&partNumber=1", "tagging;", "x-id=a;acl", "a=b+c", "x;y=1&acl"] {
            assert!(!is_plain(query), "{query}");
        }
    }

    #[test]
    fn a_path_is_taken_that_all_servers_read_alike() {
        for path in ["/", "/b/a%20b/%C3%A9", "/b/dt=2020:01,02@x!$&'()*~"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["/b/a+b", "/b/a;b", "/b/a\\b", "/b/a#b", "/b/a b", "/b/\u{e9}", "/b/a|b"] {
            assert!(!is_plain(path), "{path}");
        }
    }
}

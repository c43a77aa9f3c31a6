//! Header filters: which headers are passed on from client to store and back.

use http::HeaderName;
use http::header;

use crate::http1::fields::Fields;
use crate::s3::Precondition;
use crate::s3::inadmissible::reads_as;
use crate::traces::parent::{TRACE, trace_id};

/// The metadata field with the id of the write that left an object (gate/object_id.rs). Clients can
/// neither set nor see it.
pub const OBJECT_WRITE_ID: HeaderName = HeaderName::from_static("x-amz-meta-ifmatch-id");

/// Whether a header, or a form's field, is reserved for the proxy, whatever the settings, so that a
/// client's value is never taken for the proxy's. Such a header is removed, not refused: a client
/// that copies an object with all the metadata that the store has shown it means the object, not
/// the proxy's field. `_` counts as `-`, since servers that turn headers into variables treat them
/// alike.
pub fn is_reserved(name: &str) -> bool {
    reads_as(name, OBJECT_WRITE_ID.as_str())
}

/// A client's headers as they go to the store: those that S3 defines, without those of the client's
/// own signature and of its body's framing. This is a list of allowed headers, not of forbidden
/// ones: stores have headers of their own that copy, link or expire objects (Swift's `X-Copy-From`,
/// `X-Delete-After`, `X-Symlink-Target`), without the register and beyond the client's rights.
/// The headers of a trace go along, where they are well-formed; the signature does not cover them, as
/// servers between here and the store may set their own.
pub fn to_store(client: &Fields) -> Fields {
    let traced = trace_id(client).is_some();
    client.only(|name| passes(name.as_str()) || traced && TRACE.contains(&name.as_str()))
}

/// The same without the write's conditions: the gate judges them, and stores judge them wrongly.
pub fn to_store_unconditional(client: &Fields) -> Fields {
    let mut headers = to_store(client);
    for precondition in Precondition::ALL {
        headers.remove(precondition.header());
    }
    headers
}

/// The headers of a request that its sender signed for the store: all except those of the
/// connection and those that stores have invented, for the reasons given at [`to_store`]. The
/// latter can be removed only where the signature does not cover them.
pub fn as_sent(client: &Fields) -> Fields {
    let mut headers = without_connection(client);
    headers.retain(|name| !is_of_a_vendor(name.as_str()));
    headers
}

/// Whether an unsigned header may be passed on where the store checks signatures: headers that HTTP
/// needs, and those that S3 accepts unsigned and that have no power (the object's own
/// representation, the parameters of a read, conditions). No `x-amz-*` header, and none that is not
/// named here.
pub fn may_go_unsigned(name: &str) -> bool {
    let of_http = [
        "authorization",
        "connection",
        "content-length",
        "date",
        "expect",
        "host",
        "origin",
        "transfer-encoding",
        "user-agent",
    ];
    // The proxy reads its own headers here; they have no meaning to a store.
    is_plain(name)
        || of_http.contains(&name)
        || TRACE.contains(&name)
        || name.starts_with("x-ifmatch-")
}

/// The `x-amz-*` headers that are allowed in an unsigned request: those about the body's framing
/// and its checksum.
pub fn is_of_body(name: &str) -> bool {
    name.starts_with("x-amz-checksum-")
        || matches!(
            name,
            "x-amz-content-sha256"
                | "x-amz-decoded-content-length"
                | "x-amz-sdk-checksum-algorithm"
                | "x-amz-trailer"
        )
}

/// Whether only some stores, or servers in front of them, give this header a meaning. The proxy's
/// own headers have none to them.
pub fn is_of_a_vendor(name: &str) -> bool {
    let known = ["x-amz", "x-ifmatch-"].iter().any(|prefix| name.starts_with(prefix));
    name == "forwarded" || (name.starts_with("x-") && !known)
}

/// The headers that a HEAD needs to see the object of a write: the customer's key, where the object
/// is encrypted with one (AWS: SSE-C), the requester-pays header, and the expected bucket owner.
pub fn for_head(client: &Fields) -> Fields {
    client.only(|name| {
        name.as_str().starts_with("x-amz-server-side-encryption-customer-")
            || matches!(name.as_str(), "x-amz-request-payer" | "x-amz-expected-bucket-owner")
    })
}

/// The same for a HEAD of a copy's source, with the names that the copy has for them.
pub fn for_head_of_source(client: &Fields) -> Fields {
    let encryption = "server-side-encryption-customer-";
    client
        .iter()
        .filter_map(|(name, value)| {
            let name = match name.as_str() {
                "x-amz-request-payer" => HeaderName::from_static("x-amz-request-payer"),
                "x-amz-source-expected-bucket-owner" => {
                    HeaderName::from_static("x-amz-expected-bucket-owner")
                }
                other => {
                    let of_object = other.strip_prefix("x-amz-copy-source-")?;
                    let of_object = Some(of_object).filter(|name| name.starts_with(encryption))?;
                    format!("x-amz-{of_object}").parse().ok()?
                }
            };
            Some((name, value.clone()))
        })
        .collect()
}

/// Removes headers that a store without AWS's checksums would refuse: the checksums, and the
/// headers about them. `Content-MD5`, which every store knows, stays.
pub fn drop_checksums(headers: &mut Fields) {
    headers.retain(|name| {
        !name.as_str().starts_with("x-amz-checksum-") && name != "x-amz-sdk-checksum-algorithm"
    });
}

/// A store's headers without those of its connection.
pub fn from_store(mut store: Fields) -> Fields {
    drop_connection(&mut store);
    store
}

/// A message's headers without those of its connection, and without those that `Connection` names.
fn without_connection(headers: &Fields) -> Fields {
    let mut kept = headers.clone();
    drop_connection(&mut kept);
    kept
}

fn drop_connection(headers: &mut Fields) {
    let options = headers.get_all(header::CONNECTION);
    let options = options.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    // Usually none: `close` and `keep-alive` are not the names of fields that are there.
    let named: Vec<_> = options
        .map(str::trim)
        .filter(|option| headers.contains_key(*option))
        .map(str::to_ascii_lowercase)
        .collect();
    headers.retain(|name| {
        let name = name.as_str();
        !is_of_connection(name) && !named.iter().any(|option| option == name)
    });
}

/// RFC 9110 §7.6.1, and others seen in practice.
fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether it is a header of HTTP itself that S3 defines.
fn is_plain(name: &str) -> bool {
    matches!(
        name,
        "accept"
            | "accept-encoding"
            | "accept-language"
            | "access-control-request-headers"
            | "access-control-request-method"
            | "cache-control"
            | "content-disposition"
            | "content-encoding"
            | "content-language"
            | "content-md5"
            | "content-type"
            | "expires"
            | "if-match"
            | "if-modified-since"
            | "if-none-match"
            | "if-range"
            | "if-unmodified-since"
            | "range"
    )
}

fn passes(name: &str) -> bool {
    const OF_CLIENT: [&str; 5] = [
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-security-token",
        "x-amz-trailer",
    ];
    if name.starts_with("x-amz-") {
        // The conditions on a copy's source are judged here (proxy/copy_source.rs).
        return !OF_CLIENT.contains(&name)
            && !name.starts_with("x-amz-copy-source-if-")
            && !is_reserved(name);
    }
    is_plain(name) || matches!(name, "origin" | "user-agent")
}

/// The headers of a browser's preflight, which is not signed: only those of the preflight itself
/// (Fetch: CORS protocol).
pub fn of_preflight(client: &Fields) -> Fields {
    client.only(|name| {
        matches!(
            name.as_str(),
            "origin" | "access-control-request-headers" | "access-control-request-method"
        )
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Fields {
        pairs
            .iter()
            .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    #[test]
    fn what_belongs_to_one_side_stays_there() {
        let client = headers(&[
            ("host", "proxy"),
            ("authorization", "secret"),
            ("x-amz-date", "now"),
            ("x-amz-security-token", "t"),
            ("x-amz-decoded-content-length", "5"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("expect", "100-continue"),
            ("x-copy-from", "other/secret"),
            ("x-delete-after", "1"),
            ("cookie", "c"),
            ("content-encoding", "deflate, gzip"),
            ("content-type", "text/plain"),
            ("x-amz-meta-a", "1"),
            ("x-amz-meta-ifmatch-id", "forged"),
            ("x-amz-meta-ifmatch_id", "forged"),
            ("x-amz-copy-source-if-match", "\"e\""),
            ("if-match", "\"e\""),
        ]);
        let kept = to_store(&client);
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-encoding", "content-type", "if-match", "x-amz-meta-a"]);
        assert_eq!(kept[header::CONTENT_ENCODING], "deflate, gzip");
    }

    #[test]
    fn a_trace_goes_along_where_it_is_well_formed() {
        let with = |parent: &str| headers(&[("traceparent", parent), ("tracestate", "a=1")]);
        let good = with("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        assert_eq!(to_store(&good), good);
        assert!(to_store(&with("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7")).is_empty());
    }

    #[test]
    fn no_condition_of_a_guarded_write_goes_to_the_store() {
        for precondition in Precondition::ALL {
            let client = Fields::from_iter([(precondition.header(), "1".parse().unwrap())]);
            assert!(to_store_unconditional(&client).is_empty(), "{precondition:?}");
        }
    }

    #[test]
    fn what_may_go_unsigned_makes_no_other_request_of_it() {
        for name in ["range", "if-match", "content-type", "host", "x-ifmatch-want", "accept"] {
            assert!(may_go_unsigned(name), "{name}");
        }
        for name in ["x-amz-copy-source", "x-amz-acl", "x-copy-from", "cookie", "forwarded", "x-a"]
        {
            assert!(!may_go_unsigned(name), "{name}");
        }
    }

    #[test]
    fn a_store_that_knows_no_checksums_is_told_of_none() {
        let mut kept = headers(&[
            ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
            ("x-amz-checksum-algorithm", "CRC64NVME"),
            ("x-amz-checksum-type", "FULL_OBJECT"),
            ("x-amz-sdk-checksum-algorithm", "CRC64NVME"),
            ("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="),
            ("x-amz-meta-checksum", "mine"),
        ]);
        drop_checksums(&mut kept);
        let left = [("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), ("x-amz-meta-checksum", "mine")];
        assert_eq!(kept, headers(&left));
    }

    #[test]
    fn the_customer_s_key_goes_along_with_the_head_and_nothing_else() {
        let name = "x-amz-server-side-encryption-customer-key";
        let kept = for_head(&headers(&[(name, "k"), ("range", "bytes=0-1")]));
        assert_eq!(kept, headers(&[(name, "k")]));
    }

    #[test]
    fn a_source_s_key_is_an_object_s_key_to_the_head() {
        let kept = for_head_of_source(&headers(&[
            ("x-amz-copy-source", "b/k"),
            ("x-amz-copy-source-if-match", "e"),
            ("x-amz-copy-source-server-side-encryption-customer-key", "of the source"),
            ("x-amz-server-side-encryption-customer-key", "of the copy"),
            ("x-amz-source-expected-bucket-owner", "1"),
            ("x-amz-expected-bucket-owner", "2"),
        ]));
        let wanted = headers(&[
            ("x-amz-server-side-encryption-customer-key", "of the source"),
            ("x-amz-expected-bucket-owner", "1"),
        ]);
        assert_eq!(kept, wanted);
    }

    #[test]
    fn the_store_s_connection_is_not_the_client_s() {
        let store = headers(&[
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("etag", "\"e\""),
        ]);
        assert_eq!(from_store(store), headers(&[("etag", "\"e\"")]));
    }
}

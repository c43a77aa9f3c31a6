//! Inadmissible requests: they would change objects without the register.

use http::Method;

use super::classify::RENAME_SOURCE;
use super::code::Code;
use super::error::S3Error;
use super::head::RequestHead;
use super::media::{body_refusal, body_refusal_as_sent};
use super::operation::{Effect, Operation};

/// Why this request cannot be served at all: 501, which names the header or subresource; 400 for a
/// query with a multipart parameter that no operation has; 405 for a method that S3 does not have.
/// To be checked first for every request, including reads.
pub fn inadmissible(head: RequestHead<'_>, operation: Operation) -> Option<S3Error> {
    // Stores have operations of their own under such methods, for example PATCH and COPY.
    if !METHODS.contains(head.method) {
        return Some(S3Error::new(Code::MethodNotAllowed).with("Method", head.method.as_str()));
    }
    // A presigned URL may carry such a header as a query parameter.
    let in_query = head.query.parameters().map(|(name, _)| name);
    let in_headers = head.headers.iter().map(|(name, _)| name.as_str());
    if let Some((name, why)) = in_headers.chain(in_query).find_map(|name| {
        let why = reaches_other_keys(name).or_else(|| ambiguous(name))?;
        Some((name, why))
    }) {
        return Some(S3Error::not_implemented(name, Some(why)));
    }
    // Swift deletes the objects listed in the body, whatever else is in the request.
    let lists = head.query.parameters().any(|(name, _)| name.eq_ignore_ascii_case("delete"));
    if lists && operation != Operation::DeleteObjects && !head.method.is_safe() {
        return Some(S3Error::not_implemented("delete", Some(LISTED)));
    }
    match operation {
        // A store may ignore the parameter that it does not understand, and put the part, or delete
        // the object, under the key itself.
        Operation::UnknownWrite => multipart_parameter(head)
            .map(|(name, value)| S3Error::invalid_argument(HALF_A_MULTIPART_REQUEST, name, value)),
        Operation::RenameObject => Some(S3Error::not_implemented(RENAME_SOURCE, Some(RENAMES))),
        Operation::CreateSession => Some(S3Error::not_implemented(
            "x-amz-create-session-mode",
            Some("A session's credentials would go around this proxy"),
        )),
        Operation::UnknownBucketWrite => Some(
            S3Error::not_implemented(head.method.as_str(), None)
                .because("This request may change objects in a way that this proxy cannot guard"),
        ),
        _ => None,
    }
}

/// Why this request, with this effect at this store, cannot be served at all. `as_sent`: it is sent
/// on as its sender signed it for the store.
pub fn inadmissible_at(
    head: RequestHead<'_>,
    operation: Operation,
    effect: Effect,
    as_sent: bool,
) -> Option<S3Error> {
    let select = operation == Operation::SelectObjectContent && effect != Effect::Read;
    inadmissible(head, operation)
        .or_else(|| body_refusal(head, operation, as_sent))
        .or_else(|| body_refusal_as_sent(head, operation).filter(|_| as_sent))
        .or_else(|| select.then(|| S3Error::not_implemented("select", None).because(SELECT)))
}

const SELECT: &str = "That this store understands SelectObjectContent cannot be seen, and to one that \
                      does not it may be a write. If it does, name \"select\" in \
                      backend.subresources.";

const LISTED: &str = "A list of objects to delete is understood as POST on a bucket, with no other \
                      subresource (DeleteObjects)";

const METHODS: [Method; 6] =
    [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS];

/// A parameter that belongs to multipart uploads only.
fn multipart_parameter(head: RequestHead<'_>) -> Option<(&str, &str)> {
    head.query.parameters().find(|(name, _)| matches!(*name, "uploadId" | "partNumber"))
}

const HALF_A_MULTIPART_REQUEST: &str = "This operation on a multipart upload is not complete, or \
     says more than one thing";

/// What a header (or form field) of this name makes a store do to keys that are not in the request;
/// `None` for all ordinary names.
pub fn reaches_other_keys(name: &str) -> Option<&'static str> {
    let is = |wanted: &str| reads_as(name, wanted);
    let end = name.len().saturating_sub(SNOWBALL.len());
    if is("x-minio-force-delete") {
        // MinIO: on a bucket it deletes all its objects, on a key all keys under it.
        Some("It deletes objects that the request does not name")
    } else if name.get(end..).is_some_and(|end| reads_as(end, SNOWBALL)) {
        // MinIO, RustFS, AWS Snowball: the body is an archive, each member becomes an object.
        Some("It writes objects that the request does not name")
    } else if is("extract-archive") || is("bulk-delete") || is("multipart-manifest") {
        // Swift: an archive's members, the lines of a list, the segments that a manifest names.
        Some("It changes objects that the request does not name")
    } else if is("x-http-method-override") {
        Some("The method must be the one that the request line says")
    } else if begins_as(name, RENAME_SOURCE) {
        // A store that reads the header does not check whether the query has `renameObject` too.
        Some(RENAMES)
    } else {
        None
    }
}

const SNOWBALL: &str = "snowball-auto-extract";

/// Whether some server reads this name as the wanted one, which has lower-case letters and `-`.
pub fn reads_as(name: &str, wanted: &str) -> bool {
    name.len() == wanted.len() && begins_as(name, wanted)
}

/// Whether some server reads the beginning of this name as the wanted one.
fn begins_as(name: &str, wanted: &str) -> bool {
    let read = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let begin = name.as_bytes().get(..wanted.len());
    begin.is_some_and(|begin| begin.iter().zip(wanted.bytes()).all(|(&is, byte)| read(is) == byte))
}

const RENAMES: &str = "A rename changes two keys at once, which this proxy cannot guard";

/// Why a store may take a header of this name for another one: servers that turn headers into
/// variables treat `_` as `-` (CGI, RFC 3875 §4.1.18), so Swift copies by `x-amz-copy_source`.
/// Names of metadata are the client's choice.
pub fn ambiguous(name: &str) -> Option<&'static str> {
    // Few names have one.
    if !name.as_bytes().contains(&b'_') {
        return None;
    }
    let is_metadata =
        name.get(..METADATA.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(METADATA));
    let of_s3 = begins_as(name, "x-amz-") && !is_metadata;
    of_s3.then_some(AMBIGUOUS)
}

const METADATA: &str = "x-amz-meta-";

/// Why a name with `_` is refused.
pub const AMBIGUOUS: &str = "Some servers read the `_` in this name as `-`, and so another header";

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::http1::fields::Fields;
    use crate::s3::Query;

    fn refused(operation: Operation, header: &'static str, query: &str) -> Option<String> {
        let mut headers = Fields::new();
        headers.insert(HeaderName::from_static(header), HeaderValue::from_static("true"));
        let head = RequestHead {
            method: &Method::POST,
            path: "/buck/key",
            query: &Query::parse(query),
            headers: &headers,
        };
        let error = inadmissible(head, operation)?;
        assert_eq!((error.status().as_u16(), error.code()), (501, "NotImplemented"));
        error.field("Header").map(str::to_owned)
    }

    proptest! {
        /// The names are compared where they stand; a copy that is made alike gives the same.
        #[test]
        fn names_are_read_in_all_spellings(
            name in "(x-|X_|é)?(amz|AMZ|minio|http)?[-_]?(meta[-_])?(force[-_]delete|[a-z]{0,2}\
                     snowball[-_]auto[-_]extract|method-override|rename_source(-if)?)?|bulk_DELETE",
        ) {
            let lower = name.to_ascii_lowercase();
            let alike = lower.replace('_', "-");
            let metadata = lower.starts_with("x-amz-meta-");
            let of_s3 = lower.contains('_') && alike.starts_with("x-amz-") && !metadata;
            prop_assert_eq!(ambiguous(&name).is_some(), of_s3);
            let reaches = ["x-minio-force-delete", "bulk-delete", "x-http-method-override"]
                .contains(&alike.as_str())
                || alike.ends_with(SNOWBALL)
                || alike.starts_with(RENAME_SOURCE);
            prop_assert_eq!(reaches_other_keys(&name).is_some(), reaches);
        }
    }

    #[test]
    fn what_reaches_other_keys_is_refused_by_name() {
        for header in [
            "x-minio-force-delete",
            "x-amz-meta-snowball-auto-extract",
            "x-amz-meta-rustfs-snowball-auto-extract",
            "x-http-method-override",
            "extract-archive",
            "multipart-manifest",
            "x-amz-meta-snowball_auto_extract",
            "x-amz-rename-source",
            "x-amz-rename-source-if-match",
        ] {
            for operation in [Operation::DeleteBucket, Operation::PutObject, Operation::GetObject] {
                assert_eq!(refused(operation, header, "").as_deref(), Some(header));
            }
            assert!(
                refused(Operation::PutObject, "range", &format!("a=1&{header}=true")).is_some()
            );
        }
    }

    #[test]
    fn operations_that_cannot_be_guarded_are_refused_and_others_are_not() {
        let header = |operation| refused(operation, "range", "a=b&c");
        assert_eq!(header(Operation::RenameObject).as_deref(), Some("x-amz-rename-source"));
        assert!(header(Operation::CreateSession).is_some());
        assert!(header(Operation::UnknownBucketWrite).is_some());
        for operation in [
            Operation::AppendObject,
            Operation::UnknownWrite,
            Operation::DeleteBucket,
            Operation::PutObject,
            Operation::CopyObject,
        ] {
            assert_eq!(header(operation), None, "{operation:?}");
        }
    }

    #[test]
    fn a_name_that_some_servers_read_as_another_header_is_refused() {
        for header in ["x-amz-copy_source", "x_amz_copy_source", "x-amz_acl", "x-amz-meta_a"] {
            assert_eq!(refused(Operation::PutObject, header, "").as_deref(), Some(header));
        }
        for header in ["x-amz-meta-a_b", "x-amz-meta-a", "x-amz-acl", "content_type"] {
            assert_eq!(refused(Operation::PutObject, header, ""), None, "{header}");
        }
    }

    fn code(method: &Method, operation: Operation, query: &str) -> Option<String> {
        let head = RequestHead {
            method,
            path: "/buck/key",
            query: &Query::parse(query),
            headers: &Fields::new(),
        };
        inadmissible(head, operation).map(|error| error.code().to_owned())
    }

    #[test]
    fn a_method_that_s3_does_not_have_is_refused() {
        for method in ["PATCH", "COPY", "get", "PROPFIND", "TRACE"] {
            let method: Method = method.parse().unwrap();
            let refused = code(&method, Operation::UnknownWrite, "");
            assert_eq!(refused.as_deref(), Some("MethodNotAllowed"), "{method}");
        }
    }

    #[test]
    fn a_list_to_delete_is_nowhere_but_in_delete_objects() {
        for query in ["delete", "d%65lete=", "uploads&delete", "DELETE=1"] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                let refused = code(&method, Operation::UnknownWrite, query);
                assert_eq!(refused.as_deref(), Some("NotImplemented"), "{method} {query}");
            }
            assert_eq!(code(&Method::GET, Operation::GetObject, query), None);
        }
        assert_eq!(code(&Method::POST, Operation::DeleteObjects, "delete"), None);
    }

    #[test]
    fn half_a_multipart_request_is_not_taken_for_a_write_of_the_key() {
        for (method, query) in [
            (Method::PUT, "uploadId=u"),
            (Method::PUT, "partNumber=1"),
            (Method::PUT, "p%61rtNumber=1"),
            (Method::DELETE, "uploadId="),
        ] {
            let refused = code(&method, Operation::UnknownWrite, query);
            assert_eq!(refused.as_deref(), Some("InvalidArgument"), "{method} {query}");
        }
        assert_eq!(code(&Method::PUT, Operation::UnknownWrite, "unheard-of"), None);
        assert_eq!(code(&Method::PUT, Operation::UploadPart, "partNumber=1&uploadId=u"), None);
    }
}

//! What a request asks for beside its key and its body. Each header `x-amz-…` of a write is one that its
//! operation honours, one that changes nothing here, or is refused with AWS's 501: what would not be
//! done is never answered as if it were. A read is refused where a client's key is to decrypt; what
//! else nobody knows changes nothing of it. `s3s` reads the headers that it knows, and drops the others.

use std::borrow::Cow;

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, Method};
use s3s::access::{S3Access, S3AccessContext};
use s3s::{S3Result, s3_error};

use super::store::{has_operation, not_implemented};
use crate::s3::encoding::decode_query;

/// Refuses a request that asks for what would not be done.
#[derive(Debug)]
pub(super) struct Understood {
    /// Whether the store ignores conditions on purpose.
    pub(super) ignores_conditions: bool,
}

#[async_trait::async_trait]
impl S3Access for Understood {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        let operation = request.s3_op().name();
        if !has_operation(operation) {
            // Said first: it is not one of its headers that is missing here.
            return Err(s3_error!(NotImplemented, "{operation} is not implemented by this store"));
        }
        let query = request.uri().query().unwrap_or_default();
        check_parameters(operation, request.method(), query)?;
        if !self.ignores_conditions {
            check_conditions(operation, request.method(), request.headers())?;
        }
        check_headers(operation, request.method(), request.headers())
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

// === parameters ===

/// The names of a query's parameters, decoded.
pub(super) fn names(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    query.split('&').map(|pair| {
        let name = pair.split('=').next().unwrap_or(pair);
        let decoded = name.contains(['%', '+']).then(|| decode_query(name)).flatten();
        decoded.map_or(Cow::Borrowed(name), Cow::Owned)
    })
}

/// Refuses a subresource that `s3s` does not know: it takes a request for the operation without one,
/// `PUT /bucket/key?renameObject` for a PutObject. And refuses what names a part or a version where a
/// write has none. Other parameters mean nothing, as at AWS.
fn check_parameters(operation: &str, method: &Method, query: &str) -> S3Result<()> {
    let unknown = |name: &Cow<'_, str>| SUBRESOURCES.contains(&name.as_ref());
    if let Some(name) = names(query).find(unknown).filter(|_| TAKE_ALL.contains(&operation)) {
        return Err(s3_error!(
            NotImplemented,
            "A parameter you provided implies functionality that is not implemented: {name}"
        ));
    }
    if reads(method) {
        return Ok(());
    }
    let has = |name| names(query).any(|given| given == name);
    if has("versionId") && !OF_VERSIONS.contains(&operation) {
        return Err(s3_error!(InvalidArgument, "This operation does not accept a version-id."));
    }
    if has("partNumber") && !OF_PARTS.contains(&operation) {
        return Err(s3_error!(
            InvalidArgument,
            "This operation does not accept a partNumber without an uploadId."
        ));
    }
    Ok(())
}

/// The writes that may name a version.
const OF_VERSIONS: [&str; 3] = ["DeleteObject", "DeleteObjectTagging", "PutObjectTagging"];
/// The writes that name a part.
const OF_PARTS: [&str; 2] = ["UploadPart", "UploadPartCopy"];

/// The operations for which `s3s` takes a request with an unknown subresource.
const TAKE_ALL: [&str; 10] = [
    "PutObject",
    "CopyObject",
    "GetObject",
    "HeadObject",
    "DeleteObject",
    "CreateBucket",
    "DeleteBucket",
    "HeadBucket",
    "ListObjects",
    "ListBuckets",
];

/// The subresources of AWS that choose an operation; `append`, which is Ceph's; and `bucket-region`,
/// a filter of ListBuckets that is not applied.
pub(super) const SUBRESOURCES: &[&str] = &[
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "append",
    "attributes",
    "bucket-region",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versioning",
    "versions",
    "website",
];

// === headers ===

/// Refuses a condition on a write that has none, as the proxy does: a delete with `If-None-Match`, tags
/// with `If-Match`. Beginning and filling an upload changes no object, and some clients send the
/// condition of the complete with these too.
fn check_conditions(operation: &str, method: &Method, headers: &HeaderMap) -> S3Result<()> {
    let honoured: &[HeaderName] = match operation {
        "PutObject" | "CopyObject" | "CompleteMultipartUpload" => &[IF_MATCH, IF_NONE_MATCH],
        "DeleteObject" => &[IF_MATCH],
        "CreateMultipartUpload" | "UploadPart" | "UploadPartCopy" => return Ok(()),
        _ => &[],
    };
    if reads(method) {
        return Ok(());
    }
    let is_given = |name: &&HeaderName| headers.get(*name).is_some_and(|value| !value.is_empty());
    match [IF_MATCH, IF_NONE_MATCH].iter().filter(is_given).find(|name| !honoured.contains(name)) {
        Some(name) => Err(not_implemented(name.as_str())),
        None => Ok(()),
    }
}

fn check_headers(operation: &str, method: &Method, headers: &HeaderMap) -> S3Result<()> {
    for (name, value) in headers {
        let name = name.as_str();
        if name == "content-md5" && value.is_empty() {
            return Err(s3_error!(InvalidDigest, "The Content-MD5 you specified was invalid."));
        }
        let Some(rest) = name.strip_prefix("x-amz-") else { continue };
        let is_honoured = OF_ANY.contains(&rest)
            || reads(method) && !rest.starts_with("server-side-encryption")
            || rest.starts_with("meta-")
            || of(operation).iter().any(|honoured| honoured.contains(&rest));
        let changes_nothing = || {
            let mut known = CHANGE_NOTHING.iter().filter(|(known, _)| *known == rest);
            known.any(|(_, values)| values.iter().any(|known| value == known))
        };
        if !is_honoured && !changes_nothing() {
            return Err(not_implemented(name));
        }
        // `s3s` takes an empty header for none.
        if SUMS.contains(&rest) && value.is_empty() {
            return Err(s3_error!(InvalidRequest, "Value for {name} header is invalid."));
        }
    }
    Ok(())
}

/// The headers that any request may have, without `x-amz-`.
const OF_ANY: [&str; 13] = [
    // These belong to the signature and the framing of the body, which are read before.
    "content-sha256",
    "date",
    "decoded-content-length",
    "security-token",
    "trailer",
    // What is declared of a body, and the owner of a bucket, are compared.
    "sdk-checksum-algorithm",
    "expected-bucket-owner",
    // Nobody pays, no retention is there to be bypassed, and nothing is ever restored.
    "request-payer",
    "bypass-governance-retention",
    "optional-object-attributes",
    // The name and version of a client, and of what stands before it.
    "api-version",
    "cf-id",
    "user-agent",
];

/// Values of headers that ask for what is so anyway.
const CHANGE_NOTHING: [(&str, &[&str]); 6] = [
    ("acl", &["private", "bucket-owner-full-control", "bucket-owner-read"]),
    ("bucket-object-lock-enabled", &["false", "False"]),
    ("object-ownership", &["BucketOwnerEnforced"]),
    ("bucket-namespace", &["global"]),
    ("object-annotation-directive", &["COPY", "EXCLUDE"]),
    ("checksum-type", &["FULL_OBJECT"]),
];

/// The checksums that are compared.
const SUMS: [&str; 5] =
    ["checksum-crc32", "checksum-crc32c", "checksum-crc64nvme", "checksum-sha1", "checksum-sha256"];
const ALGORITHM: &[&str] = &["checksum-algorithm"];
const DESCRIPTION: &[&str] = &["storage-class", "tagging", "website-redirect-location"];
const SOURCE: &[&str] = &[
    "copy-source",
    "copy-source-if-match",
    "copy-source-if-modified-since",
    "copy-source-if-none-match",
    "copy-source-if-unmodified-since",
    "source-expected-bucket-owner",
];

/// The headers that an operation honours, without `x-amz-`.
fn of(operation: &str) -> &'static [&'static [&'static str]] {
    match operation {
        "PutObject" => &[&SUMS, ALGORITHM, DESCRIPTION],
        "CreateMultipartUpload" => &[ALGORITHM, &["checksum-type"], DESCRIPTION],
        "CopyObject" => {
            &[ALGORITHM, DESCRIPTION, SOURCE, &["metadata-directive", "tagging-directive"]]
        }
        "UploadPart" => &[&SUMS, ALGORITHM],
        "UploadPartCopy" => &[SOURCE, &["copy-source-range"]],
        "CompleteMultipartUpload" => &[&SUMS, &["checksum-type", "mp-object-size"]],
        "GetObject" | "HeadObject" => &[&["checksum-mode"]],
        "GetObjectAttributes" => &[&["max-parts", "part-number-marker", "object-attributes"]],
        // Its conditions on size and time are for other buckets: the store says so.
        "DeleteObject" => &[&["if-match-size", "if-match-last-modified-time"]],
        "CreateBucket"
        | "DeleteObjects"
        | "PutBucketCors"
        | "PutBucketTagging"
        | "PutBucketVersioning"
        | "PutObjectTagging" => &[&SUMS],
        _ => &[],
    }
}

// === documents ===

/// Refuses a document with an element that `s3s` would drop.
pub(super) fn check_elements(document: &[u8]) -> S3Result<()> {
    let has = |name: &str| {
        let start = format!("<{name}");
        memchr::memmem::find_iter(document, &start).any(|at| {
            let behind = document.get(at + start.len());
            behind.is_none_or(|byte| !byte.is_ascii_alphanumeric())
        })
    };
    match DROPPED.iter().find(|name| has(name)) {
        Some(name) => Err(s3_error!(
            NotImplemented,
            "An element you provided implies functionality that is not implemented: {name}"
        )),
        None => Ok(()),
    }
}

/// Of a complete's parts, and of a new bucket. No other document has elements of these names, and a
/// key has no `<`.
const DROPPED: [&str; 8] = [
    "ChecksumMD5",
    "ChecksumSHA512",
    "ChecksumXXHASH64",
    "ChecksumXXHASH3",
    "ChecksumXXHASH128",
    "Tags",
    "Location",
    "Bucket",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(operation: &str, name: &'static str, value: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let method = if operation == "GetObject" { Method::GET } else { Method::PUT };
        let refused = check_headers(operation, &method, &headers).err()?;
        Some(refused.code().as_str().to_owned())
    }

    #[test]
    fn a_header_is_honoured_by_its_own_operations_or_refused() {
        for (operation, name, value, code) in [
            ("PutObject", "x-amz-checksum-sha256", "x", None),
            ("PutObject", "x-amz-checksum-sha512", "x", Some("NotImplemented")),
            ("PutObject", "x-amz-checksum-sha256", "", Some("InvalidRequest")),
            ("PutObject", "content-md5", "", Some("InvalidDigest")),
            ("PutObject", "x-amz-mp-object-size", "1", Some("NotImplemented")),
            ("PutObject", "x-amz-meta-anything", "", None),
            ("PutObject", "x-amz-acl", "private", None),
            ("PutObject", "x-amz-acl", "public-read", Some("NotImplemented")),
            ("CopyObject", "x-amz-copy-source", "b/k", None),
            ("PutObject", "x-amz-never-heard-of", "1", Some("NotImplemented")),
            ("PutObject", "x-amz-api-version", "2006-03-01", None),
            ("PutObject", "x-custom", "1", None),
            ("GetObject", "x-amz-never-heard-of", "1", None),
            (
                "GetObject",
                "x-amz-server-side-encryption-customer-key-md5",
                "1",
                Some("NotImplemented"),
            ),
        ] {
            assert_eq!(refused(operation, name, value).as_deref(), code, "{operation} {name}");
        }
    }

    #[test]
    fn a_condition_is_honoured_or_refused_and_never_dropped() {
        let check = |operation, method: Method, name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static(name),
                http::HeaderValue::from_static(value),
            )]);
            check_conditions(operation, &method, &headers).is_ok()
        };
        for operation in ["PutObject", "CopyObject", "CompleteMultipartUpload", "UploadPart"] {
            assert!(check(operation, Method::PUT, "if-none-match", "*"), "{operation}");
        }
        assert!(check("DeleteObject", Method::DELETE, "if-match", "*"));
        assert!(!check("DeleteObject", Method::DELETE, "if-none-match", "*"));
        assert!(check("DeleteObject", Method::DELETE, "if-none-match", ""));
        assert!(!check("PutObjectTagging", Method::PUT, "if-match", "*"));
        assert!(check("GetObject", Method::GET, "if-match", "*"));
    }

    #[test]
    fn a_write_names_a_part_or_a_version_only_where_it_has_one() {
        let check = |operation, method, query| check_parameters(operation, &method, query).is_ok();
        assert!(check("DeleteObject", Method::DELETE, "versionId=x"));
        assert!(check("GetObject", Method::GET, "versionId=x&partNumber=1"));
        assert!(check("UploadPart", Method::PUT, "partNumber=1&uploadId=x"));
        assert!(check("PutObject", Method::PUT, "x-id=PutObject&part=1"));
        for query in ["versionId=x", "partNumber=1", "versionId", "%76ersionId=x", "renameObject"] {
            assert!(!check("PutObject", Method::PUT, query), "{query}");
        }
    }

    #[test]
    fn an_element_is_found_by_its_whole_name() {
        assert!(check_elements(b"<Part><ChecksumSHA256>x</ChecksumSHA256></Part>").is_ok());
        assert!(check_elements(b"<A><LocationConstraint>x</LocationConstraint></A>").is_ok());
        assert!(check_elements(b"<A><Location><Name>x</Name></Location></A>").is_err());
        assert!(check_elements(b"<Part><ChecksumMD5 >x</ChecksumMD5></Part>").is_err());
    }
}

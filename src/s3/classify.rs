//! Classification: finds the operation of a request by method, subresource and headers.

use http::Method;

use super::configuration::{CONFIGURATIONS, Reach, reach};
use super::head::RequestHead;
use super::media::Media;
use super::operation::Operation;
use super::target::Target;

/// The operation of a request. Total: a request that may change something and matches no operation
/// is [`Operation::UnknownWrite`] or [`Operation::UnknownBucketWrite`]. So is one that matches two
/// operations, since the store may then choose another one than the proxy.
pub fn classify(head: RequestHead<'_>, target: &Target) -> Operation {
    #[cfg(test)]
    crate::readings::count("operation");
    if *head.method == Method::OPTIONS {
        return Operation::Preflight;
    }
    let query = Subresources::of(head, target);
    match target {
        Target::Service => match *head.method {
            // AWS: the query APIs of IAM and STS, which some stores serve beside S3.
            Method::GET if query.action => Operation::UnknownBucketWrite,
            Method::GET => Operation::ListBuckets,
            Method::HEAD => Operation::BucketRead,
            _ => Operation::UnknownBucketWrite,
        },
        Target::Bucket(_) => bucket_operation(head, &query),
        Target::Object(_) => object_operation(head, &query),
    }
}

fn bucket_operation(head: RequestHead<'_>, query: &Subresources) -> Operation {
    use Operation as Op;
    match (head.method, query.only()) {
        (&Method::GET, _) => bucket_read(head, query),
        (&Method::HEAD, _) => Op::HeadBucket,
        (&Method::PUT, Some("")) if grants_access(head) => Op::ConfigureBucket("acl"),
        (&Method::PUT, Some("")) => Op::CreateBucket,
        (&Method::DELETE, Some("")) => Op::DeleteBucket,
        (&Method::PUT | &Method::DELETE, Some(name)) => configuration(name),
        (&Method::POST, Some("delete")) => Op::DeleteObjects,
        (&Method::POST, Some("")) if Media::of(head) == Media::Form => Op::PostObject,
        (&Method::POST, Some(name @ ("metadataConfiguration" | "metadataTable"))) => {
            configuration(name)
        }
        _ => Op::UnknownBucketWrite,
    }
}

fn configuration(name: &'static str) -> Operation {
    match reach(name) {
        None => Operation::UnknownBucketWrite,
        Some(Reach::Nothing) => Operation::BucketWrite,
        Some(Reach::ThisBucket | Reach::OtherBuckets) => Operation::ConfigureBucket(name),
    }
}

/// Whether a bucket is created with an access control list of its own (AWS: CreateBucket).
fn grants_access(head: RequestHead<'_>) -> bool {
    let grants = |name: &str, value: &[u8]| match name {
        "x-amz-acl" => !value.trim_ascii().eq_ignore_ascii_case(b"private"),
        name => name.starts_with("x-amz-grant-"),
    };
    let mut headers = head.headers.iter();
    let mut parameters =
        head.query.parameters().map(|(name, value)| (name.to_ascii_lowercase(), value));
    headers.any(|(name, value)| grants(name.as_str(), value.as_bytes()))
        || parameters.any(|(name, value)| grants(&name, value.as_bytes()))
}

fn bucket_read(head: RequestHead<'_>, query: &Subresources) -> Operation {
    use Operation as Op;
    match query.names.first() {
        _ if query.has("session") => Op::CreateSession,
        Some(&"location") => Op::GetBucketLocation,
        Some(&"versions") => Op::ListObjectVersions,
        Some(&"uploads") => Op::ListMultipartUploads,
        Some(_) => Op::BucketRead,
        None if head.query.get("list-type") == Some("2") => Op::ListObjectsV2,
        None => Op::ListObjects,
    }
}

fn object_operation(head: RequestHead<'_>, query: &Subresources) -> Operation {
    use Operation as Op;
    // A header that names the source of the content belongs to these operations only: beside a
    // subresource, the store chooses which of the two it follows.
    let chosen = head.headers.contains_key(COPY_SOURCE) || head.headers.contains_key(WRITE_OFFSET);
    let operation = match *head.method {
        Method::GET => return object_read(query),
        Method::HEAD => return Op::HeadObject,
        Method::PUT => object_put(head, query),
        Method::DELETE => object_delete(query),
        Method::POST => object_post(query),
        _ => Op::UnknownWrite,
    };
    match operation {
        Op::CopyObject | Op::UploadPartCopy | Op::AppendObject | Op::RenameObject => operation,
        _ if chosen => Op::UnknownWrite,
        _ => operation,
    }
}

/// The first match: for reads it does not matter which one the store chooses.
fn object_read(query: &Subresources) -> Operation {
    use Operation as Op;
    [
        ("uploadId", Op::ListParts),
        ("attributes", Op::GetObjectAttributes),
        ("acl", Op::GetObjectAcl),
        ("annotation", Op::GetObjectAnnotation),
        ("legal-hold", Op::GetObjectLegalHold),
        ("retention", Op::GetObjectRetention),
        ("tagging", Op::GetObjectTagging),
        ("torrent", Op::GetObjectTorrent),
    ]
    .into_iter()
    .find(|(name, _)| query.has(name))
    .map_or(Op::GetObject, |(_, operation)| operation)
}

fn object_put(head: RequestHead<'_>, query: &Subresources) -> Operation {
    use Operation as Op;
    let copies = head.headers.contains_key(COPY_SOURCE);
    let appends = head.headers.contains_key(WRITE_OFFSET);
    match (query.only(), query.part_number, query.version_id) {
        (Some("uploadId"), Some(true), None) if query.upload_id_filled && copies && !appends => {
            Op::UploadPartCopy
        }
        (Some("uploadId"), Some(true), None) if query.upload_id_filled => Op::UploadPart,
        (Some("acl"), None, _) => Op::PutObjectAcl,
        (Some("annotation"), None, _) => Op::PutObjectAnnotation,
        (Some("encryption"), None, _) => Op::UpdateObjectEncryption,
        (Some("legal-hold"), None, _) => Op::PutObjectLegalHold,
        (Some("retention"), None, _) => Op::PutObjectRetention,
        (Some("tagging"), None, _) => Op::PutObjectTagging,
        (Some("renameObject"), None, None) => Op::RenameObject,
        (Some("append"), None, None) => Op::AppendObject,
        (Some(""), None, None) if appends && !copies => Op::AppendObject,
        (Some(""), None, None) if copies && !appends => Op::CopyObject,
        (Some(""), None, None) if !appends => Op::PutObject,
        _ => Op::UnknownWrite,
    }
}

fn object_delete(query: &Subresources) -> Operation {
    use Operation as Op;
    match (query.only(), query.part_number, query.version_id) {
        (Some(""), None, None) => Op::DeleteObject,
        (Some(""), None, Some(_)) => Op::DeleteObjectVersion,
        (Some("uploadId"), None, None) if query.upload_id_filled => Op::AbortMultipartUpload,
        (Some("tagging"), None, _) => Op::DeleteObjectTagging,
        (Some("annotation"), None, _) => Op::DeleteObjectAnnotation,
        _ => Op::UnknownWrite,
    }
}

fn object_post(query: &Subresources) -> Operation {
    use Operation as Op;
    match (query.only(), query.part_number, query.version_id) {
        (Some("uploads"), None, None) => Op::CreateMultipartUpload,
        (Some("uploadId"), None, None) if query.upload_id_filled => Op::CompleteMultipartUpload,
        (Some("restore"), None, _) => Op::RestoreObject,
        (Some("select"), None, _) => Op::SelectObjectContent,
        (Some("append"), None, None) => Op::AppendObject,
        _ => Op::UnknownWrite,
    }
}

/// The subresources in a query. Names are decoded: `?upload%49d` is `uploadId` to the store.
struct Subresources {
    /// Subresources known for this kind of target.
    names: Vec<&'static str>,
    /// A parameter is unknown, and so may have any meaning.
    unknown: bool,
    upload_id_filled: bool,
    /// `Action`, of the query APIs.
    action: bool,
    /// `Some(true)` when it has a value: stores differ over an empty one.
    part_number: Option<bool>,
    version_id: Option<bool>,
}

impl Subresources {
    fn of(head: RequestHead<'_>, target: &Target) -> Self {
        let modifiers = match target {
            Target::Object(_) => OBJECT_MODIFIERS,
            Target::Service | Target::Bucket(_) => BUCKET_MODIFIERS,
        };
        let mut found = Self {
            names: Vec::new(),
            unknown: false,
            upload_id_filled: false,
            action: false,
            part_number: None,
            version_id: None,
        };
        for (name, value) in head.query.parameters() {
            if let Some(known) = subresource(target, name) {
                found.names.push(known);
                found.upload_id_filled |= known == "uploadId" && !value.is_empty();
            } else if name == "partNumber" {
                found.unknown |= found.part_number.is_some();
                found.part_number = Some(!value.is_empty());
            } else if name == "versionId" {
                found.unknown |= found.version_id.is_some();
                found.version_id = Some(!value.is_empty());
            } else if !modifiers.contains(&name) && !is_silent(name) {
                found.unknown = true;
                found.action |= name.eq_ignore_ascii_case("action");
            }
        }
        found
    }

    /// The only subresource, empty when there is none; `None` when the query is not understood.
    fn only(&self) -> Option<&'static str> {
        match self.names.as_slice() {
            _ if self.unknown => None,
            [] => Some(""),
            [name] => Some(name),
            _ => None,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name)
    }
}

/// Parameters that choose no operation: signatures in a query, and those that begin with `x-`,
/// which AWS ignores but logs (`x-id` comes from SDKs). Not those that a presigned URL may carry in
/// place of a header that turns a PUT into another operation.
fn is_silent(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let choosing = [COPY_SOURCE, WRITE_OFFSET, RENAME_SOURCE];
    (name.starts_with("x-") && !choosing.contains(&name.as_str()))
        || matches!(name.as_str(), "awsaccesskeyid" | "signature" | "expires")
}

/// Whether a query parameter of this name chooses an operation, on an object or a bucket.
pub fn is_subresource(name: &str) -> bool {
    OBJECT_SUBRESOURCES.contains(&name)
        || BUCKET_SUBRESOURCES.contains(&name)
        || CONFIGURATIONS.iter().any(|(known, _)| *known == name)
}

/// The subresource of this name, for this kind of target.
fn subresource(target: &Target, name: &str) -> Option<&'static str> {
    let known = |known: &[&'static str]| known.iter().copied().find(|known| *known == name);
    match target {
        Target::Object(_) => known(OBJECT_SUBRESOURCES),
        Target::Service | Target::Bucket(_) => {
            let configured = CONFIGURATIONS.iter().map(|(known, _)| *known);
            configured
                .into_iter()
                .find(|known| *known == name)
                .or_else(|| known(BUCKET_SUBRESOURCES))
        }
    }
}

const COPY_SOURCE: &str = "x-amz-copy-source";
const WRITE_OFFSET: &str = "x-amz-write-offset-bytes";
/// The header of RenameObject.
pub(super) const RENAME_SOURCE: &str = "x-amz-rename-source";

/// `append` is no subresource of AWS but of Ceph and OSS.
const OBJECT_SUBRESOURCES: &[&str] = &[
    "acl",
    "annotation",
    "append",
    "attributes",
    "encryption",
    "legal-hold",
    "renameObject",
    "restore",
    "retention",
    "select",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
];

/// Parameters of a subresource that choose no operation themselves.
const OBJECT_MODIFIERS: &[&str] = &["annotationName", "position", "select-type"];

const BUCKET_SUBRESOURCES: &[&str] =
    &["delete", "location", "policyStatus", "session", "uploads", "versions"];

/// `id` names one of several analytics, inventory or metrics configurations.
const BUCKET_MODIFIERS: &[&str] = &["id"];

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;
    use crate::s3::Query;
    use crate::s3::operation::Effect;
    use crate::s3::target::Naming;

    fn operation(line: &str) -> Operation {
        let mut words = line.split_whitespace();
        let method: Method = words.next().unwrap().parse().unwrap();
        let (path, query) =
            words.next().map(|uri| uri.split_once('?').unwrap_or((uri, ""))).unwrap();
        let mut headers = HeaderMap::new();
        for header in words {
            let (name, value) = header.split_once(':').unwrap();
            headers
                .insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let head =
            RequestHead { method: &method, path, query: &Query::parse(query), headers: &headers };
        classify(head, &Target::parse(head, &Naming::default()).unwrap())
    }

    #[test]
    fn every_operation_is_known_by_what_aws_documents() {
        use Operation as Op;
        for (line, expected) in [
            ("GET /", Op::ListBuckets),
            ("GET /?x-id=ListBuckets&max-buckets=3", Op::ListBuckets),
            ("HEAD /", Op::BucketRead),
            ("GET /buck", Op::ListObjects),
            ("GET /buck?prefix=a&delimiter=/", Op::ListObjects),
            ("GET /buck/?list-type=2&prefix=a", Op::ListObjectsV2),
            ("GET /buck?versions&prefix=", Op::ListObjectVersions),
            ("GET /buck?uploads", Op::ListMultipartUploads),
            ("GET /buck?location", Op::GetBucketLocation),
            ("GET /buck?session", Op::CreateSession),
            ("GET /buck?policyStatus", Op::BucketRead),
            ("GET /buck?inventory&id=1", Op::BucketRead),
            ("HEAD /buck", Op::HeadBucket),
            ("PUT /buck", Op::CreateBucket),
            ("PUT /buck?versioning", Op::BucketWrite),
            ("PUT /buck?metrics&id=1", Op::BucketWrite),
            ("DELETE /buck", Op::DeleteBucket),
            ("DELETE /buck?lifecycle=", Op::ConfigureBucket("lifecycle")),
            ("POST /buck?delete", Op::DeleteObjects),
            ("POST /buck/?delete=&x-id=DeleteObjects", Op::DeleteObjects),
            ("POST /buck content-type:multipart/form-data;boundary=x", Op::PostObject),
            ("POST /buck?metadataTable", Op::ConfigureBucket("metadataTable")),
            ("PUT /buck x-amz-acl:private", Op::CreateBucket),
            ("PUT /buck x-amz-acl:public-read-write", Op::ConfigureBucket("acl")),
            ("PUT /buck x-amz-grant-write:id=1", Op::ConfigureBucket("acl")),
            ("OPTIONS /buck/key", Op::Preflight),
            ("GET /buck/key", Op::GetObject),
            ("GET /buck/key?versionId=1&partNumber=2&response-expires=x", Op::GetObject),
            ("GET /buck/key?acl", Op::GetObjectAcl),
            ("GET /buck/key?annotation&annotationName=a", Op::GetObjectAnnotation),
            ("GET /buck/key?attributes&versionId=2", Op::GetObjectAttributes),
            ("GET /buck/key?legal-hold", Op::GetObjectLegalHold),
            ("GET /buck/key?retention", Op::GetObjectRetention),
            ("GET /buck/key?tagging", Op::GetObjectTagging),
            ("GET /buck/key?torrent", Op::GetObjectTorrent),
            ("GET /buck/key?uploadId=u&max-parts=1", Op::ListParts),
            ("HEAD /buck/key?versionId=1", Op::HeadObject),
            ("PUT /buck/key", Op::PutObject),
            ("PUT /buck/key?x-id=PutObject", Op::PutObject),
            ("PUT /buck/key?X-Amz-Algorithm=a&X-Amz-Signature=b&x-amz-acl=c", Op::PutObject),
            ("PUT /buck/key?AWSAccessKeyId=a&Signature=b&Expires=1", Op::PutObject),
            ("PUT /buck/key x-amz-copy-source:/a/b", Op::CopyObject),
            ("PUT /buck/key x-amz-write-offset-bytes:3", Op::AppendObject),
            ("PUT /buck/key?append&position=0", Op::AppendObject),
            ("PUT /buck/key?partNumber=1&uploadId=u", Op::UploadPart),
            ("PUT /buck/key?upload%49d=u&partNumber=1", Op::UploadPart),
            ("PUT /buck/key?partNumber=1&uploadId=u x-amz-copy-source:/a/b", Op::UploadPartCopy),
            ("PUT /buck/key?acl", Op::PutObjectAcl),
            ("PUT /buck/key?tagging&versionId=1", Op::PutObjectTagging),
            ("PUT /buck/key?legal-hold", Op::PutObjectLegalHold),
            ("PUT /buck/key?retention", Op::PutObjectRetention),
            ("PUT /buck/key?encryption", Op::UpdateObjectEncryption),
            ("PUT /buck/key?annotation&annotationName=a", Op::PutObjectAnnotation),
            ("PUT /buck/key?renameObject x-amz-rename-source:/a", Op::RenameObject),
            ("DELETE /buck/key", Op::DeleteObject),
            ("DELETE /buck/key?x-id=DeleteObject", Op::DeleteObject),
            ("DELETE /buck/key?versionId=1", Op::DeleteObjectVersion),
            ("DELETE /buck/key?versionId=", Op::DeleteObjectVersion),
            ("DELETE /buck/key?uploadId=u", Op::AbortMultipartUpload),
            ("DELETE /buck/key?tagging", Op::DeleteObjectTagging),
            ("DELETE /buck/key?annotation&annotationName=a", Op::DeleteObjectAnnotation),
            ("POST /buck/key?uploads", Op::CreateMultipartUpload),
            ("POST /buck/key?uploadId=u", Op::CompleteMultipartUpload),
            ("POST /buck/key?restore&versionId=1", Op::RestoreObject),
            ("POST /buck/key?select&select-type=2", Op::SelectObjectContent),
        ] {
            assert_eq!(operation(line), expected, "{line}");
        }
    }

    #[test]
    fn a_write_that_a_store_could_read_in_another_way_is_unknown() {
        for line in [
            "PUT /buck/key?foo",
            "PUT /buck/key?Tagging",
            "PUT /buck/key?%zz",
            "PUT /buck/key?tagging&acl",
            "PUT /buck/key?tagging&tagging",
            "PUT /buck/key?uploadId=u",
            "PUT /buck/key?partNumber=1",
            "PUT /buck/key?uploadId=&partNumber=1",
            "PUT /buck/key?uploadId=u&partNumber=",
            "PUT /buck/key?uploadId=u&partNumber=1&append&position=0",
            "PUT /buck/key?uploadId=u&partNumber=1&foo",
            "PUT /buck/key?versionId=1",
            "PUT /buck/key?uploadId=u&partNumber=&partNumber=1",
            "DELETE /buck/key?versionId=1&versionId=2",
            "PUT /buck/key?x-amz-copy-source=/a/b",
            "PUT /buck/key?X-Amz-Write-Offset-Bytes=1",
            "PUT /buck/key x-amz-copy-source:/a x-amz-write-offset-bytes:1",
            "PUT /buck/key?tagging x-amz-copy-source:/a/b",
            "PUT /buck/key?acl x-amz-write-offset-bytes:1",
            "PUT /buck/key?uploadId=u&partNumber=1 x-amz-write-offset-bytes:1",
            "DELETE /buck/key?uploadId=u x-amz-copy-source:/a/b",
            "POST /buck/key?uploads x-amz-copy-source:/a/b",
            "PUT /buck/key?uploads",
            "DELETE /buck/key?uploadId=",
            "DELETE /buck/key?foo",
            "DELETE /buck/key?acl",
            "DELETE /buck/key?tagging&uploadId=u",
            "POST /buck/key",
            "POST /buck/key?uploadId=",
            "POST /buck/key?uploads&uploadId=u",
            "POST /buck/key content-type:multipart/form-data;boundary=x",
            "PATCH /buck/key",
            "put /buck/key",
        ] {
            assert_eq!(operation(line), Operation::UnknownWrite, "{line}");
        }
        for line in [
            "POST /",
            "PUT /",
            "POST /buck",
            "POST /buck?foo content-type:multipart/form-data;boundary=x",
            "POST /buck?delete&foo",
            "PUT /buck?replication-reset",
            "DELETE /buck?foo",
            "PATCH /buck",
            "GET /?Action=CreateUser&UserName=a",
            "POST /buck content-type:multipart/mixed;boundary=x",
            "POST /buck?metadataTable&key=k",
        ] {
            assert_eq!(operation(line), Operation::UnknownBucketWrite, "{line}");
        }
    }

    proptest! {
        #[test]
        fn only_safe_methods_of_objects_are_reads_whatever_the_query(
            method in "(GET|HEAD|PUT|POST|DELETE|PATCH)",
            query in "[a-zA-Z%&=+-]{0,30}",
        ) {
            let found = operation(&format!("{method} /buck/key?{query}"));
            let safe = matches!(method.as_str(), "GET" | "HEAD");
            prop_assert_eq!(found.effect() == Effect::Read, safe);
        }
    }
}

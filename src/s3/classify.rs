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
#[path = "classify_tests.rs"]
mod tests;

//! Checks of arguments: parameters and headers that AWS documents as errors, whatever the key's
//! state. A store may answer such a request with an error of its own that leaves unknown whether it
//! has written; refused here, the request certainly has no effect.
//!
//! Values that stores define themselves (storage classes) are passed on if they are words.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, header};
use md5::{Digest, Md5};

use super::code::Code;
use super::completion::{PART_NUMBER, PARTS_MAX};
use super::decimal::decimal;
use super::error::S3Error;
use super::head::RequestHead;
use super::operation::Operation;
use super::schema::parse_date;
use super::tagging;

/// Judges the arguments of a request. Errors: AWS's for the first that is wrong.
pub fn check_arguments(head: RequestHead<'_>, operation: Operation) -> Result<(), S3Error> {
    part_number(head)?;
    ids(head)?;
    match operation {
        Operation::UploadPartCopy => {
            copy_range(head)?;
            customer_key(head)
        }
        Operation::UploadPart => customer_key(head),
        Operation::GetObject | Operation::HeadObject => part_or_range(head),
        Operation::ListBuckets
        | Operation::ListMultipartUploads
        | Operation::ListObjects
        | Operation::ListObjectsV2
        | Operation::ListObjectVersions
        | Operation::ListParts => listing(head),
        Operation::CompleteMultipartUpload => object_size(head),
        Operation::PutObject | Operation::CopyObject | Operation::CreateMultipartUpload => {
            if operation == Operation::CopyObject {
                directives(head)?;
            }
            words(head)?;
            grants(head)?;
            redirect(head)?;
            metadata(head)?;
            encryption(head)?;
            customer_key(head)?;
            object_lock(head)?;
            tagging(head)
        }
        Operation::CreateBucket | Operation::PutObjectAcl | Operation::ConfigureBucket("acl") => {
            words(head)?;
            grants(head)
        }
        _ => Ok(()),
    }
}

// === parameters ===

/// AWS: UploadPart, UploadPartCopy, GetObject.
fn part_number(head: RequestHead<'_>) -> Result<(), S3Error> {
    for value in head.query.get_all_literally("partNumber") {
        if !decimal(&value).is_some_and(|number| (1..=PARTS_MAX).contains(&number)) {
            return Err(S3Error::invalid_argument(PART_NUMBER, "partNumber", value));
        }
    }
    Ok(())
}

/// AWS: GetObject, HeadObject.
fn part_or_range(head: RequestHead<'_>) -> Result<(), S3Error> {
    if head.headers.contains_key(header::RANGE) && head.query.has("partNumber") {
        return Err(S3Error::new(Code::InvalidRequest).because(PART_AND_RANGE));
    }
    Ok(())
}

/// AWS: ListObjectsV2 and similar. A parameter without a value has no meaning.
fn listing(head: RequestHead<'_>) -> Result<(), S3Error> {
    for name in ["max-buckets", "max-keys", "max-parts", "max-uploads", "part-number-marker"] {
        for value in head.query.get_all_literally(name).filter(|value| !value.is_empty()) {
            if decimal::<i32>(&value).is_none() {
                let message = format!("Provided {name} not an integer or within integer range");
                return Err(S3Error::invalid_argument(message, name, value));
            }
        }
    }
    match head.query.get_all_literally(ENCODING_TYPE).find(|value| !matches!(&**value, "" | "url"))
    {
        Some(other) => Err(S3Error::invalid_argument(ENCODING_UNKNOWN, ENCODING_TYPE, other)),
        None => Ok(()),
    }
}

/// Ids are defined by the store; none contains blanks, characters beyond ASCII, or path steps.
fn ids(head: RequestHead<'_>) -> Result<(), S3Error> {
    if head.query.get_all_literally("uploadId").any(|id| !id.is_empty() && !is_id(&id)) {
        return Err(S3Error::new(Code::NoSuchUpload));
    }
    match head.query.get_all_literally("versionId").find(|id| !is_id(id)) {
        Some(id) => Err(invalid_version(&id)),
        None => Ok(()),
    }
}

/// AWS's answer to an invalid version id.
pub fn invalid_version(id: &str) -> S3Error {
    let message = if id.is_empty() { EMPTY_VERSION } else { "Invalid version id specified" };
    S3Error::invalid_argument(message, "versionId", id)
}

/// Whether a store may have given this id to an upload or a version.
pub(super) fn is_id(id: &str) -> bool {
    let stepping = id.split(['/', '\\']).any(|step| matches!(step, "." | ".."));
    let plain = id.bytes().all(|byte| byte.is_ascii_graphic());
    (1..=ID_BYTES_MAX).contains(&id.len()) && plain && !stepping
}

// === headers ===

/// The value of a header, and its name as AWS's errors spell it. A value that is not text counts as
/// empty.
fn value<'a>(head: RequestHead<'a>, name: &'static str) -> Option<&'a str> {
    head.headers.get(name).map(|value| value.to_str().unwrap_or_default().trim())
}

/// AWS: UploadPartCopy. The whole source is copied where there is no range.
fn copy_range(head: RequestHead<'_>) -> Result<(), S3Error> {
    let Some(range) = value(head, RANGE) else { return Ok(()) };
    match parse_range(range) {
        Some(_) => Ok(()),
        None => Err(S3Error::invalid_argument(RANGE_FORM, RANGE, range)),
    }
}

/// `bytes=first-last`, both present and in order. Returns both offsets.
fn parse_range(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (decimal(first)?, decimal(last)?);
    (first <= last).then_some((first, last))
}

/// AWS: CopyObject.
fn directives(head: RequestHead<'_>) -> Result<(), S3Error> {
    for (name, what) in [
        ("x-amz-metadata-directive", "Unknown metadata directive."),
        ("x-amz-tagging-directive", "Unknown tagging directive."),
    ] {
        // Stores differ over case; SDKs send it as AWS documents it.
        let known = |v: &str| v.eq_ignore_ascii_case("COPY") || v.eq_ignore_ascii_case("REPLACE");
        if let Some(value) = value(head, name).filter(|value| !known(value)) {
            return Err(S3Error::invalid_argument(what, name, value));
        }
    }
    Ok(())
}

/// Storage class and canned ACL: a store may define its own, but they are words.
fn words(head: RequestHead<'_>) -> Result<(), S3Error> {
    let is_word = |value: &str| {
        !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    if let Some(class) = value(head, "x-amz-storage-class").filter(|value| !is_word(value)) {
        return Err(S3Error::new(Code::InvalidStorageClass).with("StorageClassRequested", class));
    }
    match value(head, ACL).filter(|value| !CANNED_ACLS.contains(value)) {
        Some(acl) => Err(S3Error::invalid_argument("Invalid Argument", ACL, acl)),
        None => Ok(()),
    }
}

/// AWS: CompleteMultipartUpload.
fn object_size(head: RequestHead<'_>) -> Result<(), S3Error> {
    let is_number = |size: &str| !size.is_empty() && size.bytes().all(|b| b.is_ascii_digit());
    match value(head, OBJECT_SIZE).filter(|size| !is_number(size)) {
        Some(_) => Err(S3Error::new(Code::InvalidRequest).because(SIZE_INVALID)),
        None => Ok(()),
    }
}

/// AWS: PutObject, `x-amz-website-redirect-location`.
fn redirect(head: RequestHead<'_>) -> Result<(), S3Error> {
    let leads = |to: &str| ["/", "http://", "https://"].iter().any(|prefix| to.starts_with(prefix));
    match value(head, REDIRECT).filter(|to| !leads(to)) {
        Some(_) => Err(S3Error::new(Code::InvalidRedirectLocation)),
        None => Ok(()),
    }
}

/// AWS: PutObjectAcl.
fn grants(head: RequestHead<'_>) -> Result<(), S3Error> {
    let is_grant = |name: &HeaderName| name.as_str().starts_with("x-amz-grant-");
    if head.headers.contains_key(ACL) && head.headers.iter().any(|(name, _)| is_grant(name)) {
        return Err(S3Error::new(Code::InvalidRequest)
            .because("Specifying both Canned ACLs and Header Grants is not allowed"));
    }
    for (name, value) in head.headers.iter().filter(|(name, _)| is_grant(name)) {
        let value = value.to_str().unwrap_or_default();
        if !value.split(',').all(|grantee| is_grantee(grantee.trim())) {
            let message = "Argument format not recognized";
            return Err(S3Error::invalid_argument(message, name.as_str(), value));
        }
    }
    Ok(())
}

/// `id="…"`, `uri="…"` or `emailAddress="…"`.
fn is_grantee(text: &str) -> bool {
    let kinds = ["id", "uri", "emailAddress"];
    text.split_once('=').is_some_and(|(kind, who)| {
        kinds.iter().any(|known| kind.trim().eq_ignore_ascii_case(known))
            && !who.trim_matches(['"', ' ']).is_empty()
    })
}

/// AWS: Working with object metadata. Names count without their prefix.
fn metadata(head: RequestHead<'_>) -> Result<(), S3Error> {
    let length = |name: &HeaderName, value: &http::HeaderValue| {
        name.as_str().strip_prefix("x-amz-meta-").map_or(0, |name| name.len() + value.len())
    };
    let bytes: usize = head.headers.iter().map(|(name, value)| length(name, value)).sum();
    if bytes <= METADATA_BYTES_MAX {
        return Ok(());
    }
    Err(S3Error::new(Code::MetadataTooLarge)
        .with("Size", bytes.to_string())
        .with("MaxSizeAllowed", METADATA_BYTES_MAX.to_string()))
}

/// AWS: Protecting data with server-side encryption.
fn encryption(head: RequestHead<'_>) -> Result<(), S3Error> {
    let method = value(head, SSE);
    if let Some(method) = method.filter(|m| *m != "AES256" && !m.starts_with("aws:")) {
        return Err(S3Error::invalid_argument(SSE_UNKNOWN, SSE, method));
    }
    let with_kms = method.is_some_and(|method| method.starts_with("aws:kms"));
    if let Some(key) = value(head, SSE_KMS_KEY).filter(|_| !with_kms) {
        return Err(S3Error::invalid_argument(SSE_KMS_WANTED, SSE_KMS_KEY, key));
    }
    let by_customer = CUSTOMER.iter().any(|name| head.headers.contains_key(name));
    match method.filter(|_| by_customer) {
        Some(method) => Err(S3Error::invalid_argument(SSE_TWICE, SSE, method)),
        None => Ok(()),
    }
}

/// AWS: Using server-side encryption with customer-provided keys. The key is not repeated.
fn customer_key(head: RequestHead<'_>) -> Result<(), S3Error> {
    let refused = |message, name: &str| Err(S3Error::invalid_argument(message, name, ""));
    let [algorithm, key, md5] = CUSTOMER.map(|name| value(head, name));
    let (algorithm, key, md5) = match (algorithm, key, md5) {
        (None, None, None) => return Ok(()),
        (Some(algorithm), Some(key), Some(md5)) => (algorithm, key, md5),
        (None, ..) => return refused(CUSTOMER_ALGORITHM_MISSING, CUSTOMER[0]),
        (_, None, _) => return refused(CUSTOMER_KEY_MISSING, CUSTOMER[1]),
        (.., None) => return refused(CUSTOMER_MD5_MISSING, CUSTOMER[2]),
    };
    if algorithm != "AES256" {
        return Err(S3Error::new(Code::InvalidEncryptionAlgorithm)
            .with("ArgumentName", CUSTOMER[0])
            .with("ArgumentValue", algorithm));
    }
    let key = BASE64.decode(key).ok().filter(|key| key.len() == 32);
    let Some(key) = key else { return refused(CUSTOMER_KEY_INVALID, CUSTOMER[1]) };
    if BASE64.decode(md5).ok().as_deref() != Some(Md5::digest(&key).as_slice()) {
        return refused(CUSTOMER_MD5_WRONG, CUSTOMER[2]);
    }
    Ok(())
}

/// AWS: PutObject, Object Lock.
fn object_lock(head: RequestHead<'_>) -> Result<(), S3Error> {
    let (mode, until) = (value(head, LOCK_MODE), value(head, LOCK_UNTIL));
    if mode.is_some() != until.is_some() {
        let (name, value) = mode.map_or((LOCK_UNTIL, until), |mode| (LOCK_MODE, Some(mode)));
        return Err(S3Error::invalid_argument(LOCK_BOTH, name, value.unwrap_or_default()));
    }
    if let Some(mode) = mode.filter(|mode| !matches!(*mode, "GOVERNANCE" | "COMPLIANCE")) {
        return Err(S3Error::invalid_argument("Unknown wormMode directive.", LOCK_MODE, mode));
    }
    if let Some(until) = until.filter(|until| parse_date(until).is_none()) {
        let form = "The retain until date must be provided in ISO 8601 format";
        return Err(S3Error::invalid_argument(form, LOCK_UNTIL, until));
    }
    match value(head, LOCK_HOLD).filter(|hold| !matches!(*hold, "ON" | "OFF")) {
        Some(hold) => {
            let form = "Legal Hold must be either of 'ON' or 'OFF'";
            Err(S3Error::invalid_argument(form, LOCK_HOLD, hold))
        }
        None => Ok(()),
    }
}

fn tagging(head: RequestHead<'_>) -> Result<(), S3Error> {
    value(head, "x-amz-tagging").map_or(Ok(()), tagging::check_header)
}

/// UTF-8 bytes of names and values (AWS: PutObject).
const METADATA_BYTES_MAX: usize = 2048;
/// AWS: ListObjectVersions; no other store has longer ids.
const ID_BYTES_MAX: usize = 1024;

const ACL: &str = "x-amz-acl";
/// AWS's (Canned ACL), and those of Google Cloud Storage and Alibaba OSS.
const CANNED_ACLS: [&str; 10] = [
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-full-control",
    "bucket-owner-read",
    "default",
    "log-delivery-write",
    "private",
    "project-private",
    "public-read",
    "public-read-write",
];
const CUSTOMER: [&str; 3] = [
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-server-side-encryption-customer-key",
    "x-amz-server-side-encryption-customer-key-md5",
];
const LOCK_HOLD: &str = "x-amz-object-lock-legal-hold";
const LOCK_MODE: &str = "x-amz-object-lock-mode";
const LOCK_UNTIL: &str = "x-amz-object-lock-retain-until-date";
const ENCODING_TYPE: &str = "encoding-type";
const OBJECT_SIZE: &str = "x-amz-mp-object-size";
const REDIRECT: &str = "x-amz-website-redirect-location";
const RANGE: &str = "x-amz-copy-source-range";
const SSE: &str = "x-amz-server-side-encryption";
const SSE_KMS_KEY: &str = "x-amz-server-side-encryption-aws-kms-key-id";

const CUSTOMER_ALGORITHM_MISSING: &str = "Requests specifying Server Side Encryption with Customer \
     provided keys must provide a valid encryption algorithm.";
const CUSTOMER_KEY_INVALID: &str = "The secret key was invalid for the specified algorithm.";
const CUSTOMER_KEY_MISSING: &str = "Requests specifying Server Side Encryption with Customer \
     provided keys must provide an appropriate secret key.";
const CUSTOMER_MD5_MISSING: &str = "Requests specifying Server Side Encryption with Customer \
     provided keys must provide the client calculated MD5 of the secret key.";
const CUSTOMER_MD5_WRONG: &str =
    "The calculated MD5 hash of the key did not match the hash that was provided.";
const ENCODING_UNKNOWN: &str = "Invalid Encoding Method specified in Request";
const PART_AND_RANGE: &str = "Cannot specify both Range header and partNumber query parameter";
const SIZE_INVALID: &str = "Value for x-amz-mp-object-size header is invalid.";
const EMPTY_VERSION: &str = "Version id cannot be the empty string";
const LOCK_BOTH: &str =
    "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied";
const RANGE_FORM: &str = "The x-amz-copy-source-range value must be of the form bytes=first-last \
     where first and last are the zero-based offsets of the first and last bytes to copy";
const SSE_KMS_WANTED: &str = "Server Side Encryption with AWS KMS managed key requires HTTP header \
     x-amz-server-side-encryption : aws:kms";
const SSE_TWICE: &str = "Server Side Encryption with Customer provided key is incompatible with the \
     encryption method specified";
const SSE_UNKNOWN: &str = "The encryption method specified is not supported";

#[cfg(test)]
#[path = "arguments_tests.rs"]
mod tests;

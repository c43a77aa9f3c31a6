//! What requests say of an object beside its bytes, and what answers say of it.

use http::HeaderValue;
use s3s::dto::{Timestamp, TimestampFormat};
use s3s::{S3Result, s3_error};

use super::failure::not_implemented;
use super::records::Description;

/// Limits of AWS: "Working with object metadata", in bytes.
const METADATA_BYTES_MAX: usize = 2048;

/// The storage classes from which an object can be read at once. Here they are names only.
const STORAGE_CLASSES: [&str; 6] = [
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
];

/// Those from which an object must be restored first, and those of other places.
const UNSUPPORTED_CLASSES: [&str; 5] =
    ["GLACIER", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE"];

/// The description in the fields of a PutObject, CreateMultipartUpload or CopyObject, and in what was
/// taken out of its head.
macro_rules! described {
    ($input:expr, $extensions:expr) => {
        $crate::embedded::store::described::checked($crate::embedded::store::records::Description {
            cache_control: $input.cache_control.take(),
            content_disposition: $input.content_disposition.take(),
            content_encoding: $input.content_encoding.take(),
            content_language: $input.content_language.take(),
            content_type: $input.content_type.take(),
            expires: $input.expires.as_ref().map($crate::embedded::store::described::seconds),
            expires_text: $extensions
                .get::<$crate::embedded::head::TakenOut>()
                .and_then(|taken_out| taken_out.expires.clone()),
            redirect: $input.website_redirect_location.take(),
            storage_class: $input.storage_class.take().map(|class| class.as_str().to_owned()),
            metadata: $input.metadata.take().unwrap_or_default().into_iter().collect(),
            tags: $crate::embedded::store::tags::of_header($input.tagging.take())?,
        })
    };
}

/// Puts a description into the answer to a read.
macro_rules! show_described {
    ($output:expr, $described:expr) => {
        let described = $described;
        $output.cache_control = described.cache_control;
        $output.content_disposition = described.content_disposition;
        $output.content_encoding = described.content_encoding;
        $output.content_language = described.content_language;
        // AWS: PutObject, the default of Content-Type.
        let default = || "binary/octet-stream".to_owned();
        $output.content_type = Some(described.content_type.unwrap_or_else(default));
        $output.expires = described.expires.map($crate::embedded::store::described::timestamp);
        $output.website_redirect_location = described.redirect;
        let class = described.storage_class.filter(|class| class != "STANDARD");
        $output.storage_class = class.map(s3s::dto::StorageClass::from);
        $output.metadata = Some(described.metadata.into_iter().collect());
    };
}

pub(super) use {described, show_described};

/// Refuses with AWS's 501 if one of these is asked for.
pub(super) fn refuse(asked: &[(&str, bool)]) -> S3Result<()> {
    match asked.iter().find(|(_, is_asked)| *is_asked) {
        Some((name, _)) => Err(not_implemented(name)),
        None => Ok(()),
    }
}

/// Checks a description.
pub(super) fn checked(mut described: Description) -> S3Result<Description> {
    if let Some(class) = &described.storage_class {
        if UNSUPPORTED_CLASSES.contains(&class.as_str()) {
            return Err(s3_error!(NotImplemented, "This storage class is not supported: {class}"));
        }
        if !STORAGE_CLASSES.contains(&class.as_str()) {
            return Err(s3_error!(
                InvalidStorageClass,
                "The storage class you specified is not valid"
            ));
        }
    }
    let bytes: usize =
        described.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX {
        return Err(s3_error!(
            MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size"
        ));
    }
    // `aws-chunked` is the framing of the request's body, not a coding of the object.
    if let Some(codings) =
        described.content_encoding.take_if(|codings| codings.contains("aws-chunked"))
    {
        let kept: Vec<_> = codings
            .split(',')
            .map(str::trim)
            .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked") && !coding.is_empty())
            .collect();
        described.content_encoding = (!kept.is_empty()).then(|| kept.join(","));
    }
    Ok(described)
}

/// A time in whole seconds.
pub(super) fn seconds(at: &Timestamp) -> i64 {
    time::OffsetDateTime::from(at.clone()).unix_timestamp()
}

/// A time of whole seconds, as answers show it.
pub(super) fn timestamp(seconds: i64) -> Timestamp {
    let at = time::OffsetDateTime::from_unix_timestamp(seconds);
    at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH).into()
}

/// A time in milliseconds, as answers show it.
pub(super) fn timestamp_ms(milliseconds: i64) -> Timestamp {
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH).into()
}

/// A time as header fields show it (RFC 9110 §5.6.7).
pub(super) fn http_date(at: &Timestamp) -> Option<HeaderValue> {
    let mut date = Vec::new();
    at.format(TimestampFormat::HttpDate, &mut date).ok()?;
    HeaderValue::from_bytes(&date).ok()
}

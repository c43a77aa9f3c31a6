//! Tags of objects and buckets (AWS: "Tagging").

use http::StatusCode;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag, Tagging,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::Store;
use super::failure::Refused;
use super::find::{self, Found};
use super::index::{Placed, Unwritten};
use super::records::{Tags, Version};

/// How many tags an object may have, and a bucket.
const OBJECT_TAGS_MAX: usize = 10;
pub(super) const BUCKET_TAGS_MAX: usize = 50;
/// The longest name and value, in characters.
const NAME_MAX: usize = 128;
const VALUE_MAX: usize = 256;

/// The tags in `x-amz-tagging`, which is written like a query.
pub(super) fn of_header(field: Option<String>) -> S3Result<Tags> {
    let Some(field) = field else { return Ok(Tags::new()) };
    let wrong = || {
        s3_error!(
            InvalidArgument,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
             parameters without tag name duplicates."
        )
    };
    let pairs = field.split('&').filter(|pair| !pair.is_empty());
    let tags: Option<Tags> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
        .collect();
    checked(tags.ok_or_else(wrong)?, OBJECT_TAGS_MAX)
}

fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// The tags in a document.
pub(super) fn of_document(tagging: Tagging, max: usize) -> S3Result<Tags> {
    let tags = tagging.tag_set.into_iter();
    let tags: Option<Tags> = tags.map(|tag| Some((tag.key?, tag.value?))).collect();
    checked(tags.ok_or_else(|| s3_error!(MalformedXML))?, max)
}

fn checked(tags: Tags, max: usize) -> S3Result<Tags> {
    if tags.len() > max {
        let message = format!("Object tags cannot be greater than {max}");
        let code = S3ErrorCode::Custom("BadRequest".into());
        let mut error = S3Error::with_message(code, message);
        error.set_status_code(StatusCode::BAD_REQUEST);
        return Err(error);
    }
    for (number, (name, value)) in tags.iter().enumerate() {
        if name.is_empty() || name.chars().count() > NAME_MAX {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > VALUE_MAX {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if tags[..number].iter().any(|(earlier, _)| earlier == name) {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(tags)
}

/// Tags as a document has them.
pub(super) fn shown(tags: Tags) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

impl Store {
    pub(super) async fn get_tags(
        &self,
        request: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let GetObjectTaggingInput { bucket, key, version_id, .. } = request.input;
        let read = self.index.read(move |index| -> Result<_, Refused> {
            find::object(index, (&bucket, &key), version_id.as_deref())
        });
        let Found { object, version_id, .. } = read.await?;
        let tag_set = shown(object.described.tags);
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id }))
    }

    pub(super) async fn put_tags(
        &self,
        request: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let PutObjectTaggingInput { bucket, key, tagging, version_id, .. } = request.input;
        let tags = of_document(tagging, OBJECT_TAGS_MAX)?;
        let version_id = self.set_tags((bucket, key), version_id, tags).await?;
        Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
    }

    pub(super) async fn delete_tags(
        &self,
        request: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let DeleteObjectTaggingInput { bucket, key, version_id, .. } = request.input;
        let version_id = self.set_tags((bucket, key), version_id, Tags::new()).await?;
        Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
    }

    async fn set_tags(
        &self,
        (bucket, key): (String, String),
        version_id: Option<String>,
        tags: Tags,
    ) -> Result<Option<String>, Refused> {
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            let found = find::object(tables, (&bucket, &key), version_id.as_deref())?;
            let Found { sequence, version, mut object, version_id } = found;
            object.described.tags = tags;
            let version = Version { object: Some(object), ..version };
            tables.put_version(&bucket, &Placed { key, sequence, version })?;
            Ok(version_id)
        });
        written.await
    }
}

//! Tags of objects and buckets (AWS: "Tagging").

use http::StatusCode;
use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag, Tagging,
};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::Store;
use super::failure::{Refused, with_element, with_elements};
use super::find::{self, Found};
use super::index::{Placed, Unwritten};
use super::records::{Tags, Version};
use crate::s3::encoding::decode_query;

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
        let error = s3_error!(
            InvalidArgument,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query \
             parameters without tag name duplicates."
        );
        let elements = [("ArgumentName", "x-amz-tagging"), ("ArgumentValue", field.as_str())];
        with_elements(error, elements.into_iter())
    };
    let pairs = field.split('&').filter(|pair| !pair.is_empty());
    let tags: Option<Tags> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode_query(name)?, decode_query(value)?))
        })
        .collect();
    let tags = tags.ok_or_else(wrong)?;
    if tags.iter().enumerate().any(|(number, tag)| is_named_before(&tags, number, &tag.0)) {
        return Err(wrong());
    }
    checked(tags, OBJECT_TAGS_MAX)
}

fn is_named_before(tags: &Tags, number: usize, name: &str) -> bool {
    tags[..number].iter().any(|(earlier, _)| earlier == name)
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
        if name.starts_with("aws:") {
            let message = "System tags cannot be added/updated by requester";
            return Err(with_element(s3_error!(InvalidTag, "{message}"), "TagKey", name));
        }
        if name.is_empty() || name.chars().count() > NAME_MAX || !name.chars().all(is_allowed) {
            let error = s3_error!(InvalidTag, "The TagKey you have provided is invalid");
            return Err(with_element(error, "TagKey", name));
        }
        if value.chars().count() > VALUE_MAX || !value.chars().all(is_allowed) {
            let error = s3_error!(InvalidTag, "The TagValue you have provided is invalid");
            let elements = [("TagKey", name.as_str()), ("TagValue", value.as_str())];
            return Err(with_elements(error, elements.into_iter()));
        }
        if is_named_before(&tags, number, name) {
            let error = s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key");
            return Err(with_element(error, "TagKey", name));
        }
    }
    Ok(tags)
}

/// AWS: "Categorizing your objects using tags": letters, numbers and spaces of any script, and some
/// signs.
fn is_allowed(character: char) -> bool {
    let is_space = character.is_whitespace() && !character.is_control();
    character.is_alphanumeric() || is_space || "+-=._:/@".contains(character)
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
            find::tagged(index, (&bucket, &key), version_id.as_deref())
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
            let found = find::tagged(tables, (&bucket, &key), version_id.as_deref())?;
            let Found { sequence, version, mut object, version_id } = found;
            object.described.tags = tags;
            let version = Version { object: Some(object), ..version };
            tables.put_version(&bucket, &Placed { key, sequence, version })?;
            Ok(version_id)
        });
        written.await
    }
}

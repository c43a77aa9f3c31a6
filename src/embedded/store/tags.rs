//! Tags of objects and buckets (AWS: "Tagging").

use s3s::dto::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput,
    GetObjectTaggingOutput, PutObjectTaggingInput, PutObjectTaggingOutput, Tag, Tagging,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::Store;
use super::failure::{Refused, converted};
use super::find::{self, Found};
use super::index::{Placed, Unwritten};
use super::records::{Tags, Version};
use crate::s3::tagging::{Tagged, check_as_aws, of_header as read_header};

/// The tags in `x-amz-tagging`.
pub(super) fn of_header(field: Option<String>) -> S3Result<Tags> {
    let Some(field) = field else { return Ok(Tags::new()) };
    checked(read_header(&field).map_err(converted)?, Tagged::Object)
}

/// The tags in a document.
pub(super) fn of_document(tagging: Tagging, tagged: Tagged) -> S3Result<Tags> {
    let tags = tagging.tag_set.into_iter();
    let tags: Option<Tags> = tags.map(|tag| Some((tag.key?, tag.value?))).collect();
    checked(tags.ok_or_else(|| s3_error!(MalformedXML))?, tagged)
}

fn checked(tags: Tags, tagged: Tagged) -> S3Result<Tags> {
    check_as_aws(&tags, tagged).map_err(converted)?;
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
        let tags = of_document(tagging, Tagged::Object)?;
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

//! DeleteObject and DeleteObjects.

use http::header::IF_NONE_MATCH;
use s3s::dto::{
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject,
    ETagCondition, Error, ObjectIdentifier,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::body::must_be_declared;
use super::conditions::OfDelete;
use super::failure::Refused;
use super::index::{Read as _, Unwritten, Writing};
use super::standing::Standing;
use super::{Now, Store, find};

/// How many objects one request may delete (AWS: DeleteObjects).
const OBJECTS_MAX: usize = 1000;

/// What became of a delete.
#[derive(Debug, Default)]
struct Deleted {
    /// The version that is gone, or the delete marker that was made.
    version_id: Option<String>,
    /// Whether that is a delete marker.
    marker: bool,
    /// Whether it was made, not removed.
    made: bool,
}

impl Store {
    pub(super) async fn delete(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let DeleteObjectInput { bucket, key, version_id, .. } = request.input;
        let mut conditions = OfDelete::default();
        if self.options.ignore_conditions {
            let is_given = request.headers.contains_key(IF_NONE_MATCH)
                || request.input.if_match.is_some()
                || request.input.if_match_size.is_some()
                || request.input.if_match_last_modified_time.is_some();
            self.chaos.conditions_ignored(usize::from(is_given));
        } else {
            // AWS: DeleteObject. These two are for directory buckets.
            super::described::refuse(&[
                ("x-amz-if-match-size", request.input.if_match_size.is_some()),
                (
                    "x-amz-if-match-last-modified-time",
                    request.input.if_match_last_modified_time.is_some(),
                ),
                ("If-Match", request.input.if_match.is_some() && version_id.is_some()),
            ])?;
            conditions.etag = request.input.if_match;
        }
        let now = self.now_of_write();
        let written = self.index.write(move |tables| {
            delete(tables, (&bucket, &key), version_id.as_deref(), &conditions, now)
        });
        let deleted = written.await?;
        Ok(S3Response::new(DeleteObjectOutput {
            delete_marker: deleted.marker.then_some(true),
            version_id: deleted.version_id,
            ..<_>::default()
        }))
    }

    pub(super) async fn delete_batch(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let DeleteObjectsInput { bucket, delete: batch, .. } = request.input;
        must_be_declared(&request.headers)?;
        let has_no_key = batch.objects.iter().any(|object| object.key.is_empty());
        if batch.objects.is_empty() || batch.objects.len() > OBJECTS_MAX || has_no_key {
            return Err(s3_error!(MalformedXML));
        }
        let quiet = batch.quiet.unwrap_or(false);
        let (now, ignores) = (self.now_of_write(), self.options.ignore_conditions);
        if ignores {
            let is_conditional = |object: &&ObjectIdentifier| {
                object.e_tag.is_some()
                    || object.size.is_some()
                    || object.last_modified_time.is_some()
            };
            let conditional = batch.objects.iter().filter(is_conditional);
            self.chaos.conditions_ignored(conditional.count());
        }
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            find::bucket(tables, &bucket)?;
            let (mut gone, mut errors) = (Vec::new(), Vec::new());
            for object in batch.objects {
                match delete_one(tables, &bucket, &object, ignores, now) {
                    Ok(deleted) => gone.push(shown(object, deleted)),
                    Err(Unwritten::Refused(refused)) => errors.push(error(object, refused)),
                    Err(broken @ Unwritten::Broken(_)) => return Err(broken),
                }
            }
            Ok((gone, errors))
        });
        let (gone, errors) = written.await?;
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted: (!quiet && !gone.is_empty()).then_some(gone),
            errors: (!errors.is_empty()).then_some(errors),
            ..<_>::default()
        }))
    }
}

fn delete_one(
    tables: &mut Writing<'_>,
    bucket: &str,
    object: &ObjectIdentifier,
    ignores_conditions: bool,
    now: Now,
) -> Result<Deleted, Unwritten<Refused>> {
    find::check_key(&object.key)?;
    if let Some(id) = &object.version_id {
        // AWS: in a batch that is its code.
        find::check_version_id(id).map_err(|_| find::no_such_version())?;
    }
    let conditions = if ignores_conditions {
        OfDelete::default()
    } else {
        OfDelete {
            // AWS: DeleteObjects. An entry has `*`, for any object, as the text of its ETag.
            etag: object.e_tag.clone().map(|etag| match etag.value() {
                "*" => ETagCondition::Any,
                _ => ETagCondition::ETag(etag),
            }),
            size: object.size,
            modified: object.last_modified_time.clone(),
        }
    };
    delete(tables, (bucket, &object.key), object.version_id.as_deref(), &conditions, now)
}

/// Deletes a version for good, or hides a key behind a delete marker (AWS: "Deleting object
/// versions"). What is not there is deleted already.
fn delete(
    tables: &mut Writing<'_>,
    (bucket_name, key): (&str, &str),
    version_id: Option<&str>,
    conditions: &OfDelete,
    now: Now,
) -> Result<Deleted, Unwritten<Refused>> {
    if let Some(id) = version_id {
        find::bucket(tables, bucket_name)?;
        find::check_version_id(id)?;
        let Some(placed) = tables.version(bucket_name, key, id)? else {
            conditions.judge(None)?;
            return Ok(Deleted { version_id: Some(id.to_owned()), ..Deleted::default() });
        };
        conditions.judge(Some(&placed.version))?;
        tables.remove_version(bucket_name, &placed)?;
        let marker = placed.version.object.is_none();
        return Ok(Deleted { version_id: Some(id.to_owned()), marker, made: false });
    }
    let standing = Standing::at(tables, (bucket_name, key))?;
    conditions.judge(standing.version())?;
    let version_id = standing.delete(tables, now)?;
    let made = version_id.is_some();
    Ok(Deleted { version_id, marker: made, made })
}

fn shown(object: ObjectIdentifier, deleted: Deleted) -> DeletedObject {
    let Deleted { version_id, marker, made } = deleted;
    DeletedObject {
        delete_marker: marker.then_some(true),
        delete_marker_version_id: version_id.filter(|_| marker),
        key: Some(object.key),
        version_id: object.version_id.filter(|_| !made),
    }
}

fn error(object: ObjectIdentifier, Refused(refused): Refused) -> Error {
    Error {
        code: Some(refused.code().as_str().to_owned()),
        key: Some(object.key),
        message: refused.message().map(str::to_owned),
        version_id: object.version_id,
    }
}

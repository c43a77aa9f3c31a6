//! Rules for requests to the embedded store: refuses requests that `s3s-fs` would answer wrongly,
//! and removes fields that it would misread. They run after the signature was verified, so signed
//! fields can be removed.

use http::Method;
use s3s::access::{S3Access, S3AccessContext};
use s3s::dto::{
    CompleteMultipartUploadInput, CopyObjectInput, CopySource, DeleteBucketInput,
    DeleteObjectInput, DeleteObjectsInput, ListObjectsInput, ListObjectsV2Input, PostObjectInput,
    PutObjectInput, UploadPartCopyInput,
};
use s3s::path::S3Path;
use s3s::{S3Error, S3Request, S3Result, s3_error};

use super::files::Files;

/// Checks each request.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) files: Files,
    pub(super) ignore_conditions: bool,
}

impl Rules {
    fn check_copy_source(&self, source: &CopySource) -> S3Result<()> {
        match source {
            CopySource::Bucket { bucket, key, .. } => self.files.check_source(bucket, key),
            CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
                Err(s3_error!(NotImplemented))
            }
        }
    }
}

#[async_trait::async_trait]
impl S3Access for Rules {
    async fn check(&self, request: &mut S3AccessContext<'_>) -> S3Result<()> {
        if request.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "Signature is required"));
        }
        let S3Path::Object { bucket, key } = request.s3_path() else { return Ok(()) };
        match *request.method() {
            Method::GET | Method::HEAD => self.files.check_source(bucket, key),
            Method::DELETE => self.files.check_deleted(bucket, key),
            _ => self.files.check_target(bucket, key),
        }
    }

    async fn put_object(&self, request: &mut S3Request<PutObjectInput>) -> S3Result<()> {
        if self.ignore_conditions {
            request.input.if_match = None;
            request.input.if_none_match = None;
        }
        Ok(())
    }

    /// A form names the key in its body, which `check` does not see.
    async fn post_object(&self, request: &mut S3Request<PostObjectInput>) -> S3Result<()> {
        self.files.check_target(&request.input.bucket, &request.input.key)
    }

    async fn complete_multipart_upload(
        &self,
        request: &mut S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<()> {
        let input = &mut request.input;
        if self.ignore_conditions {
            input.if_match = None;
            input.if_none_match = None;
        }
        self.files.forget_checksums(&input.bucket, &input.key).map_err(S3Error::internal_error)
    }

    async fn copy_object(&self, request: &mut S3Request<CopyObjectInput>) -> S3Result<()> {
        self.check_copy_source(&request.input.copy_source)
    }

    async fn upload_part_copy(&self, request: &mut S3Request<UploadPartCopyInput>) -> S3Result<()> {
        self.check_copy_source(&request.input.copy_source)
    }

    async fn delete_object(&self, request: &mut S3Request<DeleteObjectInput>) -> S3Result<()> {
        if self.ignore_conditions {
            request.input.if_match = None;
        }
        Ok(())
    }

    async fn delete_objects(&self, request: &mut S3Request<DeleteObjectsInput>) -> S3Result<()> {
        let DeleteObjectsInput { bucket, delete, .. } = &request.input;
        delete.objects.iter().try_for_each(|object| self.files.check_deleted(bucket, &object.key))
    }

    /// AWS: ListObjects. An empty delimiter means none; minio-go and minio-py send one.
    async fn list_objects(&self, request: &mut S3Request<ListObjectsInput>) -> S3Result<()> {
        request.input.delimiter.take_if(|delimiter| delimiter.is_empty());
        Ok(())
    }

    async fn list_objects_v2(&self, request: &mut S3Request<ListObjectsV2Input>) -> S3Result<()> {
        request.input.delimiter.take_if(|delimiter| delimiter.is_empty());
        Ok(())
    }

    async fn delete_bucket(&self, request: &mut S3Request<DeleteBucketInput>) -> S3Result<()> {
        self.files.check_deleted_bucket(&request.input.bucket)
    }
}

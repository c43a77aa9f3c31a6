//! The operations that the store has, each with the function that does it. What is not here is
//! answered 501 NotImplemented ([`has`]).

use s3s::{S3, S3Request, S3Response, S3Result, dto};

use super::Store;

/// Whether the store has an operation of this name.
pub(in crate::embedded) fn has(operation: &str) -> bool {
    INPUTS.iter().any(|input| input.strip_suffix("Input") == Some(operation))
}

macro_rules! operations {
    ($($name:ident: $input:ident -> $output:ident = $function:ident;)*) => {
        /// AWS's names of the operations, each with `Input` behind it.
        const INPUTS: &[&str] = &[$(stringify!($input)),*];

        #[async_trait::async_trait]
        impl S3 for Store {
            $(async fn $name(
                &self,
                request: S3Request<dto::$input>,
            ) -> S3Result<S3Response<dto::$output>> {
                Self::$function(self, request).await
            })*
        }
    };
}

operations! {
    abort_multipart_upload: AbortMultipartUploadInput -> AbortMultipartUploadOutput = abort;
    complete_multipart_upload: CompleteMultipartUploadInput -> CompleteMultipartUploadOutput = complete;
    copy_object: CopyObjectInput -> CopyObjectOutput = copy;
    create_bucket: CreateBucketInput -> CreateBucketOutput = make_bucket;
    create_multipart_upload: CreateMultipartUploadInput -> CreateMultipartUploadOutput = create_upload;
    delete_bucket: DeleteBucketInput -> DeleteBucketOutput = remove_bucket;
    delete_bucket_cors: DeleteBucketCorsInput -> DeleteBucketCorsOutput = remove_cors;
    delete_bucket_tagging: DeleteBucketTaggingInput -> DeleteBucketTaggingOutput = remove_bucket_tags;
    delete_object: DeleteObjectInput -> DeleteObjectOutput = delete;
    delete_object_tagging: DeleteObjectTaggingInput -> DeleteObjectTaggingOutput = delete_tags;
    delete_objects: DeleteObjectsInput -> DeleteObjectsOutput = delete_batch;
    get_bucket_cors: GetBucketCorsInput -> GetBucketCorsOutput = cors;
    get_bucket_location: GetBucketLocationInput -> GetBucketLocationOutput = location;
    get_bucket_tagging: GetBucketTaggingInput -> GetBucketTaggingOutput = bucket_tags;
    get_bucket_versioning: GetBucketVersioningInput -> GetBucketVersioningOutput = versioning;
    get_object: GetObjectInput -> GetObjectOutput = get;
    get_object_attributes: GetObjectAttributesInput -> GetObjectAttributesOutput = attributes;
    get_object_tagging: GetObjectTaggingInput -> GetObjectTaggingOutput = get_tags;
    head_bucket: HeadBucketInput -> HeadBucketOutput = look_at_bucket;
    head_object: HeadObjectInput -> HeadObjectOutput = head;
    list_buckets: ListBucketsInput -> ListBucketsOutput = all_buckets;
    list_multipart_uploads: ListMultipartUploadsInput -> ListMultipartUploadsOutput = list_uploads;
    list_object_versions: ListObjectVersionsInput -> ListObjectVersionsOutput = list_versions;
    list_objects: ListObjectsInput -> ListObjectsOutput = list_v1;
    list_objects_v2: ListObjectsV2Input -> ListObjectsV2Output = list_v2;
    list_parts: ListPartsInput -> ListPartsOutput = list_parts;
    put_bucket_cors: PutBucketCorsInput -> PutBucketCorsOutput = set_cors;
    put_bucket_tagging: PutBucketTaggingInput -> PutBucketTaggingOutput = set_bucket_tags;
    put_bucket_versioning: PutBucketVersioningInput -> PutBucketVersioningOutput = set_versioning;
    put_object: PutObjectInput -> PutObjectOutput = put;
    put_object_tagging: PutObjectTaggingInput -> PutObjectTaggingOutput = put_tags;
    upload_part: UploadPartInput -> UploadPartOutput = put_part;
    upload_part_copy: UploadPartCopyInput -> UploadPartCopyOutput = copy_part;
}

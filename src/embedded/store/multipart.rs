//! Multipart uploads (AWS: "Uploading and copying objects using multipart upload"): begun, filled
//! with parts, listed or aborted.

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::body::{Declared, Received, receive};
use super::checksums::{self, declared, show};
use super::described::described;
use super::failure::Refused;
use super::find::part_number;
use super::index::{Read, Unwritten};
use super::records::{Algorithm, Part, Upload};
use super::standing::Standing;
use super::{Store, find};
use crate::random;

impl Store {
    pub(super) async fn create_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut input = request.input;
        find::check_key(&input.key)?;
        let described = described!(input, request.extensions)?;
        let algorithm = input.checksum_algorithm.as_ref().map(Algorithm::of).transpose()?;
        let whole_checksum = whole_checksum(algorithm, input.checksum_type.as_ref())?;
        let now = self.now_of_write();
        let initiated_ms = now.milliseconds();
        let upload =
            Upload { initiated_ms, described, algorithm, whole_checksum, key_deleted: false };
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            // Later uploads of a key come behind earlier ones (AWS: ListMultipartUploads), and the id
            // tells whether a version is later than the upload, also if the clock is set back.
            let began = now.microseconds().max(Standing::at(tables, (&bucket, &key))?.sequence());
            let id = format!("{began:016x}{}", &random::id()[..16]);
            tables.put_upload((&bucket, &key, &id), &upload)?;
            Ok(id)
        });
        let id = written.await?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: algorithm.map(|algorithm| algorithm.name().to_owned().into()),
            checksum_type: algorithm.map(|_| checksums::kind_of(whole_checksum)),
            ..<_>::default()
        }))
    }

    /// Refuses a part of an upload that is not there, before its body is read.
    pub(super) async fn upload(
        &self,
        (bucket, key, id): (&str, &str, &str),
    ) -> Result<Upload, Refused> {
        let (bucket, key, id) = (bucket.to_owned(), key.to_owned(), id.to_owned());
        self.index.read(move |index| upload(index, (&bucket, &key, &id))).await
    }

    pub(super) async fn put_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let mut input = request.input;
        let number = part_number(input.part_number)?;
        let begun = self.upload((&input.bucket, &input.key, &input.upload_id)).await?;
        let named = input.checksum_algorithm.as_ref().map(Algorithm::of).transpose()?;
        let declared = Declared {
            length: input.content_length,
            md5: input.content_md5,
            algorithm: named.or(begun.algorithm),
            trailers: request.extensions.remove(),
            ..Declared::of(&request.headers, declared!(input)?)?
        };
        let received = receive(&self.files, input.body, declared).await?;
        if let (Some(wanted), Some(sum)) = (begun.algorithm, &received.checksum)
            && sum.algorithm != wanted
        {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum \
                 Type: {}",
                wanted.name().to_lowercase(),
                sum.algorithm.name().to_lowercase()
            ));
        }
        let place = (input.bucket, input.key, input.upload_id);
        let part = self.keep_part(place, number, received).await?;
        let mut output =
            UploadPartOutput { e_tag: Some(ETag::Strong(part.etag.clone())), ..<_>::default() };
        show!(output, &part.checksum);
        Ok(S3Response::new(output))
    }

    /// Makes what was received a part of an upload.
    pub(super) async fn keep_part(
        &self,
        (bucket, key, id): (String, String, String),
        number: u16,
        received: Received,
    ) -> Result<Part, Refused> {
        let part = Part {
            modified_ms: self.now_of_write().milliseconds(),
            size: received.size,
            etag: received.md5.clone(),
            file: received.file_name(),
            checksum: received.checksum.clone(),
        };
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            upload(tables, (&bucket, &key, &id))?;
            tables.put_part(&id, number, &part)?;
            tables.keep(received.file);
            Ok(part)
        });
        written.await
    }

    pub(super) async fn abort(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let AbortMultipartUploadInput { bucket, key, upload_id: id, .. } = request.input;
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            upload(tables, (&bucket, &key, &id))?;
            tables.remove_upload((&bucket, &key, &id))?;
            Ok(tables.remove_parts(&id, |_| true)?)
        });
        written.await?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}

/// The upload of a request.
pub(super) fn upload(
    index: &impl Read,
    (bucket, key, id): (&str, &str, &str),
) -> Result<Upload, Refused> {
    find::bucket(index, bucket)?;
    Ok(index.upload(bucket, key, id)?.ok_or_else(no_such_upload)?)
}

fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have \
         been aborted or completed."
    )
}

/// Whether an upload's checksum is that of the whole object.
fn whole_checksum(algorithm: Option<Algorithm>, asked: Option<&ChecksumType>) -> S3Result<bool> {
    let Some(algorithm) = algorithm else {
        return match asked {
            None => Ok(false),
            Some(_) => Err(s3_error!(
                InvalidRequest,
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm \
                 header."
            )),
        };
    };
    let whole = asked.map(checksums::is_whole).transpose()?;
    let whole = whole.unwrap_or_else(|| algorithm.is_whole_by_default());
    if algorithm.allows(whole) {
        return Ok(whole);
    }
    let (kind, name) = (checksums::kind_of(whole), algorithm.name().to_lowercase());
    Err(s3_error!(
        InvalidRequest,
        "The {} checksum type cannot be used with the {name} checksum algorithm.",
        kind.as_str()
    ))
}

/// The algorithm of an upload, as listings show it.
pub(super) fn algorithm(upload: &Upload) -> Option<ChecksumAlgorithm> {
    upload.algorithm.map(|algorithm| algorithm.name().to_owned().into())
}

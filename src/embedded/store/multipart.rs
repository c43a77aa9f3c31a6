//! Multipart uploads (AWS: "Uploading and copying objects using multipart upload"): begun, filled
//! with parts, completed or aborted. A complete moves no bytes: the object consists of the parts'
//! files. A complete that is refused leaves the upload as it was.

use md5::{Digest as _, Md5};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, UploadPartInput,
    UploadPartOutput,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::body::{Declared, Received, receive};
use super::checksums::{self, declared, show};
use super::conditions::OfWrite;
use super::described::{described, refuse_customer_keys, refuse_unsupported};
use super::failure::Refused;
use super::find::{PARTS_MAX, part_number};
use super::index::{Broken, Read, Unwritten, Writing};
use super::objects::signed;
use super::records::{Algorithm, Checksum, Content, Object, Part, Upload};
use super::standing::Standing;
use super::{Now, Store, find};
use crate::random;

/// AWS: "Amazon S3 multipart upload limits".
const PART_BYTES_MIN: u64 = 5 << 20;

impl Store {
    pub(super) async fn create_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let mut input = request.input;
        refuse_unsupported!(input)?;
        find::check_key(&input.key)?;
        let described = described!(input, request.extensions)?;
        let algorithm = input.checksum_algorithm.as_ref().map(Algorithm::of).transpose()?;
        let whole_checksum = whole_checksum(algorithm, input.checksum_type.as_ref())?;
        let now = self.now();
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
        refuse_customer_keys!(input)?;
        let number = part_number(input.part_number)?;
        let begun = self.upload((&input.bucket, &input.key, &input.upload_id)).await?;
        let declared = Declared {
            length: input.content_length,
            md5: input.content_md5,
            algorithm: begun.algorithm,
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
            modified_ms: self.now().milliseconds(),
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

    pub(super) async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let mut input = request.input;
        let conditions = self.conditions(input.if_match.take(), input.if_none_match.take())?;
        let promised = Promised { checksum: declared!(input)?, size: input.mpu_object_size };
        let listed = listed(input.multipart_upload.and_then(|upload| upload.parts))?;
        let completing = Completing {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            id: input.upload_id,
            listed,
            promised,
            conditions,
        };
        let now = self.now();
        let written = self.index.write(move |tables| completing.run(tables, now));
        let Completed { etag, checksum, version_id } = written.await?;
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            version_id,
            checksum_type: checksum.as_ref().map(checksums::kind),
            ..<_>::default()
        };
        show!(output, &checksum);
        Ok(S3Response::new(output))
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
    let whole = asked.map_or_else(
        || algorithm.is_whole_by_default(),
        |asked| asked.as_str() == ChecksumType::FULL_OBJECT,
    );
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

/// A part in the document of a complete.
#[derive(Debug)]
struct Listed {
    number: u16,
    etag: ETag,
    checksum: Option<Checksum>,
}

/// The parts in the document of a complete, which are in ascending order.
fn listed(parts: Option<Vec<CompletedPart>>) -> S3Result<Vec<Listed>> {
    let malformed = || s3_error!(MalformedXML);
    let parts = parts.filter(|parts| !parts.is_empty()).ok_or_else(malformed)?;
    let mut listed: Vec<Listed> = Vec::with_capacity(parts.len());
    for mut part in parts {
        let etag = part.e_tag.take().ok_or_else(malformed)?;
        let number = part_number(part.part_number.ok_or_else(malformed)?)?;
        if listed.last().is_some_and(|before| before.number >= number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. The parts list must be specified in \
                 order by part number."
            ));
        }
        listed.push(Listed { number, etag, checksum: declared!(part)? });
    }
    Ok(listed)
}

/// What a complete's fields say of the object.
#[derive(Debug)]
struct Promised {
    checksum: Option<Checksum>,
    size: Option<i64>,
}

#[derive(Debug)]
struct Completing {
    bucket: String,
    key: String,
    id: String,
    listed: Vec<Listed>,
    promised: Promised,
    conditions: OfWrite,
}

/// What a complete's answer says.
#[derive(Debug)]
struct Completed {
    etag: String,
    checksum: Option<Checksum>,
    version_id: Option<String>,
}

impl Completing {
    fn run(self, tables: &mut Writing<'_>, now: Now) -> Result<Completed, Unwritten<Refused>> {
        let (bucket, key, id) = (self.bucket.as_str(), self.key.as_str(), self.id.as_str());
        let upload = match upload(tables, (bucket, key, id)) {
            Ok(upload) => upload,
            Err(gone) => return self.again(tables)?.ok_or(Unwritten::Refused(gone)),
        };
        let standing = Standing::at(tables, (bucket, key))?;
        self.conditions.judge(standing.version())?;
        let parts = self.parts(tables)?;
        self.must_have_checksums(&upload)?;
        // AWS: "Conditional requests", a complete whose key was written since the upload began.
        let began = id.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let has_changed = upload.key_deleted || Some(standing.sequence()) > began;
        if self.conditions.is_given() && has_changed {
            return Err(s3_error!(
                ConditionalRequestConflict,
                "The conditional request cannot succeed due to a conflicting operation against this \
                 resource."
            )
            .into());
        }
        let object = self.object(upload, &parts)?;
        let completed = (object.etag.clone(), object.checksum.clone());
        let listed = self.listed.iter().map(|listed| listed.number);
        let listed: std::collections::HashSet<u16> = listed.collect();
        tables.remove_parts(id, |number| !listed.contains(&number))?;
        tables.remove_upload((bucket, key, id))?;
        let version_id = standing.replace(tables, now, Some(object))?;
        let (etag, checksum) = completed;
        Ok(Completed { etag, checksum, version_id })
    }

    /// The answer to a complete whose upload was completed already: the same again, while its
    /// object is there.
    fn again(&self, tables: &Writing<'_>) -> Result<Option<Completed>, Unwritten<Refused>> {
        let bucket = find::bucket(tables, &self.bucket)?;
        for placed in tables.versions_of(&self.bucket, &self.key)? {
            let shown = find::shown_id(&bucket, &placed.version);
            if let Some(object) = placed.version.object
                && matches!(&object.content, Content::Parts(id, _) if *id == self.id)
                && self.names_all_of(tables)?
            {
                let Object { etag, checksum, .. } = object;
                return Ok(Some(Completed { etag, checksum, version_id: shown }));
            }
        }
        Ok(None)
    }

    /// Whether the listed parts are those of which the object was made.
    fn names_all_of(&self, tables: &Writing<'_>) -> Result<bool, Broken> {
        let made = tables.parts_of(&self.id)?;
        let pairs = made.iter().zip(&self.listed);
        let mut same = pairs.map(|((number, part), listed)| {
            *number == listed.number && part.etag == listed.etag.value()
        });
        Ok(made.len() == self.listed.len() && same.all(|same| same))
    }

    /// The listed parts, each of which is there, is the one that is meant, and is large enough.
    fn parts(&self, tables: &Writing<'_>) -> Result<Vec<Part>, Unwritten<Refused>> {
        let invalid = || {
            s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found. The part may not have been \
                 uploaded, or the specified entity tag may not match the part's entity tag."
            )
        };
        let mut parts = Vec::with_capacity(self.listed.len());
        for listed in &self.listed {
            let part = tables.part(&self.id, listed.number)?.ok_or_else(invalid)?;
            if listed.etag.value() != part.etag {
                return Err(invalid().into());
            }
            if listed.checksum.is_some() && listed.checksum != part.checksum {
                return Err(invalid().into());
            }
            parts.push(part);
        }
        let all_but_last = parts.len() - 1;
        if parts[..all_but_last].iter().any(|part| part.size < PART_BYTES_MIN) {
            return Err(s3_error!(
                EntityTooSmall,
                "Your proposed upload is smaller than the minimum allowed size"
            )
            .into());
        }
        Ok(parts)
    }

    /// AWS: "Checking object integrity": a composite checksum is one of checksums that are listed.
    fn must_have_checksums(&self, upload: &Upload) -> S3Result<()> {
        let Some(algorithm) = upload.algorithm.filter(|_| !upload.whole_checksum) else {
            return Ok(());
        };
        let without = self.listed.iter().find(|listed| listed.checksum.is_none());
        without.map_or(Ok(()), |listed| {
            let name = algorithm.name().to_lowercase();
            Err(s3_error!(
                InvalidRequest,
                "The upload was created using a {name} checksum. The complete request must include \
                 the checksum for each part. It was missing for part {} in the request.",
                listed.number
            ))
        })
    }

    fn object(&self, upload: Upload, parts: &[Part]) -> Result<Object, Unwritten<Refused>> {
        let size = parts.iter().map(|part| part.size).sum();
        if self.promised.size.is_some_and(|promised| promised != signed(size)) {
            return Err(s3_error!(
                InvalidRequest,
                "The provided 'x-amz-mp-object-size' header value does not match what was computed."
            )
            .into());
        }
        let whole = upload.whole_checksum;
        let checksum =
            upload.algorithm.and_then(|algorithm| checksums::of_parts(algorithm, whole, parts));
        if let Some(promised) = &self.promised.checksum
            && Some(promised) != checksum.as_ref()
        {
            return Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                promised.algorithm.name()
            )
            .into());
        }
        let count = self.listed.len();
        let mut digests = Md5::new();
        for part in parts {
            digests.update(hex::decode(&part.etag).unwrap_or_default());
        }
        Ok(Object {
            size,
            etag: format!("{}-{count}", hex::encode(digests.finalize())),
            content: Content::Parts(self.id.clone(), u16::try_from(count).unwrap_or(PARTS_MAX)),
            described: upload.described,
            checksum,
        })
    }
}

/// The algorithm of an upload, as listings show it.
pub(super) fn algorithm(upload: &Upload) -> Option<ChecksumAlgorithm> {
    upload.algorithm.map(|algorithm| algorithm.name().to_owned().into())
}

//! CompleteMultipartUpload. It moves no bytes: the object consists of the parts' files. A complete that
//! is refused leaves the upload as it was.

use http::HeaderMap;
use http::header::HOST;
use md5::{Digest as _, Md5};
use s3s::dto::{CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, ETag};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};

use super::checksums::{self, declared, show};
use super::conditions::OfWrite;
use super::failure::{Refused, with_elements};
use super::find::{PARTS_MAX, part_number};
use super::index::{Broken, Read as _, Unwritten, Writing};
use super::multipart::upload;
use super::objects::signed;
use super::records::{Checksum, Content, Object, Part, Upload};
use super::standing::{Standing, told};
use super::{Now, Store, find};
use crate::s3::encoding::encode_path;

/// AWS: "Amazon S3 multipart upload limits".
const PART_BYTES_MIN: u64 = 5 << 20;

impl Store {
    pub(super) async fn complete(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let mut input = request.input;
        let conditions = self.conditions(input.if_match.take(), input.if_none_match.take())?;
        let promised = Promised {
            checksum: declared!(input)?,
            is_whole: input.checksum_type.as_ref().map(checksums::is_whole).transpose()?,
            size: input.mpu_object_size,
        };
        let location = location(&request.headers, &input.bucket, &input.key);
        let listed = listed(input.multipart_upload.and_then(|upload| upload.parts))?;
        let completing = Completing {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            id: input.upload_id,
            listed,
            promised,
            conditions,
        };
        let now = self.now_of_write();
        let written = self.index.write(move |tables| completing.run(tables, now));
        let Completed { etag, checksum, version_id } = written.await?;
        let mut output = CompleteMultipartUploadOutput {
            location: Some(location),
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(etag)),
            version_id: told(version_id),
            checksum_type: checksum.as_ref().map(checksums::kind),
            ..<_>::default()
        };
        show!(output, &checksum);
        Ok(S3Response::new(output))
    }
}

/// AWS: CompleteMultipartUpload, "The URI that identifies the newly created object."
fn location(headers: &HeaderMap, bucket: &str, key: &str) -> String {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = format!("/{bucket}/{}", encode_path(key));
    if host.is_empty() { path } else { format!("http://{host}{path}") }
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
    /// Whether the checksum is that of the whole object.
    is_whole: Option<bool>,
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
            return Err(conflict(self.conditions.name(), key).into());
        }
        let object = self.object(upload, &parts)?;
        let (etag, checksum) = (object.etag.clone(), object.checksum.clone());
        let listed = self.listed.iter().map(|listed| listed.number);
        let listed: std::collections::HashSet<u16> = listed.collect();
        tables.remove_parts(id, |number| !listed.contains(&number))?;
        tables.remove_upload((bucket, key, id))?;
        let version_id = standing.replace(tables, now, Some(object))?;
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
        // AWS's own default is a checksum of the whole object.
        let kind = upload.algorithm.is_none() || whole;
        if self.promised.is_whole.is_some_and(|promised| promised != kind) {
            return Err(s3_error!(
                BadDigest,
                "The checksum type that you specified is not that of the upload: {}.",
                checksums::kind_of(kind).as_str()
            )
            .into());
        }
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

/// AWS: ConditionalRequestConflict.
fn conflict(condition: &str, key: &str) -> S3Error {
    let error = s3_error!(
        ConditionalRequestConflict,
        "The conditional request cannot succeed due to a conflicting operation against this \
         resource."
    );
    with_elements(error, [("Condition", condition), ("Key", key)].into_iter())
}

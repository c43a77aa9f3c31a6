//! CopyObject and UploadPartCopy.

use std::ops::Range;
use std::sync::Arc;

use http::HeaderMap;
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopyPartResult, CopySource, ETag,
    ETagCondition, MetadataDirective, TaggingDirective, UploadPartCopyInput, UploadPartCopyOutput,
};
use s3s::{S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use tokio::task::spawn_blocking;

use super::Store;
use super::body::{BODY_BYTES_MAX, Declared, Received, receive};
use super::checksums::{self, show};
use super::conditions::of_read;
use super::content::Opened;
use super::described::{described, timestamp_ms};
use super::failure::{Refused, internal, with_elements};
use super::find::{self, Target, part_number};
use super::objects::Landed;
use super::records::{Algorithm, Content, Description};

/// The source of a copy.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    bucket: String,
    key: String,
    version_id: Option<String>,
}

impl Source {
    /// `parsed` is what `s3s` read, which takes a plus sign for itself; at AWS it is a space.
    fn of(headers: &HeaderMap, parsed: &CopySource) -> S3Result<Self> {
        let field = headers.get("x-amz-copy-source").and_then(|field| field.to_str().ok());
        let with_space = field
            .filter(|field| field.contains('+'))
            .map(|field| CopySource::parse(&field.replace('+', "%20")));
        let with_space = with_space.transpose().map_err(|_| s3_error!(InvalidArgument))?;
        match with_space.as_ref().unwrap_or(parsed) {
            CopySource::Bucket { bucket, key, version_id } => Ok(Self {
                bucket: bucket.to_string(),
                key: key.to_string(),
                version_id: version_id.as_ref().map(ToString::to_string),
            }),
            CopySource::AccessPoint { .. } | CopySource::Outpost { .. } => {
                Err(s3_error!(NotImplemented, "A copy's source must be a bucket and a key."))
            }
        }
    }

    fn target(self) -> Target {
        Target::new(self.bucket, self.key, self.version_id)
    }
}

impl Store {
    /// AWS: CopyObject. A delete marker is no source, also if it is named.
    async fn open_source(&self, source: Source) -> S3Result<Opened> {
        let opened = self.open_object(source.target()).await;
        opened.map_err(|Refused(refused)| match refused.code() {
            S3ErrorCode::MethodNotAllowed => s3_error!(
                InvalidRequest,
                "The source of a copy request may not specifically refer to a delete marker by \
                 version id."
            ),
            _ => refused,
        })
    }

    pub(super) async fn copy(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let mut input = request.input;
        find::check_key(&input.key)?;
        let source = Source::of(&request.headers, &input.copy_source)?;
        let directives = Directives::of(&input)?;
        let conditions = of_read!(source: input);
        let of_target = self.conditions(
            condition(&request.headers, "if-match")?,
            condition(&request.headers, "if-none-match")?,
        )?;
        let given = described!(input, request.extensions)?;
        let (bucket, key) = (input.bucket, input.key);
        directives.check(&source, (&bucket, &key), &given)?;
        self.must_have(&bucket).await?;
        let opened = self.open_source(source).await?;
        let now = self.now().milliseconds() / 1000;
        conditions.judge_source(&opened.found.version, &opened.found.object, now)?;
        // AWS names no null version here.
        let source_version_id = opened.found.version.id.clone();
        let copied = opened.found.object.described.clone();
        let described = directives.combined(copied, given);
        let algorithm = input.checksum_algorithm.as_ref().map(Algorithm::of).transpose()?;
        let received = self.copied(opened, algorithm).await?;
        let landed = self.land((bucket, key), of_target, received, described).await?;
        let Landed { etag, checksum, version_id, modified_ms } = landed;
        let mut result = CopyObjectResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(timestamp_ms(modified_ms)),
            checksum_type: checksum.as_ref().map(checksums::kind),
            ..<_>::default()
        };
        show!(result, &checksum);
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            copy_source_version_id: source_version_id,
            version_id,
            ..<_>::default()
        }))
    }

    /// The bytes of an object as a new file. An object of one file needs no reading, unless a sum
    /// is wanted that is not known.
    async fn copied(&self, opened: Opened, algorithm: Option<Algorithm>) -> S3Result<Received> {
        let object = &opened.found.object;
        let known = object.checksum.as_ref().filter(|checksum| !checksum.is_composite());
        let is_known = algorithm
            .is_none_or(|wanted| known.is_some_and(|checksum| checksum.algorithm == wanted));
        if object.size > BODY_BYTES_MAX {
            return Err(s3_error!(
                InvalidRequest,
                "The specified copy source is larger than the maximum allowable size for a copy \
                 source: {BODY_BYTES_MAX}"
            ));
        }
        if let (Content::File(name), true) = (&object.content, is_known) {
            let (files, name) = (Arc::clone(&self.files), name.clone());
            let linked = spawn_blocking(move || files.copy(&name)).await.map_err(internal)?;
            // Where the source was replaced since, its open file still has the bytes.
            if let Ok(file) = linked {
                return Ok(Received {
                    file: Some(file),
                    size: object.size,
                    md5: object.etag.clone(),
                    checksum: known.cloned(),
                });
            }
        }
        let algorithm = algorithm.or_else(|| Some(object.checksum.as_ref()?.algorithm));
        let range = 0..object.size;
        self.read_into(opened, range, algorithm).await
    }

    async fn read_into(
        &self,
        opened: Opened,
        range: Range<u64>,
        algorithm: Option<Algorithm>,
    ) -> S3Result<Received> {
        let bytes = opened.stream(Arc::clone(&self.files), range);
        receive(&self.files, Some(bytes), Declared { algorithm, ..Declared::default() }).await
    }

    pub(super) async fn copy_part(
        &self,
        request: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let mut input = request.input;
        let number = part_number(input.part_number)?;
        let source = Source::of(&request.headers, &input.copy_source)?;
        let conditions = of_read!(source: input);
        let begun = self.upload((&input.bucket, &input.key, &input.upload_id)).await?;
        let opened = self.open_source(source).await?;
        let now = self.now().milliseconds() / 1000;
        conditions.judge_source(&opened.found.version, &opened.found.object, now)?;
        // AWS names no null version here.
        let source_version_id = opened.found.version.id.clone();
        let size = opened.found.object.size;
        let range = input.copy_source_range.as_deref().map(|range| range_of(range, size));
        let range = range.transpose()?.unwrap_or(0..size);
        if range.end - range.start > BODY_BYTES_MAX {
            return Err(super::body::too_large());
        }
        let received = self.read_into(opened, range, begun.algorithm).await?;
        let place = (input.bucket, input.key, input.upload_id);
        let part = self.keep_part(place, number, received).await?;
        let mut result = CopyPartResult {
            e_tag: Some(ETag::Strong(part.etag.clone())),
            last_modified: Some(timestamp_ms(part.modified_ms)),
            ..<_>::default()
        };
        show!(result, &part.checksum);
        Ok(S3Response::new(UploadPartCopyOutput {
            copy_part_result: Some(result),
            copy_source_version_id: source_version_id,
            ..<_>::default()
        }))
    }
}

/// A condition on the target of a copy, which `s3s` does not read.
fn condition(headers: &HeaderMap, name: &str) -> S3Result<Option<ETagCondition>> {
    let parsed = headers.get(name).map(|value| ETagCondition::parse_http_header(value.as_bytes()));
    parsed.transpose().map_err(|_| s3_error!(InvalidArgument, "The value of {name} is no ETag."))
}

/// What a copy takes from its request instead of its source (AWS: CopyObject).
#[derive(Debug, Clone, Copy)]
struct Directives {
    metadata: bool,
    tags: bool,
}

impl Directives {
    fn of(input: &CopyObjectInput) -> S3Result<Self> {
        let replaces = |directive: Option<&str>| match directive {
            None | Some(MetadataDirective::COPY) => Ok(false),
            Some(MetadataDirective::REPLACE) => Ok(true),
            Some(other) => Err(s3_error!(InvalidArgument, "Unknown directive: {other}")),
        };
        Ok(Self {
            metadata: replaces(input.metadata_directive.as_ref().map(MetadataDirective::as_str))?,
            tags: replaces(input.tagging_directive.as_ref().map(TaggingDirective::as_str))?,
        })
    }

    /// Refuses a copy of an object onto itself that changes nothing.
    fn check(self, source: &Source, target: (&str, &str), given: &Description) -> S3Result<()> {
        let changes = self.metadata
            || self.tags
            || source.version_id.is_some()
            || given.storage_class.is_some()
            || given.redirect.is_some();
        if !changes && (source.bucket.as_str(), source.key.as_str()) == target {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself \
                 without changing the object's metadata, storage class, website redirect location \
                 or encryption attributes."
            ));
        }
        Ok(())
    }

    /// What the copy says of itself.
    fn combined(self, copied: Description, given: Description) -> Description {
        let tags = if self.tags { given.tags.clone() } else { copied.tags.clone() };
        if self.metadata {
            return Description { tags, ..given };
        }
        // These two are never copied: what the request says counts.
        Description { tags, storage_class: given.storage_class, redirect: given.redirect, ..copied }
    }
}

/// AWS: UploadPartCopy, `x-amz-copy-source-range`: `bytes=first-last`, all of which must be there.
fn range_of(range: &str, size: u64) -> S3Result<Range<u64>> {
    let wrong_as = |error| {
        let elements = [("ArgumentName", "x-amz-copy-source-range"), ("ArgumentValue", range)];
        with_elements(error, elements.into_iter())
    };
    let wrong = || {
        wrong_as(s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first \
             and last are the zero-based offsets of the first and last bytes to copy"
        ))
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let bounds = range.strip_prefix("bytes=").and_then(|bounds| bounds.split_once('-'));
    let (first, last) = bounds.filter(|(a, b)| digits(a) && digits(b)).ok_or_else(wrong)?;
    let (first, last): (u64, u64) =
        (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    if first > last {
        return Err(wrong());
    }
    if first >= size {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy range is invalid for the source object size"
        ));
    }
    if last >= size {
        return Err(wrong_as(s3_error!(
            InvalidArgument,
            "Range specified is not valid for source object of size: {size}"
        )));
    }
    Ok(first..last + 1)
}

//! PutObject, GetObject, HeadObject and GetObjectAttributes.

use std::ops::Range;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use s3s::dto::{
    ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ObjectPart, PutObjectInput,
    PutObjectOutput, StorageClass,
};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};
use tokio::task::spawn_blocking;

use super::body::{Declared, Received, receive};
use super::checksums::{self, declared, show};
use super::conditions::{OfRead, OfWrite, ReadJudgement, failed, of_read};
use super::content::{self, Opened};
use super::described::{
    described, http_date, refuse_customer_keys, refuse_unsupported, show_described, timestamp,
    timestamp_ms,
};
use super::failure::{Refused, internal};
use super::find::{self, Found, Target, part_number};
use super::index::{Read as _, Snapshot, Unwritten};
use super::records::{Checksum, Content, Description, Object, Part};
use super::standing::Standing;
use super::{Now, Store};

impl Store {
    pub(super) async fn put(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let mut input = request.input;
        refuse_unsupported!(input)?;
        find::check_key(&input.key)?;
        if input.write_offset_bytes.is_some() {
            return Err(s3_error!(NotImplemented, "Objects cannot be appended to."));
        }
        let conditions = self.conditions(input.if_match.take(), input.if_none_match.take())?;
        let described = described!(input, request.extensions)?;
        let (bucket, key) = (input.bucket, input.key);
        self.must_have(&bucket).await?;
        let declared = Declared {
            length: input.content_length,
            md5: input.content_md5,
            trailers: request.extensions.remove(),
            ..Declared::of(&request.headers, declared!(input)?)?
        };
        let received = receive(&self.files, input.body, declared).await?;
        let landed = self.land((bucket, key), conditions, received, described).await?;
        let Landed { etag, checksum, version_id, .. } = landed;
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            version_id,
            checksum_type: checksum.as_ref().map(checksums::kind),
            ..<_>::default()
        };
        show!(output, &checksum);
        Ok(S3Response::new(output))
    }

    /// Makes what was received the latest version of a key, if the conditions hold.
    pub(super) async fn land(
        &self,
        (bucket, key): (String, String),
        conditions: OfWrite,
        received: Received,
        described: Description,
    ) -> Result<Landed, Refused> {
        let now = self.now();
        let object = received.object(described);
        let (etag, checksum) = (object.etag.clone(), object.checksum.clone());
        let written = self.index.write(move |tables| -> Result<_, Unwritten<Refused>> {
            let standing = Standing::at(tables, (&bucket, &key))?;
            conditions.judge(standing.version())?;
            let version_id = standing.replace(tables, now, Some(object))?;
            tables.keep(received.file);
            Ok(version_id)
        });
        let version_id = written.await?;
        Ok(Landed { etag, checksum, version_id, modified_ms: now.milliseconds() })
    }

    /// A write's conditions, unless the store ignores them.
    pub(super) fn conditions(
        &self,
        if_match: Option<s3s::dto::ETagCondition>,
        if_none_match: Option<s3s::dto::ETagCondition>,
    ) -> S3Result<OfWrite> {
        if self.options.ignore_conditions {
            return Ok(OfWrite::default());
        }
        let conditions = OfWrite { if_match, if_none_match };
        conditions.check()?;
        Ok(conditions)
    }

    /// Refuses a write to a bucket that is not there, before its body is read.
    pub(super) async fn must_have(&self, bucket: &str) -> Result<(), Refused> {
        let bucket = bucket.to_owned();
        self.index.read(move |index| find::bucket(index, &bucket).map(|_| ())).await
    }

    /// Opens the bytes of a version that stands there now, or that a reader is shown.
    pub(super) async fn open_object(
        &self,
        target: Target,
        for_reader: bool,
    ) -> Result<Opened, Refused> {
        let store = self.clone();
        let opening = spawn_blocking(move || {
            let find = |index: &Snapshot| target.find(index);
            let look = || if for_reader { store.view(find) } else { Ok(store.index.now()?) };
            content::open(&store.files, look, find)
        });
        opening.await.map_err(internal)?
    }

    /// What a reader is shown of a version, with its parts if they are wanted.
    async fn look(
        &self,
        target: Target,
        with_parts: bool,
    ) -> Result<(Found, Vec<(u16, Part)>), Refused> {
        let store = self.clone();
        let looking = spawn_blocking(move || {
            let index = store.view(|index| target.find(index))?;
            let found = target.find(&*index)?;
            let parts = match &found.object.content {
                Content::Parts(upload_id, _) if with_parts => index.parts_of(upload_id)?,
                _ => Vec::new(),
            };
            Ok((found, parts))
        });
        looking.await.map_err(internal)?
    }

    pub(super) async fn get(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let mut input = request.input;
        refuse_customer_keys!(input)?;
        let wanted = Wanted { range: input.range.take(), part_number: input.part_number };
        let conditions = of_read!(read: input);
        let target = Target::new(input.bucket, input.key, input.version_id);
        let opened = self.open_object(target, true).await?;
        judge(&conditions, &opened.found, self.now())?;
        let selected = wanted.select(&opened.found.object, &opened.parts)?;
        let found = opened.found.clone();
        let mut output = GetObjectOutput {
            tag_count: tag_count(&found.object),
            body: Some(opened.stream(Arc::clone(&self.files), selected.range.clone())),
            ..<_>::default()
        };
        let expires_text = found.object.described.expires_text.clone();
        let checks = input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED");
        show_read!(output, found, selected, checks);
        override_headers!(output, input);
        let expires = expires_text.filter(|_| output.expires.is_none());
        Ok(response(output, selected.asked, expires))
    }

    pub(super) async fn head(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let mut input = request.input;
        refuse_customer_keys!(input)?;
        let wanted = Wanted { range: input.range.take(), part_number: input.part_number };
        let target = Target::new(input.bucket, input.key, input.version_id);
        let (found, parts) = self.look(target, wanted.part_number.is_some()).await?;
        let conditions = of_read!(read: input);
        judge(&conditions, &found, self.now())?;
        let selected = wanted.select(&found.object, &parts)?;
        let mut output = HeadObjectOutput::default();
        let expires_text = found.object.described.expires_text.clone();
        let checks = input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED");
        show_read!(output, found, selected, checks);
        override_headers!(output, input);
        let expires = expires_text.filter(|_| output.expires.is_none());
        Ok(response(output, selected.asked, expires))
    }

    pub(super) async fn attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = request.input;
        let target = Target::new(input.bucket, input.key, input.version_id);
        let (found, parts) = self.look(target, true).await?;
        // Clients send one field with a list, and `s3s` does not part it.
        let asked = || input.object_attributes.iter().flat_map(|field| field.as_str().split(','));
        let asks = |name: &str| asked().any(|asked| asked.trim() == name);
        if let Some(unknown) = asked().find(|asked| !ATTRIBUTES.contains(&asked.trim())) {
            return Err(s3_error!(InvalidArgument, "Invalid attribute name specified: {unknown}"));
        }
        let after = input.part_number_marker.unwrap_or(0);
        let most = usize::try_from(input.max_parts.unwrap_or(1000)).unwrap_or(0).min(1000);
        let object = &found.object;
        let checksum = object.checksum.as_ref().filter(|_| asks("Checksum"));
        let output = GetObjectAttributesOutput {
            checksum: checksum.map(checksums::element),
            e_tag: asks("ETag").then(|| ETag::Strong(object.etag.clone())),
            last_modified: Some(timestamp_ms(found.version.modified_ms)),
            object_parts: (asks("ObjectParts") && !parts.is_empty())
                .then(|| page_of_parts(&parts, after, most)),
            object_size: asks("ObjectSize").then_some(signed(object.size)),
            storage_class: asks("StorageClass")
                .then(|| StorageClass::from(object.described.class())),
            version_id: found.version_id,
            ..<_>::default()
        };
        let mut response = S3Response::new(output);
        response.extensions.insert(BareETag);
        Ok(response)
    }
}

/// What the answer to a write says of it.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) etag: String,
    pub(super) checksum: Option<Checksum>,
    pub(super) version_id: Option<String>,
    pub(super) modified_ms: i64,
}

/// AWS: ObjectAttributes.
const ATTRIBUTES: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

fn page_of_parts(parts: &[(u16, Part)], after: i32, most: usize) -> GetObjectAttributesParts {
    let behind: Vec<_> = parts.iter().filter(|(number, _)| i32::from(*number) > after).collect();
    let page = &behind[..behind.len().min(most)];
    let shown = page.iter().map(|(number, part)| {
        let mut shown = ObjectPart {
            part_number: Some(i32::from(*number)),
            size: Some(signed(part.size)),
            ..<_>::default()
        };
        show!(shown, &part.checksum);
        shown
    });
    GetObjectAttributesParts {
        is_truncated: Some(page.len() < behind.len()),
        max_parts: i32::try_from(most).ok(),
        next_part_number_marker: page.last().map(|(number, _)| i32::from(*number)),
        part_number_marker: Some(after),
        parts: Some(shown.collect()),
        total_parts_count: i32::try_from(parts.len()).ok(),
    }
}

/// Puts what was found into the answer to a GET or HEAD.
macro_rules! show_read {
    ($output:expr, $found:expr, $selected:expr, $with_checksum:expr) => {
        let Found { version, object, version_id, .. } = $found;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.content_length = Some(signed($selected.range.end - $selected.range.start));
        $output.content_range = $selected.content_range(object.size);
        $output.parts_count = $selected.parts_count;
        $output.last_modified = Some(timestamp_ms(version.modified_ms));
        $output.version_id = version_id;
        // A checksum is that of the whole object.
        let shown = object.checksum.as_ref().filter(|_| $with_checksum && !$selected.asked);
        $output.checksum_type = shown.map(checksums::kind);
        show!($output, shown);
        $output.e_tag = Some(ETag::Strong(object.etag));
        show_described!($output, object.described);
    };
}

/// AWS: GetObject, the parameters that override fields of the answer.
macro_rules! override_headers {
    ($output:expr, $input:expr) => {
        override_headers!(@ $output, $input, cache_control, response_cache_control);
        override_headers!(@ $output, $input, content_disposition, response_content_disposition);
        override_headers!(@ $output, $input, content_encoding, response_content_encoding);
        override_headers!(@ $output, $input, content_language, response_content_language);
        override_headers!(@ $output, $input, content_type, response_content_type);
        override_headers!(@ $output, $input, expires, response_expires);
    };
    (@ $output:expr, $input:expr, $field:ident, $by:ident) => {
        if $input.$by.is_some() {
            $output.$field = $input.$by.take();
        }
    };
}

use {override_headers, show_read};

fn judge(conditions: &OfRead, found: &Found, now: Now) -> S3Result<()> {
    match conditions.judge(&found.version, &found.object, now.milliseconds() / 1000) {
        ReadJudgement::Passes => Ok(()),
        ReadJudgement::Failed(condition) => Err(failed(condition)),
        ReadJudgement::NotModified => Err(not_modified(found)),
    }
}

/// RFC 9110 §15.4.5: a 304 has the validators that a 200 would have.
fn not_modified(found: &Found) -> S3Error {
    let mut error = s3_error!(NotModified);
    let mut headers = HeaderMap::new();
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{}\"", found.object.etag)) {
        headers.insert(header::ETAG, etag);
    }
    let cache_control = found.object.described.cache_control.as_deref();
    if let Some(Ok(cache_control)) = cache_control.map(HeaderValue::from_str) {
        headers.insert(header::CACHE_CONTROL, cache_control);
    }
    if let Some(Ok(id)) = found.version_id.as_deref().map(HeaderValue::from_str) {
        headers.insert(HeaderName::from_static("x-amz-version-id"), id);
    }
    let expires = found.object.described.expires.map(timestamp);
    let modified = timestamp_ms(found.version.modified_ms);
    for (name, date) in [(header::LAST_MODIFIED, Some(modified)), (header::EXPIRES, expires)] {
        if let Some(date) = date.as_ref().and_then(http_date) {
            headers.insert(name, date);
        }
    }
    error.set_headers(headers);
    error
}

/// Marks an answer whose status is 206: `s3s` does not read the status of a HEAD.
#[derive(Debug, Clone, Copy)]
pub(in crate::embedded) struct OnlyAPart;

/// Marks an answer whose ETag AWS shows without quotes: `s3s` writes them always.
#[derive(Debug, Clone, Copy)]
pub(in crate::embedded) struct BareETag;

fn response<T>(output: T, is_part: bool, expires_text: Option<String>) -> S3Response<T> {
    let mut response = S3Response::new(output);
    if let Some(Ok(expires)) = expires_text.map(HeaderValue::try_from) {
        response.headers.insert(header::EXPIRES, expires);
    }
    if is_part {
        response.status = Some(StatusCode::PARTIAL_CONTENT);
        response.extensions.insert(OnlyAPart);
    }
    response
}

/// The part of an object that a reader wants.
#[derive(Debug)]
struct Wanted {
    range: Option<s3s::dto::Range>,
    part_number: Option<i32>,
}

/// The part that is read.
#[derive(Debug)]
struct Selected {
    range: Range<u64>,
    /// Whether it was asked for as a part: also the whole object may be one.
    asked: bool,
    parts_count: Option<i32>,
}

impl Wanted {
    fn select(&self, object: &Object, parts: &[(u16, Part)]) -> S3Result<Selected> {
        match (&self.range, self.part_number) {
            (Some(_), Some(_)) => Err(s3_error!(
                InvalidRequest,
                "Cannot specify both Range header and partNumber query parameter"
            )),
            (Some(range), None) => {
                let range = range.check(object.size)?;
                Ok(Selected { range, asked: true, parts_count: None })
            }
            (None, Some(number)) => part_of(object, parts, number),
            (None, None) => Ok(Selected { range: 0..object.size, asked: false, parts_count: None }),
        }
    }
}

/// AWS: GetObject, `partNumber`. An object that is not made of parts has one.
fn part_of(object: &Object, parts: &[(u16, Part)], number: i32) -> S3Result<Selected> {
    part_number(number)?;
    if parts.is_empty() && number == 1 {
        return Ok(Selected { range: 0..object.size, asked: object.size > 0, parts_count: None });
    }
    let mut start = 0;
    for (at, part) in parts {
        if i32::from(*at) == number {
            let parts_count = i32::try_from(parts.len()).ok();
            return Ok(Selected { range: start..start + part.size, asked: true, parts_count });
        }
        start += part.size;
    }
    let mut error = S3Error::with_message(
        s3s::S3ErrorCode::Custom("InvalidPartNumber".into()),
        "The requested partnumber is not satisfiable",
    );
    error.set_status_code(StatusCode::RANGE_NOT_SATISFIABLE);
    Err(error)
}

impl Selected {
    fn content_range(&self, size: u64) -> Option<String> {
        let Range { start, end } = self.range;
        (self.asked && end > start).then(|| format!("bytes {start}-{}/{size}", end - 1))
    }
}

fn tag_count(object: &Object) -> Option<i32> {
    i32::try_from(object.described.tags.len()).ok().filter(|count| *count > 0)
}

/// A size as the answers' types have it.
pub(super) fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

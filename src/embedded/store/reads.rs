//! GetObject and HeadObject.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use s3s::dto::{ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput};
use s3s::{S3Error, S3Request, S3Response, S3Result, s3_error};
use tokio::task::spawn_blocking;

use super::checksums::{self, show};
use super::conditions::{OfRead, ReadJudgement, failed, of_read};
use super::content::{self, Opened};
use super::described::{http_date, show_described, timestamp, timestamp_ms};
use super::failure::{Refused, internal};
use super::find::{Found, Target};
use super::index::{Read as _, Snapshot};
use super::objects::signed;
use super::records::{Content, Object, Part};
use super::selection::Wanted;
use super::{Now, Store};

/// How many tags an object has.
const TAGGING_COUNT: HeaderName = HeaderName::from_static("x-amz-tagging-count");

impl Store {
    /// Opens the bytes of a version that a reader is shown.
    pub(super) async fn open_object(&self, target: Target) -> Result<Opened, Refused> {
        let store = self.clone();
        let opening = spawn_blocking(move || {
            let find = |index: &Snapshot| target.find(index);
            let look = || store.view(&target);
            content::open(&store.files, look, find)
        });
        opening.await.map_err(internal)?
    }

    /// What a reader is shown of a version, with its parts if they are wanted.
    pub(super) async fn look(
        &self,
        target: Target,
        with_parts: bool,
    ) -> Result<(Found, Vec<(u16, Part)>), Refused> {
        let store = self.clone();
        let looking = spawn_blocking(move || {
            let index = store.view(&target)?;
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
        let wanted = Wanted { range: input.range.take(), part_number: input.part_number };
        let conditions = of_read!(read: input);
        let target = Target::new(input.bucket, input.key, input.version_id);
        let opened = self.open_object(target).await?;
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
        let wanted = Wanted { range: input.range.take(), part_number: input.part_number };
        let target = Target::new(input.bucket, input.key, input.version_id);
        let (found, parts) = self.look(target, wanted.part_number.is_some()).await?;
        let conditions = of_read!(read: input);
        judge(&conditions, &found, self.now())?;
        let selected = wanted.select(&found.object, &parts)?;
        let mut output = HeadObjectOutput::default();
        let tags = tag_count(&found.object);
        let expires_text = found.object.described.expires_text.clone();
        let checks = input.checksum_mode.is_some_and(|mode| mode.as_str() == "ENABLED");
        show_read!(output, found, selected, checks);
        override_headers!(output, input);
        let expires = expires_text.filter(|_| output.expires.is_none());
        let mut response = response(output, selected.asked, expires);
        if let Some(tags) = tags {
            // `s3s` has no field for it.
            response.headers.insert(TAGGING_COUNT, tags.into());
        }
        Ok(response)
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
        let shown = $selected.checksum.as_ref().filter(|_| $with_checksum);
        // A part has the type of its object.
        let of_object = object.checksum.as_ref().filter(|_| shown.is_some());
        $output.checksum_type = of_object.map(checksums::kind);
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

/// The status of an answer whose own `s3s` does not read: of a HEAD, and of what has no content.
#[derive(Debug, Clone, Copy)]
pub(in crate::embedded) struct Unread(pub(in crate::embedded) StatusCode);

fn response<T>(output: T, is_part: bool, expires_text: Option<String>) -> S3Response<T> {
    let mut response = S3Response::new(output);
    if let Some(Ok(expires)) = expires_text.map(HeaderValue::try_from) {
        response.headers.insert(header::EXPIRES, expires);
    }
    if is_part {
        response.status = Some(StatusCode::PARTIAL_CONTENT);
        response.extensions.insert(Unread(StatusCode::PARTIAL_CONTENT));
    }
    response
}

fn tag_count(object: &Object) -> Option<i32> {
    i32::try_from(object.described.tags.len()).ok().filter(|count| *count > 0)
}

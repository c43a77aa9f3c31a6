//! Buffered bodies in a form that every store understands. A document is buffered, read, judged and
//! rewritten, with the `Content-MD5` that some stores require; an operation without a body is sent
//! without one. An upload part is buffered if it has a trailing checksum or no declared length.

use bytes::Bytes;

use super::admitted::Request;
use super::read_body;
use super::state::Proxy;
use super::visit::{BodyFault, Visit};
use crate::body::Body;
use crate::s3::content::Reading;
use crate::s3::{Code, Content, ETag, S3Error};
use crate::sigv4::CheckedBody;
use crate::traces::Span;

/// A body as its store gets it.
pub(super) struct Buffered {
    pub(super) body: Body,
    pub(super) checked: CheckedBody,
    /// The ETag that AWS gives what the body makes of an upload.
    pub(super) etag: Option<ETag>,
}

/// Reads the body in the form that the store gets: a document is rewritten.
pub(super) async fn read(
    proxy: &Proxy,
    visit: &mut Visit<'_>,
    request: &Request,
) -> Result<Buffered, BodyFault> {
    let content = request.content;
    let too_large = |bytes: u64| content.bytes_max().is_some_and(|most| bytes > most as u64);
    if request.promise.length.is_some_and(too_large) {
        return Err(S3Error::new(Code::MaxMessageLengthExceeded).into());
    }
    let taken = Span::within("body").over(read_body::read(proxy, visit, request)).await;
    let (body, checked) = taken?;
    if !request.origin.is_read(content) {
        return Ok(Buffered { body, checked, etag: None });
    }
    if content == Content::Nothing {
        if body.length_bytes() == 0 {
            return Ok(Buffered { body, checked, etag: None });
        }
        let checked = CheckedBody { md5: None, ..CheckedBody::of(&[]) };
        return Ok(Buffered { body: Body::empty(), checked, etag: None });
    }
    let document = body.to_bytes().await.map_err(|error| {
        tracing::error!(%error, "a body cannot be read back");
        S3Error::internal_error()
    })?;
    let told = (request.promise.payload.is_chunked(), !proxy.store.drops_checksums());
    let Reading { anew, etag } = request.origin.read(content, &document, told)?;
    let Some(anew) = anew else {
        return Ok(Buffered { body, checked, etag });
    };
    let mut checked = CheckedBody::of(&anew);
    checked.md5 = checked.md5.filter(|_| !anew.is_empty());
    Ok(Buffered { body: Body::from(Bytes::from(anew)), checked, etag })
}

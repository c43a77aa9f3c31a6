//! Bodies in the form that every store understands. A document is buffered, read, judged and written
//! anew, with the `Content-MD5` that some stores ask for; what has no body is sent none. An upload part is
//! buffered whose checksum follows it, or whose length nothing says.

use bytes::Bytes;

use super::admitted::Request;
use super::read_body;
use super::state::Proxy;
use super::visit::{BodyFault, Visit};
use crate::body::Body;
use crate::s3::{Code, Content, S3Error};
use crate::sigv4::CheckedBody;

/// Reads the body as its store gets it: a document is written anew.
pub(super) async fn read(
    proxy: &Proxy,
    visit: &mut Visit<'_>,
    request: &Request,
) -> Result<(Body, CheckedBody), BodyFault> {
    let content = request.content;
    let too_large = |bytes: u64| content.bytes_max().is_some_and(|most| bytes > most as u64);
    if request.promise.length.is_some_and(too_large) {
        return Err(S3Error::new(Code::MaxMessageLengthExceeded).into());
    }
    let (body, checked) = read_body::read(proxy, visit, request).await?;
    if !request.origin.is_read(content) {
        return Ok((body, checked));
    }
    if content == Content::Nothing {
        let unsaid = CheckedBody { md5: None, ..CheckedBody::of(&[]) };
        let empty = body.length_bytes() == 0;
        return Ok(if empty { (body, checked) } else { (Body::empty(), unsaid) });
    }
    let document = body.to_bytes().await.map_err(|error| {
        tracing::error!(%error, "a body cannot be read back");
        S3Error::internal_error()
    })?;
    let told = (request.promise.payload.is_chunked(), !proxy.store.drops_checksums());
    let Some(anew) = request.origin.rewritten(content, &document, told)? else {
        return Ok((body, checked));
    };
    let mut checked = CheckedBody::of(&anew);
    checked.md5 = checked.md5.filter(|_| !anew.is_empty());
    Ok((Body::from(Bytes::from(anew)), checked))
}

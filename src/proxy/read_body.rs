//! Reads a whole body into a buffer, unframed, and checks it against every promise in its head.

use bytes::Bytes;

use super::admitted::Request;
use super::state::Proxy;
use super::visit::{BodyFault, Visit};
use crate::body::{Body, BufferError, Expected};
use crate::descriptors;
use crate::s3::{Code, S3Error};
use crate::shares::NoRoom;
use crate::sigv4::{BodyCheck, BodyPromise, CheckedBody, Wanted};

/// Reads the body. Nothing is sent to the store before this has succeeded.
pub(super) async fn read(
    proxy: &Proxy,
    visit: &mut Visit<'_>,
    request: &Request,
) -> Result<(Body, CheckedBody), BodyFault> {
    let promise = request.promise.clone();
    let unknown = promise.length.is_none() && visit.has_body();
    let length_bytes = match promise.length {
        Some(length_bytes) => length_bytes,
        None if !unknown => 0,
        None if proxy.takes_unknown_length => proxy.body_bytes_max,
        // AWS: a body of unknown length is refused.
        None => return Err(S3Error::not_implemented("Transfer-Encoding", None).into()),
    };
    if length_bytes > proxy.body_bytes_max {
        return Err(too_large(length_bytes, proxy.body_bytes_max).into());
    }
    let framed_bytes_max = request.origin.framed_bytes_max(length_bytes);
    let bytes_max = framed_bytes_max.unwrap_or(length_bytes);
    // A body that is sent on as it came needs no digest for the proxy's own signature.
    let wanted = Wanted { sha256: framed_bytes_max.is_none(), md5: false };
    let expected =
        if unknown { Expected::AtMost(bytes_max) } else { request.origin.expected(bytes_max) };
    let mut check = BodyCheck::new(promise, wanted);
    let client = request.origin.access_key_id();
    let mut writer = proxy.buffers.begin(client, expected).await.map_err(|e| no_buffer(&e))?;
    if request.expects_continue {
        visit.go_on().await?;
    }
    let mut content: Vec<Bytes> = Vec::new();
    let mut left = bytes_max;
    while let Some(bytes) = visit.next_piece().await? {
        if framed_bytes_max.is_some() {
            let more = bytes.len() as u64;
            left = left
                .checked_sub(more)
                .ok_or_else(|| too_large(bytes_max.saturating_add(more), bytes_max))?;
            check.feed(bytes.clone(), &mut |_| ())?;
            content.push(bytes);
        } else {
            check.feed(bytes, &mut |piece| content.push(piece))?;
        }
        for piece in content.drain(..) {
            let length_bytes = writer.length_bytes().saturating_add(piece.len() as u64);
            if unknown && length_bytes > bytes_max {
                return Err(too_large(length_bytes, bytes_max).into());
            }
            writer.push(piece).await.map_err(|e| no_buffer(&e))?;
        }
    }
    let checked = check.finish()?;
    let body = writer.finish().await.map_err(|e| no_buffer(&e))?;
    Ok((body, checked))
}

/// Reads the body of a read request to its end and drops it. It has no meaning (RFC 9110 §9.3.1),
/// although a store may find one in it; it has to keep its promises all the same. Returns whether
/// there was a body.
pub(super) async fn discard(
    visit: &mut Visit<'_>,
    promise: &BodyPromise,
) -> Result<bool, BodyFault> {
    if !visit.has_body() {
        return Ok(false);
    }
    let mut check = BodyCheck::new(promise.clone(), Wanted::default());
    while let Some(bytes) = visit.next_piece().await? {
        check.feed(bytes, &mut |_| ())?;
    }
    check.finish()?;
    Ok(true)
}

pub(super) fn too_large(proposed: u64, allowed: u64) -> S3Error {
    S3Error::new(Code::EntityTooLarge)
        .with("ProposedSize", proposed.to_string())
        .with("MaxSizeAllowed", allowed.to_string())
}

/// Why a body cannot be buffered: 503, so that the client tries again, unless the body can never be
/// buffered.
pub(super) fn no_buffer(error: &BufferError) -> S3Error {
    match error {
        BufferError::Full(NoRoom::TooMuch(most)) => S3Error::new(Code::EntityTooLarge)
            .with("MaxSizeAllowed", most.to_string())
            .because("The body is larger than what the proxy may keep on disk for one client."),
        BufferError::Full(NoRoom::OfClient) => S3Error::slow_down(1).because(DISK_OF_ONE),
        BufferError::Full(NoRoom::InAll) => S3Error::slow_down(1).because(DISK_OF_ALL),
        BufferError::Disk(error) => spool_failed(error),
    }
}

const DISK_OF_ONE: &str = "The bodies of this client take as much disk as one client may have; see \
                           `body.spool_per_client` of the proxy. Please reduce your request rate.";
const DISK_OF_ALL: &str = "The bodies under way take all the disk that they may; see `body.spool` of \
                           the proxy. Please reduce your request rate.";

fn spool_failed(error: &std::io::Error) -> S3Error {
    if descriptors::is_out(error) {
        descriptors::ran_out("to keep a body on disk");
    } else {
        tracing::error!(%error, "a body cannot be kept on disk; see body.spool_dir");
    }
    S3Error::service_unavailable(5).because("The proxy has no room for the body right now.")
}

//! BodyWriter a body: whole, unframed, and held to every promise that its head made.

use bytes::Bytes;
use pingora::ErrorType;
use pingora::proxy::Session;

use super::access::Caller;
use super::context::Context;
use super::passthrough;
use super::respond;
use super::signed::Signed;
use super::state::Proxy;
use super::wire::Broken;
use crate::body::{Body, BufferError, Expected};
use crate::config::Signatures;
use crate::descriptors;
use crate::s3::{Code, S3Error};
use crate::shares::NoRoom;
use crate::sigv4::{BodyCheck, BodyError, CheckedBody, Wanted};

/// Why there is no body.
#[derive(Debug)]
pub(super) enum BodyFault {
    /// It is not what was promised, or cannot be kept: the client is told.
    Refused(S3Error),
    /// The client has closed its side in the middle. It may still listen.
    CutShort,
    /// The client went away.
    ClientGone,
}

impl BodyFault {
    /// Tells the client, if it is still there.
    pub(super) async fn answer(
        self,
        session: &mut Session,
        context: &mut Context,
    ) -> pingora::Result<()> {
        match self {
            Self::Refused(error) => {
                // Where it is to be kept, the rest is read out, and a fault in it is found then.
                if !context.reads_out {
                    session.set_keepalive(None);
                }
                respond::error(session, context, &error, None).await
            }
            Self::CutShort => {
                session.set_keepalive(None);
                context.log.client_gone();
                respond::error(session, context, &S3Error::incomplete_body(), None).await
            }
            Self::ClientGone => {
                session.set_keepalive(None);
                Ok(())
            }
        }
    }
}

impl From<S3Error> for BodyFault {
    fn from(error: S3Error) -> Self {
        Self::Refused(error)
    }
}

impl From<BodyError> for BodyFault {
    fn from(error: BodyError) -> Self {
        Self::Refused(error.into())
    }
}

/// Takes the body. The store sees nothing before this has succeeded.
pub(super) async fn take(
    proxy: &Proxy,
    session: &mut Session,
    signed: &Signed,
    expects_continue: bool,
) -> Result<(Body, CheckedBody), BodyFault> {
    let wanted = Wanted { sha256: true, md5: false };
    take_for(proxy, session, signed, expects_continue, wanted).await
}

/// The same, with these digests of it.
pub(super) async fn take_for(
    proxy: &Proxy,
    session: &mut Session,
    signed: &Signed,
    expects_continue: bool,
    wanted: Wanted,
) -> Result<(Body, CheckedBody), BodyFault> {
    let promise = signed.promise.clone();
    let unknown = promise.length.is_none() && !session.is_body_empty();
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
    let as_sent = proxy.signatures == Signatures::Passthrough;
    let kept_bytes_max =
        if as_sent { passthrough::bytes_max(session, length_bytes) } else { length_bytes };
    // A body that is sent on as it came needs no digest for a signature of ours.
    let wanted = if as_sent { Wanted::default() } else { wanted };
    let mut check = BodyCheck::new(promise, wanted);
    let expected = match signed.caller {
        _ if unknown => Expected::AtMost,
        Caller::Unproved(_) => Expected::Claimed,
        Caller::Client(_) | Caller::Anonymous => Expected::Known,
    }(kept_bytes_max);
    let client = signed.caller.access_key_id();
    let mut taking = proxy.buffers.begin(client, expected).await.map_err(|e| unkept(&e))?;
    if expects_continue {
        respond::go_on(session).await.map_err(|_| BodyFault::ClientGone)?;
    }
    let mut content: Vec<Bytes> = Vec::new();
    let mut left = kept_bytes_max;
    while let Some(bytes) = session.read_request_body().await.map_err(|e| untaken(&e))? {
        if as_sent {
            let more = bytes.len() as u64;
            left = left
                .checked_sub(more)
                .ok_or_else(|| too_large(kept_bytes_max.saturating_add(more), kept_bytes_max))?;
            check.feed(bytes.clone(), &mut |_| ())?;
            content.push(bytes);
        } else {
            check.feed(bytes, &mut |piece| content.push(piece))?;
        }
        for piece in content.drain(..) {
            let length_bytes = taking.length_bytes().saturating_add(piece.len() as u64);
            if unknown && length_bytes > kept_bytes_max {
                return Err(too_large(length_bytes, kept_bytes_max).into());
            }
            taking.push(piece).await.map_err(|e| unkept(&e))?;
        }
    }
    let checked = check.finish()?;
    let body = taking.finish().await.map_err(|e| unkept(&e))?;
    Ok((body, checked))
}

/// The next bytes of a body that is read piece by piece; `None` at its end. After an error the
/// connection serves no other request.
pub(super) async fn next_bytes(session: &mut Session) -> Result<Option<Bytes>, BodyFault> {
    let read = session.read_request_body().await;
    read.map_err(|error| {
        session.set_keepalive(None);
        untaken(&error)
    })
}

/// What Pingora calls a chunked transfer that is none.
const INVALID_CHUNK: &str = "InvalidChunk";

pub(super) fn too_large(proposed: u64, allowed: u64) -> S3Error {
    S3Error::new(Code::EntityTooLarge)
        .with("ProposedSize", proposed.to_string())
        .with("MaxSizeAllowed", allowed.to_string())
}

/// What is wrong with a body that could not be read to its end.
pub(super) fn untaken(error: &pingora::Error) -> BodyFault {
    match Broken::of(error) {
        Some(Broken::Slow(_)) => {
            let because = "The request body came more slowly than body.least_rate allows.";
            return S3Error::new(Code::RequestTimeout).because(because).into();
        }
        Some(broken) => {
            return S3Error::incomplete_body().because(format!("{}.", capital(&broken))).into();
        }
        None => {}
    }
    match error.etype() {
        ErrorType::ReadTimedout => S3Error::new(Code::RequestTimeout).into(),
        ErrorType::ConnectionClosed => BodyFault::CutShort,
        ErrorType::Custom(INVALID_CHUNK) => S3Error::incomplete_body().into(),
        _ => BodyFault::ClientGone,
    }
}

fn capital(text: &impl ToString) -> String {
    let text = text.to_string();
    let (first, rest) = text.split_at(text.len().min(1));
    first.to_uppercase() + rest
}

/// Why a body cannot be kept: the client may come again, unless it can never be.
pub(super) fn unkept(error: &BufferError) -> S3Error {
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

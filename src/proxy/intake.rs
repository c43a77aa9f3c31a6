//! Taking a body: whole, unframed, and held to every promise that its head made.

use std::time::Duration;

use bytes::Bytes;
use pingora::proxy::Session;

use super::Proxy;
use super::admission::foreign;
use super::context::Context;
use super::respond;
use crate::body::{Body, InMemory};
use crate::s3::{Code, S3Error};
use crate::sigv4::{BodyCheck, BodyPromise, CheckedBody, Wanted};

/// Why there is no body.
#[derive(Debug)]
pub(super) enum Untaken {
    /// It is not what was promised, or cannot be kept: the client is told.
    Refused(S3Error),
    /// The client went away.
    ClientGone,
}

impl Untaken {
    /// Tells the client, if it is still there.
    pub(super) async fn answer(
        self,
        session: &mut Session,
        context: &mut Context,
    ) -> pingora::Result<()> {
        match self {
            Self::Refused(error) => respond::error(session, context, &error, None).await,
            Self::ClientGone => {
                session.set_keepalive(None);
                Ok(())
            }
        }
    }
}

impl From<S3Error> for Untaken {
    fn from(error: S3Error) -> Self {
        Self::Refused(error)
    }
}

/// Takes the body. The store sees nothing before this has succeeded.
pub(super) async fn take(
    proxy: &Proxy,
    session: &mut Session,
    promise: BodyPromise,
    expects_continue: bool,
) -> Result<(Body, CheckedBody), Untaken> {
    let wanted = Wanted { sha256: true, md5: false };
    take_for(proxy, session, promise, expects_continue, wanted).await
}

/// The same, with these digests of it.
pub(super) async fn take_for(
    proxy: &Proxy,
    session: &mut Session,
    promise: BodyPromise,
    expects_continue: bool,
    wanted: Wanted,
) -> Result<(Body, CheckedBody), Untaken> {
    let length_bytes = match promise.length {
        Some(length_bytes) => length_bytes,
        None if session.is_body_empty() => 0,
        // AWS: a body of unknown length is refused.
        None => return Err(S3Error::new(Code::MissingContentLength).into()),
    };
    if length_bytes > proxy.body_bytes_max {
        return Err(too_large(length_bytes, proxy.body_bytes_max).into());
    }
    let mut check = BodyCheck::new(promise, wanted);
    let mut taking = proxy.larder.begin(length_bytes).await.map_err(|e| spool_failed(&e))?;
    if expects_continue {
        session.write_continue_response().await.map_err(|_| Untaken::ClientGone)?;
    }
    let mut content: Vec<Bytes> = Vec::new();
    while let Some(bytes) = session.read_request_body().await.map_err(|e| untaken(&e))? {
        check.feed(bytes, &mut |piece| content.push(piece)).map_err(|e| foreign(&e))?;
        for piece in content.drain(..) {
            taking.push(piece).await.map_err(|e| spool_failed(&e))?;
        }
    }
    let checked = check.finish().map_err(|e| foreign(&e))?;
    let body = taking.finish().await.map_err(|e| spool_failed(&e))?;
    Ok((body, checked))
}

/// Takes a browser's form, whose head promises nothing and whose sender is not known before it is
/// read: in memory, within the budget of all bodies.
pub(super) async fn take_unsigned(
    proxy: &Proxy,
    session: &mut Session,
    expects_continue: bool,
) -> Result<InMemory, Untaken> {
    let length = session.req_header().headers.get(http::header::CONTENT_LENGTH);
    let length_bytes: u64 = length
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .ok_or_else(|| S3Error::new(Code::MissingContentLength))?;
    if length_bytes > FORM_BYTES_MAX {
        return Err(too_large(length_bytes, FORM_BYTES_MAX).into());
    }
    let mut place = proxy.forms.in_memory(length_bytes).ok_or_else(|| {
        S3Error::slow_down(1).because("The proxy has no room for the form right now.")
    })?;
    if expects_continue {
        session.write_continue_response().await.map_err(|_| Untaken::ClientGone)?;
    }
    let all = async {
        while let Some(bytes) = session.read_request_body().await.map_err(|e| untaken(&e))? {
            place.push(&bytes);
        }
        Ok::<_, Untaken>(())
    };
    tokio::time::timeout(FORM_PATIENCE, all)
        .await
        .map_err(|_| S3Error::new(Code::RequestTimeout))??;
    Ok(place)
}

/// How long a form may take to arrive.
const FORM_PATIENCE: Duration = Duration::from_mins(5);

/// The largest form taken: it is held in memory.
const FORM_BYTES_MAX: u64 = 64 << 20;

fn too_large(proposed: u64, allowed: u64) -> S3Error {
    S3Error::new(Code::EntityTooLarge)
        .with("ProposedSize", proposed.to_string())
        .with("MaxSizeAllowed", allowed.to_string())
}

fn untaken(error: &pingora::Error) -> Untaken {
    match error.etype() {
        pingora::ErrorType::ReadTimedout => Untaken::Refused(S3Error::new(Code::RequestTimeout)),
        // A chunked transfer that is not one, a body cut short.
        pingora::ErrorType::InvalidHTTPHeader => Untaken::Refused(S3Error::incomplete_body()),
        _ => Untaken::ClientGone,
    }
}

fn spool_failed(error: &std::io::Error) -> S3Error {
    tracing::error!(%error, "a body cannot be kept on disk; see body.spool_dir");
    S3Error::service_unavailable(5).because("The proxy has no room for the body right now.")
}

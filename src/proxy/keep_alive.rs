//! Keeping a client while its store works: white space that a store sends ahead of its document is
//! passed on, and what comes of the write follows in the same 200 (AWS: CompleteMultipartUpload,
//! CopyObject: an error may stand in the body of a 200).

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version, header};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

use super::admission::Admitted;
use super::context::Context;
use super::location::relocate;
use super::respond;
use crate::backend::KeepAlive;
use crate::gate::{Outcome, Reply};
use crate::s3::documents::{parse_store_error, without_prologue};
use crate::s3::xml::DECLARATION;

/// How far the answer of a write still under way has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum LateResponse {
    /// Nothing was sent yet.
    #[default]
    Silent,
    /// The head of a 200 and a declaration were sent.
    Begun,
    /// The client is gone; the write goes on.
    ClientGone,
}

impl LateResponse {
    /// Waits for the write, passing on what the store sends meanwhile.
    pub(super) async fn meanwhile(
        &mut self,
        session: &mut Session,
        context: &Context,
        keep_alive: &KeepAlive,
        write: impl Future<Output = Outcome>,
    ) -> Outcome {
        tokio::pin!(write);
        // Who knows no chunks (RFC 9112 §7.1) cannot be told in pieces.
        let can_wait = session.req_header().version == Version::HTTP_11;
        loop {
            let head = tokio::select! {
                outcome = &mut write => return outcome,
                head = keep_alive.next(), if can_wait && *self != Self::ClientGone => head,
            };
            if self.pass_on(session, context, &head).await.is_err() {
                *self = Self::ClientGone;
            }
        }
    }

    async fn pass_on(
        &mut self,
        session: &mut Session,
        context: &Context,
        head: &HeaderMap,
    ) -> pingora::Result<()> {
        if *self == Self::Silent {
            *self = Self::Begun;
            let response = begin(context, head).await?;
            session.write_response_header(Box::new(response), false).await?;
            return session.write_response_body(Some(DECLARATION.into()), false).await;
        }
        session.write_response_body(Some(Bytes::from_static(b" ")), false).await
    }

    /// Was the client told anything yet?
    pub(super) fn begun(self) -> bool {
        self != Self::Silent
    }

    /// Ends the answer that has begun with what came of the write.
    pub(super) async fn finish(
        self,
        session: &mut Session,
        context: &mut Context,
        admitted: &Admitted,
        reply: Reply,
    ) -> pingora::Result<()> {
        let document = match reply {
            Reply::Store(mut answer) => {
                respond::locate(session, context, admitted, &mut answer);
                respond::stored(session, context, answer).body
            }
            Reply::Replayed(state, generation, told) => {
                respond::replayed(session, context, admitted, &state, generation.as_ref(), &told)
                    .body
            }
            Reply::Error(error, _) => respond::document(session, context, &error).into(),
        };
        if let Some(error) = parse_store_error(&document) {
            context.log.code = error.code;
        }
        if self == Self::ClientGone {
            context.log.client_gone();
            session.set_keepalive(None);
            return Ok(());
        }
        let rest = document.slice_ref(without_prologue(&document));
        session.write_response_body(Some(rest), true).await
    }
}

async fn begin(context: &Context, head: &HeaderMap) -> pingora::Result<ResponseHeader> {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    (parts.status, parts.headers) = (StatusCode::OK, head.clone());
    relocate(context, StatusCode::OK, &mut parts.headers);
    respond::allow_page(context, &mut parts.headers).await;
    let mut response = ResponseHeader::from(parts);
    response.remove_header(&header::CONTENT_LENGTH);
    response.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    response.insert_header(header::CONTENT_TYPE, "application/xml")?;
    respond::insert_ids(&mut response, context)?;
    Ok(response)
}

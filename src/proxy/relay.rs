//! Relay: passes on an answer of the store piece by piece, in constant memory. Copying from one
//! connection to the other costs half of Pingora's own path, which joins two tasks by channels to
//! carry a body both ways.

use bytes::Bytes;
use http::{Method, StatusCode, Version, header};
use pingora::{Error, ErrorType};

use super::gate_reply::stored;
use super::location::{redirected, relocate};
use super::visit::Visit;
use crate::backend::{HttpStore, Opened};
use crate::metrics::labels::RefusedBy;

/// How much of an answer is read ahead to learn its length.
const READ_AHEAD_BYTES_MAX: usize = 4 << 20;

/// Passes on the store's answer. A short error is completed first.
pub(super) async fn pass_on(
    store: &HttpStore,
    visit: &mut Visit<'_>,
    mut opened: Opened,
) -> pingora::Result<()> {
    let operation = visit.log().operation;
    if let Some(error) = redirected(operation, opened.status, &opened.headers, None) {
        store.dismiss(opened).await;
        return visit.refuse(&error).await;
    }
    relocate(visit.context(), opened.status, &mut opened.headers);
    let (is_head, version) = (visit.head().method == Method::HEAD, visit.head().version);
    visit.log().judged_by = Some(RefusedBy::Store);
    let failed = opened.status.is_client_error() || opened.status.is_server_error();
    if failed && opened.is_short() && !is_head {
        let answer = store.collect(opened).await.map_err(|why| broken_off(&why))?;
        let answer = stored(visit, answer);
        return visit.answer(answer).await;
    }
    let bare =
        is_head || matches!(opened.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut headers = std::mem::take(&mut opened.headers);
    let mut ahead = Vec::new();
    if !bare && version != Version::HTTP_11 && !headers.contains_key(header::CONTENT_LENGTH) {
        // A client that does not know chunks would take the end of the connection for the end of
        // the body, even if the body is cut short. So the length of a short body is determined
        // first.
        if let Some(bytes) = read_ahead(&mut opened, &mut ahead).await? {
            headers.insert(header::CONTENT_LENGTH, bytes.into());
        }
    }
    visit.begin(opened.status, headers, bare).await?;
    if !bare {
        for piece in ahead {
            visit.piece(piece).await?;
        }
        while let Some(piece) = opened.next().await.map_err(|why| broken_off(&why))? {
            visit.piece(piece).await?;
        }
        visit.end(None).await?;
    }
    store.finished(opened).await;
    Ok(())
}

/// Reads a short body to its end and returns its length; of a long body, the beginning.
async fn read_ahead(opened: &mut Opened, ahead: &mut Vec<Bytes>) -> pingora::Result<Option<usize>> {
    let mut bytes = 0;
    while bytes <= READ_AHEAD_BYTES_MAX {
        let Some(piece) = opened.next().await.map_err(|why| broken_off(&why))? else {
            return Ok(Some(bytes));
        };
        bytes += piece.len();
        ahead.push(piece);
    }
    Ok(None)
}

/// The answer is under way and cannot be taken back: the connection is closed, so that the client
/// sees that the answer is incomplete.
#[allow(clippy::unnecessary_box_returns, reason = "Pingora's own error type")]
fn broken_off(why: &str) -> Box<Error> {
    Error::explain(ErrorType::ReadError, why.to_owned()).into_up()
}

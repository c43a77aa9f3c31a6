//! Relay: passes on an answer of the store piece by piece, in constant memory.

use bytes::{Bytes, BytesMut};
use http::{Method, Version, header};

use super::gate_reply::stored;
use super::location::{redirected, relocate};
use super::visit::{Cut, Visit};
use crate::backend::{HttpStore, Opened};
use crate::http1::has_no_content;
use crate::metrics::labels::RefusedBy;
use crate::patience::turn_to_others_after;

/// How much of an answer is read ahead to learn its length.
const READ_AHEAD_BYTES_MAX: usize = 4 << 20;

/// Passes on the store's answer. A short error is completed first.
pub(super) async fn pass_on(
    store: &HttpStore,
    visit: &mut Visit<'_>,
    mut opened: Opened,
) -> Result<(), Cut> {
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
        let answer = store.collect(opened).await.map_err(Cut::Store)?;
        let answer = stored(visit, answer);
        return visit.answer(answer).await;
    }
    let bare = is_head || has_no_content(opened.status);
    let mut headers = std::mem::take(&mut opened.headers);
    let mut ahead = BytesMut::new();
    if !bare && version != Version::HTTP_11 && !headers.contains_key(header::CONTENT_LENGTH) {
        // A client that does not know chunks would take the end of the connection for the end of
        // the body, even if the body is cut short. So the length of a short body is determined
        // first.
        if let Some(bytes) = read_ahead(&mut opened, &mut ahead).await? {
            headers.insert(header::CONTENT_LENGTH, bytes.into());
        }
    }
    visit.begin(opened.status, headers, bare);
    let mut last = None;
    if !bare {
        visit.piece(ahead.freeze()).await?;
        last = first_piece(visit, &mut opened).await?;
        while let Some(content) = last.take_if(|_| !opened.is_read()) {
            let bytes = content.len();
            visit.piece(content).await?;
            turn_to_others_after(bytes).await;
            last = opened.next().await.map_err(Cut::Store)?;
        }
    }
    // The connection is free before the client has the whole answer: it may ask again at once, and
    // would need another connection.
    store.finished(opened);
    visit.piece(last.unwrap_or_default()).await?;
    visit.end().await
}

/// Reads a short body to its end and returns its length; of a long body, the beginning.
async fn read_ahead(opened: &mut Opened, ahead: &mut BytesMut) -> Result<Option<usize>, Cut> {
    while ahead.len() <= READ_AHEAD_BYTES_MAX {
        let Some(piece) = opened.next().await.map_err(Cut::Store)? else {
            return Ok(Some(ahead.len()));
        };
        ahead.extend_from_slice(&piece);
    }
    Ok(None)
}

/// The first piece of the content. The head leaves with it, or alone where it is late.
async fn first_piece(visit: &mut Visit<'_>, opened: &mut Opened) -> Result<Option<Bytes>, Cut> {
    if !opened.has_content() {
        visit.send_head().await?;
    }
    opened.next().await.map_err(Cut::Store)
}

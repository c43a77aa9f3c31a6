//! Keep-alive of a client's connection while its store works: white space that the store sends
//! before its document is passed on, and the write's outcome follows in the same 200 (AWS:
//! CompleteMultipartUpload, CopyObject: an error may be in the body of a 200).

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Version, header};

use super::gate_reply::answer;
use super::location::relocate;
use super::response::{LateResponse, answer_and_record};
use super::visit::{Cut, Visit};
use crate::gate::{Commit, Outcome};
use crate::http1::fields::Fields;
use crate::s3::documents::without_prologue;
use crate::s3::xml::DECLARATION;

/// How much of the answer to a write under way was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Progress {
    /// Nothing yet.
    #[default]
    Silent,
    /// The head of a 200 and an XML declaration.
    Begun,
    /// The client has disconnected; the write goes on.
    ClientGone,
}

/// Waits for the write, passes on what the store sends meanwhile, and returns the write's outcome.
pub(super) async fn write(visit: &mut Visit<'_>, mut late: LateResponse<'_>) -> Result<(), Cut> {
    // A client that does not know chunks (RFC 9112 §7.1) cannot get the answer in pieces.
    let can_wait = visit.head().version == Version::HTTP_11;
    let mut progress = Progress::default();
    let outcome = loop {
        let head = tokio::select! {
            outcome = &mut late.outcome => break outcome,
            head = late.keep_alive.next(), if can_wait && progress != Progress::ClientGone => head,
        };
        if progress.pass_on(visit, &head).await.is_err() {
            progress = Progress::ClientGone;
        }
    };
    if progress == Progress::Silent {
        let written = (late.operation, &late.name);
        let (answer, commit) = answer(visit, written, late.may_tell, outcome);
        return answer_and_record(visit.answer(answer), commit).await;
    }
    let (document, commit) = document(visit, &late, outcome);
    answer_and_record(progress.finish(visit, document), commit).await
}

/// The document that ends an answer, and the landing to record.
fn document(
    visit: &mut Visit<'_>,
    late: &LateResponse<'_>,
    outcome: Outcome,
) -> (Bytes, Option<Commit>) {
    let written = (late.operation, &late.name);
    let (answer, commit) = answer(visit, written, false, outcome);
    (answer.body, commit)
}

impl Progress {
    async fn pass_on(&mut self, visit: &mut Visit<'_>, head: &Fields) -> Result<(), Cut> {
        if *self == Self::Silent {
            *self = Self::Begun;
            let headers = headers_of(visit, head).await;
            visit.begin(StatusCode::OK, headers, false);
            return visit.piece(DECLARATION.into()).await;
        }
        visit.piece(Bytes::from_static(b" ")).await
    }
}

impl Progress {
    /// Ends the answer that has begun with this document.
    async fn finish(self, visit: &mut Visit<'_>, document: Bytes) -> Result<(), Cut> {
        if self == Self::ClientGone {
            visit.log().client_gone();
            visit.close_after();
            return Ok(());
        }
        let rest = document.slice_ref(without_prologue(&document));
        visit.piece(rest).await?;
        visit.end().await
    }
}

async fn headers_of(visit: &mut Visit<'_>, head: &Fields) -> Fields {
    let mut headers = head.clone();
    relocate(visit.context(), StatusCode::OK, &mut headers);
    visit.allow_page(&mut headers).await;
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    visit.insert_ids(&mut headers);
    headers
}

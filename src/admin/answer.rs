//! The answers of the admin listener. None may be stored, and a browser may run nothing in one.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

use super::request::Refusal;
use crate::whole::Whole;

/// A whole answer.
pub(super) type Answer = Response<Whole>;

/// An answer with a body of this type.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answer {
    let mut answer = Response::new(Whole::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::CONNECTION, "close"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A text.
pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body.into())
}

/// A JSON document.
pub(super) fn json(document: &impl Serialize) -> Answer {
    match serde_json::to_string_pretty(document) {
        Ok(written) => answer(StatusCode::OK, "application/json", written + "\n"),
        // Never in practice: a document has texts for keys, and writing to memory does not fail.
        Err(error) => {
            tracing::error!(%error, "a document could not be written");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the document could not be written\n")
        }
    }
}

/// A refusal.
pub(super) fn refused(Refusal { status, sentence, asks }: Refusal) -> Answer {
    let mut answer = text(status, format!("{sentence}\n"));
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        if asks {
            let asked =
                HeaderValue::from_static("Basic realm=\"ifmatch: the token of admin.token_file\"");
            answer.headers_mut().append(header::WWW_AUTHENTICATE, asked);
        }
    }
    answer
}

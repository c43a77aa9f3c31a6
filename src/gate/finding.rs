//! What the store's answer proves about a write.

use http::{StatusCode, header};

use crate::backend::Answer;
use crate::register::{AnswerHeaders, State};
use crate::s3::documents::{
    self, SuccessBody, late_refusal, outcome_of_delete_result, outcome_of_success_body,
    parse_store_error, with_etag,
};
use crate::s3::{ETag, Operation};

/// What is known once the store's answer was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Applied; this is the key's state now. [`State::Unknown`] where the answer does not say it.
    Landed(State),
    /// Definitely not applied.
    NotApplied,
    /// It may have been applied, or may yet be.
    Doubt(String),
}

/// Judges an answer to a request that was sent once. `definite_errors` are the codes of 5xx
/// answers that this store is known to give before it does anything.
pub fn finding(operation: Operation, answer: &Answer, definite_errors: &[String]) -> Finding {
    match answer.status.as_u16() {
        200..=299 => success(operation, answer),
        // AWS: PostObject, success_action_redirect.
        303 if operation == Operation::PostObject => success(operation, answer),
        // 408: the store stopped reading the request before its end.
        408 => Finding::Doubt("the store answered 408".to_owned()),
        300..=499 => Finding::NotApplied,
        _ => server_error(answer, definite_errors),
    }
}

fn success(operation: Operation, answer: &Answer) -> Finding {
    match operation {
        Operation::PutObject | Operation::PostObject => {
            Finding::Landed(etag_header(answer).map_or(State::Unknown, State::Present))
        }
        Operation::DeleteObject => Finding::Landed(State::Absent),
        // AWS: CopyObject, CompleteMultipartUpload: a 200 may have an error in its body.
        Operation::CopyObject | Operation::CompleteMultipartUpload => {
            document(outcome_of_success_body(&answer.body))
        }
        // A batch of one key, sent on as its sender signed it.
        Operation::DeleteObjects => document(outcome_of_delete_result(&answer.body)),
        // Deletes by version, and requests that are not understood: only a HEAD can tell.
        _ => Finding::Landed(State::Unknown),
    }
}

fn document(body: SuccessBody) -> Finding {
    match body {
        SuccessBody::Result { etag } => {
            Finding::Landed(etag.map_or(State::Unknown, State::Present))
        }
        SuccessBody::Error(error) if late_refusal(&error.code).is_some() => Finding::NotApplied,
        SuccessBody::Error(error) => {
            Finding::Doubt(format!("the store answered 200 with the error {}", error.code))
        }
        SuccessBody::Unreadable => {
            Finding::Doubt("the store answered 200 with an unreadable body".to_owned())
        }
    }
}

fn server_error(answer: &Answer, definite_errors: &[String]) -> Finding {
    let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
    let code = match answer.status {
        StatusCode::NOT_IMPLEMENTED if code.is_empty() => "NotImplemented".to_owned(),
        _ => code,
    };
    if definite_errors.contains(&code) {
        Finding::NotApplied
    } else {
        Finding::Doubt(format!("the store answered {} {code}", answer.status.as_u16()))
    }
}

/// The headers of a write's answer, beside its ETag, that a retry has to be told too. Those that
/// name versions come first, then those about how the object is stored.
pub(super) fn remembered_headers(answer: &Answer) -> AnswerHeaders {
    let is_named = |name: &str| NAMED.contains(&name);
    let is_kept = |name: &str| KEPT.iter().any(|prefix| name.starts_with(prefix));
    let all = || {
        let pairs = answer.headers.iter();
        pairs.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    };
    let named = all().filter(|(name, _)| is_named(name));
    AnswerHeaders::of(named.chain(all().filter(|(name, _)| is_kept(name))))
}

const NAMED: [&str; 3] =
    ["x-amz-version-id", "x-amz-delete-marker", "x-amz-copy-source-version-id"];

const KEPT: [&str; 4] =
    ["x-amz-checksum-", "x-amz-expiration", "x-amz-object-size", "x-amz-server-side-encryption"];

/// Adds an ETag that was looked up to an answer that lacks one.
pub(super) fn complete(answer: &mut Answer, operation: Operation, etag: &ETag) {
    match operation {
        Operation::CopyObject | Operation::CompleteMultipartUpload => {
            if let Some(document) = with_etag(&answer.body, etag) {
                answer.headers.remove(header::CONTENT_LENGTH);
                answer.body = document.into();
            }
        }
        _ => {
            if let Some(value) = etag.header_value() {
                answer.headers.insert(header::ETAG, value);
            }
        }
    }
}

/// Removes an empty ETag from an answer: no ETag is better than one that no object has.
pub(super) fn without_etag(answer: &mut Answer, operation: Operation) {
    match operation {
        Operation::CopyObject | Operation::CompleteMultipartUpload => {
            if let Some(document) = documents::without_etag(&answer.body) {
                answer.headers.remove(header::CONTENT_LENGTH);
                answer.body = document.into();
            }
        }
        _ => {
            answer.headers.remove(header::ETAG);
        }
    }
}

fn etag_header(answer: &Answer) -> Option<ETag> {
    let value = answer.headers.get(header::ETAG)?;
    let etag = ETag::parse(value.as_bytes());
    (!etag.as_bytes().is_empty()).then_some(etag)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::http1::fields::Fields;

    fn of(operation: Operation, status: u16, body: &'static str) -> Finding {
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers: Fields::new(), body: body.into() };
        finding(operation, &answer, &[])
    }

    #[test]
    fn a_form_that_landed_may_be_redirected_and_nothing_else_may() {
        assert_eq!(of(Operation::PostObject, 303, ""), Finding::Landed(State::Unknown));
        assert_eq!(of(Operation::PutObject, 303, ""), Finding::NotApplied);
        assert_eq!(of(Operation::PostObject, 307, ""), Finding::NotApplied);
    }

    #[test]
    fn a_batch_of_one_key_ends_as_that_key_does() {
        let landed = Finding::Landed(State::Unknown);
        for (inside, expected) in [
            ("", Some(landed.clone())),
            ("<Deleted><Key>k</Key></Deleted>", Some(landed)),
            ("<Error><Code>AccessDenied</Code></Error>", Some(Finding::NotApplied)),
            ("<Error><Code>InternalError</Code></Error>", None),
        ] {
            let document = format!("<DeleteResult>{inside}</DeleteResult>").leak();
            let found = of(Operation::DeleteObjects, 200, document);
            match expected {
                Some(expected) => assert_eq!(found, expected, "{inside}"),
                None => assert!(matches!(found, Finding::Doubt(_)), "{inside}"),
            }
        }
        assert!(matches!(of(Operation::DeleteObjects, 200, "<x/>"), Finding::Doubt(_)));
        assert_eq!(of(Operation::DeleteObjects, 403, ""), Finding::NotApplied);
    }
}

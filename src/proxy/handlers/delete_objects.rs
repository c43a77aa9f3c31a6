//! DeleteObjects: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>
//!
//! Each key is a guarded delete of its own; several run at a time, and their answers are merged
//! into AWS's one document. The outcome of one key says nothing about the others.

use std::sync::OnceLock;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;

use crate::backend::headers::{for_head, to_store};
use crate::backend::{Answer, Signing, StoreRequest};
use crate::body::Body;
use crate::gate::{Reply, Write};
use crate::http1::fields::Fields;
use crate::proxy::admitted::{self, Request, Retry};
use crate::proxy::delete_limiter::BatchLimiter;
use crate::proxy::gate_reply::remembered;
use crate::proxy::location::redirected;
use crate::proxy::read_body;
use crate::proxy::response::{Failure, Response, record};
use crate::proxy::state::Proxy;
use crate::proxy::visit::{BodyFault, Visit};
use crate::proxy::write_id::write_id_of;
use crate::register::WriteId;
use crate::s3::delete_objects::{
    DeleteEntry, DeleteOutcome, Deleted, delete_result, parse_delete_objects,
};
use crate::s3::documents::parse_store_error;
use crate::s3::encoding::encode_query;
use crate::s3::{BucketName, Code, ObjectKey, ObjectName, Operation, Preconditions, S3Error};

/// The size of a document with 1,000 keys of 1,024 bytes each, in the longest form that XML allows.
const DOCUMENT_BYTES_MAX: u64 = 8 << 20;

/// Serves a batch.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    admitted: admitted::Batch,
) -> Result<Response<'p>, Failure> {
    let admitted::Batch { request, bucket, retry } = admitted;
    let document = read(proxy, visit, &request).await?;
    let list = parse_delete_objects(&document)?;
    let batch = Batch {
        proxy,
        bucket,
        headers: each_delete_s_headers(&request.headers),
        head_headers: for_head(&request.headers),
        access_key_id: request.origin.access_key_id(),
        retry,
        arrived: visit.arrived(),
        permits: proxy.deletes.batch(),
        refused: OnceLock::new(),
    };
    let ends = batch.all(&list.objects).await;
    if let Some(refused) = whole_refusal(&ends) {
        return Err(refused.clone().into());
    }
    let outcomes: Vec<_> =
        list.objects.iter().zip(&ends).map(|(entry, end)| end.outcome(entry)).collect();
    let mut headers = Fields::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    let body = delete_result(list.quiet, &outcomes).into();
    Ok(Response::whole(Answer { status: StatusCode::OK, headers, body }))
}

/// Reads the document. AWS requires a digest of it; the digest in the signature does not count.
pub(super) async fn read(
    proxy: &Proxy,
    visit: &mut Visit<'_>,
    request: &Request,
) -> Result<Bytes, BodyFault> {
    let promise = &request.promise;
    if promise.content_md5.is_none() && promise.checksum.is_none() {
        return Err(S3Error::new(Code::InvalidRequest).because(NO_DIGEST).into());
    }
    if promise.length.is_some_and(|bytes| bytes > DOCUMENT_BYTES_MAX) {
        return Err(S3Error::malformed_xml().into());
    }
    let (body, _) = read_body::read(proxy, visit, request).await?;
    body.to_bytes().await.map_err(|error| {
        tracing::error!(%error, "a body cannot be read back");
        S3Error::internal_error().into()
    })
}

const NO_DIGEST: &str = "Missing required header for this request: Content-MD5";

/// The operation that an entry of a batch asks for.
pub(super) const fn delete_of(version_id: Option<&str>) -> Operation {
    match version_id {
        Some(_) => Operation::DeleteObjectVersion,
        None => Operation::DeleteObject,
    }
}

/// The headers of the batch that apply to each of its deletes.
fn each_delete_s_headers(batch: &Fields) -> Fields {
    to_store(batch).only(|name| {
        matches!(
            name.as_str(),
            "x-amz-bypass-governance-retention"
                | "x-amz-expected-bucket-owner"
                | "x-amz-mfa"
                | "x-amz-request-payer"
        )
    })
}

struct Batch<'a> {
    proxy: &'a Proxy,
    bucket: BucketName,
    headers: Fields,
    head_headers: Fields,
    access_key_id: &'a str,
    retry: Retry,
    arrived: Instant,
    permits: BatchLimiter<'a>,
    /// Why the store would do nothing in this bucket, once it has said so.
    refused: OnceLock<S3Error>,
}

/// How the delete of one entry ended.
enum End {
    /// With this answer of the store.
    Store(Answer),
    /// With an error that says nothing about other keys.
    Failed(S3Error),
    /// With an error that every other key would get.
    Refused(S3Error),
}

impl Batch<'_> {
    /// The same for all attempts of one call, so that a retry gets the outcome of its first
    /// attempt.
    fn write_id(&self, index: usize, name: &ObjectName, entry: &DeleteEntry) -> WriteId {
        let entry = format!("{index} {entry:?}");
        write_id_of(
            self.retry.invocation.as_deref(),
            &[
                self.access_key_id.as_bytes(),
                Operation::DeleteObjects.name().as_bytes(),
                name.to_string().as_bytes(),
                entry.as_bytes(),
            ],
        )
    }

    /// How the delete of each entry ended. Only deletes under way use memory: one that waits for
    /// its turn at the gate needs kilobytes, and a batch has up to 1000 of them.
    async fn all(&self, entries: &[DeleteEntry]) -> Vec<End> {
        let mut waiting = entries.iter().enumerate();
        let mut under_way = FuturesOrdered::new();
        let mut ends = Vec::with_capacity(entries.len());
        loop {
            while under_way.len() < self.proxy.deletes.at_once()
                && let Some((index, entry)) = waiting.next()
            {
                under_way.push_back(self.guarded_delete(index, entry));
            }
            let Some(end) = under_way.next().await else { return ends };
            ends.push(end);
        }
    }

    async fn guarded_delete(&self, index: usize, entry: &DeleteEntry) -> End {
        if let Some(refused) = self.refused.get() {
            return End::Refused(refused.clone());
        }
        match self.ask(index, entry).await {
            Ok(answer) => match refusal_of_all(&answer, &self.bucket) {
                Some(refused) => End::Refused(self.refused.get_or_init(|| refused).clone()),
                None => End::Store(answer),
            },
            Err(error) if error.code() == Code::NoSuchBucket.as_str() => {
                End::Refused(self.refused.get_or_init(|| error).clone())
            }
            Err(error) => End::Failed(error),
        }
    }

    async fn ask(&self, index: usize, entry: &DeleteEntry) -> Result<Answer, S3Error> {
        let key = ObjectKey::parse(&entry.key, self.proxy.naming.segments)?;
        entry.check_version()?;
        let name = ObjectName { bucket: self.bucket.clone(), key };
        let preconditions: Preconditions = entry.preconditions(self.proxy.dialect)?;
        let version = entry.version_id.as_deref();
        let operation = delete_of(version);
        let policy = self.proxy.rules.policy(&name);
        policy.check(operation, &preconditions)?;
        let mut request = StoreRequest {
            signing: Signing::Anew,
            method: Method::DELETE,
            path: name.path(),
            query: version
                .map(|id| ("versionId".to_owned(), encode_query(id)))
                .into_iter()
                .collect(),
            headers: self.headers.clone(),
            sha256: Some(crate::backend::EMPTY_SHA256),
        };
        let permit = self.permits.acquire().await;
        let outcome = if policy.unguarded {
            // As a header of the delete, the store judges the ETag from the document.
            let etag = entry.etag.as_deref().and_then(|etag| HeaderValue::from_str(etag).ok());
            request.headers.extend(etag.map(|etag| (header::IF_MATCH, etag)));
            self.proxy.gate.send_unguarded(operation, &request, &Body::empty(), None).await
        } else {
            let write = Write {
                name: &name,
                operation,
                preconditions: &preconditions,
                request: &request,
                body: &Body::empty(),
                write_id: self.write_id(index, &name, entry),
                attempt: self.retry.attempt,
                arrived: self.arrived,
                head_headers: &self.head_headers,
                version_id: version,
                upload_id: None,
                etag: None,
                carries_id: false,
                keep_alive: None,
            };
            self.proxy.gate.write(&write).await
        };
        record(outcome.commit).await;
        if outcome.store_failed {
            self.proxy.deletes.back_off(Instant::now());
        }
        drop(permit);
        match outcome.reply {
            Reply::Store(answer) => Ok(answer),
            Reply::Error(error, _) => Err(error),
            Reply::Replayed(.., headers) => Ok(Answer {
                status: StatusCode::NO_CONTENT,
                headers: remembered(&headers),
                body: Bytes::new(),
            }),
        }
    }
}

/// An error of the whole request: it is answered once, and not for each key. AWS looks for the
/// bucket before the keys. And where nothing can be done at all just now, SDKs that retry after 503
/// would not look for a 503 among 1000 entries.
fn whole_refusal(ends: &[End]) -> Option<&S3Error> {
    let refused = ends.iter().find_map(|end| match end {
        End::Refused(error) => Some(error),
        End::Store(_) | End::Failed(_) => None,
    });
    if refused.is_some() {
        let nothing_done = ends.iter().all(|end| !matches!(end, End::Store(_)));
        return refused.filter(|_| nothing_done);
    }
    let mut unavailable = ends.iter().map(|end| match end {
        End::Failed(error) if error.status() == StatusCode::SERVICE_UNAVAILABLE => Some(error),
        End::Failed(_) | End::Refused(_) | End::Store(_) => None,
    });
    let first = unavailable.next()??;
    unavailable.all(|error| error.is_some()).then_some(first)
}

/// The error where the store refuses to delete one key for a reason that holds for all keys: the
/// bucket does not exist, or the proxy's own credential is not valid. A refusal that only concerns
/// the key is reported for that key alone.
fn refusal_of_all(answer: &Answer, bucket: &BucketName) -> Option<S3Error> {
    if answer.status.is_success() {
        return None;
    }
    let error = parse_store_error(&answer.body)?;
    match error.code.as_str() {
        "NoSuchBucket" => {
            Some(S3Error::new(Code::NoSuchBucket).with("BucketName", bucket.as_str()))
        }
        "AccountProblem"
        | "AllAccessDisabled"
        | "ExpiredToken"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch" => {
            Some(S3Error::of_parts(answer.status, error.code, error.message, Vec::new()))
        }
        _ => None,
    }
}

impl End {
    fn outcome(&self, entry: &DeleteEntry) -> DeleteOutcome {
        match self {
            Self::Store(answer) => outcome_of(entry, answer),
            Self::Failed(error) | Self::Refused(error) => DeleteOutcome::failed(entry, error),
        }
    }
}

/// One delete's answer as an entry of the batch's document.
fn outcome_of(entry: &DeleteEntry, answer: &Answer) -> DeleteOutcome {
    let error = parse_store_error(&answer.body);
    let code = error.as_ref().map(|error| &*error.code);
    let operation = Some(Operation::DeleteObject);
    if let Some(error) = redirected(operation, answer.status, &answer.headers, code) {
        return DeleteOutcome::failed(entry, &error);
    }
    if !answer.status.is_success() {
        let (code, message) = match error {
            Some(error) => (error.code, error.message),
            None => ("InternalError".to_owned(), format!("The store answered {}.", answer.status)),
        };
        let (key, version_id) = (entry.key.clone(), entry.version_id.clone());
        return DeleteOutcome::Error { key, version_id, code, message };
    }
    let text = |name: &str| answer.headers.get(name)?.to_str().ok().map(str::to_owned);
    let delete_marker = text("x-amz-delete-marker").is_some_and(|value| value == "true");
    DeleteOutcome::Deleted(Deleted {
        key: entry.key.clone(),
        version_id: entry.version_id.clone(),
        delete_marker,
        delete_marker_version_id: text("x-amz-version-id").filter(|_| delete_marker),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(status: u16, code: &str) -> Answer {
        let body = format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: Fields::new(), body: body.into() }
    }

    fn told(ends: &[End]) -> Option<String> {
        whole_refusal(ends).map(|error| error.code().to_owned())
    }

    #[test]
    fn what_is_wrong_with_the_whole_request_is_told_once() {
        let gone = || End::Refused(S3Error::new(Code::NoSuchBucket));
        let busy = || End::Failed(S3Error::service_unavailable(1));
        let long = || End::Failed(S3Error::new(Code::KeyTooLong));
        let done = || End::Store(store(204, ""));
        assert_eq!(told(&[gone(), gone(), long()]).as_deref(), Some("NoSuchBucket"));
        assert_eq!(told(&[busy(), busy()]).as_deref(), Some("ServiceUnavailable"));
        assert_eq!(told(&[busy(), gone()]).as_deref(), Some("NoSuchBucket"));
        for ends in [
            vec![done(), gone()],
            vec![busy(), done()],
            vec![busy(), long()],
            vec![long(), long()],
            vec![done()],
            vec![],
        ] {
            assert_eq!(told(&ends), None);
        }
    }

    #[test]
    fn a_store_s_refusal_is_of_all_keys_or_of_one() {
        let bucket = BucketName::parse("bucket").unwrap();
        for (status, code, of_all) in [
            (404, "NoSuchBucket", true),
            (403, "InvalidAccessKeyId", true),
            (403, "SignatureDoesNotMatch", true),
            (403, "AccessDenied", false),
            (404, "NoSuchKey", false),
            (412, "PreconditionFailed", false),
            (204, "", false),
        ] {
            let refused = refusal_of_all(&store(status, code), &bucket);
            assert_eq!(refused.is_some(), of_all, "{code}");
            if let Some(refused) = refused {
                assert_eq!((refused.status().as_u16(), refused.code()), (status, code));
            }
        }
    }
}

//! DeleteObjects of one key, sent on as its sender signed it:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html>

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};

use super::delete_objects;
use super::verbatim::{self, Named};
use crate::backend::Answer;
use crate::body::Body;
use crate::gate::Reply;
use crate::http1::fields::Fields;
use crate::proxy::admitted::Batch;
use crate::proxy::gate_reply::{replay_headers, stored};
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::s3::content::IN_CHUNKS;
use crate::s3::delete_objects::{
    DeleteOutcome, DeleteRequest, Deleted, delete_result, parse_delete_objects_as_sent,
};
use crate::s3::{BucketName, ObjectKey, ObjectName, Preconditions, S3Error};

/// Serves a batch of one key.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    Batch { request, bucket, retry }: Batch,
) -> Result<Response<'p>, Failure> {
    if request.promise.payload.is_chunked() {
        return Err(S3Error::not_implemented("Content-Encoding", Some(IN_CHUNKS)).into());
    }
    let document = delete_objects::read(proxy, visit, &request).await?;
    let (list, name, preconditions) = only_entry(proxy, &document, bucket)?;
    let entry = &list.objects[0];
    name.key.as_str().clone_into(&mut visit.log().key);
    let named = Named {
        name: &name,
        preconditions: &preconditions,
        version_id: entry.version_id.as_deref(),
        attempt: retry.attempt,
    };
    let reply = verbatim::write(proxy, visit, &request, named, &Body::from(document)).await;
    let (headers, outcome) = match reply {
        Reply::Store(answer) => return Ok(Response::whole(stored(visit, answer))),
        Reply::Error(error, _) => (Fields::new(), DeleteOutcome::failed(entry, &error)),
        Reply::Replayed(_, generation, answered) => {
            let deleted = Deleted {
                key: entry.key.clone(),
                version_id: entry.version_id.clone(),
                delete_marker: false,
                delete_marker_version_id: None,
            };
            (replay_headers(generation.as_ref(), &answered), DeleteOutcome::Deleted(deleted))
        }
    };
    Ok(Response::whole(document_of(&list, &outcome, headers)))
}

fn document_of(list: &DeleteRequest, outcome: &DeleteOutcome, mut headers: Fields) -> Answer {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    let body = Bytes::from(delete_result(list.quiet, std::slice::from_ref(outcome)));
    Answer { status: StatusCode::OK, headers, body }
}

/// The only entry of a batch, its name and its condition.
fn only_entry(
    proxy: &Proxy,
    document: &[u8],
    bucket: BucketName,
) -> Result<(DeleteRequest, ObjectName, Preconditions), S3Error> {
    let list = parse_delete_objects_as_sent(document)?;
    let [entry] = &list.objects[..] else {
        return Err(S3Error::not_implemented("delete", Some(ONE_KEY)));
    };
    let key = ObjectKey::parse(&entry.key, proxy.naming.segments)?;
    entry.check_version()?;
    let preconditions = entry.preconditions(proxy.dialect)?;
    Ok((list, ObjectName { bucket, key }, preconditions))
}

const ONE_KEY: &str = "Each key is guarded on its own, and a request that the client has signed \
                       cannot be divided: name one key in each request, or use DeleteObject";

//! GetObject and HeadObject: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>,
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html>
//!
//! The conditions are judged here as well as by the store, which may judge them wrongly. They are
//! not judged here if the sender has signed the request for the store: such a sender may learn
//! nothing from the proxy.

use crate::backend::AskedFirst;
use crate::backend::headers::for_head;
use crate::clock;
use crate::gate::{X_IFMATCH_GENERATION, X_IFMATCH_WANT};
use crate::proxy::admitted::ObjectRead;
use crate::proxy::consistent_read::{self, Asked, Read};
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::proxy::{conditional_read, outgoing, read_body};
use crate::s3::Preconditions;
use crate::s3::listing::VersionId;

/// Serves a read.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    read: ObjectRead,
) -> Result<Response<'p>, Failure> {
    let request = &read.request;
    if request.expects_continue {
        visit.go_on().await?;
    }
    let had_body = read_body::discard(visit, &request.promise).await?;
    let mut question = outgoing::question(request, read.name.path(), had_body);
    let preconditions = Preconditions::of_read(&request.headers, clock::unix_seconds());
    preconditions.replace_in(&mut question.headers);
    let pinned = if wants_generation(&read) {
        proxy.gate.pin(&read.name, &for_head(&request.headers)).await
    } else {
        None
    };
    let version = request.query.get("versionId").map(VersionId::parse);
    // What is no id names no version that was written.
    let mut asked = if read.consistent && version != Some(None) {
        proxy.store.ask_strongly(&mut question.headers);
        let version = version.flatten();
        let (name, request, preconditions) = (&read.name, &question, &preconditions);
        let read = Asked { name, version, request, preconditions };
        match consistent_read::ask(proxy, &read).await {
            Ok(Read::Fresh(opened, failing)) => Ok((opened, failing)),
            Ok(Read::Refused(refused, opened)) => {
                return Ok(consistent_read::refuse(visit, refused, opened));
            }
            Err(why) => Err(why),
        }
    } else {
        conditional_read::ask(&proxy.store, AskedFirst::LeastBusy, &question, &preconditions).await
    };
    if let (Some(pinned), Ok((opened, _))) = (pinned, &mut asked)
        && let Some(generation) = pinned.of_answer(opened.status, &opened.headers)
    {
        opened.headers.insert(X_IFMATCH_GENERATION, generation);
    }
    match asked {
        Ok((opened, Some(failing))) => {
            Ok(conditional_read::refuse(visit, opened, failing, request.origin.may_tell()))
        }
        Ok((opened, None)) => Ok(Response::Stream(opened)),
        Err(why) => Response::opened(Err(why)),
    }
}

/// Whether to name the key's generation: for the current version of a guarded key, to an
/// authenticated client.
fn wants_generation(read: &ObjectRead) -> bool {
    let wanted = read.request.headers.get(X_IFMATCH_WANT);
    wanted.is_some_and(|wanted| wanted.as_bytes() == b"generation")
        && read.request.origin.is_client()
        && !read.request.query.has("versionId")
        && !read.unguarded
}

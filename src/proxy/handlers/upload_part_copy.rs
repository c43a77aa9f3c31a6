//! UploadPartCopy: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPartCopy.html>
//!
//! It changes no object's content and is not guarded. But it is sent only once, and after a refusal
//! the source is looked at before an answer is given.

use crate::backend::EMPTY_SHA256;
use crate::proxy::admitted::PartCopy;
use crate::proxy::copy_source::{self, Copied, Source};
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::proxy::{gate_reply, outgoing, read_body};

/// Serves the copy of a part.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    copy: PartCopy,
) -> Result<Response<'p>, Failure> {
    let PartCopy { request, name, source, unguarded } = copy;
    let source = Source::judged(proxy, &request.headers, source.as_ref()).await?;
    // A body has no meaning here; it had to keep its promises all the same.
    let (_, checked) = read_body::read(proxy, visit, &request).await?;
    let mut outgoing = if unguarded {
        outgoing::buffered(&request, name.path(), &checked)
    } else {
        outgoing::judged(&request, name.path(), &checked)
    };
    outgoing.sha256 = Some(EMPTY_SHA256);
    match copy_source::open(proxy, &outgoing, source).await? {
        // The document may need corrections. One that the store writes slowly keeps its client
        // waiting, so it is passed on as it comes.
        Ok(Copied::Whole(answer)) => Ok(Response::whole(gate_reply::stored(visit, answer))),
        Ok(Copied::Opened(opened)) if opened.status.is_success() && opened.is_short() => {
            match proxy.store.collect(*opened).await {
                Ok(answer) => Ok(Response::whole(gate_reply::stored(visit, answer))),
                Err(why) => Response::opened(Err(why)),
            }
        }
        Ok(Copied::Opened(opened)) => Response::opened(Ok(*opened)),
        Err(why) => Response::opened(Err(why)),
    }
}

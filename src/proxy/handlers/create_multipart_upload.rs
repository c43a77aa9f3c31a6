//! CreateMultipartUpload:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html>
//!
//! The register notes the key's generation first.

use crate::proxy::admitted::UploadStart;
use crate::proxy::buffered::Buffered;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::proxy::{buffered, gate_reply, outgoing};

/// Serves a CreateMultipartUpload.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    UploadStart { request, name }: UploadStart,
) -> Result<Response<'p>, Failure> {
    let Buffered { body, checked, .. } = buffered::read(proxy, visit, &request).await?;
    let outgoing = outgoing::judged(&request, name.path(), &checked);
    let answer = proxy.gate.create_upload(&name, &outgoing, &body).await?;
    Ok(Response::whole(gate_reply::stored(visit, answer)))
}

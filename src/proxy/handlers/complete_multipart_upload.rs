//! CompleteMultipartUpload:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html>

use super::guarded_write::{self, Particulars};
use crate::proxy::admitted::KeyWrite;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;

/// Serves the end of an upload. Its retries are recognised by the upload, whatever the invocation
/// id: an upload can be completed once.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    write: KeyWrite,
) -> Result<Response<'p>, Failure> {
    let upload_id = write.request.query.get("uploadId").map(str::to_owned);
    let particulars = Particulars { call: upload_id.clone(), upload_id, ..Particulars::default() };
    guarded_write::serve(proxy, visit, write, particulars).await
}

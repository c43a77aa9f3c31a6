//! CopyObject: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html>

use super::guarded_write::{self, Particulars};
use crate::proxy::admitted::KeyWrite;
use crate::proxy::copy_source::Source;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::s3::S3Error;

/// Serves a copy. The copy has its source's metadata unless the request says otherwise.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    mut write: KeyWrite,
) -> Result<Response<'p>, Failure> {
    let headers = &write.request.headers;
    let judged = Source::judged(proxy, headers, write.source.as_ref()).await;
    let source = judged.map_err(|refused| of_attempt(write.retry.attempt, refused))?;
    let directive = headers.get("x-amz-metadata-directive");
    let sets_metadata =
        directive.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"REPLACE"));
    let call = write.retry.invocation.take();
    let particulars = Particulars { call, source, sets_metadata, ..Particulars::default() };
    guarded_write::serve(proxy, visit, write, particulars).await
}

/// The source may have changed since an earlier attempt made the copy: a retry is not told that
/// there is no copy.
fn of_attempt(attempt: u32, refused: S3Error) -> S3Error {
    if attempt >= 2 && refused.status().is_client_error() {
        return S3Error::service_unavailable(1).because(
            "The source no longer fulfils the conditions of this copy, which an earlier attempt \
             may have made. Read the object before trying again.",
        );
    }
    refused
}

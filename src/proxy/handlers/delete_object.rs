//! DeleteObject, of the current version or of a named one:
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html>

use super::guarded_write::{self, Particulars};
use crate::proxy::admitted::KeyWrite;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;
use crate::s3::Operation;

/// Serves a delete.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    mut write: KeyWrite,
) -> Result<Response<'p>, Failure> {
    let mut particulars = Particulars::default();
    if write.request.operation == Operation::DeleteObjectVersion {
        // The state that the delete of a version leaves is not known, so its success cannot be
        // answered again.
        particulars.version_id = write.request.query.get("versionId").map(str::to_owned);
    } else {
        particulars.call = write.retry.invocation.take();
    }
    guarded_write::serve(proxy, visit, write, particulars).await
}

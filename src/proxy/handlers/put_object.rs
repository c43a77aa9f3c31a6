//! PutObject: <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html>

use super::guarded_write::{self, Particulars};
use crate::proxy::admitted::KeyWrite;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;

/// Serves a PutObject. The object gets the metadata in the request.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    mut write: KeyWrite,
) -> Result<Response<'p>, Failure> {
    let call = write.retry.invocation.take();
    let particulars = Particulars { call, sets_metadata: true, ..Particulars::default() };
    guarded_write::serve(proxy, visit, write, particulars).await
}

//! Writes of a key that the proxy does not understand, or that only some stores know: appends,
//! subresources that the store may not know, and requests that match no operation of AWS.

use super::guarded_write::{self, Particulars};
use crate::proxy::admitted::KeyWrite;
use crate::proxy::copy_source::Source;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;
use crate::proxy::visit::Visit;

/// Serves such a write. If it names a copy source, the store may make a copy.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    write: KeyWrite,
) -> Result<Response<'p>, Failure> {
    let headers = &write.request.headers;
    let source = Source::judged(proxy, headers, write.source.as_ref()).await?;
    let particulars = Particulars { source, ..Particulars::default() };
    guarded_write::serve(proxy, visit, write, particulars).await
}

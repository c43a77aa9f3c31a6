//! A browser's preflight: <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTOPTIONSobject.html>

use crate::proxy::admitted::Preflight;
use crate::proxy::response::{Failure, Response};
use crate::proxy::state::Proxy;

/// Sends on a preflight, unsigned, with only those headers that it needs.
pub(super) async fn serve(proxy: &Proxy, preflight: Preflight) -> Result<Response<'_>, Failure> {
    Response::opened(proxy.store.preflight(&preflight.path, preflight.headers).await)
}

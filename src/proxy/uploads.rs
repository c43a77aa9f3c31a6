//! CreateMultipartUpload: on its way the register learns how the key stood.

use pingora::proxy::Session;

use super::admission::Admitted;
use super::buffered;
use super::context::Context;
use super::outgoing::to_request;
use super::respond;
use super::state::Proxy;
use crate::s3::{Code, S3Error};

/// Serves the creation of an upload.
pub(super) async fn create(
    proxy: &Proxy,
    session: &mut Session,
    context: &mut Context,
    admitted: Admitted,
) -> pingora::Result<()> {
    let (Some(name), Some(signed)) = (admitted.target.object(), &admitted.signed) else {
        let denied = S3Error::new(Code::AccessDenied);
        return respond::error(session, context, &denied, None).await;
    };
    let taken = buffered::take(proxy, session, &admitted, signed).await;
    let (body, checked) = match taken {
        Ok(taken) => taken,
        Err(untaken) => return untaken.answer(session, context).await,
    };
    let request = to_request(session, name.path(), &admitted, &checked);
    match proxy.gate.create_upload(name, &request, &body).await {
        Ok(answer) => respond::store(session, context, answer).await,
        Err(error) => respond::error(session, context, &error, None).await,
    }
}

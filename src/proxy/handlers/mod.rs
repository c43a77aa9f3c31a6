//! Handlers: one for each kind of request, named after AWS's operation. A handler gets the result
//! of admission and returns a response; it neither reads the head again nor writes to the client.

mod complete_multipart_upload;
mod copy_object;
mod create_multipart_upload;
mod delete_object;
mod delete_objects;
mod delete_objects_verbatim;
mod forward;
mod get_object;
mod guarded_write;
mod list_object_versions;
mod list_objects;
mod listing;
mod listing_asker;
mod options_object;
mod post_object;
mod post_object_verbatim;
mod put_object;
mod unknown_write;
mod upload_part_copy;
mod verbatim;

use super::admitted::{Admitted, KeyWrite};
use super::response::{Failure, Response};
use super::state::Proxy;
use super::visit::Visit;
use crate::s3::Operation;

/// Serves a request. Rare or long handlers have boxed futures: otherwise the future of every
/// request would have their size.
pub(super) async fn serve<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    admitted: Admitted,
) -> Result<Response<'p>, Failure> {
    match admitted {
        Admitted::Write(write) => serve_write(proxy, visit, write).await,
        Admitted::ObjectRead(read) => get_object::serve(proxy, visit, read).await,
        Admitted::Listing(listing) => Box::pin(listing::serve(proxy, visit, listing)).await,
        Admitted::Read(passed) => forward::read(proxy, visit, passed).await,
        Admitted::Stream(passed) => Box::pin(forward::stream(proxy, visit, passed)).await,
        Admitted::Buffered(passed) => Box::pin(forward::buffered(proxy, visit, passed)).await,
        Admitted::Preflight(preflight) => Box::pin(options_object::serve(proxy, preflight)).await,
        Admitted::UploadStart(start) => {
            Box::pin(create_multipart_upload::serve(proxy, visit, start)).await
        }
        Admitted::PartCopy(copy) => Box::pin(upload_part_copy::serve(proxy, visit, copy)).await,
        Admitted::Batch(batch) => Box::pin(delete_objects::serve(proxy, visit, batch)).await,
        Admitted::BatchVerbatim(batch) => {
            Box::pin(delete_objects_verbatim::serve(proxy, visit, batch)).await
        }
        Admitted::Form(form) => Box::pin(post_object::serve(proxy, visit, form)).await,
        Admitted::FormVerbatim(request, bucket) => {
            Box::pin(post_object_verbatim::serve(proxy, visit, *request, bucket)).await
        }
    }
}

async fn serve_write<'p>(
    proxy: &'p Proxy,
    visit: &mut Visit<'_>,
    write: KeyWrite,
) -> Result<Response<'p>, Failure> {
    match write.request.operation {
        Operation::PutObject => put_object::serve(proxy, visit, write).await,
        Operation::DeleteObject | Operation::DeleteObjectVersion => {
            delete_object::serve(proxy, visit, write).await
        }
        Operation::CopyObject => Box::pin(copy_object::serve(proxy, visit, write)).await,
        Operation::CompleteMultipartUpload => {
            Box::pin(complete_multipart_upload::serve(proxy, visit, write)).await
        }
        _ => Box::pin(unknown_write::serve(proxy, visit, write)).await,
    }
}

//! Redirects and `Location` headers of the store. They name the store's own endpoint: a client that
//! follows them goes around the proxy. So redirects are answered with an error, and locations are
//! replaced.

use http::header::{self, HeaderValue};
use http::{StatusCode, Uri};

use super::context::Context;
use super::visit::Visit;
use crate::http1::fields::Fields;
use crate::s3::{ObjectName, Operation, S3Error};

/// The error in place of the store's redirect, if its answer is one (AWS: Request redirection). The
/// log tells the operator where it leads. `code`: that of the store's error document.
pub(super) fn redirected(
    operation: Option<Operation>,
    status: StatusCode,
    headers: &Fields,
    code: Option<&str>,
) -> Option<S3Error> {
    let by_status = match status {
        StatusCode::NOT_MODIFIED => false,
        // The URL that a form asked for (AWS: PostObject, success_action_redirect).
        StatusCode::SEE_OTHER if operation == Some(Operation::PostObject) => false,
        status => status.is_redirection(),
    };
    let failed = !status.is_success();
    let code = code.filter(|_| failed).unwrap_or_default();
    let by_code = matches!(code, "PermanentRedirect" | "Redirect" | "TemporaryRedirect");
    if !by_status && !by_code {
        return None;
    }
    let location = headers.get(header::LOCATION).and_then(|to| to.to_str().ok()?.parse().ok());
    let to = location.as_ref().and_then(Uri::authority).map(ToString::to_string);
    let region = headers.get("x-amz-bucket-region").and_then(|region| region.to_str().ok());
    tracing::error!(
        %status, code, to, region,
        "the store redirects a request, which ends here; see backend.url, backend.region and \
         backend.addressing"
    );
    let for_good = code == "PermanentRedirect";
    Some(S3Error::redirected(if for_good { StatusCode::MOVED_PERMANENTLY } else { status }))
}

/// The URL of an object, as the client of this request would ask for it.
pub(super) fn location(visit: &Visit<'_>, name: &ObjectName) -> String {
    let path = name.path();
    let bucket = format!("/{}", name.bucket);
    let path = match path.strip_prefix(&bucket) {
        Some(key) if visit.context().host_style => key,
        _ => &path,
    };
    // HTTP/1.0 requests may have no host.
    let host = visit.head().headers.get(header::HOST);
    match host.and_then(|host| host.to_str().ok()).filter(|host| !host.is_empty()) {
        Some(host) => {
            let scheme = if visit.is_by_tls() { "https" } else { "http" };
            format!("{scheme}://{host}{path}")
        }
        None => path.to_owned(),
    }
}

/// Replaces the `Location` of a success: by the path of a bucket that was created (AWS:
/// CreateBucket). Any other location, which names a place at the store, is removed.
pub(super) fn relocate(context: &Context, status: StatusCode, headers: &mut Fields) {
    if !status.is_success() || headers.remove(header::LOCATION).is_none() {
        return;
    }
    if let Some(path) = of_bucket(context) {
        headers.insert(header::LOCATION, path);
    }
}

/// The location of a bucket that was just created.
pub(super) fn of_bucket(context: &Context) -> Option<HeaderValue> {
    let made = context.log.operation == Some(Operation::CreateBucket);
    HeaderValue::from_str(&format!("/{}", context.log.bucket)).ok().filter(|_| made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::documents::parse_store_error;

    fn status_of(operation: Operation, status: u16, body: &str) -> Option<u16> {
        let status = StatusCode::from_u16(status).unwrap();
        let headers = Fields::new();
        let code = parse_store_error(body.as_bytes()).map(|error| error.code);
        let error = redirected(Some(operation), status, &headers, code.as_deref());
        error.map(|error| error.status().as_u16())
    }

    #[test]
    fn a_redirect_ends_here_whatever_it_is_called() {
        let put = |status, body| status_of(Operation::PutObject, status, body);
        for (status, ours) in
            [(301, 500), (308, 500), (302, 503), (303, 503), (307, 503), (300, 503)]
        {
            assert_eq!(put(status, ""), Some(ours), "{status}");
        }
        assert_eq!(put(400, "<Error><Code>PermanentRedirect</Code></Error>"), Some(500));
        assert_eq!(put(403, "<Error><Code>TemporaryRedirect</Code></Error>"), Some(503));
        for status in [200, 204, 304, 400, 404, 412, 500] {
            assert_eq!(put(status, ""), None, "{status}");
        }
        assert_eq!(put(404, "<Error><Code>NoSuchKey</Code></Error>"), None);
        // The content of an object is not an answer of the store.
        assert_eq!(put(200, "<Error><Code>PermanentRedirect</Code></Error>"), None);
        assert_eq!(status_of(Operation::PostObject, 303, ""), None);
        assert_eq!(status_of(Operation::PostObject, 307, ""), Some(503));
    }
}

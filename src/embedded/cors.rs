//! Pages of other origins: the store answers their preflights, which nobody signs, and tells a browser
//! which answers it may show them (AWS: "Using cross-origin resource sharing").

use http::header::VARY;
use http::{Method, StatusCode, Uri};
use s3s::{Body, HttpError, HttpRequest, HttpResponse, S3Error, S3ErrorCode};

use super::answers::refused;
use super::store::{Asked, Store, Verdict, with_elements};
use crate::s3::encoding::decode;

/// A request from a page of another origin, and the bucket that it is about.
#[derive(Debug)]
pub(super) struct Asking {
    bucket: String,
    asked: Asked,
}

impl Asking {
    /// `None` where no page of another origin asks.
    pub(super) fn of(request: &HttpRequest) -> Option<Self> {
        let asked = Asked::of(request.method(), request.headers())?;
        Some(Self { bucket: bucket_of(request.uri()), asked })
    }

    /// Adds to an answer what lets the page see it, where the bucket's rules allow that.
    pub(super) async fn tell(self, store: &Store, mut answer: HttpResponse) -> HttpResponse {
        // A failure is logged where it happens. Without these headers the page sees nothing.
        if let Ok(Verdict::Allowed(mut headers)) = store.judge_origin(self.bucket, self.asked).await
        {
            if let Some(varies) = headers.remove(VARY) {
                answer.headers_mut().append(VARY, varies);
            }
            answer.headers_mut().extend(headers);
        }
        answer
    }
}

/// Answers a preflight (AWS: OPTIONS object).
pub(super) async fn preflight(
    store: &Store,
    request: &HttpRequest,
) -> Result<HttpResponse, HttpError> {
    let Some(Asking { bucket, asked }) = Asking::of(request) else {
        return refused(bad_request("Insufficient information. Origin request header needed."));
    };
    let method = asked.method().to_owned();
    let forbidden = |why, of| {
        let message = format!("CORSResponse: {why}");
        let error = refusal("AccessForbidden", StatusCode::FORBIDDEN, message);
        with_elements(error, [("Method", method.as_str()), ("ResourceType", of)].into_iter())
    };
    refused(match store.judge_origin(bucket, asked).await {
        Ok(Verdict::Allowed(headers)) => {
            let mut answer = HttpResponse::new(Body::empty());
            *answer.headers_mut() = headers;
            return Ok(answer);
        }
        Ok(Verdict::NoBucket) => forbidden("Bucket not found", "BUCKET"),
        Ok(Verdict::NoRules) => forbidden("CORS is not enabled for this bucket.", "BUCKET"),
        Ok(Verdict::NotAllowed) if method == Method::OPTIONS.as_str() => {
            bad_request("Invalid Access-Control-Request-Method: null")
        }
        Ok(Verdict::NotAllowed) => {
            forbidden(NOT_ALLOWED, if is_of_object(request.uri()) { "OBJECT" } else { "BUCKET" })
        }
        Err(failed) => failed,
    })
}

const NOT_ALLOWED: &str = "This CORS request is not allowed. This is usually because the evalution of \
                           Origin, request method / Access-Control-Request-Method or \
                           Access-Control-Request-Headers are not whitelisted by the resource's CORS \
                           spec.";

fn bad_request(message: &str) -> S3Error {
    refusal("BadRequest", StatusCode::BAD_REQUEST, message.to_owned())
}

fn refusal(code: &str, status: StatusCode, message: String) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

/// The first segment of a path; empty where that is no text.
fn bucket_of(uri: &Uri) -> String {
    let first = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    decode(first).unwrap_or_default()
}

fn is_of_object(uri: &Uri) -> bool {
    let path = uri.path().trim_start_matches('/');
    path.split_once('/').is_some_and(|(_, key)| !key.is_empty())
}

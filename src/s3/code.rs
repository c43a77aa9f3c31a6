//! The one table of S3 error codes: status, spelling, default message.

use http::StatusCode;

/// An error code of S3 that this proxy answers with of its own accord (AWS: Error responses).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are AWS's; `row` below says what each means
pub enum Code {
    AccessDenied,
    BadDigest,
    BadRequest,
    ConditionalRequestConflict,
    EntityTooLarge,
    EntityTooSmall,
    HttpVersionNotSupported,
    IncompleteBody,
    IncorrectNumberOfFilesInPostRequest,
    InternalError,
    InvalidArgument,
    InvalidBucketName,
    InvalidDigest,
    InvalidPolicyDocument,
    InvalidRequest,
    InvalidUri,
    KeyTooLong,
    MalformedPostRequest,
    MalformedXml,
    MaxMessageLengthExceeded,
    MaxPostPreDataLengthExceeded,
    MethodNotAllowed,
    MissingContentLength,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NoSuchVersion,
    NotImplemented,
    PreconditionFailed,
    RequestHeaderSectionTooLarge,
    RequestTimeout,
    ServiceUnavailable,
    SlowDown,
}

impl Code {
    /// The HTTP status that goes with this code.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// The code as AWS spells it.
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// The message AWS sends when there is nothing more particular to say.
    pub const fn message(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::AccessDenied => (S::FORBIDDEN, "AccessDenied", "Access Denied"),
            Self::BadDigest => (S::BAD_REQUEST, "BadDigest", BAD_DIGEST),
            Self::BadRequest => (S::BAD_REQUEST, "BadRequest", BAD_REQUEST),
            Self::ConditionalRequestConflict => {
                (S::CONFLICT, "ConditionalRequestConflict", CONDITIONAL_REQUEST_CONFLICT)
            }
            Self::EntityTooLarge => (S::BAD_REQUEST, "EntityTooLarge", ENTITY_TOO_LARGE),
            Self::EntityTooSmall => (S::BAD_REQUEST, "EntityTooSmall", ENTITY_TOO_SMALL),
            Self::HttpVersionNotSupported => {
                (S::HTTP_VERSION_NOT_SUPPORTED, "HttpVersionNotSupported", HTTP_VERSION)
            }
            Self::IncompleteBody => (S::BAD_REQUEST, "IncompleteBody", INCOMPLETE_BODY),
            Self::IncorrectNumberOfFilesInPostRequest => {
                (S::BAD_REQUEST, "IncorrectNumberOfFilesInPostRequest", NUMBER_OF_FILES)
            }
            Self::InternalError => (S::INTERNAL_SERVER_ERROR, "InternalError", INTERNAL_ERROR),
            Self::InvalidArgument => (S::BAD_REQUEST, "InvalidArgument", "Invalid Argument"),
            Self::InvalidBucketName => (S::BAD_REQUEST, "InvalidBucketName", INVALID_BUCKET_NAME),
            Self::InvalidDigest => (S::BAD_REQUEST, "InvalidDigest", INVALID_DIGEST),
            Self::InvalidPolicyDocument => {
                (S::BAD_REQUEST, "InvalidPolicyDocument", INVALID_POLICY_DOCUMENT)
            }
            Self::InvalidRequest => (S::BAD_REQUEST, "InvalidRequest", "Invalid Request"),
            Self::InvalidUri => (S::BAD_REQUEST, "InvalidURI", INVALID_URI),
            Self::KeyTooLong => (S::BAD_REQUEST, "KeyTooLongError", "Your key is too long"),
            Self::MalformedPostRequest => {
                (S::BAD_REQUEST, "MalformedPOSTRequest", MALFORMED_POST_REQUEST)
            }
            Self::MalformedXml => (S::BAD_REQUEST, "MalformedXML", MALFORMED_XML),
            Self::MaxMessageLengthExceeded => {
                (S::BAD_REQUEST, "MaxMessageLengthExceeded", "Your request was too big.")
            }
            Self::MaxPostPreDataLengthExceeded => {
                (S::BAD_REQUEST, "MaxPostPreDataLengthExceededError", MAX_POST_PRE_DATA)
            }
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "MethodNotAllowed", METHOD_NOT_ALLOWED)
            }
            Self::MissingContentLength => {
                (S::LENGTH_REQUIRED, "MissingContentLength", MISSING_CONTENT_LENGTH)
            }
            Self::NoSuchBucket => (S::NOT_FOUND, "NoSuchBucket", NO_SUCH_BUCKET),
            Self::NoSuchKey => (S::NOT_FOUND, "NoSuchKey", "The specified key does not exist."),
            Self::NoSuchUpload => (S::NOT_FOUND, "NoSuchUpload", NO_SUCH_UPLOAD),
            Self::NoSuchVersion => {
                (S::NOT_FOUND, "NoSuchVersion", "The specified version does not exist.")
            }
            Self::NotImplemented => (S::NOT_IMPLEMENTED, "NotImplemented", NOT_IMPLEMENTED),
            Self::PreconditionFailed => {
                (S::PRECONDITION_FAILED, "PreconditionFailed", PRECONDITION_FAILED)
            }
            Self::RequestHeaderSectionTooLarge => {
                (S::BAD_REQUEST, "RequestHeaderSectionTooLarge", REQUEST_HEADER_SECTION_TOO_LARGE)
            }
            Self::RequestTimeout => (S::BAD_REQUEST, "RequestTimeout", REQUEST_TIMEOUT),
            Self::ServiceUnavailable => {
                (S::SERVICE_UNAVAILABLE, "ServiceUnavailable", SERVICE_UNAVAILABLE)
            }
            Self::SlowDown => (S::SERVICE_UNAVAILABLE, "SlowDown", SLOW_DOWN),
        }
    }
}

const BAD_DIGEST: &str = "The Content-MD5 or checksum value that you specified did not match what \
     the server received.";
const BAD_REQUEST: &str = "An error occurred when parsing the HTTP request.";
const CONDITIONAL_REQUEST_CONFLICT: &str = "The conditional request cannot succeed due to a \
     conflicting operation against this resource.";
const ENTITY_TOO_LARGE: &str = "Your proposed upload exceeds the maximum allowed size";
const ENTITY_TOO_SMALL: &str =
    "Your proposed upload is smaller than the minimum allowed object size.";
const HTTP_VERSION: &str = "The HTTP version specified is not supported.";
const INCOMPLETE_BODY: &str =
    "You did not provide the number of bytes specified by the Content-Length HTTP header.";
const NUMBER_OF_FILES: &str = "POST requires exactly one file upload per request.";
const INTERNAL_ERROR: &str = "We encountered an internal error. Please try again.";
const INVALID_BUCKET_NAME: &str = "The specified bucket is not valid.";
const INVALID_DIGEST: &str = "The Content-MD5 or checksum value that you specified is not valid.";
const INVALID_POLICY_DOCUMENT: &str =
    "The content of the form does not meet the conditions specified in the policy document.";
const INVALID_URI: &str = "Couldn't parse the specified URI.";
const MALFORMED_POST_REQUEST: &str =
    "The body of your POST request is not well-formed multipart/form-data.";
const MALFORMED_XML: &str =
    "The XML you provided was not well-formed or did not validate against our published schema";
const MAX_POST_PRE_DATA: &str =
    "Your POST request fields preceding the upload file were too large.";
const METHOD_NOT_ALLOWED: &str = "The specified method is not allowed against this resource.";
const MISSING_CONTENT_LENGTH: &str = "You must provide the Content-Length HTTP header.";
const NO_SUCH_BUCKET: &str = "The specified bucket does not exist";
const NO_SUCH_UPLOAD: &str = "The specified upload does not exist. The upload ID may be invalid, \
     or the upload may have been aborted or completed.";
const NOT_IMPLEMENTED: &str = "A header you provided implies functionality that is not implemented";
const PRECONDITION_FAILED: &str = "At least one of the pre-conditions you specified did not hold";
const REQUEST_HEADER_SECTION_TOO_LARGE: &str =
    "Your request header section exceeds the maximum allowed size.";
const REQUEST_TIMEOUT: &str = "Your socket connection to the server was not read from or written \
     to within the timeout period.";
const SERVICE_UNAVAILABLE: &str = "Service is unable to handle request.";
const SLOW_DOWN: &str = "Please reduce your request rate.";

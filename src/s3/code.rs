//! The table of S3 error codes: status, spelling, default message.

use http::StatusCode;

macro_rules! codes {
    ($($code:ident = $status:ident, $spelling:literal, $message:expr;)*) => {
        /// An error code of S3 that the proxy itself answers with (AWS: Error responses).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names are AWS's; the messages say what each means")]
        pub enum Code { $($code,)* }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            const fn row(self) -> (StatusCode, &'static str, &'static str) {
                match self { $(Self::$code => (StatusCode::$status, $spelling, $message),)* }
            }
        }
    };
}

codes! {
    AccessDenied = FORBIDDEN, "AccessDenied", "Access Denied";
    BadDigest = BAD_REQUEST, "BadDigest", BAD_DIGEST;
    BadRequest = BAD_REQUEST, "BadRequest", BAD_REQUEST;
    ConditionalRequestConflict = CONFLICT, "ConditionalRequestConflict", CONDITIONAL_REQUEST_CONFLICT;
    EntityTooLarge = BAD_REQUEST, "EntityTooLarge", ENTITY_TOO_LARGE;
    EntityTooSmall = BAD_REQUEST, "EntityTooSmall", ENTITY_TOO_SMALL;
    HttpVersionNotSupported = HTTP_VERSION_NOT_SUPPORTED, "HttpVersionNotSupported", HTTP_VERSION;
    IllegalVersioningConfiguration = BAD_REQUEST, "IllegalVersioningConfigurationException", ILLEGAL_VERSIONING_CONFIGURATION;
    IncompleteBody = BAD_REQUEST, "IncompleteBody", INCOMPLETE_BODY;
    IncorrectNumberOfFilesInPostRequest = BAD_REQUEST, "IncorrectNumberOfFilesInPostRequest", NUMBER_OF_FILES;
    InternalError = INTERNAL_SERVER_ERROR, "InternalError", INTERNAL_ERROR;
    InvalidArgument = BAD_REQUEST, "InvalidArgument", "Invalid Argument";
    InvalidBucketName = BAD_REQUEST, "InvalidBucketName", INVALID_BUCKET_NAME;
    InvalidDigest = BAD_REQUEST, "InvalidDigest", INVALID_DIGEST;
    InvalidEncryptionAlgorithm = BAD_REQUEST, "InvalidEncryptionAlgorithmError", INVALID_ENCRYPTION_ALGORITHM;
    InvalidPartOrder = BAD_REQUEST, "InvalidPartOrder", INVALID_PART_ORDER;
    InvalidPolicyDocument = BAD_REQUEST, "InvalidPolicyDocument", INVALID_POLICY_DOCUMENT;
    InvalidRedirectLocation = BAD_REQUEST, "InvalidRedirectLocation", INVALID_REDIRECT_LOCATION;
    InvalidRequest = BAD_REQUEST, "InvalidRequest", "Invalid Request";
    InvalidStorageClass = BAD_REQUEST, "InvalidStorageClass", INVALID_STORAGE_CLASS;
    InvalidTag = BAD_REQUEST, "InvalidTag", INVALID_TAG;
    InvalidUri = BAD_REQUEST, "InvalidURI", INVALID_URI;
    KeyTooLong = BAD_REQUEST, "KeyTooLongError", "Your key is too long";
    MalformedAcl = BAD_REQUEST, "MalformedACLError", MALFORMED_XML;
    MalformedPolicy = BAD_REQUEST, "MalformedPolicy", MALFORMED_POLICY;
    MalformedPostRequest = BAD_REQUEST, "MalformedPOSTRequest", MALFORMED_POST_REQUEST;
    MalformedXml = BAD_REQUEST, "MalformedXML", MALFORMED_XML;
    MaxMessageLengthExceeded = BAD_REQUEST, "MaxMessageLengthExceeded", "Your request was too big.";
    MaxPostPreDataLengthExceeded = BAD_REQUEST, "MaxPostPreDataLengthExceededError", MAX_POST_PRE_DATA;
    MetadataTooLarge = BAD_REQUEST, "MetadataTooLarge", METADATA_TOO_LARGE;
    MethodNotAllowed = METHOD_NOT_ALLOWED, "MethodNotAllowed", METHOD_NOT_ALLOWED;
    MissingContentLength = LENGTH_REQUIRED, "MissingContentLength", MISSING_CONTENT_LENGTH;
    NoSuchBucket = NOT_FOUND, "NoSuchBucket", NO_SUCH_BUCKET;
    NoSuchKey = NOT_FOUND, "NoSuchKey", "The specified key does not exist.";
    NoSuchUpload = NOT_FOUND, "NoSuchUpload", NO_SUCH_UPLOAD;
    NoSuchVersion = NOT_FOUND, "NoSuchVersion", "The specified version does not exist.";
    NotImplemented = NOT_IMPLEMENTED, "NotImplemented", NOT_IMPLEMENTED;
    PreconditionFailed = PRECONDITION_FAILED, "PreconditionFailed", PRECONDITION_FAILED;
    RequestHeaderSectionTooLarge = BAD_REQUEST, "RequestHeaderSectionTooLarge", REQUEST_HEADER_SECTION_TOO_LARGE;
    RequestTimeout = BAD_REQUEST, "RequestTimeout", REQUEST_TIMEOUT;
    ServiceUnavailable = SERVICE_UNAVAILABLE, "ServiceUnavailable", SERVICE_UNAVAILABLE;
    SlowDown = SERVICE_UNAVAILABLE, "SlowDown", SLOW_DOWN;
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

    /// AWS's message where there is no more specific one.
    pub const fn message(self) -> &'static str {
        self.row().2
    }

    /// The code with this spelling, if it is in the table.
    pub fn spelled(spelling: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == spelling)
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
const ILLEGAL_VERSIONING_CONFIGURATION: &str = "The Versioning element must be specified";
const INCOMPLETE_BODY: &str =
    "You did not provide the number of bytes specified by the Content-Length HTTP header.";
const NUMBER_OF_FILES: &str = "POST requires exactly one file upload per request.";
const INTERNAL_ERROR: &str = "We encountered an internal error. Please try again.";
const INVALID_BUCKET_NAME: &str = "The specified bucket is not valid.";
const INVALID_DIGEST: &str = "The Content-MD5 or checksum value that you specified is not valid.";
const INVALID_ENCRYPTION_ALGORITHM: &str = "The encryption request you specified is not valid. The \
     valid value is AES256.";
const INVALID_PART_ORDER: &str = "The list of parts was not in ascending order. Parts must be ordered \
     by part number.";
const INVALID_STORAGE_CLASS: &str = "The storage class you specified is not valid";
const INVALID_TAG: &str = "The tag provided was not a valid tag.";
const INVALID_POLICY_DOCUMENT: &str =
    "The content of the form does not meet the conditions specified in the policy document.";
const INVALID_REDIRECT_LOCATION: &str =
    "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.";
const INVALID_URI: &str = "Couldn't parse the specified URI.";
const MALFORMED_POLICY: &str = "Policies must be valid JSON and the first byte must be '{'";
const MALFORMED_POST_REQUEST: &str =
    "The body of your POST request is not well-formed multipart/form-data.";
const MALFORMED_XML: &str =
    "The XML you provided was not well-formed or did not validate against our published schema";
const MAX_POST_PRE_DATA: &str =
    "Your POST request fields preceding the upload file were too large.";
const METADATA_TOO_LARGE: &str = "Your metadata headers exceed the maximum allowed metadata size";
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

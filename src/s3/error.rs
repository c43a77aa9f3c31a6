//! S3 errors: status, code, message, fields, and the XML document.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;

use super::code::Code;
use super::xml::{self, DECLARATION};

/// One refusal or failure, ready to be sent to the client. Fields are written in the order in which
/// they were added, which is the order of AWS's documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Error {
    kind: Kind,
    message: Option<Cow<'static, str>>,
    fields: Vec<(Cow<'static, str>, String)>,
    retry_after_s: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Known(Code),
    /// An error whose table is in another module.
    Other(StatusCode, Cow<'static, str>),
}

// === building ===

impl S3Error {
    /// The error of this code with AWS's own message and no fields.
    pub const fn new(code: Code) -> Self {
        Self { kind: Kind::Known(code), message: None, fields: Vec::new(), retry_after_s: None }
    }

    /// An error that another module defines in its own table (the signature errors).
    pub fn of_parts(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
        fields: Vec<(Cow<'static, str>, String)>,
    ) -> Self {
        Self {
            kind: Kind::Other(status, code.into()),
            message: Some(message.into()),
            fields,
            retry_after_s: None,
        }
    }

    /// The same with one more field, written after those already there. `name` must be an XML name.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// The same with this message instead of the default one.
    #[must_use]
    pub fn because(mut self, message: impl Into<Cow<'static, str>>) -> Self {
        self.message = Some(message.into());
        self
    }

    /// The same with a `Retry-After` of so many seconds.
    #[must_use]
    const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// 404: there is no object, or its current version is a delete marker.
    pub fn no_such_key(key: &str) -> Self {
        Self::new(Code::NoSuchKey).with("Key", key)
    }

    /// 404: there is no such version of the object.
    pub fn no_such_version(key: &str, version_id: &str) -> Self {
        Self::new(Code::NoSuchVersion).with("Key", key).with("VersionId", version_id)
    }

    /// The store redirects with this status: 500 for a permanent redirect (301, 308), where a retry
    /// would not help; 503 for a temporary one.
    pub fn redirected(status: StatusCode) -> Self {
        if matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT) {
            return Self::new(Code::InternalError).because(
                "The store answers that it is to be asked elsewhere. The operator of this proxy has \
                 to look at its log, and at the address and the region of its store.",
            );
        }
        Self::service_unavailable(1)
            .because("The store asks to be asked elsewhere for a while. Please try again.")
    }

    /// 501: this header, or its value, asks for something that the proxy does not do. Most clients
    /// show only the message, so it gives the reason.
    pub fn not_implemented(header: &str, why: Option<&str>) -> Self {
        let error = Self::not_implemented_by_aws(header, why);
        match why {
            Some(why) => error.because(format!("{}: {why}", Code::NotImplemented.message())),
            None => error,
        }
    }

    /// 501 where AWS answers so itself, in AWS's words: the reason is in a field.
    pub fn not_implemented_by_aws(header: &str, additional: Option<&str>) -> Self {
        let error = Self::new(Code::NotImplemented).with("Header", header);
        match additional {
            Some(text) => error.with("additionalMessage", text),
            None => error,
        }
    }

    /// 503: too many requests; SDKs slow down and try again.
    pub fn slow_down(retry_after_s: u32) -> Self {
        Self::new(Code::SlowDown).retry_after(retry_after_s)
    }

    /// 503: the answer cannot be determined at present.
    pub fn service_unavailable(retry_after_s: u32) -> Self {
        Self::new(Code::ServiceUnavailable).retry_after(retry_after_s)
    }

    /// 500.
    pub const fn internal_error() -> Self {
        Self::new(Code::InternalError)
    }

    /// 400: the body ended early.
    pub const fn incomplete_body() -> Self {
        Self::new(Code::IncompleteBody)
    }

    /// 400: the body is not the XML document it should be.
    pub const fn malformed_xml() -> Self {
        Self::new(Code::MalformedXml)
    }

    /// 403.
    pub const fn access_denied() -> Self {
        Self::new(Code::AccessDenied)
    }

    /// 400 for one argument, with AWS's field names.
    pub fn invalid_argument(
        message: impl Into<Cow<'static, str>>,
        name: &str,
        value: impl Into<String>,
    ) -> Self {
        Self::new(Code::InvalidArgument)
            .because(message)
            .with("ArgumentName", name)
            .with("ArgumentValue", value)
    }
}

// === reading ===

impl S3Error {
    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match &self.kind {
            Kind::Known(code) => code.status(),
            Kind::Other(status, _) => *status,
        }
    }

    /// The code in the document.
    pub fn code(&self) -> &str {
        match &self.kind {
            Kind::Known(code) => code.as_str(),
            Kind::Other(_, code) => code,
        }
    }

    /// The message in the document.
    pub fn message(&self) -> &str {
        match (&self.message, &self.kind) {
            (Some(message), _) => message,
            (None, Kind::Known(code)) => code.message(),
            (None, Kind::Other(..)) => "",
        }
    }

    /// The value of a field, if the error has it.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All of its fields: names and values.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, value.as_str()))
    }

    /// Seconds for a `Retry-After` header, if one is to be sent.
    pub const fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    /// The document as AWS writes it (AWS: REST error responses): code, message, the fields, then
    /// the resource and the request id. `resource` is omitted when there is none.
    pub fn to_xml(&self, resource: Option<&str>, request_id: &str, host_id: &str) -> Vec<u8> {
        let mut out = String::with_capacity(512);
        out.push_str(DECLARATION);
        out.push_str("\n<Error>");
        xml::push_element(&mut out, "Code", self.code());
        xml::push_element(&mut out, "Message", self.message());
        for (name, value) in &self.fields {
            xml::push_element(&mut out, name, value);
        }
        if let Some(resource) = resource {
            xml::push_element(&mut out, "Resource", resource);
        }
        xml::push_element(&mut out, "RequestId", request_id);
        xml::push_element(&mut out, "HostId", host_id);
        out.push_str("</Error>");
        out.into_bytes()
    }
}

impl fmt::Display for S3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status().as_u16(), self.code(), self.message())
    }
}

impl std::error::Error for S3Error {}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: &S3Error, resource: Option<&str>) -> String {
        String::from_utf8(error.to_xml(resource, "R1", "H1")).unwrap()
    }

    #[test]
    fn text_from_outside_cannot_break_the_document() {
        let xml = text(&S3Error::no_such_key("a<b>&\"'\u{1}\r"), Some("/bu&cket/a"));
        assert!(xml.contains("<Key>a&lt;b&gt;&amp;&quot;&apos;\u{fffd}&#13;</Key>"), "{xml}");
        assert!(xml.contains("<Resource>/bu&amp;cket/a</Resource>"), "{xml}");
    }

    #[test]
    fn messages_and_retry_after_can_be_set_and_other_errors_keep_their_own() {
        let busy = S3Error::slow_down(3).because("No room");
        assert_eq!((busy.status().as_u16(), busy.retry_after_s()), (503, Some(3)));
        assert_eq!(busy.to_string(), "503 SlowDown: No room");
        let other = S3Error::of_parts(
            StatusCode::FORBIDDEN,
            "SignatureDoesNotMatch",
            "No",
            vec![("AWSAccessKeyId".into(), "AK".to_owned())],
        );
        assert_eq!(other.to_string(), "403 SignatureDoesNotMatch: No");
        assert_eq!(other.field("AWSAccessKeyId"), Some("AK"));
    }

    #[test]
    fn not_implemented_names_the_header_and_says_more_only_when_there_is_more() {
        let plain = S3Error::not_implemented("x-amz-if-match-size", None);
        assert_eq!(plain.field("Header"), Some("x-amz-if-match-size"));
        assert_eq!(plain.field("additionalMessage"), None);
        assert_eq!(plain.message(), Code::NotImplemented.message());
        let ours = S3Error::not_implemented("delete", Some("why"));
        assert_eq!(ours.field("additionalMessage"), Some("why"));
        assert_eq!(ours.message(), format!("{}: why", Code::NotImplemented.message()));
        let aws = S3Error::not_implemented_by_aws("If-Match", Some("why"));
        assert_eq!(aws.field("additionalMessage"), Some("why"));
        assert_eq!(aws.message(), Code::NotImplemented.message());
    }
}

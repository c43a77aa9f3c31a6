//! The claim of a request about its signature, in the `Authorization` header or in a presigned
//! query. It is parsed here, not verified.

use std::fmt;

use http::{HeaderName, header};
use memchr::memrchr;

use super::auth_error::AuthError;
use super::canonical::ALGORITHM;
use super::date::AmzDate;
use super::effective::EffectiveRequest;
use super::key::{SERVICE, TERMINATOR};
use super::mechanism::Mechanism;
use super::names::{UNSIGNED_PAYLOAD, X_AMZ_CONTENT_SHA256, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN};
use crate::http1::fields::Fields;
use crate::s3::RequestHead;

/// A claim to verify.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) access_key_id: String,
    pub(super) region: String,
    /// The signing time by the client; its day is the day of the scope.
    pub(super) date: AmzDate,
    /// Lower-case names, joined by `;`.
    pub(super) signed_headers: &'a str,
    /// As sent.
    pub(super) signature: &'a str,
    pub(super) session_token: Option<&'a str>,
    /// The value of `x-amz-content-sha256`, or its substitute.
    pub(super) payload: &'a str,
    /// How long a presigned request is valid, in seconds; `None` for a signature in the header.
    pub(super) expires_seconds: Option<u32>,
}

impl<'a> Claim<'a> {
    /// Parses the claim of Version 4. `region`: the only region accepted; `None` accepts any.
    pub(super) fn from_head(
        head: &RequestHead<'a>,
        mechanism: Mechanism,
        region: Option<&str>,
    ) -> Result<Self, AuthError> {
        match mechanism {
            Mechanism::Unsigned => Err(AuthError::Anonymous),
            Mechanism::Header => Self::from_header(head, region),
            Mechanism::Query => Self::from_query(head, region),
            Mechanism::HeaderV2 | Mechanism::QueryV2 => Err(AuthError::UnsupportedMechanism),
        }
    }

    fn from_header(head: &RequestHead<'a>, region: Option<&str>) -> Result<Self, AuthError> {
        let components = Components::of(head)?;
        let scope = ScopeText::parse(components.credential, region).map_err(|fault| {
            AuthError::AuthorizationHeaderMalformed {
                message: fault.to_string(),
                region: fault.expected_region(),
            }
        })?;
        let date = match head.header(&X_AMZ_DATE) {
            Some(date) => AmzDate::parse(date),
            None => head.header(&header::DATE).and_then(AmzDate::from_date_header),
        };
        let date = date.ok_or(AuthError::MissingDate)?;
        if date.day() != scope.date {
            return Err(malformed("Invalid credential date. Date is not the same as X-Amz-Date."));
        }
        let payload = head.header(&X_AMZ_CONTENT_SHA256).ok_or(AuthError::MissingContentSha256)?;
        Ok(Self {
            access_key_id: scope.access_key_id.into(),
            region: scope.region.into(),
            date,
            signed_headers: components.signed_headers,
            signature: components.signature,
            session_token: head.header(&X_AMZ_SECURITY_TOKEN),
            payload,
            expires_seconds: None,
        })
    }

    fn from_query(head: &RequestHead<'a>, region: Option<&str>) -> Result<Self, AuthError> {
        let value = |name| head.query.get(name);
        let required = |name| value(name).ok_or_else(|| query_error(MISSING_PARAMETERS));
        let algorithm = required("X-Amz-Algorithm")?;
        let credential = required("X-Amz-Credential")?;
        let signature = required("X-Amz-Signature")?;
        let date = required("X-Amz-Date")?;
        let signed_headers = required("X-Amz-SignedHeaders")?;
        let expires = required("X-Amz-Expires")?;
        if algorithm != ALGORITHM {
            return Err(query_error("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\""));
        }
        let scope = ScopeText::parse(credential, region).map_err(|fault| {
            AuthError::AuthorizationQueryParametersError {
                message: format!("Error parsing the X-Amz-Credential parameter; {fault}"),
                region: fault.expected_region(),
            }
        })?;
        let date = AmzDate::parse(date).ok_or_else(|| query_error(MALFORMED_DATE))?;
        if date.day() != scope.date {
            return Err(query_error(&format!(
                "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
                scope.date,
                date.day()
            )));
        }
        // The header was set by the sender of this body; the query is older.
        let payload = head.header(&X_AMZ_CONTENT_SHA256);
        Ok(Self {
            access_key_id: scope.access_key_id.into(),
            region: scope.region.into(),
            date,
            signed_headers,
            signature,
            session_token: value("X-Amz-Security-Token")
                .or_else(|| head.header(&X_AMZ_SECURITY_TOKEN)),
            payload: payload
                .or_else(|| value("X-Amz-Content-Sha256").or_else(|| value("x-amz-content-sha256")))
                .unwrap_or(UNSIGNED_PAYLOAD),
            expires_seconds: Some(expires_seconds(expires)?),
        })
    }
}

/// What a request says about its signature, where the store verifies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The access key; whether the sender has its secret is not known. Empty where there is no key.
    pub access_key_id: String,
    /// Where the signature is.
    pub mechanism: Mechanism,
    /// The names of the headers that a signature of Version 4 covers, in lower case, joined by `;`.
    signed_headers: String,
}

impl Claimed {
    /// Parses the claim, in the header or the query. Errors: a claim of Version 4 without the list
    /// of signed headers.
    pub fn of(request: &EffectiveRequest<'_>) -> Result<Self, AuthError> {
        let (head, mechanism) = (&request.sent, request.mechanism);
        let parameter = |name| head.query.get(name).unwrap_or_default();
        let key_of = |scope: &str| scope.rsplitn(5, '/').nth(4).unwrap_or_default().to_owned();
        let (access_key_id, signed_headers) = match mechanism {
            Mechanism::Unsigned => Default::default(),
            Mechanism::Header => {
                let components = Components::of(head)?;
                (key_of(components.credential), components.signed_headers.to_ascii_lowercase())
            }
            Mechanism::Query => {
                let signed = head.query.get("X-Amz-SignedHeaders");
                let signed = signed.ok_or_else(|| query_error(MISSING_PARAMETERS))?;
                (key_of(parameter("X-Amz-Credential")), signed.to_ascii_lowercase())
            }
            Mechanism::QueryV2 => (parameter("AWSAccessKeyId").to_owned(), String::new()),
            Mechanism::HeaderV2 => {
                let value = head.header(&header::AUTHORIZATION).unwrap_or_default();
                let value = value.strip_prefix("AWS").unwrap_or_default().trim();
                let access_key_id = value.rsplit_once(':').unwrap_or_default().0;
                (access_key_id.to_owned(), String::new())
            }
        };
        Ok(Self { access_key_id, mechanism, signed_headers })
    }

    /// Refuses a head with an `x-amz-*` header that the signature should cover and does not, as AWS
    /// does. A head without a signature may have only those that `may_stand_alone` accepts.
    pub fn check_covers(
        &self,
        headers: &Fields,
        may_stand_alone: impl Fn(&str) -> bool,
    ) -> Result<(), AuthError> {
        match self.mechanism {
            Mechanism::Header | Mechanism::Query => {
                check_signed_headers(headers, &self.signed_headers)
            }
            Mechanism::HeaderV2 | Mechanism::QueryV2 => Ok(()),
            Mechanism::Unsigned => {
                let names = headers.keys().map(HeaderName::as_str);
                let names: Vec<String> = names
                    .filter(|name| name.starts_with("x-amz-") && !may_stand_alone(name))
                    .map(str::to_owned)
                    .collect();
                if names.is_empty() { Ok(()) } else { Err(AuthError::HeadersNotSigned { names }) }
            }
        }
    }

    /// Whether the signature covers this header; its name in lower case.
    pub fn covers(&self, name: &str) -> bool {
        match self.mechanism {
            Mechanism::Unsigned => false,
            Mechanism::Header | Mechanism::Query => {
                self.signed_headers.split(';').any(|signed| signed == name)
            }
            Mechanism::HeaderV2 | Mechanism::QueryV2 => {
                name.starts_with("x-amz-")
                    || matches!(name, "content-md5" | "content-type" | "date")
            }
        }
    }
}

/// `host` and every `x-amz-*` header must be signed: otherwise anything on the way could add them.
pub(super) fn check_signed_headers(headers: &Fields, signed: &str) -> Result<(), AuthError> {
    let mut names = Vec::with_capacity(NAMES_USUAL);
    names.extend(signed.as_bytes().split(|byte| *byte == b';'));
    let signed = names;
    let is_signed = |name: &str| signed.contains(&name.as_bytes());
    let must_be = |name: &str| name.starts_with("x-amz-") || name == "host";
    let is_missing = |name: &HeaderName| must_be(name.as_str()) && !is_signed(name.as_str());
    if is_signed("host") && !headers.iter().any(|(name, _)| is_missing(name)) {
        return Ok(());
    }
    let names = headers.keys().filter(|name| is_missing(name));
    let mut names: Vec<String> = names.map(|name| name.as_str().to_owned()).collect();
    // A missing host is not signed either, unless as an empty one.
    if names.is_empty() {
        names.push("host".into());
    }
    names.sort_unstable();
    Err(AuthError::HeadersNotSigned { names })
}

/// How many headers a usual signature covers, and some more.
const NAMES_USUAL: usize = 16;

/// The components after the algorithm in an `Authorization` header.
#[derive(Default)]
struct Components<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Components<'a> {
    fn of(head: &RequestHead<'a>) -> Result<Self, AuthError> {
        let value = head.header(&header::AUTHORIZATION).unwrap_or_default();
        Self::parse(value.strip_prefix(ALGORITHM).unwrap_or_default())
    }

    fn parse(text: &'a str) -> Result<Self, AuthError> {
        let mut found = Self::default();
        for component in text.split(',').map(str::trim).filter(|text| !text.is_empty()) {
            let wrong =
                || malformed(&format!("the authorization component \"{component}\" is malformed."));
            let (name, value) = component.split_once('=').ok_or_else(wrong)?;
            let place = match name {
                "Credential" => &mut found.credential,
                "SignedHeaders" => &mut found.signed_headers,
                "Signature" => &mut found.signature,
                _ => return Err(wrong()),
            };
            if !place.is_empty() {
                return Err(wrong());
            }
            *place = value;
        }
        for (name, value) in [
            ("Credential", found.credential),
            ("SignedHeaders", found.signed_headers),
            ("Signature", found.signature),
        ] {
            if value.is_empty() {
                return Err(malformed(&format!("missing {name}.")));
            }
        }
        Ok(found)
    }
}

/// The parts of `<access key>/YYYYMMDD/<region>/s3/aws4_request`.
pub(super) struct ScopeText<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
}

impl<'a> ScopeText<'a> {
    pub(super) fn parse(text: &'a str, expected_region: Option<&str>) -> Result<Self, ScopeFault> {
        // From the right: an access key may contain a slash.
        let mut access_key_id = text;
        let mut part = || -> Result<&'a str, ScopeFault> {
            let slash = memrchr(b'/', access_key_id.as_bytes()).ok_or(ScopeFault::Form)?;
            let part = &access_key_id[slash + 1..];
            access_key_id = &access_key_id[..slash];
            Ok(part)
        };
        let (terminator, service, region, date) = (part()?, part()?, part()?, part()?);
        if access_key_id.is_empty() {
            return Err(ScopeFault::Form);
        }
        if date.len() != 8 || !date.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ScopeFault::Date(date.into()));
        }
        if let Some(expected) = expected_region.filter(|expected| *expected != region) {
            return Err(ScopeFault::Region { given: region.into(), expected: expected.into() });
        }
        if service != SERVICE {
            return Err(ScopeFault::Service(service.into()));
        }
        if terminator != TERMINATOR {
            return Err(ScopeFault::Terminator(terminator.into()));
        }
        Ok(Self { access_key_id, date, region })
    }
}

/// The fault of a scope; `Display` gives AWS's message.
pub(super) enum ScopeFault {
    Form,
    Date(String),
    Region { given: String, expected: String },
    Service(String),
    Terminator(String),
}

impl ScopeFault {
    pub(super) fn expected_region(&self) -> Option<String> {
        match self {
            Self::Region { expected, .. } => Some(expected.clone()),
            Self::Form | Self::Date(_) | Self::Service(_) | Self::Terminator(_) => None,
        }
    }
}

impl fmt::Display for ScopeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => write!(
                f,
                "the Credential is mal-formed; expecting \
                 \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."
            ),
            Self::Date(date) => write!(
                f,
                "incorrect date format \"{date}\". This date in the credential must be in the \
                 format \"yyyyMMdd\"."
            ),
            Self::Region { given, expected } => {
                write!(f, "the region '{given}' is wrong; expecting '{expected}'")
            }
            Self::Service(service) => {
                write!(f, "incorrect service \"{service}\". This endpoint belongs to \"s3\".")
            }
            Self::Terminator(text) => {
                write!(f, "incorrect terminal \"{text}\". This endpoint uses \"aws4_request\".")
            }
        }
    }
}

/// How long a presigned request says that it is valid, in seconds: a week at most.
pub fn expires_seconds(text: &str) -> Result<u32, AuthError> {
    let seconds: i64 = text.parse().map_err(|_| query_error("X-Amz-Expires should be a number"))?;
    if seconds < 0 {
        return Err(query_error("X-Amz-Expires must be non-negative"));
    }
    u32::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds <= EXPIRES_SECONDS_MAX)
        .ok_or_else(|| query_error(EXPIRES_TOO_LONG))
}

fn malformed(message: &str) -> AuthError {
    AuthError::AuthorizationHeaderMalformed { message: message.into(), region: None }
}

fn query_error(message: &str) -> AuthError {
    AuthError::AuthorizationQueryParametersError { message: message.into(), region: None }
}

/// A week (AWS: Authenticating Requests: Using Query Parameters).
const EXPIRES_SECONDS_MAX: u32 = 604_800;

const EXPIRES_TOO_LONG: &str = "X-Amz-Expires must be less than a week (in seconds); that is, \
                                the given X-Amz-Expires must be less than 604800 seconds";
const MALFORMED_DATE: &str =
    "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"";
const MISSING_PARAMETERS: &str = "Query-string authentication version 4 requires the \
                                  X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, \
                                  X-Amz-SignedHeaders, and X-Amz-Expires parameters.";

//! What a request claims about its signature, in the `Authorization` header or in a presigned
//! query. Nothing is proved here.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderName, header};

use super::auth_error::AuthError;
use super::canonical::ALGORITHM;
use super::date::AmzDate;
use super::key::{SERVICE, TERMINATOR};
use super::payload::UNSIGNED_PAYLOAD;
use crate::s3::{RequestHead, encoding};

/// A claim to be checked.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) access_key_id: String,
    pub(super) region: String,
    /// When the client says that it signed; its day is the day of the scope.
    pub(super) date: AmzDate,
    /// Lower-case names, joined by `;`.
    pub(super) signed_headers: Cow<'a, str>,
    /// As sent.
    pub(super) signature: Cow<'a, str>,
    pub(super) session_token: Option<Cow<'a, str>>,
    /// The value of `x-amz-content-sha256`, or what stands for it.
    pub(super) payload: Cow<'a, str>,
    /// How long a presigned request is good for, in seconds; `None` for the header's form.
    pub(super) expires_seconds: Option<u32>,
}

impl<'a> Claim<'a> {
    /// Finds and reads the claim. `region`: the only region accepted; `None` accepts any.
    pub(super) fn from_head(
        head: &RequestHead<'a>,
        region: Option<&str>,
    ) -> Result<Self, AuthError> {
        let in_header = head.headers.contains_key(header::AUTHORIZATION);
        let mut names = head.query_pairs().map(|(name, _)| decoded(name));
        // Beside a header only a second signature counts. Without one every trace of a signature
        // does: a claim with parts missing is a wrong one, not nobody's.
        let is_second = |name: &str| matches!(name, "X-Amz-Algorithm" | "X-Amz-Signature");
        let presigned = names
            .clone()
            .any(|name| if in_header { is_second(&name) } else { is_presign_parameter(&name) });
        // `AWSAccessKeyId` tells Version 2 from a parameter that happens to be called `Signature`.
        let version_2 = names.any(|name| name == "AWSAccessKeyId");
        match (in_header, presigned, version_2) {
            (false, false, false) => Err(AuthError::Anonymous),
            (true, false, false) => Self::from_header(head, region),
            (false, true, false) => Self::from_query(head, region),
            (false, false, true) => Err(AuthError::UnsupportedMechanism),
            _ => Err(AuthError::SeveralMechanisms),
        }
    }

    fn from_header(head: &RequestHead<'a>, region: Option<&str>) -> Result<Self, AuthError> {
        let value = head.header(&header::AUTHORIZATION).unwrap_or_default();
        let (scheme, components) =
            value.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or_default();
        match scheme {
            ALGORITHM => {}
            "AWS" | "AWS4-ECDSA-P256-SHA256" => return Err(AuthError::UnsupportedMechanism),
            other => return Err(AuthError::UnsupportedScheme { scheme: other.into() }),
        }
        let components = Components::parse(components)?;
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
            signed_headers: components.signed_headers.into(),
            signature: components.signature.into(),
            session_token: head.header(&X_AMZ_SECURITY_TOKEN).map(Cow::Borrowed),
            payload: payload.into(),
            expires_seconds: None,
        })
    }

    fn from_query(head: &RequestHead<'a>, region: Option<&str>) -> Result<Self, AuthError> {
        let value = |name| head.query_value(name).map(decoded);
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
        let scope = ScopeText::parse(&credential, region).map_err(|fault| {
            AuthError::AuthorizationQueryParametersError {
                message: format!("Error parsing the X-Amz-Credential parameter; {fault}"),
                region: fault.expected_region(),
            }
        })?;
        let date = AmzDate::parse(&date).ok_or_else(|| query_error(MALFORMED_DATE))?;
        if date.day() != scope.date {
            return Err(query_error(&format!(
                "Invalid credential date \"{}\". This date is not the same as X-Amz-Date: \"{}\".",
                scope.date,
                date.day()
            )));
        }
        // What the header says is what the sender of this body knew; the query is older.
        let payload = head.header(&X_AMZ_CONTENT_SHA256).map(Cow::Borrowed);
        Ok(Self {
            access_key_id: scope.access_key_id.into(),
            region: scope.region.into(),
            date,
            signed_headers,
            signature,
            session_token: value("X-Amz-Security-Token")
                .or_else(|| head.header(&X_AMZ_SECURITY_TOKEN).map(Cow::Borrowed)),
            payload: payload
                .or_else(|| value("X-Amz-Content-Sha256"))
                .unwrap_or(Cow::Borrowed(UNSIGNED_PAYLOAD)),
            expires_seconds: Some(expires_seconds(&expires)?),
        })
    }
}

/// What a request says about its signature, where somebody else checks it. Empty where it says
/// nothing that could be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The access key; whether the sender has its secret is not known.
    pub access_key_id: String,
    /// The names of the headers that the signature covers, in lower case, joined by `;`.
    pub signed_headers: String,
}

impl Claimed {
    /// Reads the claim, wherever it stands.
    pub fn from_head(head: &RequestHead<'_>) -> Self {
        let claim = Claim::from_head(head, None).ok();
        claim.map_or_else(Self::default, |claim| Self {
            access_key_id: claim.access_key_id,
            signed_headers: claim.signed_headers.into_owned(),
        })
    }

    /// Whether the signature covers this header; its name in lower case.
    pub fn covers(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed.eq_ignore_ascii_case(name))
    }
}

/// Whether a query parameter belongs to a presigned request's signature. These are dropped when
/// the request is signed anew.
pub fn is_presign_parameter(name: &str) -> bool {
    matches!(
        name,
        "X-Amz-Algorithm"
            | "X-Amz-Credential"
            | "X-Amz-Date"
            | "X-Amz-Expires"
            | "X-Amz-SignedHeaders"
            | "X-Amz-Signature"
            | "X-Amz-Security-Token"
            | "X-Amz-Content-Sha256"
    )
}

/// What follows the algorithm in an `Authorization` header.
#[derive(Default)]
struct Components<'a> {
    credential: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Components<'a> {
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

/// `<access key>/YYYYMMDD/<region>/s3/aws4_request`, taken apart.
pub(super) struct ScopeText<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) date: &'a str,
    pub(super) region: &'a str,
}

impl<'a> ScopeText<'a> {
    pub(super) fn parse(text: &'a str, expected_region: Option<&str>) -> Result<Self, ScopeFault> {
        // From the right: an access key may contain a slash.
        let mut parts = text.rsplitn(5, '/');
        let mut part = || parts.next().ok_or(ScopeFault::Form);
        let (terminator, service, region, date) = (part()?, part()?, part()?, part()?);
        let access_key_id = part()?;
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

/// What is wrong with a scope; `Display` says it in AWS's words.
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

/// A query's value decoded; as it is where that fails, to be refused later for what it says.
fn decoded(value: &str) -> Cow<'_, str> {
    if !value.contains('%') {
        return value.into();
    }
    encoding::decode(value).map_or_else(|| value.into(), Cow::Owned)
}

fn expires_seconds(text: &str) -> Result<u32, AuthError> {
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

pub(super) const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(super) const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
pub(super) const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// A week (AWS: Authenticating Requests: Using Query Parameters).
const EXPIRES_SECONDS_MAX: u32 = 604_800;

const EXPIRES_TOO_LONG: &str = "X-Amz-Expires must be less than a week (in seconds); that is, \
                                the given X-Amz-Expires must be less than 604800 seconds";
const MALFORMED_DATE: &str =
    "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"";
const MISSING_PARAMETERS: &str = "Query-string authentication version 4 requires the \
                                  X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, \
                                  X-Amz-SignedHeaders, and X-Amz-Expires parameters.";

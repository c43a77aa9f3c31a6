//! Which signature a request has. Those of Version 2 are checked here: `s3s` compares them with other
//! paths than clients sign, and never with the clock. Version 4 is left to it, since it undoes the
//! framing of bodies at the same time.

use http::header::{AUTHORIZATION, DATE};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::HttpRequest;

use crate::clock;
use crate::s3::{Query, RequestHead};
use crate::secret::Secret;
use crate::sigv4::{
    Accepted, AmzDate, AuthError, Credential, CredentialLookup, EffectiveRequest, Mechanism,
    SigningKeys, authenticate,
};

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// How `Authorization` begins with Version 4.
const VERSION_4: &[u8] = b"AWS4-HMAC-SHA256";

/// Checks signatures by one credential.
pub(super) struct Signatures {
    credential: Credential,
    keys: SigningKeys,
}

/// What was found out about a signature that may be right.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Checked {
    /// It is right.
    Proved,
    /// It is of Version 4, and was not looked at.
    LeftToTheService,
}

impl Signatures {
    pub(super) fn of(credential: &Credential) -> Self {
        Self { credential: credential.clone(), keys: SigningKeys::default() }
    }

    /// Refuses a request without a signature, and one whose signature of Version 2 is wrong.
    pub(super) fn check(&self, request: &mut HttpRequest) -> Result<Checked, AuthError> {
        let header = request.headers().get(AUTHORIZATION);
        if header.is_some_and(|header| header.as_bytes().starts_with(VERSION_4)) {
            date_as_amz_date(request.headers_mut())?;
            return Ok(Checked::LeftToTheService);
        }
        let (query, fields) =
            (Query::parse(request.uri().query().unwrap_or_default()), request.headers().into());
        let path = request.uri().path();
        let sent = RequestHead { method: request.method(), path, query: &query, headers: &fields };
        match Mechanism::of(&sent)? {
            Mechanism::Unsigned => Err(AuthError::Anonymous),
            Mechanism::Header | Mechanism::Query => Ok(Checked::LeftToTheService),
            Mechanism::HeaderV2 | Mechanism::QueryV2 => {
                let request = EffectiveRequest::of(sent)?;
                let accepted = Accepted { version_2: true, ..Accepted::default() };
                let client = [self.with_token_of(&request)];
                authenticate(
                    &request,
                    &OneClient(&client),
                    &self.keys,
                    &accepted,
                    clock::unix_seconds(),
                )?;
                Ok(Checked::Proved)
            }
        }
    }

    /// The credential, with whatever session token the request has: this store ignores it.
    fn with_token_of(&self, request: &EffectiveRequest<'_>) -> Credential {
        let token = request.headers.get(&SECURITY_TOKEN).and_then(|token| token.to_str().ok());
        let session_token = token.map(|token| Secret::new(token.to_owned()));
        Credential { session_token, ..self.credential.clone() }
    }
}

/// The one client that there is.
struct OneClient<'c>(&'c [Credential; 1]);

impl CredentialLookup for OneClient<'_> {
    fn credentials(&self, access_key_id: &str) -> &[Credential] {
        if self.0[0].access_key_id == access_key_id { self.0 } else { &[] }
    }
}

/// Version 4 may sign `Date` in place of `x-amz-date` (AWS: "Create a signed AWS API request"). `s3s`
/// knows the latter alone. As it is not among the signed headers, it can be added.
fn date_as_amz_date(headers: &mut HeaderMap) -> Result<(), AuthError> {
    if headers.contains_key(AMZ_DATE) {
        return Ok(());
    }
    let date = headers.get(DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(AmzDate::from_date_header).ok_or(AuthError::MissingDate)?;
    if let Ok(date) = HeaderValue::from_str(date.as_str()) {
        headers.insert(AMZ_DATE, date);
    }
    Ok(())
}

//! The signature of a browser's upload form. It covers only the policy (AWS: Authenticating
//! requests in browser-based uploads). Signature Version 2 is supported too, since boto3 still uses
//! it for forms by default; it is HMAC-SHA1 with the secret itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::accepted::{Accepted, WhichSecret, check_session_token};
use super::auth_error::{AuthError, Mismatch};
use super::canonical::ALGORITHM;
use super::claim::ScopeText;
use super::credential::{Credential, CredentialLookup};
use super::date::AmzDate;
use super::key::SigningKeys;
use super::signature::Signature;

/// The claim in a form's fields.
#[derive(Debug, Clone, Copy)]
pub struct PolicyClaim<'a> {
    /// `policy`, in base64 as it came: these bytes are signed.
    pub policy: &'a str,
    /// `x-amz-algorithm`
    pub algorithm: Option<&'a str>,
    /// `x-amz-credential`
    pub credential: Option<&'a str>,
    /// `x-amz-date`
    pub date: Option<&'a str>,
    /// `x-amz-signature`
    pub signature: Option<&'a str>,
    /// `x-amz-security-token`
    pub security_token: Option<&'a str>,
    /// `AWSAccessKeyId` and `signature`, of Version 2.
    pub version_2: Option<(&'a str, &'a str)>,
}

/// The client that signed a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyOwner {
    /// Its access key.
    pub access_key_id: String,
    /// Which of its secrets signed.
    pub secret: WhichSecret,
}

/// Verifies the policy's signature and returns the client that made it. The policy's own expiry limits how
/// long the signature is valid, so the time is not checked here.
pub fn authenticate_policy(
    claim: &PolicyClaim<'_>,
    clients: &impl CredentialLookup,
    keys: &SigningKeys,
    accepted: &Accepted<'_>,
) -> Result<PolicyOwner, AuthError> {
    let (Some(ALGORITHM), Some(scope), Some(date), Some(signature)) =
        (claim.algorithm, claim.credential, claim.date, claim.signature)
    else {
        let (access_key_id, signature) = claim.version_2.ok_or(AuthError::Anonymous)?;
        if !accepted.version_2 {
            return Err(AuthError::UnsupportedMechanism);
        }
        return authenticate_version_2(claim, access_key_id, signature, clients);
    };
    let scope = ScopeText::parse(scope, accepted.region).map_err(|fault| {
        AuthError::AuthorizationQueryParametersError {
            message: format!("Error parsing the X-Amz-Credential parameter; {fault}"),
            region: fault.expected_region(),
        }
    })?;
    let date = AmzDate::parse(date).ok_or(AuthError::MissingDate)?;
    let given = Signature::from_hex(signature).filter(|_| date.day() == scope.date);
    owner(claim, (scope.access_key_id, signature), clients, |credential| {
        let key = keys.key(credential, scope.date, scope.region);
        let computed = key.sign(&[claim.policy.as_bytes()]);
        given.is_some_and(|given| given.matches(&computed))
    })
}

/// AWS: Browser-based uploads using POST (Signature Version 2).
fn authenticate_version_2(
    claim: &PolicyClaim<'_>,
    access_key_id: &str,
    signature: &str,
    clients: &impl CredentialLookup,
) -> Result<PolicyOwner, AuthError> {
    let given = BASE64.decode(signature).unwrap_or_default();
    owner(claim, (access_key_id, signature), clients, |credential| {
        let mut mac = Hmac::<Sha1>::new_from_slice(credential.secret.expose().as_bytes())
            .expect("HMAC takes keys of any length");
        mac.update(claim.policy.as_bytes());
        mac.verify_slice(&given).is_ok()
    })
}

/// The client with this access key, if one of its secrets has made this signature.
fn owner(
    claim: &PolicyClaim<'_>,
    (access_key_id, signature): (&str, &str),
    clients: &impl CredentialLookup,
    has_signed: impl Fn(&Credential) -> bool,
) -> Result<PolicyOwner, AuthError> {
    let access_key_id = access_key_id.to_owned();
    let credentials = clients.credentials(&access_key_id);
    let [credential, ..] = credentials else {
        return Err(AuthError::InvalidAccessKeyId { access_key_id });
    };
    check_session_token(claim.security_token, credential)?;
    match credentials.iter().position(has_signed) {
        Some(place) => Ok(PolicyOwner { access_key_id, secret: WhichSecret::at(place) }),
        None => Err(AuthError::SignatureDoesNotMatch(Box::new(Mismatch {
            access_key_id,
            string_to_sign: claim.policy.to_owned(),
            signature_provided: signature.to_owned(),
            canonical_request: String::new(),
        }))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::secret::Secret;
    use crate::sigv4::fixture::{ACCESS_KEY, Rotating};

    /// AWS: "Example: Browser-Based Upload using HTTP POST (Using AWS Signature Version 4)" signs
    /// with these; the policy here is our own, its signature made with the same derivation.
    fn clients() -> HashMap<String, Credential> {
        let credential = Credential {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        };
        HashMap::from([(credential.access_key_id.clone(), credential)])
    }

    const SCOPE: &str = "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request";

    fn claim<'a>(policy: &'a str, signature: &'a str) -> PolicyClaim<'a> {
        PolicyClaim {
            policy,
            algorithm: Some(ALGORITHM),
            credential: Some(SCOPE),
            date: Some("20151229T000000Z"),
            signature: Some(signature),
            security_token: None,
            version_2: None,
        }
    }

    fn signed(policy: &str) -> String {
        let keys = SigningKeys::default();
        let clients = clients();
        let key = keys.key(&clients["AKIAIOSFODNN7EXAMPLE"], "20151229", "us-east-1");
        key.sign(&[policy.as_bytes()]).to_hex().as_str().to_owned()
    }

    fn check(claim: &PolicyClaim<'_>) -> Result<String, AuthError> {
        let accepted = Accepted { version_2: true, ..Accepted::default() };
        authenticate_policy(claim, &clients(), &SigningKeys::default(), &accepted)
            .map(|owner| owner.access_key_id)
    }

    fn is_mismatch(checked: &Result<String, AuthError>) -> bool {
        matches!(checked, Err(AuthError::SignatureDoesNotMatch(_)))
    }

    #[test]
    fn a_signed_policy_names_its_owner_and_a_changed_one_nobody() {
        let signature = signed("e30=");
        assert_eq!(check(&claim("e30=", &signature)).unwrap(), "AKIAIOSFODNN7EXAMPLE");
        assert!(is_mismatch(&check(&claim("e30", &signature))));
        assert!(is_mismatch(&check(&claim("e30=", "00"))));
    }

    #[test]
    fn version_2_signs_the_policy_with_the_secret_itself() {
        // `printf e30= | openssl dgst -sha1 -hmac SECRET -binary | base64`
        let signature = "4QWH4O9CWtowYUW+X4P2gZ/6fNc=";
        let version_2 = |policy, version_2| PolicyClaim {
            algorithm: None,
            credential: None,
            date: None,
            signature: None,
            version_2,
            ..claim(policy, "")
        };
        let key = "AKIAIOSFODNN7EXAMPLE";
        let right = version_2("e30=", Some((key, signature)));
        assert_eq!(check(&right).unwrap(), key);
        let only_version_4 = Accepted::default();
        let keys = SigningKeys::default();
        let refused = authenticate_policy(&right, &clients(), &keys, &only_version_4);
        assert_eq!(refused.unwrap_err(), AuthError::UnsupportedMechanism);
        assert!(is_mismatch(&check(&version_2("e30", Some((key, signature))))));
        assert!(is_mismatch(&check(&version_2("e30=", Some((key, ""))))));
        let stranger = check(&version_2("e30=", Some(("AKIA", signature)))).unwrap_err();
        assert_eq!(stranger, AuthError::InvalidAccessKeyId { access_key_id: "AKIA".into() });
        let token = PolicyClaim { security_token: Some("t"), ..right };
        assert_eq!(check(&token).unwrap_err(), AuthError::InvalidToken);
    }

    #[test]
    fn the_secret_before_the_present_one_signs_too_and_the_result_says_so() {
        let accepted = Accepted { version_2: true, ..Accepted::default() };
        let keys = SigningKeys::default();
        let signature = signed("e30=");
        let version_4 = claim("e30=", &signature);
        let version_2 = Some((ACCESS_KEY, "4QWH4O9CWtowYUW+X4P2gZ/6fNc="));
        let version_2 = PolicyClaim { algorithm: None, version_2, ..version_4 };
        for claim in [version_4, version_2] {
            let owner = |of: &PolicyOwner| (of.access_key_id.clone(), of.secret);
            let present = authenticate_policy(&claim, &clients(), &keys, &accepted).unwrap();
            assert_eq!(owner(&present), (ACCESS_KEY.to_owned(), WhichSecret::Present));
            let previous = authenticate_policy(&claim, &Rotating::new(), &keys, &accepted).unwrap();
            assert_eq!(owner(&previous), (ACCESS_KEY.to_owned(), WhichSecret::Previous));
        }
    }

    #[test]
    fn a_claim_with_a_part_missing_is_anonymous() {
        let signature = signed("e30=");
        let whole = claim("e30=", &signature);
        for claim in [
            PolicyClaim { algorithm: None, ..whole },
            PolicyClaim { algorithm: Some("AWS4-HMAC-SHA1"), ..whole },
            PolicyClaim { credential: None, ..whole },
            PolicyClaim { date: None, ..whole },
            PolicyClaim { signature: None, ..whole },
        ] {
            assert_eq!(check(&claim).unwrap_err(), AuthError::Anonymous);
        }
        let other_day = PolicyClaim { date: Some("20151230T000000Z"), ..whole };
        assert!(is_mismatch(&check(&other_day)));
        let token = PolicyClaim { security_token: Some("t"), ..whole };
        assert_eq!(check(&token).unwrap_err(), AuthError::InvalidToken);
    }
}

//! The mechanism of a request's signature: its version, and where it is.

use http::header;

use super::auth_error::AuthError;
use super::canonical::ALGORITHM;
use super::names::is_presign_parameter;
use crate::s3::RequestHead;

/// Where a signature is, and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// There is no signature.
    Unsigned,
    /// Version 4, in the `Authorization` header.
    Header,
    /// Version 4, in the query of a presigned URL.
    Query,
    /// Version 2, in the `Authorization` header.
    HeaderV2,
    /// Version 2, in the query of a presigned URL.
    QueryV2,
}

impl Mechanism {
    /// Finds the signature. Errors: several signatures, or one of an unsupported kind.
    pub fn of(head: &RequestHead<'_>) -> Result<Self, AuthError> {
        #[cfg(test)]
        crate::readings::count("mechanism");
        let in_header = head.headers.contains_key(header::AUTHORIZATION);
        let names = head.query.parameters().map(|(name, _)| name);
        // Beside an `Authorization` header only a second signature counts. Without the header any
        // parameter of a signature counts: a claim with missing parts is invalid, not anonymous.
        let is_second = |name: &str| matches!(name, "X-Amz-Algorithm" | "X-Amz-Signature");
        let presigned = names
            .clone()
            .any(|name| if in_header { is_second(name) } else { is_presign_parameter(name) });
        // `AWSAccessKeyId` tells Version 2 from a parameter that happens to be called `Signature`.
        let version_2 = names.clone().any(|name| name == "AWSAccessKeyId");
        match (in_header, presigned, version_2) {
            (false, false, false) => Ok(Self::Unsigned),
            (true, false, false) => Self::of_header(head),
            (false, true, false) => Ok(Self::Query),
            (false, false, true) => Ok(Self::QueryV2),
            _ => Err(AuthError::SeveralMechanisms),
        }
    }

    fn of_header(head: &RequestHead<'_>) -> Result<Self, AuthError> {
        let value = head.header(&header::AUTHORIZATION).unwrap_or_default();
        match value.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or_default().0 {
            ALGORITHM => Ok(Self::Header),
            "AWS" => Ok(Self::HeaderV2),
            "AWS4-ECDSA-P256-SHA256" => Err(AuthError::UnsupportedMechanism),
            other => Err(AuthError::UnsupportedScheme { scheme: other.into() }),
        }
    }

    /// Whether the signature is in the query: the holder of such a URL may do only what it says.
    pub const fn is_presigned(self) -> bool {
        matches!(self, Self::Query | Self::QueryV2)
    }

    /// Whether it is of Version 2.
    pub const fn is_version_2(self) -> bool {
        matches!(self, Self::HeaderV2 | Self::QueryV2)
    }
}

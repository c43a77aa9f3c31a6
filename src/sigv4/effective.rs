//! The effective request: parameters of a presigned URL that stand for headers are moved to the
//! headers, and the parameters of the signature are removed from the query.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};

use super::auth_error::AuthError;
use super::mechanism::Mechanism;
use crate::http1::fields::Fields;
use crate::s3::{Query, RequestHead};

/// The headers and the query that every reader uses except the signature check, which covers the
/// request as sent.
///
/// Signers move headers into the query of a presigned URL (AWS: Authenticating Requests: Using
/// Query Parameters): all of `x-amz-*`, and with Version 2 also `Content-Type` and `Content-MD5`,
/// which it signs. They have the meaning of their headers. In a request that is not presigned, such
/// parameters have no meaning, as at AWS; they are removed, so that no store gives them one. A
/// parameter that would turn the request into another operation (a copy's source) is refused there:
/// its sender did not want the request without it.
#[derive(Debug, Clone)]
pub struct EffectiveRequest<'a> {
    /// What was sent: what the signature is about.
    pub sent: RequestHead<'a>,
    /// Where the request's signature is.
    pub mechanism: Mechanism,
    /// The headers as sent, and those that the query stands for.
    pub headers: Cow<'a, Fields>,
    /// The rest of the query.
    pub query: Cow<'a, Query>,
}

impl<'a> EffectiveRequest<'a> {
    /// Reads the request as sent. Errors: those of [`Mechanism::of`], and
    /// [`AuthError::HeaderInQuery`] for a parameter that is not a valid header, that contradicts
    /// its header, or that occurs twice with different values; [`AuthError::OnlyWherePresigned`].
    pub fn of(sent: RequestHead<'a>) -> Result<Self, AuthError> {
        #[cfg(test)]
        crate::readings::count("head");
        let mechanism = Mechanism::of(&sent)?;
        let mut headers = Cow::Borrowed(sent.headers);
        let mut query = Cow::Borrowed(sent.query);
        let mut all_of_query = true;
        for (name, value) in sent.query.parameters() {
            let lower = name.to_ascii_lowercase();
            match Part::of(mechanism, name, &lower) {
                Part::OfQuery => continue,
                Part::Nothing => {}
                Part::Header => add(headers.to_mut(), &lower, value)?,
                Part::Misplaced => return Err(AuthError::OnlyWherePresigned { name: lower }),
            }
            all_of_query = false;
        }
        if !all_of_query {
            query
                .to_mut()
                .retain(|name| Part::of(mechanism, name, &name.to_ascii_lowercase()).is_of_query());
        }
        Ok(Self { sent, mechanism, headers, query })
    }

    /// The head that everything reads but the signature.
    pub fn head(&self) -> RequestHead<'_> {
        RequestHead { query: &self.query, headers: &self.headers, ..self.sent }
    }
}

/// The kind of a query parameter.
enum Part {
    OfQuery,
    Header,
    Nothing,
    Misplaced,
}

impl Part {
    const fn is_of_query(&self) -> bool {
        matches!(self, Self::OfQuery)
    }

    fn of(mechanism: Mechanism, name: &str, lower: &str) -> Self {
        let is_amz = lower.starts_with("x-amz-");
        match mechanism {
            Mechanism::Query if is_amz && !OF_SIGNATURE.contains(&lower) => Self::Header,
            Mechanism::QueryV2 if is_amz || matches!(lower, "content-type" | "content-md5") => {
                Self::Header
            }
            Mechanism::QueryV2 if matches!(name, "AWSAccessKeyId" | "Signature" | "Expires") => {
                Self::Nothing
            }
            _ if CHOOSING.iter().any(|choosing| lower.starts_with(choosing)) => Self::Misplaced,
            _ if is_amz => Self::Nothing,
            _ => Self::OfQuery,
        }
    }
}

fn add(headers: &mut Fields, name: &str, value: &str) -> Result<(), AuthError> {
    let wrong = || AuthError::HeaderInQuery { name: name.into() };
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    // White space around a header's value is not part of it (RFC 9110 §5.5).
    let value = value.trim_matches([' ', '\t']);
    let mut said = headers.get_all(&header).peekable();
    if said.peek().is_none() {
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
        headers.insert(header, value);
        return Ok(());
    }
    if said.all(|said| said.as_bytes().trim_ascii() == value.as_bytes()) {
        return Ok(());
    }
    Err(wrong())
}

/// Headers that turn a PUT into another operation, and headers about them.
pub(crate) const CHOOSING: [&str; 3] =
    ["x-amz-copy-source", "x-amz-rename-source", "x-amz-write-offset-bytes"];

/// The parameters of Version 4's own signature, in lower case.
const OF_SIGNATURE: [&str; 8] = [
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::sigv4::AwsError;
    use crate::sigv4::fixture::Request;

    const V4: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00&X-Amz-Date=d";
    const V2: &str = "AWSAccessKeyId=A&Expires=1&Signature=s";

    fn of(query: &str) -> Result<EffectiveRequest<'static>, AuthError> {
        let request = Request::new(&Method::PUT, "/b/k").query(query);
        EffectiveRequest::of(Box::leak(Box::new(request.header("x-amz-acl", "private"))).head())
    }

    #[test]
    fn what_stands_in_a_presigned_query_is_what_its_header_is() {
        for signature in [V4, V2] {
            let query = format!(
                "versionId=a+b&acl&{signature}&x-amz-meta-a=1%202&X-Amz-Checksum-Crc32=AAAAAA%3D%3D\
                 &x-amz-copy-source=b%2Fa%252Bb&x%2Damz-tagging=t&x-amz-acl=private&x-id=PutObject"
            );
            let effective = of(&query).unwrap();
            assert_eq!(effective.query.as_sent(), "versionId=a+b&acl&x-id=PutObject");
            for (name, value) in [
                ("x-amz-meta-a", "1 2"),
                ("x-amz-checksum-crc32", "AAAAAA=="),
                ("x-amz-copy-source", "b/a%2Bb"),
                ("x-amz-tagging", "t"),
                ("x-amz-acl", "private"),
            ] {
                assert_eq!(effective.headers[name], value, "{signature}");
                assert_eq!(effective.headers.get_all(name).count(), 1);
            }
            assert!(!effective.headers.contains_key("x-amz-signature"));
        }
    }

    #[test]
    fn version_2_moves_what_it_signs() {
        let query = format!("{V2}&content-type=a%2Fb&content-md5=m&x-amz-security-token=t");
        let headers = of(&query).unwrap().headers;
        for (name, value) in
            [("content-type", "a/b"), ("content-md5", "m"), ("x-amz-security-token", "t")]
        {
            assert_eq!(headers[name], value);
        }
        let query = format!("{V4}&content-type=a%2Fb");
        assert_eq!(
            of(&query).unwrap().query.as_sent(),
            "content-type=a%2Fb",
            "Version 4 signs the header"
        );
    }

    #[test]
    fn what_contradicts_its_header_or_cannot_be_one_is_refused() {
        for signature in [V4, V2] {
            for wrong in [
                "x-amz-acl=public-read",
                "x-amz-meta-a=1&x-amz-meta-a=2",
                "x-amz-meta-a=1&X-AMZ-META-A=",
                "x-amz-meta-%C3%A9=1",
                "x-amz-meta-a=1%0D%0Ax-amz-acl:public-read",
                "x-amz-meta-a%20b=1",
            ] {
                let error = of(&format!("{signature}&{wrong}")).expect_err(wrong);
                assert_eq!((error.status().as_u16(), error.code()), (400, "InvalidArgument"));
            }
            assert!(of(&format!("{signature}&x-amz-meta-a=1&x-amz-meta-a=1")).is_ok());
        }
    }

    #[test]
    fn without_a_signature_in_it_a_query_carries_no_headers() {
        let effective = of("x-amz-meta-a=1&X-AMZ-ACL=public-read&content-type=t&b").unwrap();
        assert_eq!(effective.mechanism, Mechanism::Unsigned);
        assert_eq!(effective.query.as_sent(), "content-type=t&b");
        assert!(!effective.headers.contains_key("x-amz-meta-a"));
        assert_eq!(effective.headers["x-amz-acl"], "private");
        for name in ["X-Amz-Copy-Source", "x%2Damz-copy-source-if-match", "x-amz-rename-source"] {
            let error = of(&format!("a&{name}=b%2Fk")).expect_err(name);
            assert_eq!((error.status().as_u16(), error.code()), (501, "NotImplemented"));
        }
    }
}

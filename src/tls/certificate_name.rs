//! A name that the certificate of a client has to have, as the configuration writes it.

use rustls::pki_types::{DnsName, ServerName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::certificate::Name;

/// A name among the alternative names of a certificate (RFC 5280 §4.2.1.6): `DNS:app.example` or
/// `URI:spiffe://example/app`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateName(Name);

impl CertificateName {
    /// The name, to be compared with those of a certificate.
    pub(super) const fn as_name(&self) -> &Name {
        &self.0
    }
}

impl TryFrom<String> for CertificateName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let refused = |why: &str| Err(format!("\"{text}\" {why}"));
        match text.split_once(':') {
            Some(("DNS", host)) if is_host(host) => Ok(Self(Name::Dns(host.to_ascii_lowercase()))),
            Some(("DNS", host)) if host.contains('*') => refused(
                "has a \"*\": names are compared as a whole; write each name that is accepted",
            ),
            Some(("DNS", _)) => refused("is no host name such as \"DNS:app.example\""),
            Some(("URI", uri)) if is_uri(uri) => Ok(Self(Name::Uri(uri.to_owned()))),
            Some(("URI", _)) => refused("is no URI such as \"URI:spiffe://example/app\""),
            Some(("CN", _)) => refused(COMMON_NAME),
            _ => refused(FORMS),
        }
    }
}

impl From<CertificateName> for String {
    fn from(CertificateName(name): CertificateName) -> Self {
        match &name {
            Name::Uri(uri) => format!("URI:{uri}"),
            name => format!("DNS:{name}"),
        }
    }
}

fn is_host(text: &str) -> bool {
    let is_address = matches!(ServerName::try_from(text), Ok(ServerName::IpAddress(_)));
    DnsName::try_from(text).is_ok() && !is_address && !text.ends_with('.')
}

/// A scheme and something behind it (RFC 3986 §3), in visible ASCII.
fn is_uri(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && !rest.is_empty()
        })
}

const FORMS: &str = "is no name of a certificate such as \"DNS:app.example\" or \
                     \"URI:spiffe://example/app\"";
const COMMON_NAME: &str = "is a common name, which is not looked at (RFC 9525): write one of the \
                           certificate's alternative names, such as \"DNS:app.example\"";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_whole_host_name_or_a_whole_uri() {
        for (text, read) in [
            ("DNS:app.example", Some("DNS:app.example")),
            ("DNS:App.Example", Some("DNS:app.example")),
            ("URI:spiffe://Example/app", Some("URI:spiffe://Example/app")),
            ("URI:urn:uuid:f81d4fae", Some("URI:urn:uuid:f81d4fae")),
            ("DNS:*.example", None),
            ("DNS:", None),
            ("DNS:a b", None),
            ("DNS:10.0.0.1", None),
            ("DNS:app.example.", None),
            ("URI:", None),
            ("URI:app", None),
            ("URI:spiffe://a b", None),
            ("CN:app", None),
            ("dns:app.example", None),
            ("IP:10.0.0.1", None),
            ("app.example", None),
            ("", None),
        ] {
            let name = CertificateName::try_from(text.to_owned()).ok();
            assert_eq!(name.map(String::from).as_deref(), read, "{text}");
        }
    }
}

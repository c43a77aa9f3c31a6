//! What a certificate says of itself: its names, its dates, and whether it is an authority's.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use time::format_description::well_known::Rfc3339;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// A certificate in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Its file.
    pub file: PathBuf,
    /// The names and addresses that it is for; its common name where it has none.
    pub names: Vec<String>,
    /// When it expires, in seconds since the Unix epoch.
    pub not_after: i64,
}

/// What one certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    /// Its alternative names.
    pub(crate) names: Vec<Name>,
    common_name: Option<String>,
    not_before: i64,
    not_after: i64,
    pub(crate) is_authority: bool,
}

/// An alternative name of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// A host, perhaps with `*` as its first label; in lower case.
    Dns(String),
    Ip(std::net::IpAddr),
    Uri(String),
    Email(String),
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) | Self::Uri(name) | Self::Email(name) => f.write_str(name),
            Self::Ip(address) => write!(f, "{address}"),
        }
    }
}

impl Described {
    /// Reads a certificate. The error is the reader's own.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, read) = X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
        let alternative = read.subject_alternative_name().map_err(|e| e.to_string())?;
        let names = alternative.map(|names| names.value.general_names.iter().filter_map(name));
        let common_name = read.subject().iter_common_name().next();
        Ok(Self {
            names: names.into_iter().flatten().collect(),
            common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            not_before: read.validity().not_before.timestamp(),
            not_after: read.validity().not_after.timestamp(),
            is_authority: read.is_ca(),
        })
    }

    /// Why the certificate is not valid at this time (seconds since the Unix epoch), as a sentence
    /// without a subject.
    pub(crate) fn not_valid_at(&self, now: i64) -> Option<String> {
        if now > self.not_after {
            Some(format!("has expired on {}", date(self.not_after)))
        } else if now < self.not_before {
            Some(format!("is valid only from {}", date(self.not_before)))
        } else {
            None
        }
    }

    pub(crate) fn info(&self, file: PathBuf) -> CertificateInfo {
        let mut names: Vec<_> = self.names.iter().map(Name::to_string).collect();
        if names.is_empty() {
            names.extend(self.common_name.clone());
        }
        CertificateInfo { file, names, not_after: self.not_after }
    }
}

impl CertificateInfo {
    /// When it expires, in UTC (RFC 3339).
    pub fn expires_on(&self) -> String {
        date(self.not_after)
    }

    /// The warning that is due at this time (seconds since the Unix epoch): the certificate has
    /// expired, or will before long.
    pub fn warning(&self, now: i64) -> Option<String> {
        let (file, day) = (self.file.display(), date(self.not_after));
        let names = self.names.join(", ");
        if now > self.not_after {
            Some(format!("the certificate in {file} ({names}) has expired on {day}: renew it"))
        } else if now + EXPIRES_SOON_S > self.not_after {
            Some(format!("the certificate in {file} ({names}) expires on {day}: renew it"))
        } else {
            None
        }
    }
}

/// Certificates of public authorities are renewed about a month before they expire.
const EXPIRES_SOON_S: i64 = 14 * 24 * 60 * 60;

fn name(name: &GeneralName<'_>) -> Option<Name> {
    match name {
        GeneralName::DNSName(host) => Some(Name::Dns(host.to_ascii_lowercase())),
        GeneralName::URI(uri) => Some(Name::Uri((*uri).to_owned())),
        GeneralName::RFC822Name(address) => Some(Name::Email((*address).to_owned())),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(Name::Ip([*a, *b, *c, *d].into())),
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Name::Ip(bytes.into())),
        },
        _ => None,
    }
}

/// The time in UTC (RFC 3339).
fn date(unix_s: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(unix_s).ok();
    let written = at.and_then(|at| at.format(&Rfc3339).ok());
    written.unwrap_or_else(|| format!("second {unix_s} of Unix time"))
}

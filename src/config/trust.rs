//! Trusted certificates for the store. They are checked here before they are used: the library that
//! makes the connections takes a file name and panics if it cannot use the file.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{PemObject as _, SectionKind};

use crate::files;

/// Larger than any collection of certificate authorities (the usual one has about 200 KiB).
const CERTIFICATES_BYTES_MAX: u64 = 16 << 20;

/// A file without a certificate: a store without TLS needs no trusted certificate.
const NONE: &str = "/dev/null";

/// The file of trusted certificates for the connections: `None` for the system's own. `https`:
/// whether the store is asked by TLS; otherwise neither its certificates nor the system's need
/// exist.
///
/// # Errors
/// A sentence without a subject, where no certificate can be trusted or the file cannot be used.
pub fn certificates(https: bool, ca_file: Option<&Path>) -> Result<Option<String>, String> {
    match ca_file {
        _ if !https => Ok(Some(NONE.to_owned())),
        Some(path) => {
            check_file(path)?;
            path.to_str()
                .map(|path| Some(path.to_owned()))
                .ok_or_else(|| "has a name that is not UTF-8; give the file another one".to_owned())
        }
        None => check_system().map(|()| None),
    }
}

/// Checks that the file can be read repeatedly, and contains only certificates.
fn check_file(path: &Path) -> Result<(), String> {
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err("is not a file".to_owned());
    }
    let content = files::read(path, CERTIFICATES_BYTES_MAX)?;
    let mut trusted = RootCertStore::empty();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&content.bytes) {
        let (kind, der) = section.map_err(|error| format!("is not PEM: {error}"))?;
        if kind != SectionKind::Certificate {
            return Err(format!(
                "holds something else than certificates ({}): name the file of the authority that \
                 has signed the store's certificate",
                spelled(kind)
            ));
        }
        trusted.add(CertificateDer::from(der)).map_err(|error| {
            format!(
                "holds a certificate that cannot be used ({error}), its number {}",
                trusted.len() + 1
            )
        })?;
    }
    if trusted.is_empty() {
        return Err("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(())
}

const fn spelled(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey => {
            "a private key"
        }
        SectionKind::PublicKey => "a public key",
        SectionKind::Crl => "a list of revoked certificates",
        SectionKind::Csr => "a request for a certificate",
        _ => "an unknown section",
    }
}

fn check_system() -> Result<(), String> {
    const REMEDY: &str = "name a file of certificates in backend.ca_file, or install the system's \
                          (Debian: ca-certificates)";
    let found = rustls_native_certs::load_native_certs().map_err(|error| {
        format!("is not set, and the system's cannot be read ({error}): {REMEDY}")
    })?;
    let mut trusted = RootCertStore::empty();
    for certificate in found {
        trusted.add(certificate).map_err(|error| {
            format!("is not set, and one of the system's cannot be used ({error}): {REMEDY}")
        })?;
    }
    if trusted.is_empty() {
        return Err(format!("is not set, and the system has none: {REMEDY}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(content: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        match certificates(true, Some(&path)) {
            Ok(told) => {
                assert_eq!(told.as_deref(), path.to_str());
                "taken".to_owned()
            }
            Err(why) => why,
        }
    }

    fn pem(label: &str, base64: &str) -> String {
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    /// A self-signed certificate of P-256, valid for a hundred years.
    const CERTIFICATE: &str = include_str!("../../tests/data/ca.pem");

    #[test]
    fn a_file_of_certificates_is_taken_with_any_line_ends_and_with_comments() {
        assert_eq!(told(CERTIFICATE.as_bytes()), "taken");
        assert_eq!(told(CERTIFICATE.replace('\n', "\r\n").as_bytes()), "taken");
        assert_eq!(told(format!("# The root\n{CERTIFICATE}\n{CERTIFICATE}").as_bytes()), "taken");
    }

    #[test]
    fn every_other_file_has_its_sentence() {
        for (content, sentence) in [
            (String::new(), "holds no certificate"),
            ("\u{0}\u{1}garbage\n".to_owned(), "holds no certificate"),
            (pem("PRIVATE KEY", "AAAA"), "holds something else than certificates (a private key)"),
            (pem("RSA PRIVATE KEY", "AAAA"), "holds something else than certificates (a private"),
            (pem("X509 CRL", "AAAA"), "holds something else than certificates (a list of revoked"),
            (format!("{CERTIFICATE}{}", pem("EC PRIVATE KEY", "AAAA")), "holds something else"),
            (pem("CERTIFICATE", "AAAA"), "holds a certificate that cannot be used"),
            (pem("CERTIFICATE", "!!!!"), "is not PEM"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), "is not PEM"),
        ] {
            let told = told(content.as_bytes());
            assert!(told.starts_with(sentence), "{content:?}: {told}");
        }
        assert!(told(b"\xff\xfe-----BEGIN").starts_with("holds no certificate"));
        let why = |path: &str| certificates(true, Some(Path::new(path))).unwrap_err();
        assert_eq!(why("/"), "is not a file");
        assert_eq!(why("/dev/zero"), "is not a file");
        assert!(why("/nonexistent/ca.pem").starts_with("cannot be read: No such file"));
    }

    #[test]
    fn without_tls_no_certificate_need_be_anywhere() {
        assert_eq!(certificates(false, None), Ok(Some(NONE.to_owned())));
    }
}

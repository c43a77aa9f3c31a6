//! PEM: the certificates, or the one private key, in a file. Every error is a sentence that follows
//! the file's name.

use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// All certificates of a file that has nothing else.
pub(super) fn certificates(content: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for section in sections(content) {
        let (kind, der) = section?;
        if kind != SectionKind::Certificate {
            return Err(format!("holds something else than certificates ({})", spelled(kind)));
        }
        found.push(CertificateDer::from(der));
    }
    if found.is_empty() {
        return Err("holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(found)
}

/// The one private key of a file; certificates beside it are skipped.
pub(super) fn private_key(content: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    // OpenSSL's older form puts "ENCRYPTED" into a header of its own.
    let text = String::from_utf8_lossy(content);
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(
            "holds an encrypted key; this program asks for no passphrase. Write it without \
                    one (openssl pkey -in FILE -out NEW) and let only this user read it"
                .to_owned(),
        );
    }
    let mut found = None;
    for section in sections(content) {
        let (kind, der) = section?;
        let key = match kind {
            SectionKind::PrivateKey => PrivateKeyDer::Pkcs8(der.into()),
            SectionKind::RsaPrivateKey => PrivateKeyDer::Pkcs1(der.into()),
            SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(der.into()),
            _ => continue,
        };
        if found.replace(key).is_some() {
            return Err("holds more than one private key".to_owned());
        }
    }
    found.ok_or_else(|| {
        "holds no private key in PEM form (PRIVATE KEY, EC PRIVATE KEY or RSA PRIVATE KEY)"
            .to_owned()
    })
}

fn sections(content: &[u8]) -> impl Iterator<Item = Result<(SectionKind, Vec<u8>), String>> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(content)
        .map(|section| section.map_err(|error| format!("is not PEM: {}", in_words(error))))
}

/// Without the lines of the file, which may be those of a key.
fn in_words(error: pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            // It comes with the dashes, or without.
            let name = String::from_utf8_lossy(&end_marker);
            let name = name.trim_matches('-').trim_start_matches("END ").to_owned();
            format!("it ends before the line \"-----END {name}-----\"")
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a line that begins with \"-----BEGIN\" does not end with \"-----\"".to_owned()
        }
        error => error.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(label: &str, base64: &str) -> String {
        format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
    }

    const CERTIFICATE: &str = include_str!("../../tests/data/ca.pem");

    #[test]
    fn certificates_are_taken_with_any_line_ends_and_with_comments() {
        let count = |text: String| certificates(text.as_bytes()).map(|found| found.len());
        assert_eq!(count(CERTIFICATE.to_owned()), Ok(1));
        assert_eq!(count(CERTIFICATE.replace('\n', "\r\n")), Ok(1));
        assert_eq!(count(format!("# The root\n{CERTIFICATE}\n{CERTIFICATE}")), Ok(2));
    }

    #[test]
    fn every_other_file_of_certificates_has_its_sentence() {
        for (content, sentence) in [
            (String::new(), "holds no certificate"),
            ("\u{0}\u{1}garbage\n".to_owned(), "holds no certificate"),
            (pem("PRIVATE KEY", "AAAA"), "holds something else than certificates (a private key)"),
            (pem("RSA PRIVATE KEY", "AAAA"), "holds something else than certificates (a private"),
            (pem("X509 CRL", "AAAA"), "holds something else than certificates (a list of revoked"),
            (format!("{CERTIFICATE}{}", pem("EC PRIVATE KEY", "AAAA")), "holds something else"),
            (pem("CERTIFICATE", "!!!!"), "is not PEM"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(),
                "is not PEM: it ends before the line \"-----END CERTIFICATE-----\"",
            ),
            (
                "-----BEGIN CERTIFICATE\nAAAA\n".to_owned(),
                "is not PEM: a line that begins with \"-----BEGIN\" does not end with \"-----\"",
            ),
        ] {
            let told = certificates(content.as_bytes()).unwrap_err();
            assert!(told.starts_with(sentence), "{content:?}: {told}");
        }
        assert!(certificates(b"\xff\xfe-----BEGIN").is_err());
    }

    #[test]
    fn a_key_is_found_in_each_of_its_forms_and_never_guessed() {
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
            let content = format!("{CERTIFICATE}{}", pem(label, "AAAA"));
            assert!(private_key(content.as_bytes()).is_ok(), "{label}");
        }
        for (content, sentence) in [
            (CERTIFICATE.to_owned(), "holds no private key"),
            (pem("PUBLIC KEY", "AAAA"), "holds no private key"),
            (pem("ENCRYPTED PRIVATE KEY", "AAAA"), "holds an encrypted key"),
            (pem("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\n\nAAAA"), "holds an encrypted key"),
            (pem("PRIVATE KEY", "AAAA").repeat(2), "holds more than one private key"),
        ] {
            let told = private_key(content.as_bytes()).unwrap_err();
            assert!(told.starts_with(sentence), "{content:?}: {told}");
        }
    }
}

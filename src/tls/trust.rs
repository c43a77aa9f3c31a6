//! The authorities whose certificates are accepted: those of a file, or the system's.

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use super::certificate::Described;
use super::{FileFault, Named, pem};

/// The certificates of these authorities: at least one, and each can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Those of a file that has nothing else.
    pub(super) fn of_file(file: Named<'_>) -> Result<Self, FileFault> {
        Self::of_pem(&file.read()?).map_err(|why| file.fault(&why))
    }

    /// The same, of the file's content.
    pub(super) fn of_pem(content: &[u8]) -> Result<Self, String> {
        let all = pem::certificates(content)?;
        for (number, certificate) in (1..).zip(&all) {
            usable(certificate).map_err(|why| {
                format!("holds a certificate that cannot be used ({why}), its number {number}")
            })?;
        }
        Ok(Self(all))
    }

    /// The system's own. One that cannot be used is left out: the list is the system's, and an
    /// operator cannot mend it.
    pub(super) fn of_system() -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs()
            .map_err(|error| format!("the system's certificates cannot be read ({error})"))?;
        let all: Vec<_> =
            found.into_iter().filter(|certificate| usable(certificate).is_ok()).collect();
        if all.is_empty() {
            return Err("the system has no certificates of authorities".to_owned());
        }
        Ok(Self(all))
    }

    /// For rustls.
    pub(super) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        // Each was added to such a store before.
        roots.add_parsable_certificates(self.0.iter().cloned());
        roots
    }

    /// Each in DER form.
    pub(crate) fn each(&self) -> &[CertificateDer<'static>] {
        &self.0
    }
}

/// Whether rustls can trust it, and whether it can be read as X.509 at all.
fn usable(certificate: &CertificateDer<'static>) -> Result<(), String> {
    RootCertStore::empty().add(certificate.clone()).map_err(|error| error.to_string())?;
    Described::of(certificate).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_cannot_be_used_is_named_by_its_number() {
        let ca = include_str!("../../tests/data/ca.pem");
        assert_eq!(Authorities::of_pem(ca.as_bytes()).map(|all| all.0.len()), Ok(1));
        let wrong = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let told = Authorities::of_pem(format!("{ca}{wrong}").as_bytes()).unwrap_err();
        assert!(told.starts_with("holds a certificate that cannot be used"), "{told}");
        assert!(told.ends_with("its number 2"), "{told}");
    }
}

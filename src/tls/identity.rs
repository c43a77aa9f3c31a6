//! An identity: a chain of certificates and the private key of the first of them, from two files.

use std::path::PathBuf;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::certificate::{CertificateInfo, Described};
use super::{FileFault, Named, pem};

/// A chain and its key, checked against each other.
pub(crate) struct Identity {
    /// The first is this process's own; those of the authorities between it and a root follow.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) described: Described,
    key_of_file: &'static str,
    file: PathBuf,
}

impl Identity {
    /// Reads both files.
    pub(super) fn read(
        cert_file: Named<'_>,
        key_file: Named<'_>,
        provider: &CryptoProvider,
    ) -> Result<Self, FileFault> {
        let chain = pem::certificates(&cert_file.read()?).map_err(|why| cert_file.fault(&why))?;
        let mut described = Vec::new();
        for (number, certificate) in (1..).zip(&chain) {
            described.push(Described::of(certificate).map_err(|why| {
                cert_file
                    .fault(&format!("holds no X.509 certificate as its number {number}: {why}"))
            })?);
        }
        let key = pem::private_key(&key_file.read()?).map_err(|why| key_file.fault(&why))?;
        let identity = Self {
            described: described.swap_remove(0),
            key_of_file: cert_file.key,
            file: cert_file.path.to_owned(),
            chain,
            key,
        };
        identity.check(cert_file, key_file, provider)?;
        Ok(identity)
    }

    /// Checks that the key can be used, and that it is the certificate's.
    fn check(
        &self,
        cert_file: Named<'_>,
        key_file: Named<'_>,
        provider: &CryptoProvider,
    ) -> Result<(), FileFault> {
        match self.certified(provider) {
            Ok(_) => Ok(()),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let cert_file = cert_file.path.display();
                Err(key_file.fault(&format!(
                    "holds another key than that of the first certificate in {cert_file}. The own \
                     certificate comes first there, then those of the authorities"
                )))
            }
            Err(Error::InvalidCertificate(error)) => {
                Err(cert_file.fault(&format!("holds a certificate that cannot be used: {error}")))
            }
            Err(error) => Err(key_file.fault(&format!("holds a key that cannot be used: {error}"))),
        }
    }

    /// Checks that the certificate is valid at this time (seconds since the Unix epoch).
    pub(super) fn check_dates(&self, now: i64) -> Result<(), FileFault> {
        match self.described.not_valid_at(now) {
            Some(why) => {
                let why = format!("holds a certificate that {why}");
                Err(FileFault::of(self.key_of_file, &self.file, &why))
            }
            None => Ok(()),
        }
    }

    /// For rustls.
    pub(super) fn certified(&self, provider: &CryptoProvider) -> Result<CertifiedKey, Error> {
        CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), provider)
    }

    pub(crate) fn info(&self) -> CertificateInfo {
        self.described.info(self.file.clone())
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.chain == other.chain && self.key == other.key
    }
}

/// Without the key.
impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("described", &self.described).finish_non_exhaustive()
    }
}

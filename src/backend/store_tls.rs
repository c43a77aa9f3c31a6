//! TLS to the store, in the form in which Pingora takes it for a single connection: so it can be
//! replaced while the proxy runs, and no file is read that was not checked.

use std::sync::Arc;

use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::{CertKey, WrappedX509, parse_x509};
use rustls::pki_types::PrivateKeyDer;

use crate::tls::client::ClientContent;
use crate::tls::identity::Identity;
use crate::tls::{CertificateInfo, ClientFiles, FileFault};

/// A file without a certificate. Pingora's connectors are to trust nothing by themselves: they
/// would read the system's certificates, and panic where there are none.
pub(crate) const NO_CA_FILE: &str = "/dev/null";

/// What is trusted, and the certificate that is shown.
pub(super) struct StoreTls {
    files: ClientFiles,
    content: ClientContent,
    trusted: Arc<CaType>,
    shown: Option<Arc<CertKey>>,
    /// How often the files have changed. Connections that were opened before are not used again.
    generation: u64,
}

impl StoreTls {
    /// Reads the files.
    pub(super) fn open(files: ClientFiles) -> Result<Self, FileFault> {
        let content = files.read()?;
        Self::of(files, content, 0)
    }

    /// Reads the files again; `None` where nothing has changed.
    pub(super) fn reread(&self) -> Result<Option<Self>, FileFault> {
        let content = self.files.read()?;
        if content == self.content {
            return Ok(None);
        }
        content.check_dates()?;
        Self::of(self.files.clone(), content, self.generation + 1).map(Some)
    }

    fn of(files: ClientFiles, content: ClientContent, generation: u64) -> Result<Self, FileFault> {
        // Each was parsed in the same way when it was read.
        let wrapped = |der: &[u8]| WrappedX509::new(der.to_vec(), parse_x509);
        let trusted: Vec<_> = content.authorities.each().iter().map(|der| wrapped(der)).collect();
        let shown = match &content.identity {
            None => None,
            Some(own) => {
                let key = own.key.secret_der().to_vec();
                // Pingora guesses the form of a key again, and panics where it cannot.
                PrivateKeyDer::try_from(key.as_slice()).map_err(|why| files.key_fault(why))?;
                let chain = own.chain.iter().map(|der| der.to_vec()).collect();
                Some(Arc::new(CertKey::new(chain, key)))
            }
        };
        Ok(Self { files, content, trusted: trusted.into(), shown, generation })
    }

    /// The certificate that is shown.
    pub(super) fn shown(&self) -> Option<CertificateInfo> {
        self.content.identity.as_ref().map(Identity::info)
    }

    /// Makes a connection use this.
    pub(super) fn apply(&self, peer: &mut HttpPeer) {
        peer.options.ca = Some(Arc::clone(&self.trusted));
        peer.client_cert_key.clone_from(&self.shown);
        peer.group_key = self.generation;
    }
}

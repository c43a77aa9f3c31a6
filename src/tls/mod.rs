//! TLS: certificates, keys and trusted authorities, read from files, and the settings of
//! connections made of them.
//!
//! [`pem`], [`certificate`] and [`failure`] are pure: bytes to values, errors to words. The others
//! read files, and only through [`crate::files`].
//!
//! - [`trust`]: the authorities whose certificates are accepted.
//! - [`identity`]: a chain of certificates and its key.
//! - [`client`], [`server`]: what this process is configured with on each side, and its reload.
//! - [`verifier`], [`shown`], [`certificate_name`]: the certificates of clients, and their names.
//! - [`reload`]: the reload of all of it.
//! - [`by_name`]: the choice of a certificate by the name that a client asks for.

mod by_name;
pub(crate) mod certificate;
mod certificate_name;
pub(crate) mod client;
pub(crate) mod failure;
pub(crate) mod identity;
mod pem;
mod reload;
pub(crate) mod server;
mod shown;
pub(crate) mod trust;
mod verifier;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;

pub use self::certificate::CertificateInfo;
pub use self::certificate_name::CertificateName;
pub use self::client::{ClientFiles, ClientTls};
pub use self::reload::{Certificates, InUse, Reload};
pub use self::server::{
    CertificateFiles, MinVersion, PreparedTls, ServerSettings, ServerTls, check_client_ca_file,
};
pub(crate) use self::shown::{NotProved, Shown};
pub use self::verifier::ClientAuth;

/// A file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {sentence}")]
pub struct FileFault {
    /// The key that names the file, without its table.
    pub key: &'static str,
    /// The file's name and what is wrong, in a sentence.
    pub sentence: String,
}

impl FileFault {
    /// `sentence` follows the name of the file.
    fn of(key: &'static str, file: &Path, sentence: &str) -> Self {
        Self { key, sentence: format!("{} {sentence}", file.display()) }
    }
}

/// A file of the configuration: the key that names it, and its path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) key: &'static str,
    pub(crate) path: &'a Path,
}

impl<'a> Named<'a> {
    fn new(key: &'static str, path: &'a PathBuf) -> Self {
        Self { key, path }
    }

    /// The whole content.
    fn read(self) -> Result<Vec<u8>, FileFault> {
        // A pipe could be read once only, and these files are read again and again.
        if std::fs::metadata(self.path).is_ok_and(|found| !found.is_file()) {
            return Err(self.fault("is not a file"));
        }
        let content = crate::files::read(self.path, FILE_BYTES_MAX);
        content.map(|content| content.bytes).map_err(|why| self.fault(&why))
    }

    fn fault(self, sentence: &str) -> FileFault {
        FileFault::of(self.key, self.path, sentence)
    }
}

/// Larger than any collection of certificate authorities (the usual one has about 200 KiB).
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Makes ring the cryptography of every TLS library in this process. Must be called before any of
/// them is used: some panic if there is no default, and some choose one themselves.
pub fn install_provider() {
    // An error says that one was installed before: in this program only by an earlier call.
    let _ = ring::default_provider().install_default();
}

/// Whether a server's certificate can be for this.
pub(crate) fn is_server_name(text: &str) -> bool {
    ServerName::try_from(text).is_ok()
}

/// The cryptography of all connections.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

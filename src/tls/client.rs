//! TLS as a client, of Redis or of the store: the authorities trusted, and the certificate shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ClientConfig;

use super::certificate::CertificateInfo;
use super::identity::Identity;
use super::trust::Authorities;
use super::{FileFault, Named, provider};
use crate::clock;

/// The files that a client is configured with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// The authorities to trust; the system's when absent.
    pub ca_file: Option<PathBuf>,
    /// The certificate to show, with its chain.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
}

/// The content of these files.
#[derive(Debug, PartialEq)]
pub(crate) struct ClientContent {
    pub(crate) authorities: Authorities,
    pub(crate) identity: Option<Identity>,
}

impl ClientFiles {
    /// Reads and checks all files.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub(crate) fn read(&self) -> Result<ClientContent, FileFault> {
        let authorities = match &self.ca_file {
            Some(path) => Authorities::of_file(Named::new(CA_FILE, path))?,
            None => Authorities::of_system().map_err(|why| no_authorities(&why))?,
        };
        Ok(ClientContent { authorities, identity: self.identity()? })
    }

    /// Reads and checks all files; returns what is shown to the server.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn certificates(&self) -> Result<Vec<CertificateInfo>, FileFault> {
        Ok(self.read()?.identity.iter().map(Identity::info).collect())
    }

    /// A fault of the key.
    pub(crate) fn key_fault(&self, why: &str) -> FileFault {
        let file = self.key_file.as_deref().unwrap_or_else(|| Path::new(""));
        FileFault::of(KEY_FILE, file, &format!("holds a key that cannot be used: {why}"))
    }

    fn identity(&self) -> Result<Option<Identity>, FileFault> {
        match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                let (cert, key) = (Named::new(CERT_FILE, cert), Named::new(KEY_FILE, key));
                Identity::read(cert, key, &provider()).map(Some)
            }
            (None, None) => Ok(None),
            (Some(cert), None) => Err(without(CERT_FILE, cert, KEY_FILE)),
            (None, Some(key)) => Err(without(KEY_FILE, key, CERT_FILE)),
        }
    }
}

const CA_FILE: &str = "ca_file";
const CERT_FILE: &str = "client_cert_file";
const KEY_FILE: &str = "client_key_file";

fn without(key: &'static str, file: &Path, other: &str) -> FileFault {
    FileFault::of(key, file, &format!("is of no use without {other}: set both, or neither"))
}

fn no_authorities(why: &str) -> FileFault {
    let sentence = format!(
        "is not set, and {why}: name a file of certificates, or install the system's (Debian: \
         ca-certificates)"
    );
    FileFault { key: CA_FILE, sentence }
}

impl ClientContent {
    /// Checks that the certificate that is shown, if there is one, is valid now.
    pub(crate) fn check_dates(&self) -> Result<(), FileFault> {
        self.identity.iter().try_for_each(|own| own.check_dates(clock::unix_seconds()))
    }

    fn config(&self) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.authorities.roots());
        match &self.identity {
            Some(own) => builder.with_client_auth_cert(own.chain.clone(), own.key.clone_key()),
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

/// The files as last read. New connections use them; those that are open keep what they have.
pub struct ClientTls {
    files: ClientFiles,
    present: ArcSwap<Present>,
}

struct Present {
    content: ClientContent,
    config: Arc<ClientConfig>,
}

impl Present {
    fn of(files: &ClientFiles) -> Result<Self, FileFault> {
        let content = files.read()?;
        let config = content.config().map_err(|error| FileFault {
            key: CA_FILE,
            sentence: format!("and the other files cannot be used together: {error}"),
        })?;
        Ok(Self { content, config: Arc::new(config) })
    }
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn open(files: ClientFiles) -> Result<Self, FileFault> {
        let present = ArcSwap::from_pointee(Present::of(&files)?);
        Ok(Self { files, present })
    }

    /// Reads the files again. Whether anything has changed.
    ///
    /// # Errors
    /// The first file that cannot be used, or a new certificate that is not valid now; then nothing
    /// changes.
    pub fn reload(&self) -> Result<bool, FileFault> {
        let read = Present::of(&self.files)?;
        if read.content == self.present.load().content {
            return Ok(false);
        }
        read.content.check_dates()?;
        self.present.store(Arc::new(read));
        Ok(true)
    }

    /// For rustls.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.present.load().config)
    }

    /// The certificate that is shown, if there is one.
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        self.present.load().content.identity.iter().map(Identity::info).collect()
    }
}

impl std::fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientTls").field("files", &self.files).finish_non_exhaustive()
    }
}

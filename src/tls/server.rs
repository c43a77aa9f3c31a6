//! TLS as a server, towards clients: the certificates, the choice between them, and what clients
//! have to show. All of it can be replaced while the proxy runs.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_name::{ByName, Choice};
use super::certificate::{CertificateInfo, Name};
use super::identity::Identity;
use super::reload::Reload;
use super::trust::Authorities;
use super::{FileFault, Named, provider};
use crate::clock;

/// What a server is configured with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerSettings {
    /// The certificates; the first is shown where the client asks for no name, or an unknown one.
    /// At least one.
    pub certificates: Vec<CertificateFiles>,
    /// The authorities of clients' certificates.
    pub client_ca_file: Option<PathBuf>,
    /// Whether clients show a certificate.
    pub client_auth: ClientAuth,
    /// The oldest version of TLS that is spoken.
    pub min_version: MinVersion,
}

/// A certificate and its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate with its chain.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// The names for which it is shown, if not those that it has.
    pub names: Vec<String>,
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    /// None is asked for.
    #[default]
    Off,
    /// One is asked for. If one is shown, it has to be valid.
    Optional,
    /// Every client has to show one.
    Required,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum MinVersion {
    /// TLS 1.2. There is nothing older.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

impl CertificateFiles {
    /// Reads and checks both files.
    ///
    /// # Errors
    /// The one that cannot be used.
    pub fn check(&self) -> Result<CertificateInfo, FileFault> {
        self.read(&provider()).map(|identity| identity.info())
    }

    fn read(&self, provider: &CryptoProvider) -> Result<Identity, FileFault> {
        let cert_file = Named::new(CERT_FILE, &self.cert_file);
        Identity::read(cert_file, Named::new(KEY_FILE, &self.key_file), provider)
    }
}

/// Reads and checks a file of authorities for clients' certificates.
///
/// # Errors
/// It cannot be used.
pub fn check_client_ca_file(path: &PathBuf) -> Result<(), FileFault> {
    Authorities::of_file(Named::new(CLIENT_CA_FILE, path)).map(drop)
}

/// The content of the files.
#[derive(Debug, PartialEq)]
struct Content {
    identities: Vec<Identity>,
    client_authorities: Option<Authorities>,
}

struct Present {
    content: Content,
    config: Arc<ServerConfig>,
}

/// The files as last read. New connections use them; those that are open keep what they have.
pub struct ServerTls {
    settings: ServerSettings,
    present: ArcSwap<Present>,
}

impl ServerTls {
    /// Reads all files.
    ///
    /// # Errors
    /// The first file that cannot be used. A certificate that has expired can be.
    pub fn open(settings: ServerSettings) -> Result<Self, FileFault> {
        let present = ArcSwap::from_pointee(Present::of(&settings, Content::read(&settings)?)?);
        Ok(Self { settings, present })
    }

    /// For rustls.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.present.load().config)
    }
}

impl Reload for ServerTls {
    fn section(&self) -> &'static str {
        "tls"
    }

    /// A new certificate that is not valid now is a fault, too.
    fn reload(&self) -> Result<bool, FileFault> {
        let content = Content::read(&self.settings)?;
        if content == self.present.load().content {
            return Ok(false);
        }
        let now = clock::unix_seconds();
        content.identities.iter().try_for_each(|identity| identity.check_dates(now))?;
        self.present.store(Arc::new(Present::of(&self.settings, content)?));
        Ok(true)
    }

    fn certificates(&self) -> Vec<CertificateInfo> {
        self.present.load().content.identities.iter().map(Identity::info).collect()
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Content {
    fn read(settings: &ServerSettings) -> Result<Self, FileFault> {
        let provider = provider();
        let identities = settings.certificates.iter().map(|files| files.read(&provider));
        let identities = identities.collect::<Result<_, _>>()?;
        let client_authorities = settings.client_ca_file.as_ref();
        let client_authorities = client_authorities
            .map(|path| Authorities::of_file(Named::new(CLIENT_CA_FILE, path)))
            .transpose()?;
        Ok(Self { identities, client_authorities })
    }
}

impl Present {
    fn of(settings: &ServerSettings, content: Content) -> Result<Self, FileFault> {
        let config = content.config(settings).map_err(|why| FileFault {
            key: CERT_FILE,
            sentence: format!("and the other files cannot be used together: {why}"),
        })?;
        Ok(Self { content, config: Arc::new(config) })
    }
}

impl Content {
    fn config(&self, settings: &ServerSettings) -> Result<ServerConfig, String> {
        let said = |error: rustls::Error| error.to_string();
        let versions: &[&SupportedProtocolVersion] = match settings.min_version {
            MinVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            MinVersion::Tls13 => &[&version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(said)?
            .with_client_cert_verifier(self.verifier(settings.client_auth)?)
            .with_cert_resolver(Arc::new(self.by_name(settings)?));
        // The door reads HTTP/1.1 only. A client that speaks only HTTP/2 is told so by TLS.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients come back without a whole handshake; nothing is kept here for it.
        config.ticketer = ring::Ticketer::new().map_err(said)?;
        Ok(config)
    }

    fn verifier(&self, auth: ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let Some(authorities) =
            self.client_authorities.as_ref().filter(|_| auth != ClientAuth::Off)
        else {
            return Ok(Arc::new(NoClientAuth));
        };
        let roots = Arc::new(authorities.roots());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let verifier = match auth {
            ClientAuth::Optional => verifier.allow_unauthenticated(),
            ClientAuth::Required | ClientAuth::Off => verifier,
        };
        verifier.build().map(|verifier| verifier as _).map_err(|error| error.to_string())
    }

    fn by_name(&self, settings: &ServerSettings) -> Result<ByName, String> {
        let mut all = Vec::new();
        for (identity, files) in self.identities.iter().zip(&settings.certificates) {
            let names = if files.names.is_empty() {
                let hosts = identity.described.names.iter().filter_map(|name| match name {
                    Name::Dns(host) => Some(host.clone()),
                    Name::Ip(_) | Name::Uri(_) | Name::Email(_) => None,
                });
                hosts.collect()
            } else {
                files.names.clone()
            };
            let certified = identity.certified(&provider()).map_err(|error| error.to_string())?;
            all.push(Choice { names, certified: Arc::new(certified) });
        }
        Ok(ByName::new(all))
    }
}

const CERT_FILE: &str = "cert_file";
const KEY_FILE: &str = "key_file";
const CLIENT_CA_FILE: &str = "client_ca_file";

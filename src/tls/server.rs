//! TLS as a server, towards clients: the certificates, the choice between them, and what clients
//! have to show. All of it can be replaced while the proxy runs.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoClientAuth;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::by_name::{ByName, Choice};
use super::certificate::{CertificateInfo, Name};
use super::identity::Identity;
use super::reload::Reload;
use super::trust::Authorities;
use super::verifier::{ClientAuth, Verifier};
use super::{FileFault, Named, provider};
use crate::clock;
use crate::metrics::tls::CertificateUse;

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

/// Settings with the content of their files, for rustls.
struct Present {
    settings: ServerSettings,
    content: Content,
    verifier: Option<Arc<Verifier>>,
    config: Arc<ServerConfig>,
}

/// What new connections use. Those that are open keep what they began with.
pub struct ServerTls {
    present: ArcSwap<Present>,
}

/// Other settings, whose files have been read.
pub struct PreparedTls(Arc<Present>);

impl ServerTls {
    /// Reads all files.
    ///
    /// # Errors
    /// The first file that cannot be used. A certificate that has expired can be.
    pub fn open(settings: ServerSettings) -> Result<Self, FileFault> {
        let content = Content::read(&settings)?;
        let present = ArcSwap::from_pointee(Present::of(settings, content, None)?);
        Ok(Self { present })
    }

    /// Reads all files of other settings. Nothing changes yet.
    ///
    /// # Errors
    /// The first file that cannot be used, or a certificate that is not in use yet and not valid now.
    pub fn prepare(&self, settings: ServerSettings) -> Result<PreparedTls, FileFault> {
        let before = self.present.load_full();
        let content = Content::read(&settings)?;
        content.check_dates_of_new(&before.content)?;
        Ok(PreparedTls(Arc::new(Present::of(settings, content, Some(&before))?)))
    }

    /// Puts other settings into effect, for new connections.
    pub fn replace(&self, PreparedTls(present): PreparedTls) {
        self.present.store(present);
    }

    /// What a new connection is to use.
    pub(crate) fn accepting(&self) -> Accepting {
        Accepting(self.present.load_full())
    }

    /// What verifies clients' certificates now.
    pub(super) fn verifier(&self) -> Option<Arc<Verifier>> {
        self.present.load().verifier.clone()
    }
}

/// What one connection uses, from its handshake on.
pub(crate) struct Accepting(Arc<Present>);

impl Accepting {
    /// For rustls.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.config)
    }

    /// What has verified the client's certificate.
    pub(super) fn verifier(&self) -> Option<&Arc<Verifier>> {
        self.0.verifier.as_ref()
    }
}

impl Reload for ServerTls {
    fn used_for(&self) -> CertificateUse {
        CertificateUse::Listener
    }

    /// A new certificate that is not valid now is a fault, too.
    fn reload(&self) -> Result<bool, FileFault> {
        let before = self.present.load_full();
        let content = Content::read(&before.settings)?;
        if content == before.content {
            return Ok(false);
        }
        content.check_dates_of_new(&before.content)?;
        let read = Present::of(before.settings.clone(), content, Some(&before))?;
        // Other settings may have come meanwhile: they stay, and their files were read later.
        let found = self.present.compare_and_swap(&before, Arc::new(read));
        Ok(Arc::ptr_eq(&found, &before))
    }

    fn certificates(&self) -> Vec<CertificateInfo> {
        self.present.load().content.identities.iter().map(Identity::info).collect()
    }
}

impl std::fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let present = self.present.load();
        f.debug_struct("ServerTls").field("settings", &present.settings).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PreparedTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PreparedTls").field("settings", &self.0.settings).finish_non_exhaustive()
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

    /// Checks that each certificate that was not there before is valid now.
    fn check_dates_of_new(&self, before: &Self) -> Result<(), FileFault> {
        let now = clock::unix_seconds();
        let mut new = self.identities.iter().filter(|own| !before.identities.contains(own));
        new.try_for_each(|own| own.check_dates(now))
    }
}

impl Present {
    fn of(
        settings: ServerSettings,
        content: Content,
        before: Option<&Self>,
    ) -> Result<Self, FileFault> {
        let before = before.and_then(|before| before.verifier.as_ref());
        let authorities = content.client_authorities.as_ref();
        let verifier = Verifier::of(authorities, settings.client_auth, before);
        let verifier = verifier.map_err(|why| unusable(CLIENT_CA_FILE, &why))?;
        let config = content.config(&settings, verifier.as_deref());
        let config = Arc::new(config.map_err(|why| unusable(CERT_FILE, &why))?);
        Ok(Self { settings, content, verifier, config })
    }
}

fn unusable(key: &'static str, why: &str) -> FileFault {
    FileFault { key, sentence: format!("and the other files cannot be used together: {why}") }
}

impl Content {
    fn config(
        &self,
        settings: &ServerSettings,
        verifier: Option<&Verifier>,
    ) -> Result<ServerConfig, String> {
        let said = |error: rustls::Error| error.to_string();
        let versions: &[&SupportedProtocolVersion] = match settings.min_version {
            MinVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            MinVersion::Tls13 => &[&version::TLS13],
        };
        let verifier: Arc<dyn ClientCertVerifier> = match verifier {
            Some(verifier) => verifier.of_rustls(),
            None => Arc::new(NoClientAuth),
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(said)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(self.by_name(settings)?));
        // The door reads HTTP/1.1 only. A client that speaks only HTTP/2 is told so by TLS.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Clients come back without a whole handshake; nothing is kept here for it. A ticket ends
        // with these settings: the next ones may ask for more.
        config.ticketer = ring::Ticketer::new().map_err(said)?;
        Ok(config)
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
    }

    fn files(cert: &str) -> CertificateFiles {
        let (cert_file, key_file) = (data(cert), data("server.key"));
        CertificateFiles { cert_file, key_file, names: Vec::new() }
    }

    fn settings(cert: &str) -> ServerSettings {
        ServerSettings { certificates: vec![files(cert)], ..ServerSettings::default() }
    }

    fn shown(tls: &ServerTls) -> Vec<PathBuf> {
        tls.certificates().into_iter().map(|certificate| certificate.file).collect()
    }

    #[test]
    fn other_settings_are_checked_before_they_are_put_into_effect() {
        let tls = ServerTls::open(settings("server.pem")).unwrap();
        let other = ServerSettings {
            certificates: vec![files("named.pem"), files("server.pem")],
            min_version: MinVersion::Tls13,
            ..ServerSettings::default()
        };
        let prepared = tls.prepare(other).unwrap();
        assert_eq!(shown(&tls), [data("server.pem")]);
        tls.replace(prepared);
        assert_eq!(shown(&tls), [data("named.pem"), data("server.pem")]);
        for (wrong, words) in [
            ("absent.pem", "absent.pem"),
            ("client.pem", "another key"),
            ("expired.pem", "has expired on"),
        ] {
            let fault = tls.prepare(settings(wrong)).err().unwrap().to_string();
            assert!(fault.contains(words), "{fault}");
        }
        assert_eq!(shown(&tls), [data("named.pem"), data("server.pem")]);
    }

    #[test]
    fn a_certificate_that_has_expired_in_use_keeps_no_other_setting_from_changing() {
        let tls = ServerTls::open(settings("expired.pem")).unwrap();
        let other = ServerSettings { min_version: MinVersion::Tls13, ..settings("expired.pem") };
        assert!(tls.prepare(other).is_ok());
    }

    #[test]
    fn the_files_of_the_settings_in_effect_are_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let (cert_file, key_file) = (directory.path().join("a.pem"), data("server.key"));
        fs::copy(data("server.pem"), &cert_file).unwrap();
        let tls = ServerTls::open(settings("named.pem")).unwrap();
        let names = Vec::new();
        let certificates = vec![CertificateFiles { cert_file, key_file, names }];
        let other = ServerSettings { certificates, ..ServerSettings::default() };
        tls.replace(tls.prepare(other).unwrap());
        assert_eq!(tls.reload(), Ok(false));
        fs::copy(data("named.pem"), directory.path().join("a.pem")).unwrap();
        assert_eq!(tls.reload(), Ok(true));
        assert_eq!(tls.certificates()[0].names, ["redis.test"]);
    }

    #[test]
    fn what_verifies_clients_stays_while_their_authorities_do() {
        let asking = |auth, min_version| ServerSettings {
            client_ca_file: Some(data("authority.pem")),
            client_auth: auth,
            min_version,
            ..settings("server.pem")
        };
        let tls = ServerTls::open(asking(ClientAuth::Optional, MinVersion::Tls12)).unwrap();
        let first = tls.verifier().unwrap();
        let take = |settings| tls.replace(tls.prepare(settings).unwrap());
        take(asking(ClientAuth::Optional, MinVersion::Tls13));
        assert!(Arc::ptr_eq(&first, &tls.verifier().unwrap()));
        take(ServerSettings {
            client_ca_file: Some(data("other-authority.pem")),
            ..asking(ClientAuth::Optional, MinVersion::Tls13)
        });
        assert!(!Arc::ptr_eq(&first, &tls.verifier().unwrap()));
        take(settings("server.pem"));
        assert!(tls.verifier().is_none());
    }
}

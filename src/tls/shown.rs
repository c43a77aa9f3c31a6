//! The certificate that a client has shown on its connection, and the names that it proves.

use std::sync::Arc;

use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

use super::certificate::Described;
use super::certificate_name::CertificateName;
use super::server::{Accepting, ServerTls};
use super::verifier::Verifier;

/// A client's certificate, verified in the handshake of its connection, or of the connection whose
/// session this one continues.
pub(crate) struct Shown {
    chain: Vec<CertificateDer<'static>>,
    described: Described,
    verified_by: Arc<Verifier>,
    tls: Arc<ServerTls>,
}

/// Why a connection does not prove a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotProved {
    /// It has shown no certificate.
    None,
    /// The certificate has other names.
    OtherName,
    /// It has expired since.
    Expired,
    /// Its authority is no longer trusted.
    Untrusted,
}

impl NotProved {
    /// A sentence.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::None => "The connection has shown no client certificate.",
            Self::OtherName => "The certificate that the connection has shown has other names.",
            Self::Expired => "The certificate that the connection has shown has expired.",
            Self::Untrusted => {
                "The authority of the certificate that the connection has shown is no longer trusted."
            }
        }
    }
}

impl Shown {
    /// What the client has shown in this handshake, with the settings that it was made with.
    pub(crate) fn of(
        connection: &ServerConnection,
        accepting: &Accepting,
        tls: &Arc<ServerTls>,
    ) -> Option<Self> {
        let chain = connection.peer_certificates()?;
        // rustls has read it, so this does as well.
        let described = Described::of(chain.first()?).ok()?;
        let chain = chain.to_vec();
        let verified_by = Arc::clone(accepting.verifier()?);
        Some(Self { chain, described, verified_by, tls: Arc::clone(tls) })
    }

    /// Checks that the certificate has one of these names, and would be accepted at this time
    /// (seconds since the Unix epoch): a connection may stay open for longer than its certificate is
    /// valid, or its authority trusted.
    pub(crate) fn check(&self, names: &[CertificateName], now: i64) -> Result<(), NotProved> {
        if !names.iter().any(|name| self.described.names.contains(name.as_name())) {
            return Err(NotProved::OtherName);
        }
        if self.described.not_valid_at(now).is_some() {
            return Err(NotProved::Expired);
        }
        let present = self.tls.verifier().ok_or(NotProved::Untrusted)?;
        if Arc::ptr_eq(&present, &self.verified_by) || present.accepts(&self.chain, now) {
            Ok(())
        } else {
            Err(NotProved::Untrusted)
        }
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("names", &self.described.names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::clock;
    use crate::tls::{CertificateFiles, ClientAuth, ServerSettings, pem};

    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
    }

    fn settings(authority: &str) -> ServerSettings {
        let (cert_file, key_file) = (data("server.pem"), data("server.key"));
        ServerSettings {
            certificates: vec![CertificateFiles { cert_file, key_file, names: Vec::new() }],
            client_ca_file: Some(data(authority)),
            client_auth: ClientAuth::Optional,
            ..ServerSettings::default()
        }
    }

    /// `client.pem`, as a connection has shown it.
    fn shown(tls: &Arc<ServerTls>) -> Shown {
        let chain = pem::certificates(include_bytes!("../../tests/data/tls/client.pem")).unwrap();
        let described = Described::of(&chain[0]).unwrap();
        let verified_by = tls.verifier().unwrap();
        Shown { chain, described, verified_by, tls: Arc::clone(tls) }
    }

    fn names(all: &[&str]) -> Vec<CertificateName> {
        all.iter().map(|name| (*name).to_owned().try_into().unwrap()).collect()
    }

    #[test]
    fn one_of_the_names_has_to_be_the_very_one() {
        let tls = Arc::new(ServerTls::open(settings("authority.pem")).unwrap());
        let shown = shown(&tls);
        let now = clock::unix_seconds();
        for (all, expected) in [
            (&["DNS:client.test"][..], Ok(())),
            (&["DNS:CLIENT.test"], Ok(())),
            (&["URI:spiffe://test/client"], Ok(())),
            (&["DNS:other.test", "URI:spiffe://test/client"], Ok(())),
            (&["DNS:other.test"], Err(NotProved::OtherName)),
            (&["DNS:a.client.test"], Err(NotProved::OtherName)),
            (&["URI:spiffe://test/Client"], Err(NotProved::OtherName)),
            (&["URI:spiffe://test/client/"], Err(NotProved::OtherName)),
            // Its common name is `client`.
            (&["DNS:client"], Err(NotProved::OtherName)),
            (&[], Err(NotProved::OtherName)),
        ] {
            assert_eq!(shown.check(&names(all), now), expected, "{all:?}");
        }
    }

    #[test]
    fn an_open_connection_proves_nothing_once_its_certificate_would_be_refused() {
        let tls = Arc::new(ServerTls::open(settings("authority.pem")).unwrap());
        let shown = shown(&tls);
        let (names, now) = (names(&["DNS:client.test"]), clock::unix_seconds());
        let century = 100 * 366 * 24 * 60 * 60;
        assert_eq!(shown.check(&names, now + century), Err(NotProved::Expired));
        let take = |settings| tls.replace(tls.prepare(settings).unwrap());
        take(settings("other-authority.pem"));
        assert_eq!(shown.check(&names, now), Err(NotProved::Untrusted));
        // The same authority, and another verifier.
        take(settings("authority.pem"));
        assert!(!Arc::ptr_eq(&shown.verified_by, &tls.verifier().unwrap()));
        assert_eq!(shown.check(&names, now), Ok(()));
        take(ServerSettings { client_auth: ClientAuth::Off, ..settings("authority.pem") });
        assert_eq!(shown.check(&names, now), Err(NotProved::Untrusted));
    }
}

//! What verifies the certificates of clients.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::provider;
use super::trust::Authorities;

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

/// The authorities that clients' certificates are verified with.
#[derive(Debug)]
pub(super) struct Verifier {
    authorities: Authorities,
    auth: ClientAuth,
    of_rustls: Arc<dyn ClientCertVerifier>,
}

impl Verifier {
    /// The one for these settings; `None` where no certificate is asked for. If `before` is for the
    /// same, it is that: so what it has verified need not be verified again.
    ///
    /// # Errors
    /// What rustls says of the authorities.
    pub(super) fn of(
        authorities: Option<&Authorities>,
        auth: ClientAuth,
        before: Option<&Arc<Self>>,
    ) -> Result<Option<Arc<Self>>, String> {
        let Some(authorities) = authorities.filter(|_| auth != ClientAuth::Off) else {
            return Ok(None);
        };
        let same = before.filter(|it| it.auth == auth && it.authorities == *authorities);
        if let Some(same) = same {
            return Ok(Some(Arc::clone(same)));
        }
        let roots = Arc::new(authorities.roots());
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        let builder = match auth {
            ClientAuth::Optional => builder.allow_unauthenticated(),
            ClientAuth::Required | ClientAuth::Off => builder,
        };
        let of_rustls = builder.build().map_err(|error| error.to_string())?;
        Ok(Some(Arc::new(Self { authorities: authorities.clone(), auth, of_rustls })))
    }

    /// For rustls.
    pub(super) fn of_rustls(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.of_rustls)
    }

    /// Whether a client may show this chain at this time (seconds since the Unix epoch).
    pub(super) fn accepts(&self, chain: &[CertificateDer<'_>], now: i64) -> bool {
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.unsigned_abs()));
        chain.split_first().is_some_and(|(own, others)| {
            self.of_rustls.verify_client_cert(own, others, now).is_ok()
        })
    }
}

//! What is counted of TLS: handshakes with clients, certificates in use, and files that could not be
//! used.

use std::collections::BTreeSet;
use std::fmt;

use prometheus_client::registry::Unit;

use super::cells::{Bounds, Counter, Counters, Histogram};
use super::families::Families;
use super::label::{Label as _, label};

label! {
    /// Why a handshake with a client failed.
    HandshakeFailure = "reason" {
        /// The client speaks HTTP without TLS.
        PlainHttp = "plain_http",
        /// It sends something else than TLS.
        NotTls = "not_tls",
        /// It has no version or cipher of TLS in common with the proxy.
        NothingInCommon = "nothing_in_common",
        /// It does not speak HTTP/1.1.
        NoHttp11 = "no_http_1_1",
        /// It showed no certificate, and has to.
        NoCertificate = "no_certificate",
        /// Its certificate was not signed by an authority of `tls.client_ca_file`.
        UnknownAuthority = "unknown_authority",
        /// Its certificate is not accepted for another reason, such as its dates.
        BadCertificate = "bad_certificate",
        /// It does not accept the certificate of the proxy.
        Distrust = "distrust",
        /// It ended the handshake for another reason.
        Ended = "ended",
        /// It has disconnected.
        Disconnected = "disconnected",
        /// It took longer than `tls.handshake_timeout`.
        Timeout = "timeout",
        /// Another connection needed its place (`limits.connections`).
        Evicted = "evicted",
        /// None of these.
        Other = "other",
    }
}

label! {
    /// The side on which a certificate is shown.
    CertificateUse = "use" {
        /// To clients.
        Listener = "listener",
        /// To the store.
        Store = "store",
        /// To Redis.
        Redis = "redis",
    }
}

/// What is counted of TLS.
#[derive(Debug)]
#[allow(missing_docs, reason = "the help texts say what each is")]
pub struct TlsMetrics {
    /// Those that succeeded.
    pub handshake: Histogram,
    pub resumptions: Counter,
    pub handshake_failures: Counters<HandshakeFailure>,
    pub reload_failures: Counters<CertificateUse>,
}

impl Default for TlsMetrics {
    fn default() -> Self {
        Self {
            handshake: Histogram::new(Bounds::FINE),
            resumptions: Counter::default(),
            handshake_failures: Counters::default(),
            reload_failures: Counters::default(),
        }
    }
}

/// When a certificate in use expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Where it is shown.
    pub used_for: CertificateUse,
    /// Its file, as configured.
    pub file: String,
    /// In seconds since 1970.
    pub not_after_s: i64,
}

#[rustfmt::skip] // One metric, one paragraph.
pub(super) fn expose(
    out: &mut Families<'_>,
    of: &TlsMetrics,
    certificates: &[Expiry],
) -> fmt::Result {
    out.histogram("tls_handshake",
        "How long TLS handshakes with clients took that succeeded, from the client's first byte on.",
        &of.handshake)?;
    out.counter("tls_resumptions", None,
        "TLS handshakes with clients that continued an earlier session.",
        &of.resumptions)?;
    out.counters("tls_handshake_failures", None,
        "TLS handshakes with clients that failed, by reason.",
        of.handshake_failures.each())?;
    out.counters("tls_reload_failures", None,
        "How often a file of certificates could not be used when it was read again, by side.",
        of.reload_failures.each())?;
    if certificates.is_empty() {
        return Ok(());
    }
    out.gauges("tls_certificate_expiry_timestamp", Some(&Unit::Seconds),
        "When a certificate in use expires, in seconds since 1970, by side and file.",
        each_once(certificates))
}

/// A file may be configured twice on one side, and a series must not be there twice.
fn each_once(all: &[Expiry]) -> impl Iterator<Item = ([(&'static str, &str); 2], i64)> {
    let mut seen = BTreeSet::new();
    let each = all.iter().filter(move |one| seen.insert((one.used_for.number(), &one.file)));
    each.map(|Expiry { used_for, file, not_after_s }| {
        ([(CertificateUse::NAME, used_for.as_str()), ("file", file.as_str())], *not_after_s)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_configured_twice_on_one_side_is_one_series() {
        let expiry =
            |used_for, file: &str| Expiry { used_for, file: file.to_owned(), not_after_s: 7 };
        let all = [
            expiry(CertificateUse::Listener, "a.pem"),
            expiry(CertificateUse::Listener, "b.pem"),
            expiry(CertificateUse::Listener, "a.pem"),
            expiry(CertificateUse::Store, "a.pem"),
        ];
        let shown: Vec<_> =
            each_once(&all).map(|([(_, side), (_, file)], _)| (side, file)).collect();
        assert_eq!(shown, [("listener", "a.pem"), ("listener", "b.pem"), ("store", "a.pem")]);
    }
}

//! Why a handshake failed, in words that name the usual mistakes.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::metrics::tls::HandshakeFailure;

/// Why a handshake with a server failed: a sentence whose subject is the server. `asked` is the
/// name or address that its certificate had to be for.
pub(crate) fn of_server(error: &io::Error, asked: &str) -> String {
    match cause(error) {
        Some(Error::InvalidCertificate(why)) => certificate(why, asked),
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => PLAIN_SERVER.to_owned(),
        Some(Error::AlertReceived(alert)) => refusal_by_server(*alert),
        Some(error) => format!("it does not agree on TLS: {error}"),
        None if error.kind() == io::ErrorKind::UnexpectedEof => CLOSED.to_owned(),
        None => error.to_string(),
    }
}

/// Why a handshake with a client failed: the reason that is counted, and a sentence whose subject is
/// the client.
pub(crate) fn of_client(error: &io::Error) -> (HandshakeFailure, String) {
    use AlertDescription as A;
    use HandshakeFailure as F;
    let Some(cause) = cause(error) else { return of_connection(error) };
    match cause {
        Error::NoCertificatesPresented => (F::NoCertificate, "it shows no certificate".to_owned()),
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            (F::UnknownAuthority, UNKNOWN_AUTHORITY.to_owned())
        }
        Error::InvalidCertificate(why) => {
            (F::BadCertificate, format!("its certificate is not accepted: {why}"))
        }
        Error::NoApplicationProtocol => (F::NoHttp11, "it does not speak HTTP/1.1".to_owned()),
        Error::PeerIncompatible(why) => {
            (F::NothingInCommon, format!("{NOTHING_IN_COMMON}: {why:?}"))
        }
        Error::AlertReceived(alert @ (A::UnknownCA | A::BadCertificate)) => {
            (F::Distrust, format!("it does not trust this proxy's certificate ({alert:?})"))
        }
        Error::AlertReceived(alert @ (A::CertificateUnknown | A::CertificateExpired)) => {
            (F::Distrust, format!("it does not accept this proxy's certificate ({alert:?})"))
        }
        Error::AlertReceived(alert) => (F::Ended, format!("it ends the handshake ({alert:?})")),
        Error::InvalidMessage(_) => (F::NotTls, "it does not speak TLS".to_owned()),
        error => (F::Other, error.to_string()),
    }
}

const UNKNOWN_AUTHORITY: &str = "its certificate was not signed by an authority of client_ca_file";
const NOTHING_IN_COMMON: &str = "it has no version or cipher of TLS in common with this proxy";

/// The connection has failed under the handshake.
fn of_connection(error: &io::Error) -> (HandshakeFailure, String) {
    use io::ErrorKind as Kind;
    let why = match error.kind() {
        Kind::UnexpectedEof => "it has disconnected".to_owned(),
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => error.to_string(),
        _ => return (HandshakeFailure::Other, error.to_string()),
    };
    (HandshakeFailure::Disconnected, why)
}

/// The error of rustls in an error of its connection.
pub(super) fn cause(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn certificate(why: &CertificateError, asked: &str) -> String {
    match why {
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            format!("its certificate names no host (subjectAltName), and was to be for {asked}")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            let presented: Vec<_> = presented.iter().map(|name| spelled(name)).collect();
            format!("its certificate is for {}, not for {asked}", presented.join(", "))
        }
        CertificateError::UnknownIssuer => {
            "its certificate was not signed by an authority of ca_file".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: is one of the clocks wrong?".to_owned()
        }
        CertificateError::Other(other) if is_authority(other) => AUTHORITY.to_owned(),
        other => format!("its certificate is not accepted: {other}"),
    }
}

fn is_authority(other: &rustls::OtherError) -> bool {
    matches!(other.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// A name as rustls gives it: `DnsName("host")`, `IpAddress(127.0.0.1)`.
fn spelled(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.trim_end_matches(')').trim_matches('"')
}

fn refusal_by_server(alert: AlertDescription) -> String {
    use AlertDescription as A;
    match alert {
        A::CertificateRequired => NO_CERTIFICATE.to_owned(),
        A::UnknownCA
        | A::BadCertificate
        | A::CertificateUnknown
        | A::CertificateExpired
        | A::CertificateRevoked
        | A::UnsupportedCertificate
        | A::AccessDenied => {
            format!("it does not accept our client certificate ({alert:?})")
        }
        // OpenSSL with TLS 1.2, which has no alert of its own for it.
        A::HandshakeFailure => format!("it refuses our TLS ({alert:?}). {NO_CERTIFICATE_PERHAPS}"),
        A::ProtocolVersion => "it speaks neither TLS 1.2 nor TLS 1.3".to_owned(),
        alert => format!("it refuses our TLS ({alert:?})"),
    }
}

const PLAIN_SERVER: &str = "it does not speak TLS on this port";
const CLOSED: &str = "it closed the connection during the TLS handshake; perhaps it does not speak \
                      TLS on this port";
const AUTHORITY: &str = "its certificate is an authority's (CA:TRUE, as `openssl req -x509` makes \
                         it), which no server may show. Sign a certificate for the server with that \
                         authority, and name the authority's own in ca_file";
const NO_CERTIFICATE: &str = "it asks for a client certificate: set client_cert_file and \
                              client_key_file";
const NO_CERTIFICATE_PERHAPS: &str = "It may ask for a client certificate (client_cert_file, \
                                      client_key_file)";

#[cfg(test)]
mod tests {
    use rustls::PeerIncompatible;

    use super::*;

    #[test]
    fn each_failure_of_a_client_has_a_reason_that_is_counted_and_words() {
        use HandshakeFailure as F;
        let of_rustls = |error| of_client(&io::Error::new(io::ErrorKind::InvalidData, error));
        for (error, reason, words) in [
            (Error::NoCertificatesPresented, F::NoCertificate, "it shows no certificate"),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                F::UnknownAuthority,
                "its certificate was not signed by",
            ),
            (
                Error::InvalidCertificate(CertificateError::Expired),
                F::BadCertificate,
                "its certificate is not accepted",
            ),
            (Error::NoApplicationProtocol, F::NoHttp11, "it does not speak HTTP/1.1"),
            (
                Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
                F::NothingInCommon,
                "it has no version or cipher",
            ),
            (
                Error::AlertReceived(AlertDescription::UnknownCA),
                F::Distrust,
                "it does not trust this proxy's certificate",
            ),
            (
                Error::AlertReceived(AlertDescription::UserCanceled),
                F::Ended,
                "it ends the handshake",
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                F::NotTls,
                "it does not speak TLS",
            ),
            (Error::General("x".to_owned()), F::Other, "unexpected error: x"),
        ] {
            let (counted, why) = of_rustls(error);
            assert_eq!(counted, reason, "{why}");
            assert!(why.starts_with(words), "{why}");
        }
        let of_kind = |kind| of_client(&io::Error::from(kind)).0;
        assert_eq!(of_kind(io::ErrorKind::UnexpectedEof), F::Disconnected);
        assert_eq!(of_kind(io::ErrorKind::ConnectionReset), F::Disconnected);
        assert_eq!(of_kind(io::ErrorKind::OutOfMemory), F::Other);
    }
}

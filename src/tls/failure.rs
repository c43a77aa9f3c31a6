//! Why a handshake failed, in words that name the usual mistakes.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

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

/// Why a handshake with a client failed: a sentence whose subject is the client.
pub(crate) fn of_client(error: &io::Error) -> String {
    use AlertDescription as A;
    match cause(error) {
        Some(Error::NoCertificatesPresented) => "it shows no certificate".to_owned(),
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "its certificate was not signed by an authority of client_ca_file".to_owned()
        }
        Some(Error::InvalidCertificate(why)) => format!("its certificate is not accepted: {why}"),
        Some(Error::NoApplicationProtocol) => "it does not speak HTTP/1.1".to_owned(),
        Some(Error::PeerIncompatible(why)) => {
            format!("it has no version or cipher of TLS in common with this proxy: {why:?}")
        }
        Some(Error::AlertReceived(alert @ (A::UnknownCA | A::BadCertificate))) => {
            format!("it does not trust this proxy's certificate ({alert:?})")
        }
        Some(Error::AlertReceived(alert @ (A::CertificateUnknown | A::CertificateExpired))) => {
            format!("it does not accept this proxy's certificate ({alert:?})")
        }
        Some(Error::AlertReceived(alert)) => format!("it ends the handshake ({alert:?})"),
        Some(Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(error) => error.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => "it has disconnected".to_owned(),
        None => error.to_string(),
    }
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

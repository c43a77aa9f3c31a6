//! Why no connection to the store was opened, in words for an operator.

use std::fmt::Display;

use pingora::{Error, ErrorType};

/// Pingora tells the same failure several times, once for each of its own steps: the last cause is
/// what an operator can act on. Only a handshake's is in a text above it.
pub(super) fn in_words(error: &Error, address: impl Display) -> String {
    if matches!(error.root_etype(), ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout) {
        return format!("no connection to {address} in time");
    }
    if let Some(context) = of_handshake(error) {
        return format!("no TLS with {address}: {}", of_tls(context));
    }
    let root = error.root_cause();
    let Some(last) = root.downcast_ref::<Error>() else {
        return format!("no connection to {address}: {root}");
    };
    let context = last.context.as_ref().map(pingora::ImmutStr::as_str);
    format!("no connection to {address}: {}", context.unwrap_or_else(|| last.etype.as_str()))
}

/// What is told of the handshake, where it is what has failed.
fn of_handshake(error: &Error) -> Option<&str> {
    if error.etype == ErrorType::TLSHandshakeFailure && error.context.is_some() {
        return error.context.as_ref().map(pingora::ImmutStr::as_str);
    }
    of_handshake(error.cause.as_ref()?.downcast_ref::<Box<Error>>()?)
}

/// The words of rustls, which come inside the text of Pingora's own error.
fn of_tls(context: &str) -> &str {
    let words = context.split_once(" cause: ").map_or(context, |(_, words)| words);
    let words = words.rsplit_once(", SNI: ").map_or(words, |(words, _)| words);
    // What it takes for the first record of TLS is text.
    if words.contains("InvalidContentType") { "it does not speak TLS on this port" } else { words }
}

#[cfg(test)]
mod tests {
    use std::io;

    use pingora::{Error, ErrorType};

    use super::*;

    #[test]
    fn what_is_told_is_the_last_cause() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let inner = Error::because(ErrorType::ConnectRefused, "Fail to connect to n1:9", refused);
        let outer =
            Error::because(ErrorType::ConnectRefused, "Fail to connect to addr: n1:9", inner);
        assert_eq!(in_words(&outer, "n1:9"), "no connection to n1:9: connection refused");
    }

    #[test]
    fn a_handshake_that_fails_is_told_in_the_words_of_rustls() {
        let of = |words: &str| {
            let context = format!(
                "TLS connect() failed:  TLSHandshakeFailure context: tls connect error cause: \
                 {words}, SNI: n1"
            );
            in_words(&Error::explain(ErrorType::TLSHandshakeFailure, context), "n1:9")
        };
        assert_eq!(
            of("invalid peer certificate: UnknownIssuer"),
            "no TLS with n1:9: invalid peer certificate: UnknownIssuer"
        );
        assert_eq!(
            of("received corrupt message of type InvalidContentType"),
            "no TLS with n1:9: it does not speak TLS on this port"
        );
    }

    #[test]
    fn a_failure_without_a_cause_has_its_own_words() {
        let late = Error::explain(ErrorType::ConnectTimedout, "timeout 5s connecting to server X");
        assert_eq!(in_words(&late, "n1:9"), "no connection to n1:9 in time");
        let bare = Error::new(ErrorType::ConnectNoRoute);
        assert_eq!(in_words(&bare, "n1:9"), "no connection to n1:9: ConnectNoRoute");
    }
}

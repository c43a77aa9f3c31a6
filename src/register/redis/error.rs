//! Redis's errors in the register's words: try again later, or an operator must act.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::node::fitness::REPLICA;
use crate::register::RegisterError;

/// What an error means. A server's own words are passed on; it never repeats a password in them.
pub(super) fn fault(error: &RedisError) -> RegisterError {
    let code = error.code().unwrap_or_default();
    let said = || format!("{code} {}", error.detail().unwrap_or_default()).trim().to_owned();
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ReadOnly) => unsuitable(REPLICA.to_owned()),
        ErrorKind::Server(ServerErrorKind::NoPerm) => unsuitable(format!(
            "its user may not do what is needed ({}). Allow him the namespace's keys and \
             +@scripting +@hash +@string +@keyspace +info +time +ping",
            said()
        )),
        ErrorKind::AuthenticationFailed => unsuitable(REFUSED.to_owned()),
        _ if matches!(code, "NOAUTH" | "WRONGPASS") => unsuitable(REFUSED.to_owned()),
        _ if code == "OOM" => RegisterError::Full(FULL.to_owned()),
        _ if PASSING.contains(&code) => RegisterError::Unreachable(said()),
        ErrorKind::Server(_) | ErrorKind::Extension => {
            unsuitable(format!("it refused a call ({}). See its log", said()))
        }
        _ => RegisterError::Unreachable(error.to_string()),
    }
}

/// Is the connection of no more use after this error? A replica's is not: the address may lead to
/// the master by now.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => kind == ServerErrorKind::ReadOnly,
        ErrorKind::Extension => false,
        _ => true,
    }
}

/// Does this error say that the partition is somewhere else, or on its way there? Then the step did
/// not run.
pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, ClusterDown, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Moved | Ask | TryAgain | ClusterDown))
}

/// Does a server that was asked not to tell refuse so?
pub(super) fn is_withheld(error: &RedisError) -> bool {
    let unknown = || error.detail().is_some_and(|detail| detail.starts_with("unknown command"));
    error.code() == Some("NOPERM") || unknown()
}

fn unsuitable(sentence: String) -> RegisterError {
    RegisterError::Unsuitable(sentence)
}

/// Codes that a server answers with for a while, and then no more.
const PASSING: [&str; 9] = [
    "LOADING",
    "BUSY",
    "MOVED",
    "ASK",
    "TRYAGAIN",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
    "UNBLOCKED",
];

const FULL: &str = "it has used up its maxmemory. Raise that, or let nothing but ifmatch use this \
                    Redis. Until then nothing new is written; what is under way can end";

const REFUSED: &str = "it refuses the user name or the password. Set both in register.url, or the \
                       password in register.password";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_unreachable_and_the_rest_asks_for_an_operator() {
        let of = |code: &str| {
            fault(&redis::make_extension_error(code.to_owned(), Some("more".to_owned())))
        };
        for code in ["BUSY", "NOREPLICAS", "ASK"] {
            assert_eq!(of(code), RegisterError::Unreachable(format!("{code} more")));
        }
        for (code, sentence) in [
            ("WRONGPASS", "refuses the user name or the password"),
            ("NOAUTH", "refuses the user name or the password"),
            ("MISCONF", "it refused a call (MISCONF more)"),
        ] {
            let RegisterError::Unsuitable(said) = of(code) else { panic!("{code}: unreachable") };
            assert!(said.contains(sentence), "{code}: {said}");
        }
        let RegisterError::Full(said) = of("OOM") else { panic!("OOM: not full") };
        assert!(said.contains("maxmemory"), "{said}");
    }
}

//! Errors of Redis: which mean "try again later", "ask another server" or "call an operator".

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::register::RegisterError;

/// Why a server did not do what it was asked. The variant decides which server is asked next; the
/// register's callers see each as a [`RegisterError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// `MOVED`: the partition is on another server. The step did not run. Holds the server's
    /// message.
    #[error("{0}")]
    Moved(String),
    /// The server is a replica, which must not decide.
    #[error("it is a replica, which must not decide. Point register.url at the master")]
    Demoted,
    /// Any other error, which does not change which server is asked.
    #[error(transparent)]
    Other(#[from] RegisterError),
}

impl From<CallError> for RegisterError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Moved(said) => Self::Unreachable(said),
            CallError::Demoted => Self::Unsuitable(error.to_string()),
            CallError::Other(error) => error,
        }
    }
}

impl From<&RedisError> for CallError {
    /// A server's own message is passed on; it never contains a password.
    fn from(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::Demoted,
            ErrorKind::Server(ServerErrorKind::Moved) => Self::Moved(words_of(error)),
            // A step about several partitions of a cluster, one of which has moved.
            _ if error.detail().is_some_and(|said| said.starts_with(NOT_LOCAL)) => {
                Self::Moved(words_of(error))
            }
            _ => Self::Other(register_error(error)),
        }
    }
}

/// The error for a server that gave no answer in time; `doing` names what was asked.
pub(super) fn silent(server: &impl fmt::Display, doing: &str) -> RegisterError {
    RegisterError::Unreachable(format!("{server}: no answer in time ({doing})"))
}

/// Is the connection no longer of use after this error? A replica's is not: the address may lead to
/// the master by now.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => kind == ServerErrorKind::ReadOnly,
        ErrorKind::Extension => false,
        _ => true,
    }
}

/// Does this error say that the partition is on another server, or moving to one? Then the step did
/// not run.
pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, ClusterDown, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Moved | Ask | TryAgain | ClusterDown))
}

/// Does this error say that the server does not have the library of the steps? Then the step did not
/// run.
pub(super) fn is_not_loaded(error: &RedisError) -> bool {
    error.detail() == Some("Function not found")
}

/// Does this error say that the server has got the library in the meantime?
pub(super) fn is_loaded_already(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.ends_with("already exists"))
}

/// Has the server refused to show its configuration, because of the user's rights or because the
/// command was renamed?
pub(super) fn is_withheld(error: &RedisError) -> bool {
    let unknown = || error.detail().is_some_and(|detail| detail.starts_with("unknown command"));
    error.code() == Some("NOPERM") || unknown()
}

fn register_error(error: &RedisError) -> RegisterError {
    let code = error.code().unwrap_or_default();
    let said = || words_of(error);
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => RegisterError::Unsuitable(format!(
            "its user lacks a permission ({}). Give it the namespace's keys and {RIGHTS}",
            said()
        )),
        ErrorKind::AuthenticationFailed => RegisterError::Unsuitable(REFUSED.to_owned()),
        _ if matches!(code, "NOAUTH" | "WRONGPASS") => {
            RegisterError::Unsuitable(REFUSED.to_owned())
        }
        _ if code == "OOM" => RegisterError::Full(FULL.to_owned()),
        _ if PASSING.contains(&code) => RegisterError::Unreachable(said()),
        ErrorKind::Server(_) | ErrorKind::Extension => {
            RegisterError::Unsuitable(format!("it refused a call ({}). See its log", said()))
        }
        _ => RegisterError::Unreachable(error.to_string()),
    }
}

/// The server's answer: its error code and its message.
fn words_of(error: &RedisError) -> String {
    let code = error.code().unwrap_or_default();
    format!("{code} {}", error.detail().unwrap_or_default()).trim().to_owned()
}

/// Error codes that go away without an operator.
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

/// The commands that the proxies give, and those that the steps give.
const RIGHTS: &str = "+fcall +function|load +mget +get +set +del +pexpire +type +time +info +ping; \
                      with register.lag +zadd +zcard +zrangebylex +zremrangebylex +exists +unlink; in a \
                      cluster +cluster, with a database number +select; for ifmatch register list, \
                      diff and fsck +scan";

/// What a function is told that touches a key of another server.
const NOT_LOCAL: &str = "Script attempted to access a non local key";

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
            let error = redis::make_extension_error(code.to_owned(), Some("more".to_owned()));
            RegisterError::from(CallError::from(&error))
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

//! File descriptors: raises the limit as far as the system allows, and warns operators when none is
//! left. Each connection needs one, each request a second one to the store, each spooled body one
//! more.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::sleep;

use crate::seldom::Seldom;

/// How often to check whether a connection could be accepted.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// The limit of this process once it was raised as far as possible.
pub fn most() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Raises the limit as far as possible. Where the system refuses, the limit stays unchanged.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        Ok(()) => tracing::info!(from = limit.current, to = limit.maximum, "file descriptors"),
        Err(error) => {
            tracing::warn!(%error, limit = limit.current, "no more file descriptors can be had");
        }
    }
}

/// Whether an error means that none is left, for this process or in the whole system.
pub fn is_out(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// Warns that none was left for this, at most every few seconds.
pub fn ran_out(wanted: &str) {
    static SAID: Seldom = Seldom::new();
    if let Some(left_out) = SAID.due() {
        tracing::error!(
            wanted,
            limit = getrlimit(Resource::Nofile).current,
            left_out,
            "no file descriptor is left: raise the limit (ulimit -n, LimitNOFILE= of systemd) or \
             lower limits.connections"
        );
    }
}

/// Warns whenever none is left to accept a connection with. The acceptor does not report that: the
/// clients wait in the system's queue, and nothing else would show it here.
pub async fn watch(listening: OwnedFd) {
    loop {
        sleep(LOOKED_EVERY).await;
        if let Err(error) = listening.try_clone()
            && is_out(&error)
        {
            ran_out("to accept connections");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lack_of_descriptors_is_taken_for_it() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NFILE, true),
            (Errno::NOSPC, false),
            (Errno::ACCESS, false),
        ] {
            assert_eq!(is_out(&errno.into()), expected, "{errno}");
        }
        assert!(!is_out(&io::Error::other("Too many open files")));
    }
}

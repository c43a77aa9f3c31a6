//! File descriptors: as many as the system allows, and a word to operators when none is left. Each
//! connection takes one, each request a second one towards the store, each spooled body one more.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::time::sleep;

use crate::seldom::Seldom;

/// How often the listening socket is asked whether another connection could be accepted.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// How many this process may have once it has asked for all that it can get.
pub fn most() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Asks for all that this process can get. What it may have is left as it is where the system refuses.
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

/// Whether an error says that there are none left, for this process or in the whole system.
pub fn is_out(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// Says that none was left for this, but not again and again.
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

/// Says so whenever none is left to accept a connection with. Whoever accepts does not tell: the
/// clients wait in the system's queue, and nothing else would be seen of it here.
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

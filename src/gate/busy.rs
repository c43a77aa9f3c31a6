//! Why a write waits for a busy key, judged by the register's answers.
//!
//! The holder of a living lease renews it every third of a lease while the store works. A lease
//! that is not renewed ends at a known time: the answer to its write was lost, or its process is
//! gone.

use std::time::Duration;

use tokio::time::Instant;

use crate::register::WriteId;

/// What still blocked the key when a write's `lease_wait` was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocker {
    /// Earlier writes of the same process.
    Queue,
    /// A write that is under way, as far as the answers show.
    Write {
        /// The other write is another attempt of the waiting write.
        own: bool,
    },
    /// A write whose outcome is unknown: its lease is not renewed and ends after this time.
    Doubt {
        /// The other write is another attempt of the waiting write.
        own: bool,
        /// After this time the key is free, unless another waiter gets it first.
        free_in: Duration,
    },
}

/// The lease that blocks the key, as the register's answers have shown it so far.
#[derive(Debug)]
pub(super) struct Watch {
    /// The write that holds the lease; `None` where the key is kept for another waiting process.
    write_id: Option<WriteId>,
    /// When the lease ends, by the newest answer.
    free_at: Instant,
    /// When the lease was last seen to be renewed, or first seen.
    unrenewed_since: Instant,
}

impl Watch {
    /// What is known after one more "busy" answer of the register, given at `now`.
    pub(super) fn after(
        before: Option<Self>,
        write_id: Option<WriteId>,
        free_in: Duration,
        lease: Duration,
        now: Instant,
    ) -> Self {
        let free_at = now + free_in;
        // A renewal moves the end by about a third of a lease. Without one, answers differ only by
        // their travel time.
        let unrenewed_since = before
            .filter(|before| before.write_id == write_id && free_at < before.free_at + lease / 6)
            .map_or(now, |before| before.unrenewed_since);
        Self { write_id, free_at, unrenewed_since }
    }

    /// What blocks the write with this id.
    pub(super) fn blocker(&self, of: &WriteId, lease: Duration, now: Instant) -> Blocker {
        let own = self.write_id.as_ref() == Some(of);
        if self.write_id.is_some() && now >= self.unrenewed_since + lease / 2 {
            Blocker::Doubt { own, free_in: self.free_at.saturating_duration_since(now) }
        } else {
            Blocker::Write { own }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    /// What is in the way of `b` after these answers: when, by whom, free in how many seconds.
    fn after(answers: &[(u64, &str, u64)]) -> Blocker {
        let began = Instant::now();
        let mut watch = None;
        let mut now = began;
        for (at, id, free_in) in answers {
            now = began + Duration::from_secs(*at);
            let free_in = Duration::from_secs(*free_in);
            let id = (!id.is_empty()).then(|| WriteId((*id).to_owned()));
            watch = Some(Watch::after(watch, id, free_in, LEASE, now));
        }
        watch.unwrap().blocker(&WriteId("b".to_owned()), LEASE, now)
    }

    #[test]
    fn a_lease_that_is_not_renewed_is_a_doubt_and_its_end_is_known() {
        let doubt = |own, seconds| Blocker::Doubt { own, free_in: Duration::from_secs(seconds) };
        for (answers, expected) in [
            // Asked once, or for too short a time: the lease may still be renewed.
            (&[(0, "a", 19)][..], Blocker::Write { own: false }),
            (&[(0, "a", 19), (2, "a", 17)][..], Blocker::Write { own: false }),
            (&[(0, "a", 19), (2, "a", 17), (3, "a", 16)][..], doubt(false, 16)),
            (&[(0, "b", 19), (3, "b", 16)][..], doubt(true, 16)),
            // Renewed in between.
            (
                &[(0, "a", 19), (1, "a", 18), (2, "a", 19), (4, "a", 17)][..],
                Blocker::Write { own: false },
            ),
            // Another write has held the lease since.
            (&[(0, "a", 9), (2, "c", 8), (4, "b", 5)][..], Blocker::Write { own: true }),
            // Kept for another waiting process.
            (&[(0, "", 5), (4, "", 1)][..], Blocker::Write { own: false }),
            (&[(0, "a", 309), (9, "a", 300)][..], doubt(false, 300)),
        ] {
            assert_eq!(after(answers), expected, "{answers:?}");
        }
    }
}

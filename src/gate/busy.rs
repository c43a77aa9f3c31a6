//! What a write that waits for a busy key is waiting for, as far as the register's answers show.
//!
//! The holder of a living lease renews it every third of a lease while the store works. A lease that
//! is not renewed ends at a time that is known: its write's answer was lost, or its process is gone.

use std::time::Duration;

use tokio::time::Instant;

use crate::register::WriteId;

/// What kept a write from its key until its `lease_wait` was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InTheWay {
    /// Writes of the same process that came before it.
    Line,
    /// A write that is under way, so far as could be seen.
    Write {
        /// It is another attempt of the very write that waits.
        own: bool,
    },
    /// A write whose outcome is unknown: its lease is not renewed and ends after so long.
    Doubt {
        /// It is another attempt of the very write that waits.
        own: bool,
        /// When the key can be had at the latest, unless somebody else in line has it first.
        free_in: Duration,
    },
}

/// The lease in the way, as the register's answers have shown it so far.
#[derive(Debug)]
pub(super) struct Watch {
    /// The write it was asked for; none where the key is kept for another process that waits.
    write_id: Option<WriteId>,
    /// When it ends, by the newest answer.
    free_at: Instant,
    /// Since when that has been so.
    unrenewed_since: Instant,
}

impl Watch {
    /// What is known after one more answer, given at `now`, that the key is busy.
    pub(super) fn after(
        before: Option<Self>,
        write_id: Option<WriteId>,
        free_in: Duration,
        lease: Duration,
        now: Instant,
    ) -> Self {
        let free_at = now + free_in;
        // A renewal moves the end by about a third of a lease; answers differ by their way alone.
        let unrenewed_since = before
            .filter(|before| before.write_id == write_id && free_at < before.free_at + lease / 6)
            .map_or(now, |before| before.unrenewed_since);
        Self { write_id, free_at, unrenewed_since }
    }

    /// What is in the way of this write.
    pub(super) fn in_the_way(&self, of: &WriteId, lease: Duration, now: Instant) -> InTheWay {
        let own = self.write_id.as_ref() == Some(of);
        if self.write_id.is_some() && now >= self.unrenewed_since + lease / 2 {
            InTheWay::Doubt { own, free_in: self.free_at.saturating_duration_since(now) }
        } else {
            InTheWay::Write { own }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(6);

    /// What is in the way of `b` after these answers: when, by whom, free in how many seconds.
    fn after(answers: &[(u64, &str, u64)]) -> InTheWay {
        let began = Instant::now();
        let mut watch = None;
        let mut now = began;
        for (at, id, free_in) in answers {
            now = began + Duration::from_secs(*at);
            let free_in = Duration::from_secs(*free_in);
            let id = (!id.is_empty()).then(|| WriteId((*id).to_owned()));
            watch = Some(Watch::after(watch, id, free_in, LEASE, now));
        }
        watch.unwrap().in_the_way(&WriteId("b".to_owned()), LEASE, now)
    }

    #[test]
    fn a_lease_that_is_not_renewed_is_a_doubt_and_its_end_is_known() {
        let doubt = |own, seconds| InTheWay::Doubt { own, free_in: Duration::from_secs(seconds) };
        for (answers, expected) in [
            // Looked at once, or not for long enough: it may be renewed yet.
            (&[(0, "a", 19)][..], InTheWay::Write { own: false }),
            (&[(0, "a", 19), (2, "a", 17)][..], InTheWay::Write { own: false }),
            (&[(0, "a", 19), (2, "a", 17), (3, "a", 16)][..], doubt(false, 16)),
            (&[(0, "b", 19), (3, "b", 16)][..], doubt(true, 16)),
            // Renewed in between.
            (
                &[(0, "a", 19), (1, "a", 18), (2, "a", 19), (4, "a", 17)][..],
                InTheWay::Write { own: false },
            ),
            // Somebody else's since.
            (&[(0, "a", 9), (2, "c", 8), (4, "b", 5)][..], InTheWay::Write { own: true }),
            // Kept for a process that waits.
            (&[(0, "", 5), (4, "", 1)][..], InTheWay::Write { own: false }),
            (&[(0, "a", 309), (9, "a", 300)][..], doubt(false, 300)),
        ] {
            assert_eq!(after(answers), expected, "{answers:?}");
        }
    }
}

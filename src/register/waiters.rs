//! The waiting list of a key at the register, so that the proxies of a fleet take turns: first
//! come, first served.
//!
//! A proxy that finds a key busy is remembered for a short time after it last asked. The first
//! proxy in the list lets others go before it for at most [`TURN`], and at most [`TURN_GRANTS`] of
//! them. During that time a proxy may give the key from one of its own writers to the next, which
//! is cheaper than a change of proxy. Then the key is kept for the first proxy in the list. A
//! waiter that has gone away blocks the key only for the time it is remembered.
//!
//! No invariant depends on this list. If it is lost, some writers only wait longer.

use std::time::Duration;

use super::types::{Asker, Millis};

/// For how long after it became the first, a waiter lets others go before it.
pub const TURN: Duration = Duration::from_millis(200);

/// How many others it lets go before it. Each may fill a line of the key's journal, which has only
/// a few ([`JOURNAL_ENTRIES_MAX`](super::record::JOURNAL_ENTRIES_MAX)): a write that has waited for
/// longer than the journal remembers gets no lease.
pub const TURN_GRANTS: u64 = 8;

/// How long a waiter is remembered after it last asked: longer than the pause of a waiting proxy
/// between two questions.
pub const WAITER_KEPT: Duration = Duration::from_millis(200);

/// How many waiters of a key are remembered.
pub const WAITERS_MAX: usize = 64;

/// The processes that wait for one key, in order of arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiters {
    /// Since when the first has been the first; zero where no process waits.
    pub first_since: Millis,
    /// How many other processes have got the key since then.
    pub gone_before: u64,
    /// All waiting processes.
    pub waiting: Vec<Waiter>,
}

/// A waiting process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    /// Its name.
    pub asker: Asker,
    /// When it is forgotten unless it asks again.
    pub until: Millis,
}

impl Waiters {
    /// Until when a free key is kept for another process, unless that process takes it earlier.
    pub fn kept_for_another(&mut self, asker: &Asker, now: Millis) -> Option<Millis> {
        self.keep(now, |_| true);
        let first = self.waiting.first().filter(|first| first.asker != *asker)?;
        let over = now >= self.first_since + TURN || self.gone_before >= TURN_GRANTS;
        over.then_some(first.until)
    }

    /// Adds the asker to the list, or keeps its place.
    pub fn join(&mut self, asker: &Asker, now: Millis) {
        self.keep(now, |_| true);
        let until = now + WAITER_KEPT;
        if let Some(waiter) = self.waiting.iter_mut().find(|waiter| waiter.asker == *asker) {
            waiter.until = until;
        } else if self.waiting.len() < WAITERS_MAX {
            if self.waiting.is_empty() {
                self.first_since = now;
            }
            self.waiting.push(Waiter { asker: asker.clone(), until });
        }
    }

    /// The asker has got the key. If it asks again, it is the last in the list.
    pub fn leave(&mut self, asker: &Asker, now: Millis) {
        self.gone_before += 1;
        self.keep(now, |waiter| waiter.asker != *asker);
    }

    fn keep(&mut self, now: Millis, wanted: impl Fn(&Waiter) -> bool) {
        let first = self.waiting.first().map(|waiter| waiter.asker.clone());
        self.waiting.retain(|waiter| now < waiter.until && wanted(waiter));
        match self.waiting.first() {
            None => *self = Self::default(),
            Some(waiter) if Some(&waiter.asker) != first.as_ref() => {
                (self.first_since, self.gone_before) = (now, 0);
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(name: &str) -> Asker {
        Asker(name.to_owned())
    }

    #[test]
    fn the_first_lets_others_go_before_it_for_a_turn_and_no_longer() {
        let mut waiters = Waiters::default();
        let (a, b, c) = (asker("a"), asker("b"), asker("c"));
        assert_eq!(waiters.kept_for_another(&a, Millis(0)), None, "no process waits");
        let turn = u64::try_from(TURN.as_millis()).unwrap();
        for now in (0..turn).step_by(50) {
            waiters.join(&b, Millis(now));
            waiters.join(&c, Millis(now));
            assert_eq!(waiters.kept_for_another(&a, Millis(now)), None);
        }
        let until = Some(Millis(turn - 50) + WAITER_KEPT);
        assert_eq!(waiters.kept_for_another(&a, Millis(turn)), until);
        assert_eq!(
            waiters.kept_for_another(&c, Millis(turn)),
            until,
            "a later process comes later"
        );
        assert_eq!(waiters.kept_for_another(&b, Millis(turn)), None);
        waiters.leave(&b, Millis(turn));
        assert_eq!(waiters.kept_for_another(&a, Millis(turn)), None, "a turn of its own for c");
        waiters.join(&c, Millis(2 * turn - 100));
        assert!(waiters.kept_for_another(&b, Millis(2 * turn)).is_some());
    }

    #[test]
    fn the_first_lets_so_many_go_before_it_and_no_more() {
        let mut waiters = Waiters::default();
        let (a, b) = (asker("a"), asker("b"));
        waiters.join(&b, Millis(0));
        for _ in 0..TURN_GRANTS {
            assert_eq!(waiters.kept_for_another(&a, Millis(1)), None);
            waiters.leave(&a, Millis(1));
        }
        assert!(waiters.kept_for_another(&a, Millis(1)).is_some());
        waiters.leave(&b, Millis(1));
        assert_eq!(waiters, Waiters::default());
    }

    #[test]
    fn a_waiter_that_has_gone_away_is_waited_for_once_and_shortly() {
        let mut waiters = Waiters::default();
        waiters.join(&asker("gone"), Millis(0));
        waiters.join(&asker("b"), Millis(100));
        assert_eq!(waiters.kept_for_another(&asker("a"), Millis(0) + WAITER_KEPT), None);
        let names: Vec<_> = waiters.waiting.iter().map(|waiter| waiter.asker.0.as_str()).collect();
        assert_eq!((names, waiters.first_since), (vec!["b"], Millis(0) + WAITER_KEPT));
        assert_eq!(waiters.kept_for_another(&asker("a"), Millis(1000)), None);
        assert_eq!(waiters, Waiters::default());
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut waiters = Waiters::default();
        for number in 0..2 * WAITERS_MAX {
            waiters.join(&asker(&number.to_string()), Millis(0));
        }
        assert_eq!(waiters.waiting.len(), WAITERS_MAX);
    }

    /// Two proxies that each always have a writer ready, as their own queues make it. Each asks
    /// when its own write ends, and every 60 ms while it waits.
    #[test]
    fn two_proxies_have_about_as_much_of_a_key_each() {
        for takes in [50, 150, 700] {
            let mut waiters = Waiters::default();
            let (mut served, mut free_at) = ([0_u32; 2], 0);
            let mut asks_at = [0_u64, 1];
            let askers = [asker("a"), asker("b")];
            while free_at < 60_000 {
                let who = usize::from(asks_at[1] < asks_at[0]);
                let now = asks_at[who];
                let busy =
                    now < free_at || waiters.kept_for_another(&askers[who], Millis(now)).is_some();
                if busy {
                    waiters.join(&askers[who], Millis(now));
                    asks_at[who] = now + 60;
                } else {
                    waiters.leave(&askers[who], Millis(now));
                    served[who] += 1;
                    free_at = now + takes;
                    asks_at[who] = free_at;
                }
            }
            let [a, b] = served;
            assert!(a.abs_diff(b) * 10 <= a + b, "{takes} ms: {served:?}");
            let possible = u32::try_from(60_000 / takes).unwrap();
            assert!((a + b) * 3 >= possible * 2, "{takes} ms: {served:?} of {possible}");
        }
    }
}

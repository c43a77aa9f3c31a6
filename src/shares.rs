//! Shares of a limited resource: how much each client holds, and may hold, so that one client that
//! takes everything it can leaves the others their part. No IO and no clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ahash::HashMap;

/// A limited resource: places, or bytes. Clients are identified by their access keys; all clients
/// without one count as one client.
#[derive(Debug, Clone)]
pub struct Shares {
    in_all: u64,
    per_client: u64,
    held: Arc<Mutex<Held>>,
}

/// Only clients that hold something have an entry, so there are never more entries than things
/// held.
#[derive(Debug, Default)]
struct Held {
    in_all: u64,
    by_client: HashMap<Arc<str>, u64>,
}

/// Why nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// One client may never hold this much: this is the maximum.
    TooMuch(u64),
    /// The client holds too much already.
    OfClient,
    /// All clients together hold too much already.
    InAll,
}

impl Shares {
    /// This much for all clients together, and this much for each.
    pub fn new(in_all: u64, per_client: u64) -> Self {
        Self { in_all, per_client: per_client.min(in_all), held: Arc::default() }
    }

    /// The same resource with other limits: what is held counts on, also where it is more than the
    /// new limits allow.
    #[must_use]
    pub fn with_limits(&self, in_all: u64, per_client: u64) -> Self {
        Self { in_all, per_client: per_client.min(in_all), held: Arc::clone(&self.held) }
    }

    /// Takes this amount for a client, until the share is dropped.
    ///
    /// # Errors
    /// Where there is no room for it.
    pub fn take(&self, client: &str, amount: u64) -> Result<Share, NoRoom> {
        let mut share = Share { client: client.into(), amount: 0, shares: self.clone() };
        share.grow(amount)?;
        Ok(share)
    }

    /// How much all clients together hold, and how much they may hold.
    pub fn level(&self) -> (u64, u64) {
        (self.lock().in_all, self.in_all)
    }

    /// No code that holds the lock can panic.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client holds, until it is dropped.
#[derive(Debug)]
pub struct Share {
    client: Arc<str>,
    amount: u64,
    shares: Shares,
}

impl Share {
    /// How much it is.
    pub const fn amount(&self) -> u64 {
        self.amount
    }

    /// Takes this much more.
    ///
    /// # Errors
    /// Where there is no room for it; then nothing changes.
    pub fn grow(&mut self, more: u64) -> Result<(), NoRoom> {
        let Shares { in_all, per_client, .. } = self.shares;
        if self.amount.checked_add(more).is_none_or(|wanted| wanted > per_client) {
            return Err(NoRoom::TooMuch(per_client));
        }
        if more == 0 {
            return Ok(());
        }
        let mut held = self.shares.lock();
        let of_client = held.by_client.get(&self.client).copied().unwrap_or(0);
        if more > per_client.saturating_sub(of_client) {
            return Err(NoRoom::OfClient);
        }
        if more > in_all.saturating_sub(held.in_all) {
            return Err(NoRoom::InAll);
        }
        held.in_all += more;
        held.by_client.insert(Arc::clone(&self.client), of_client + more);
        self.amount += more;
        Ok(())
    }

    /// Gives all of it back; the share may grow again.
    pub fn give_back(&mut self) {
        if self.amount == 0 {
            return;
        }
        let mut held = self.shares.lock();
        held.in_all -= self.amount;
        if let Some(of_client) = held.by_client.get_mut(&self.client) {
            *of_client -= self.amount;
            if *of_client == 0 {
                held.by_client.remove(&self.client);
            }
        }
        self.amount = 0;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(shares: &Shares, client: &str, amount: u64) -> NoRoom {
        shares.take(client, amount).unwrap_err()
    }

    #[test]
    fn one_client_has_its_share_and_all_have_what_there_is() {
        let shares = Shares::new(10, 6);
        let a = shares.take("a", 4).unwrap();
        assert_eq!(refused(&shares, "a", 3), NoRoom::OfClient);
        let more = shares.take("a", 2).unwrap();
        assert_eq!(refused(&shares, "a", 1), NoRoom::OfClient);
        assert_eq!(refused(&shares, "b", 5), NoRoom::InAll);
        assert_eq!(shares.level(), (6, 10));
        let b = shares.take("b", 4).unwrap();
        assert_eq!(refused(&shares, "", 1), NoRoom::InAll);
        drop(a);
        let nameless = shares.take("", 4).unwrap();
        assert_eq!(refused(&shares, "a", 1), NoRoom::InAll);
        drop((more, b, nameless));
        assert_eq!(shares.take("a", 6).unwrap().amount(), 6);
    }

    #[test]
    fn what_no_client_may_ever_hold_is_told_apart() {
        let shares = Shares::new(10, 6);
        let _all = shares.take("a", 6).unwrap();
        assert_eq!(refused(&shares, "b", 7), NoRoom::TooMuch(6));
        assert_eq!(refused(&Shares::new(4, 6), "b", 5), NoRoom::TooMuch(4));
        assert_eq!(refused(&shares, "b", u64::MAX), NoRoom::TooMuch(6));
    }

    #[test]
    fn a_share_grows_as_far_as_there_is_room() {
        let shares = Shares::new(10, 6);
        let mut a = shares.take("a", 0).unwrap();
        let b = shares.take("a", 2).unwrap();
        assert_eq!(a.grow(4), Ok(()));
        assert_eq!(a.grow(1), Err(NoRoom::OfClient));
        assert_eq!(a.grow(u64::MAX), Err(NoRoom::TooMuch(6)));
        drop(b);
        assert_eq!((a.grow(2), a.amount()), (Ok(()), 6));
        assert_eq!(a.grow(1), Err(NoRoom::TooMuch(6)));
        a.give_back();
        assert_eq!((a.amount(), a.grow(1)), (0, Ok(())));
        drop(a);
        let _all = (shares.take("a", 6).unwrap(), shares.take("b", 4).unwrap());
    }

    #[test]
    fn what_is_held_counts_under_other_limits_too() {
        let shares = Shares::new(10, 6);
        let a = shares.take("a", 6).unwrap();
        let lower = shares.with_limits(4, 2);
        assert_eq!(refused(&lower, "a", 1), NoRoom::OfClient);
        assert_eq!(refused(&lower, "b", 1), NoRoom::InAll);
        let higher = shares.with_limits(20, 9);
        assert_eq!(refused(&higher, "a", 4), NoRoom::OfClient);
        let more = higher.take("a", 3).unwrap();
        drop(a);
        assert_eq!(refused(&lower, "a", 1), NoRoom::OfClient);
        drop(more);
        assert!(lower.take("a", 2).is_ok());
    }

    #[test]
    fn who_holds_nothing_is_forgotten() {
        let shares = Shares::new(1 << 20, 1);
        for number in 0..1000 {
            let share = shares.take(&number.to_string(), number % 2).unwrap();
            assert_eq!(shares.lock().by_client.len() as u64, number % 2);
            drop(share);
        }
        let held = shares.lock();
        assert!(held.by_client.is_empty() && held.in_all == 0);
    }
}

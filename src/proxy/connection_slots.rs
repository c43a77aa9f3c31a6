//! Connection slots: a limit on open connections, in total and per address. When all slots are
//! taken, the connection that has waited longest for the head of its next request is evicted. A
//! connection whose request is being served is never evicted.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The slots of all connections.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionSlots(Arc<Mutex<Taken>>);

/// How many connections there may be. A lower limit ends none that is open: it counts for new ones.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// In total.
    pub all: usize,
    /// From one address; no limit when absent.
    pub per_address: Option<usize>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// The connections that wait for a request head, or for the rest of one, in the order in which
    /// they began to wait.
    idle: BTreeMap<u64, Arc<Notify>>,
    /// How many waits have begun; gives each wait its number.
    waits: u64,
}

/// The slot of one connection, as long as it lives.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    slots: ConnectionSlots,
    /// The address that the connection counts for.
    address: Option<IpAddr>,
    evict: Arc<Notify>,
}

/// Why there is no slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSlot {
    /// All slots are taken by connections that are being served.
    All,
    /// This address has used its share.
    OfAddress,
}

impl ConnectionSlots {
    /// A slot for a connection from this address.
    pub(super) fn take(
        &self,
        address: Option<IpAddr>,
        limits: ConnectionLimits,
    ) -> Result<ConnectionSlot, NoSlot> {
        // Counted without a limit too: a reload may set one.
        let address = address.map(of_one_client);
        let mut taken = self.taken();
        let here = address.and_then(|address| taken.by_address.get(&address)).copied();
        if limits.per_address.is_some_and(|most| here.unwrap_or_default() >= most) {
            return Err(NoSlot::OfAddress);
        }
        if taken.all >= limits.all {
            // Its connection ends in a moment; until then there is one connection too many.
            let (_, idle) = taken.idle.pop_first().ok_or(NoSlot::All)?;
            idle.notify_one();
        }
        taken.all += 1;
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        Ok(ConnectionSlot { slots: self.clone(), address, evict: Arc::default() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSlot {
    /// Returns when the connection, which waits for a request head, has to end to free its slot.
    pub(super) async fn evicted(&self) {
        let _idle = Idle::begin(self);
        self.evict.notified().await;
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        taken.all -= 1;
        if let Some(address) = self.address
            && let Some(here) = taken.by_address.get_mut(&address)
        {
            *here -= 1;
            if *here == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

/// A connection that waits for its next request.
struct Idle<'a> {
    slots: &'a ConnectionSlots,
    number: u64,
}

impl<'a> Idle<'a> {
    fn begin(slot: &'a ConnectionSlot) -> Self {
        let mut taken = slot.slots.taken();
        taken.waits += 1;
        let number = taken.waits;
        taken.idle.insert(number, Arc::clone(&slot.evict));
        Self { slots: &slot.slots, number }
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.slots.taken().idle.remove(&self.number);
    }
}

/// One IPv6 client has a whole network of addresses, so the network counts as one address.
fn of_one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    fn at_most(all: usize) -> ConnectionLimits {
        ConnectionLimits { all, per_address: None }
    }

    fn take(
        slots: &ConnectionSlots,
        address: &str,
        limits: ConnectionLimits,
    ) -> Result<ConnectionSlot, NoSlot> {
        slots.take(Some(address.parse().unwrap()), limits)
    }

    #[tokio::test]
    async fn the_longest_idle_connection_is_evicted() {
        let slots = ConnectionSlots::default();
        let [first, second, busy] = [(); 3].map(|()| slots.take(None, at_most(3)).unwrap());
        assert_eq!(slots.take(None, at_most(3)).unwrap_err(), NoSlot::All, "all are being served");
        let mut second_waits = pin!(second.evicted());
        let mut first_waits = pin!(first.evicted());
        assert!(poll!(second_waits.as_mut()).is_pending());
        assert!(poll!(first_waits.as_mut()).is_pending());
        let third = slots.take(None, at_most(3)).unwrap();
        assert!(poll!(first_waits.as_mut()).is_pending());
        assert!(poll!(second_waits.as_mut()).is_ready());
        drop(busy);
        drop(third);
        assert!(poll!(first_waits.as_mut()).is_pending());
        assert!(slots.take(None, at_most(3)).is_ok(), "there are slots");
    }

    #[tokio::test]
    async fn a_connection_with_a_request_is_not_evicted() {
        let slots = ConnectionSlots::default();
        let slot = slots.take(None, at_most(1)).unwrap();
        {
            let mut waits = pin!(slot.evicted());
            assert!(poll!(waits.as_mut()).is_pending());
        }
        assert_eq!(slots.take(None, at_most(1)).unwrap_err(), NoSlot::All);
    }

    #[test]
    fn an_address_has_its_share() {
        let slots = ConnectionSlots::default();
        let limits = ConnectionLimits { all: 10, per_address: Some(2) };
        let take = |address| take(&slots, address, limits);
        let here: Vec<_> = (0..2).map(|_| take("10.0.0.1").unwrap()).collect();
        assert_eq!(take("10.0.0.1").unwrap_err(), NoSlot::OfAddress);
        assert_eq!(take("::ffff:10.0.0.1").unwrap_err(), NoSlot::OfAddress);
        assert!(take("10.0.0.2").is_ok());
        let network: Vec<_> = ["2001:db8::1", "2001:db8::2"].map(|each| take(each).unwrap()).into();
        assert_eq!(take("2001:db8::ffff:3").unwrap_err(), NoSlot::OfAddress);
        assert!(take("2001:db8:0:1::1").is_ok());
        drop((here, network));
        assert!(take("10.0.0.1").is_ok());
        assert!(slots.taken().by_address.is_empty());
    }

    #[test]
    fn a_limit_that_comes_later_counts_the_connections_that_are_open() {
        let slots = ConnectionSlots::default();
        let _open = [(); 3].map(|()| take(&slots, "10.0.0.1", at_most(9)).unwrap());
        assert_eq!(take(&slots, "10.0.0.2", at_most(2)).unwrap_err(), NoSlot::All);
        let two = ConnectionLimits { all: 9, per_address: Some(2) };
        assert_eq!(take(&slots, "10.0.0.1", two).unwrap_err(), NoSlot::OfAddress);
        assert!(take(&slots, "10.0.0.2", two).is_ok());
    }
}

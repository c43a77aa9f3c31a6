//! How many connections there are, all in all and from one address. Where there is no room for one
//! more, the one makes room that has waited longest for the head of its next request; those that are
//! served do not.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The seats of all connections.
#[derive(Debug, Clone)]
pub(super) struct Seats(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    /// From one address; any number when absent.
    per_address: Option<usize>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Those whose next request has not come, or not all of its head, in the order in which they began
    /// to wait for it.
    idle: BTreeMap<u64, Arc<Notify>>,
    /// How often one began to wait.
    waits: u64,
}

/// The seat of one connection, as long as it lives.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    /// Where it counts as one of several.
    address: Option<IpAddr>,
    make_room: Arc<Notify>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// All are taken by connections that are being served.
    All,
    /// This address has its share.
    OfAddress,
}

impl Seats {
    /// For so many connections, and so many from one address.
    pub(super) fn new(limit: usize, per_address: Option<usize>) -> Self {
        Self(Arc::new(Shared { limit, per_address, taken: Mutex::default() }))
    }

    /// A seat for a connection from this address.
    pub(super) fn take(&self, address: Option<IpAddr>) -> Result<Seat, NoSeat> {
        let address = address.map(of_one_client).filter(|_| self.0.per_address.is_some());
        let mut taken = self.taken();
        let here = address.and_then(|address| taken.by_address.get(&address)).copied();
        if self.0.per_address.is_some_and(|most| here.unwrap_or_default() >= most) {
            return Err(NoSeat::OfAddress);
        }
        if taken.all >= self.0.limit {
            // Its connection ends in a moment; until then there is one too many.
            let (_, idle) = taken.idle.pop_first().ok_or(NoSeat::All)?;
            idle.notify_one();
        }
        taken.all += 1;
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        Ok(Seat { seats: self.clone(), address, make_room: Arc::default() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Returns when the connection, which waits for the head of a request, has to make room for another.
    pub(super) async fn has_to_make_room(&self) {
        let _idle = Idle::begin(self);
        self.make_room.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
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
    seats: &'a Seats,
    number: u64,
}

impl<'a> Idle<'a> {
    fn begin(seat: &'a Seat) -> Self {
        let mut taken = seat.seats.taken();
        taken.waits += 1;
        let number = taken.waits;
        taken.idle.insert(number, Arc::clone(&seat.make_room));
        Self { seats: &seat.seats, number }
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.seats.taken().idle.remove(&self.number);
    }
}

/// An IPv6 client has a whole network of addresses to itself.
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

    fn take(seats: &Seats, address: &str) -> Result<Seat, NoSeat> {
        seats.take(Some(address.parse().unwrap()))
    }

    #[tokio::test]
    async fn who_has_waited_longest_makes_room() {
        let seats = Seats::new(3, None);
        let [first, second, busy] = [(); 3].map(|()| seats.take(None).unwrap());
        assert_eq!(seats.take(None).unwrap_err(), NoSeat::All, "all are being served");
        let mut second_waits = pin!(second.has_to_make_room());
        let mut first_waits = pin!(first.has_to_make_room());
        assert!(poll!(second_waits.as_mut()).is_pending());
        assert!(poll!(first_waits.as_mut()).is_pending());
        let third = seats.take(None).unwrap();
        assert!(poll!(first_waits.as_mut()).is_pending());
        assert!(poll!(second_waits.as_mut()).is_ready());
        drop(busy);
        drop(third);
        assert!(poll!(first_waits.as_mut()).is_pending());
        assert!(seats.take(None).is_ok(), "there are seats");
    }

    #[tokio::test]
    async fn who_has_a_request_again_is_not_asked() {
        let seats = Seats::new(1, None);
        let seat = seats.take(None).unwrap();
        {
            let mut waits = pin!(seat.has_to_make_room());
            assert!(poll!(waits.as_mut()).is_pending());
        }
        assert_eq!(seats.take(None).unwrap_err(), NoSeat::All);
    }

    #[test]
    fn an_address_has_its_share() {
        let seats = Seats::new(10, Some(2));
        let here: Vec<_> = (0..2).map(|_| take(&seats, "10.0.0.1").unwrap()).collect();
        assert_eq!(take(&seats, "10.0.0.1").unwrap_err(), NoSeat::OfAddress);
        assert_eq!(take(&seats, "::ffff:10.0.0.1").unwrap_err(), NoSeat::OfAddress);
        assert!(take(&seats, "10.0.0.2").is_ok());
        let network: Vec<_> =
            ["2001:db8::1", "2001:db8::2"].map(|each| take(&seats, each).unwrap()).into();
        assert_eq!(take(&seats, "2001:db8::ffff:3").unwrap_err(), NoSeat::OfAddress);
        assert!(take(&seats, "2001:db8:0:1::1").is_ok());
        drop((here, network));
        assert!(take(&seats, "10.0.0.1").is_ok());
        assert!(seats.taken().by_address.is_empty());
    }
}

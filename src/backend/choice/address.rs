//! Which of the addresses of a name is used. A name may have several, and the resolver may give them
//! in another order each time: an address that works is kept for as long as the name has it.

use std::net::SocketAddr;

/// The address to use from now on: `present` while the name has it; after a failure the one behind it.
/// `None` where the name has none.
pub fn chosen(
    found: &[SocketAddr],
    present: Option<SocketAddr>,
    has_failed: bool,
) -> Option<SocketAddr> {
    let at = found.iter().position(|address| Some(*address) == present);
    let next = match at {
        Some(at) if has_failed => (at + 1) % found.len(),
        Some(at) => at,
        None => 0,
    };
    found.get(next).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([10, 0, 0, 1], *port))).collect()
    }

    #[test]
    fn an_address_is_kept_while_the_name_has_it_and_left_when_it_fails() {
        let [one, two, three] = addresses(&[1, 2, 3])[..] else { panic!("three") };
        let all = [one, two, three];
        assert_eq!(chosen(&all, None, false), Some(one));
        assert_eq!(chosen(&all, Some(two), false), Some(two), "whatever the order");
        assert_eq!(chosen(&all, Some(two), true), Some(three));
        assert_eq!(chosen(&all, Some(three), true), Some(one));
        assert_eq!(chosen(&[two], Some(one), false), Some(two), "it has moved");
        assert_eq!(chosen(&[one], Some(one), true), Some(one), "there is no other");
        assert_eq!(chosen(&[], Some(one), true), None);
    }
}

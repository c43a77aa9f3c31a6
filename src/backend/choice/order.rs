//! The order in which nodes are asked for a place, by rendezvous hashing: each node has a weight for
//! each place, and the heaviest node comes first. All proxies of a fleet have to compute the same
//! order, in all versions, so the hash is fixed (docs/decisions/0078-the-node-of-a-key.md): the first eight
//! bytes, big endian, of SHA-256 over the node's name, a zero byte, and the place.
//!
//! A node that is added or removed moves only the places that it is first for.

use std::cmp::Reverse;

use sha2::{Digest as _, Sha256};

/// The numbers of the nodes with these names, in the order in which they are asked for this place.
pub fn order_of<'n>(place: &str, names: impl Iterator<Item = &'n str>) -> Vec<usize> {
    let mut weighed: Vec<_> = names.enumerate().collect();
    weighed.sort_by_cached_key(|(_, name)| (Reverse(weight(name, place)), *name));
    weighed.into_iter().map(|(number, _)| number).collect()
}

fn weight(name: &str, place: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(name);
    hash.update([0]);
    hash.update(place);
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |weight, byte| (weight << 8) | u64::from(*byte))
}

/// The number of the node with the least requests under way. Among equals they take turns.
pub fn least_busy(nodes: impl Iterator<Item = (usize, i64)>, turn: usize) -> Option<usize> {
    let mut least: Vec<usize> = Vec::new();
    let mut load = i64::MAX;
    for (number, under_way) in nodes {
        if under_way < load {
            least.clear();
            load = under_way;
        }
        if under_way == load {
            least.push(number);
        }
    }
    least.get(turn.checked_rem(least.len())?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["http://n1:9000", "http://n2:9000", "http://n3:9000"];

    fn first<'n>(place: &str, names: &[&'n str]) -> &'n str {
        names[order_of(place, names.iter().copied())[0]]
    }

    fn places() -> impl Iterator<Item = String> {
        (0..3000).map(|number| format!("/bucket/key-{number}"))
    }

    /// Written down: another proxy of the fleet may be of another version.
    #[test]
    fn the_order_never_changes_between_versions() {
        assert_eq!(weight("http://n1:9000", "/bucket/key"), WEIGHT);
        for (place, order) in ORDERS {
            assert_eq!(order_of(place, NAMES.into_iter()), order, "{place}");
        }
    }

    const WEIGHT: u64 = 0x9a41_934d_eef6_d131;
    const ORDERS: [(&str, [usize; 3]); 3] =
        [("/", [0, 2, 1]), ("/bucket", [0, 1, 2]), ("/bucket/key", [1, 0, 2])];

    #[test]
    fn each_node_is_first_for_about_as_many_places_as_the_others() {
        for name in NAMES {
            let count = places().filter(|place| first(place, &NAMES) == name).count();
            assert!((900..1100).contains(&count), "{name}: {count} of 3000");
        }
    }

    #[test]
    fn a_node_that_leaves_moves_its_own_places_only_and_to_their_next_node() {
        for place in places() {
            let order = order_of(&place, NAMES.into_iter());
            let left = first(&place, &NAMES[..2]);
            let expected = order.iter().find(|number| **number != 2).unwrap();
            assert_eq!(left, NAMES[*expected], "{place}");
        }
    }

    #[test]
    fn the_order_does_not_depend_on_how_the_nodes_are_listed() {
        let turned = [NAMES[2], NAMES[0], NAMES[1]];
        for place in places() {
            assert_eq!(first(&place, &NAMES), first(&place, &turned));
        }
    }

    #[test]
    fn the_least_busy_node_is_read_from_and_equals_take_turns() {
        let busy = [(0, 5), (1, 2), (2, 9)];
        assert_eq!(least_busy(busy.into_iter(), 7), Some(1));
        let equal = [(0, 1), (1, 4), (2, 1)];
        let chosen: Vec<_> = (0..4).map(|turn| least_busy(equal.into_iter(), turn)).collect();
        assert_eq!(chosen, [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!(least_busy(std::iter::empty(), 3), None);
    }
}

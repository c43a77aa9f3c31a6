//! The names that are seen most often, in bounded memory: the Space-Saving sketch of Metwally, Agrawal
//! and El Abbadi (2005). It has [`PLACES`] places. A name without one takes the place of the name that
//! was seen least, with its count, which is noted as a possible error.
//!
//! So of `total` sightings, `count - error <= true number <= count` holds for each name that has a
//! place, and no error is above `total / PLACES`. A name that was seen more often than that has one.

use ahash::HashMap;

/// How many names have a place.
pub(super) const PLACES: usize = 128;

/// Of a longer key only its beginning is kept.
pub(super) const KEY_BYTES_MAX: usize = 256;

/// What a request did, beside asking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Did {
    /// It would change the key.
    pub write: bool,
    /// It was refused, or failed.
    pub refused: bool,
}

/// The sketch. Names are told apart by their hash: by 64 bits that nobody outside can foresee.
#[derive(Debug, Default)]
pub(super) struct Sketch {
    places: Vec<Place>,
    /// The place of each hash.
    by_hash: HashMap<u64, usize>,
    total: u64,
    /// Once all places are taken: the lowest count. Only places from here on have it.
    least: u64,
    least_from: usize,
}

/// A place, with who has it.
#[derive(Debug)]
struct Place {
    hash: u64,
    count: u64,
    seen: Seen,
}

/// What is kept of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) bucket: String,
    pub(super) key: String,
    /// How much of the count may belong to others.
    pub(super) error: u64,
    pub(super) writes: u64,
    pub(super) refused: u64,
}

impl Sketch {
    /// Counts a sighting of a name with this hash.
    pub(super) fn count(&mut self, hash: u64, (bucket, key): (&str, &str), did: Did) {
        self.total += 1;
        let number = match self.by_hash.get(&hash) {
            Some(number) => *number,
            None if self.places.len() < PLACES => {
                self.places.push(Place { hash, count: 0, seen: Seen::of(bucket, key) });
                self.by_hash.insert(hash, self.places.len() - 1);
                self.places.len() - 1
            }
            None => self.least_taken_by(hash, (bucket, key)),
        };
        if let Some(Place { count, seen, .. }) = self.places.get_mut(number) {
            *count += 1;
            seen.writes += u64::from(did.write);
            seen.refused += u64::from(did.refused);
        }
    }

    /// A name that was seen least gives its place away.
    fn least_taken_by(&mut self, hash: u64, (bucket, key): (&str, &str)) -> usize {
        let number = self.find_least();
        if let Some(place) = self.places.get_mut(number) {
            self.by_hash.remove(&place.hash);
            self.by_hash.insert(hash, number);
            place.hash = hash;
            place.seen.become_name(bucket, key);
            place.seen.error = place.count;
        }
        number
    }

    /// The next place with the lowest count. Counts only grow, so none of those before it will have
    /// that count again: a search goes on where the last one ended, and each place is looked at about
    /// once for each time that the lowest count rises.
    fn find_least(&mut self) -> usize {
        let rest = self.places.iter().enumerate().skip(self.least_from);
        if let Some((number, _)) = rest.into_iter().find(|(_, place)| place.count == self.least) {
            self.least_from = number + 1;
            return number;
        }
        self.least = self.lowest();
        let number = self.places.iter().position(|place| place.count == self.least);
        self.least_from = number.map_or(0, |number| number + 1);
        number.unwrap_or_default()
    }

    fn lowest(&self) -> u64 {
        self.places.iter().map(|place| place.count).min().unwrap_or_default()
    }

    /// How many sightings there were in all.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// How often a name may have been seen that has no place.
    pub(super) fn overlooked(&self) -> u64 {
        if self.places.len() < PLACES { 0 } else { self.lowest() }
    }

    /// The names that have a place: hash, count, and the rest.
    pub(super) fn each(&self) -> impl Iterator<Item = (u64, u64, &Seen)> {
        self.places.iter().map(|place| (place.hash, place.count, &place.seen))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.by_hash.clear();
        (self.total, self.least, self.least_from) = (0, 0, 0);
    }
}

impl Seen {
    fn of(bucket: &str, key: &str) -> Self {
        let mut seen = Self::default();
        seen.become_name(bucket, key);
        seen
    }

    /// The room that the name before has left is used again.
    fn become_name(&mut self, bucket: &str, key: &str) {
        bucket.clone_into(&mut self.bucket);
        let end = key.floor_char_boundary(KEY_BYTES_MAX);
        key[..end].clone_into(&mut self.key);
        if end < key.len() {
            self.key.push('…');
        }
        (self.error, self.writes, self.refused) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn count(sketch: &mut Sketch, number: u64, did: Did) {
        sketch.count(number.wrapping_mul(0x9E37_79B9_7F4A_7C15), ("b", &number.to_string()), did);
    }

    /// Numbers in which small ones are frequent, always the same.
    fn skewed(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (which, number) = ((state >> 40) % 100, state >> 44);
            match which {
                0..20 => 1,
                20..30 => 2,
                30..33 => 3,
                _ => 100 + number % 50_000,
            }
        })
    }

    #[test]
    fn memory_is_bounded_and_the_error_is_within_its_bound() {
        for (seed, sightings) in [(1, 100), (2, 10_000), (3, 200_000)] {
            let (mut sketch, mut truth) = (Sketch::default(), HashMap::<String, u64>::new());
            for number in skewed(seed).take(sightings) {
                count(&mut sketch, number, Did::default());
                *truth.entry(number.to_string()).or_default() += 1;
            }
            assert_eq!(sketch.total(), sightings as u64);
            assert!(sketch.each().count() <= PLACES && sketch.places.capacity() <= 2 * PLACES);
            assert_eq!(sketch.by_hash.len(), sketch.each().count());
            let bound = sketch.total() / PLACES as u64;
            assert!(sketch.overlooked() <= bound);
            for (_, count, Seen { key, error, .. }) in sketch.each() {
                let number = truth.remove(key).unwrap();
                assert!(count - error <= number && number <= count, "{key}: {count} {number}");
                assert!(*error <= bound, "{key}: {error}");
            }
            let largest = truth.values().copied().max().unwrap_or_default();
            assert!(largest <= sketch.overlooked(), "a frequent name is missing: {largest}");
        }
    }

    #[test]
    fn a_name_that_takes_a_place_brings_nothing_along_but_the_possible_error() {
        let mut sketch = Sketch::default();
        for number in 0..PLACES as u64 {
            let did = Did { write: true, refused: true };
            count(&mut sketch, number, did);
            count(&mut sketch, number, did);
        }
        count(&mut sketch, 1_000, Did { write: true, refused: false });
        let (_, times, seen) = sketch.each().find(|(.., seen)| seen.key == "1000").unwrap();
        assert_eq!((times, seen.error, seen.writes, seen.refused), (3, 2, 1, 0));
        assert_eq!(sketch.each().count(), PLACES);
        sketch.clear();
        assert_eq!((sketch.each().count(), sketch.total(), sketch.overlooked()), (0, 0, 0));
    }

    #[test]
    fn of_a_long_key_the_beginning_is_kept() {
        let mut sketch = Sketch::default();
        sketch.count(1, ("b", &"ä".repeat(500)), Did::default());
        sketch.count(2, ("b", &"x".repeat(256)), Did::default());
        let kept: Vec<_> = sketch.each().map(|(.., seen)| seen.key.clone()).collect();
        assert_eq!(kept, ["ä".repeat(128) + "…", "x".repeat(256)]);
    }
}

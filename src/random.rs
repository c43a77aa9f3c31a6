//! The only source of randomness. Tests seed it.

/// A random id, unique for all practical purposes: 32 hex digits.
pub fn id() -> String {
    uuid().simple().encode_lower(&mut uuid::Uuid::encode_buffer()).to_owned()
}

/// The same with upper-case digits, as AWS writes the ids of requests.
pub fn upper_case_id() -> String {
    uuid().simple().encode_upper(&mut uuid::Uuid::encode_buffer()).to_owned()
}

/// A number from 0 to 255.
pub fn byte() -> u8 {
    uuid().as_bytes()[0]
}

/// Sixteen bytes, all random but six bits of the seventh and the ninth (RFC 9562 §5.4).
#[cfg(feature = "otel")]
pub fn bytes() -> [u8; 16] {
    uuid().into_bytes()
}

#[cfg(not(test))]
fn uuid() -> uuid::Uuid {
    uuid::Uuid::new_v4()
}

#[cfg(test)]
fn uuid() -> uuid::Uuid {
    seeded::uuid().unwrap_or_else(uuid::Uuid::new_v4)
}

/// The next number of a sequence that looks random, and is the same for the same seed (SplitMix64).
#[cfg(any(test, feature = "embedded"))]
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// A generator that gives the same values in every run, for tests that must be repeatable.
#[cfg(test)]
pub(crate) mod seeded {
    use std::cell::Cell;

    use super::next;

    thread_local! {
        static SEED: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// From now on every random value of this thread follows from the seed. `None` makes the values
    /// random again.
    pub(crate) fn with(seed: Option<u64>) {
        SEED.set(seed);
    }

    pub(super) fn uuid() -> Option<uuid::Uuid> {
        let mut state = SEED.get()?;
        let (high, low) = (next(&mut state), next(&mut state));
        SEED.set(Some(state));
        Some(uuid::Uuid::from_u64_pair(high, low))
    }
}

//! Memory that a burst left is given back to the system.

use std::hint::black_box;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

const EVERY: Duration = Duration::from_secs(2);
/// More than any page of the allocator, so that it takes a range of pages from its arena, and returns it.
const RANGE_BYTES: usize = 2 << 20;

/// Sees to it for as long as this future is polled.
///
/// mimalloc keeps what was freed for a second, since it may be wanted again. After that it gives it back, but only when
/// it next takes or returns a range of pages. A process that has become quiet does neither
/// (docs/decisions/0055-mimalloc.md).
pub(crate) async fn give_back() {
    let mut rounds = interval(EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        drop(black_box(Vec::<u8>::with_capacity(RANGE_BYTES)));
    }
}

//! Deletes that the store answers with an error.

use std::time::Duration;

use tokio::time::Instant;

use super::fake::{Bench, Fault, is_error, is_replay, status};
use super::{LEASE, SETTLE, SETTLED, if_match};
use crate::register::{State, Writers};
use crate::s3::Preconditions;

const BOTH: [Writers; 2] = [Writers::Exclusive, Writers::Shared];

/// The delete's own ending, how often it was sent, and how long the next writer waited for the key.
async fn ends(
    writers: Writers,
    preconditions: Preconditions,
    faults: Vec<Fault>,
) -> (crate::gate::Reply, usize, Duration) {
    let bench = Bench::new(writers, SETTLED * 2);
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    for fault in faults {
        bench.store.next(fault);
    }
    let began = Instant::now();
    let reply = bench.delete(preconditions).await;
    assert!(began.elapsed() < LEASE, "{writers:?}: {reply:?}");
    let sent = bench.store.begun() - 1;
    let began = Instant::now();
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    (reply, sent, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_delete_answered_with_an_error_is_sent_again_and_the_key_kept_quiet() {
    for writers in BOTH {
        let (reply, sent, quiet) =
            ends(writers, Preconditions::NONE, vec![Fault::Status(500)]).await;
        assert_eq!((status(&reply), sent), (204, 2), "{writers:?}: {reply:?}");
        assert!(quiet >= SETTLE && quiet < SETTLED, "the first copy may land yet: {quiet:?}");
    }
    let (reply, sent, _) = ends(Writers::Exclusive, if_match("e1"), vec![Fault::Status(503)]).await;
    assert_eq!((status(&reply), sent), (204, 2), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_was_done_and_answered_with_an_error_is_not_sent_again() {
    for writers in BOTH {
        for (faults, copies) in [
            (vec![Fault::FailedAfterLanding], 1),
            (vec![Fault::Status(500), Fault::FailedAfterLanding], 2),
        ] {
            let (reply, sent, quiet) = ends(writers, Preconditions::NONE, faults).await;
            assert!(is_replay(&reply, &State::Absent), "{writers:?}: {reply:?}");
            assert_eq!(sent, copies);
            if copies == 1 && writers == Writers::Exclusive {
                assert!(quiet < SETTLE, "the only copy has landed, by all that is seen: {quiet:?}");
            } else {
                assert!(quiet >= SETTLE && quiet < SETTLED, "{writers:?}: {quiet:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_delete_that_fails_twice_is_a_doubt() {
    let bench = Bench::new(Writers::Shared, LEASE);
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    bench.store.next(Fault::Status(500));
    bench.store.next(Fault::Status(500));
    assert!(is_error(&bench.delete(Preconditions::NONE).await, "ServiceUnavailable"));
    assert_eq!(bench.store.begun(), 3, "the write and two copies");
    assert!(is_error(&bench.write(if_match("e1")).await, "ConditionalRequestConflict"));
}

/// The object after the first copy may be another writer's, and then the condition fails.
#[tokio::test(start_paused = true)]
async fn a_conditional_delete_is_not_sent_again_where_others_write() {
    let bench = Bench::new(Writers::Shared, LEASE);
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    bench.store.next(Fault::FailedAfterLanding);
    *bench.store.then_foreign.lock().unwrap() = Some("foreign".to_owned());
    let reply = bench.delete(if_match("e1")).await;
    assert!(is_error(&reply, "ServiceUnavailable"), "{reply:?}");
    assert_eq!(bench.store.begun(), 2, "the write and one copy");
}

/// A refusal is an answer, and a known error of a store that has done nothing.
#[tokio::test(start_paused = true)]
async fn a_delete_that_was_definitely_not_done_is_not_sent_again() {
    for code in [403, 501] {
        let bench = Bench::new(Writers::Exclusive, LEASE);
        bench.store.next(Fault::Status(code));
        assert_eq!(status(&bench.delete(Preconditions::NONE).await), code);
        assert_eq!(bench.store.begun(), 1);
    }
}

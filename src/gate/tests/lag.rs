//! A store that shows what was replaced for a while, and a register that was told so
//! (docs/protocol.md#f20).

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderValue, Method, header};
use tokio::time::{Instant, advance};

use super::fake::{Bench, Fault, TERMS, is_error, is_replay, status};
use super::{LEASE, SETTLED, if_match};
use crate::gate::{Gate, Reply};
use crate::http1::fields::Fields;
use crate::register::{State, Terms};
use crate::s3::{Dialect, ETag, Operation, Preconditions, Query, RequestHead};

const LAG: Duration = Duration::from_secs(20);
const CREATE: Preconditions = Preconditions::IF_NONE_MATCH_ANY;

/// A client that waits for longer than the store lags.
const PATIENCE: Duration = Duration::from_mins(2);

fn present(etag: &str) -> State {
    State::Present(ETag::parse(etag.as_bytes()))
}

/// A condition that the register does not evaluate.
fn one_of_two(etags: &'static str) -> Preconditions {
    let headers: Fields =
        [(header::IF_MATCH, HeaderValue::from_static(etags))].into_iter().collect();
    let query = Query::default();
    let head =
        RequestHead { method: &Method::PUT, path: "/bucket/key", query: &query, headers: &headers };
    Preconditions::of_write(head, Operation::PutObject, Dialect::Rfc).unwrap()
}

/// The reply, and how long it took.
async fn timed(reply: impl Future<Output = Reply>) -> (Reply, Duration) {
    let began = Instant::now();
    (reply.await, began.elapsed())
}

/// Without the record, every one of these answers was wrong.
#[tokio::test(start_paused = true)]
async fn while_a_key_is_young_its_record_decides_and_afterwards_a_head() {
    let bench = Bench::lagging(LAG, LEASE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    let heads = bench.store.heads();
    assert!(is_error(&bench.write(CREATE).await, "PreconditionFailed"), "HEAD says 404");
    assert_eq!(status(&bench.write(if_match("e1")).await), 200);
    let stale = bench.write(if_match("e1")).await;
    assert!(matches!(&stale, Reply::Error(_, Some(etag)) if etag.as_bytes() == b"e2"), "{stale:?}");
    assert_eq!(status(&bench.delete(if_match("e2")).await), 204);
    assert!(is_error(&bench.write(if_match("e2")).await, "NoSuchKey"));
    assert_eq!(status(&bench.write(CREATE).await), 200);
    assert_eq!(bench.store.heads(), heads, "the store would have shown something older");
    advance(LAG).await;
    bench.store.put_around("around");
    advance(LAG).await;
    assert_eq!(status(&bench.write(if_match("around")).await), 200);
    assert_eq!(bench.store.heads(), heads + 1);
}

/// The store may not show what the record knows, and a date is only in a HEAD.
#[tokio::test(start_paused = true)]
async fn a_condition_that_the_record_cannot_judge_waits_until_the_store_shows_its_state() {
    let bench = Bench::lagging(LAG, PATIENCE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    let (reply, took) = timed(bench.write(one_of_two("\"e1\", \"e9\""))).await;
    assert_eq!(status(&reply), 200, "{reply:?}");
    assert!(took.abs_diff(LAG) < Duration::from_secs(2), "{took:?}");
}

/// What a complete without an ETag has left is not known.
#[tokio::test(start_paused = true)]
async fn a_young_key_of_unknown_state_is_written_without_a_condition_only() {
    let bench = Bench::lagging(LAG, LEASE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    bench.store.hides_etags.store(true, Ordering::Relaxed);
    assert_eq!(status(&bench.complete("u", Preconditions::NONE).await), 200);
    for preconditions in [CREATE, if_match("e1"), if_match("e2")] {
        let (reply, took) = timed(bench.write(preconditions)).await;
        let Reply::Error(error, None) = &reply else { panic!("{reply:?}") };
        assert_eq!((error.code(), error.retry_after_s()), ("ServiceUnavailable", Some(21)));
        assert!(error.message().contains("may not show yet"), "{error:?}");
        assert_eq!(took, Duration::ZERO, "nothing can end this earlier");
    }
    assert!(bench.early_look(&if_match("e1")).await.is_none(), "nothing is known");
    advance(LAG).await;
    assert_eq!(status(&bench.write(if_match("e2")).await), 200);
    bench.store.hides_etags.store(true, Ordering::Relaxed);
    assert_eq!(status(&bench.complete("v", Preconditions::NONE).await), 200);
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    assert_eq!(status(&bench.write(if_match("e5")).await), 200, "known again");
}

#[tokio::test(start_paused = true)]
async fn a_stale_writer_is_refused_before_its_body_by_the_record() {
    let bench = Bench::lagging(LAG, PATIENCE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    let heads = bench.store.heads();
    let refused = bench.early_look(&CREATE).await.expect("an object is there");
    assert!(is_error(&refused.reply, "PreconditionFailed"), "{refused:?}");
    assert!(bench.early_look(&if_match("e1")).await.is_none());
    assert_eq!(bench.store.heads(), heads);
    // The record is forgotten with its epoch, and what the store shows may be older.
    bench.register.forget();
    assert!(bench.early_look(&if_match("e1")).await.is_none());
}

/// A crash leaves a doubt. Another writer waits until the store would show a landing; a retry of the
/// write itself until its landing is seen.
#[tokio::test(start_paused = true)]
async fn a_doubt_waits_for_the_lag_unless_its_own_retry_sees_the_landing() {
    for (lands, own) in [(false, false), (false, true), (true, false), (true, true)] {
        let bench = Bench::lagging(LAG, PATIENCE).await;
        assert_eq!(status(&bench.write(CREATE).await), 200);
        advance(LAG).await;
        bench.store.next(if lands { Fault::LostAfterLanding } else { Fault::LostBeforeLanding });
        // Its client waits no longer than a moment; then the process dies.
        let dying = impatient(&bench.another_process());
        let id = if own { "own" } else { "another" };
        let lost = bench.attempt_at(&dying, if_match("e1"), id, 1).await;
        assert!(lands || is_error(&lost, "ServiceUnavailable"), "{lost:?}");
        let next = bench.another_process();
        let (reply, took) =
            timed(bench.attempt_at(&next, if_match("e1"), "own", 1 + u32::from(own))).await;
        // Its time to land and the lag, one after the other, are longer.
        let earlier = LAG + SETTLED / 2;
        let what = format!("{lands} {own}: {reply:?} after {took:?}");
        match (lands, own) {
            (true, true) => assert!(is_replay(&reply, &present("e2")) && took < earlier, "{what}"),
            (true, false) => assert!(is_error(&reply, "PreconditionFailed"), "{what}"),
            // Equal bytes could have landed.
            (false, true) => {
                assert!(is_error(&reply, "ServiceUnavailable") && took >= LAG, "{what}");
            }
            (false, false) => assert!(status(&reply) == 200 && took >= LAG, "{what}"),
        }
    }
}

/// The same gate, whose clients wait no longer than a moment.
fn impatient(gate: &Gate) -> Gate {
    let mut settings = gate.settings.clone();
    settings.lease_wait = Duration::from_millis(10);
    gate.with_settings(std::sync::Arc::clone(&gate.store), settings)
}

/// What stood there before the state before the write is no proof that the write landed.
#[tokio::test(start_paused = true)]
async fn an_older_state_is_not_taken_for_a_landing() {
    let bench = Bench::lagging(LAG, PATIENCE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    bench.store.next(Fault::LostBeforeLanding);
    let (reply, took) = timed(bench.delete(if_match("e1"))).await;
    assert_eq!(status(&reply), 204, "it was done after all: {reply:?}");
    assert!(took >= LAG, "{took:?}");
    assert_eq!((bench.store.begun(), bench.store.etag()), (3, None));
}

#[tokio::test(start_paused = true)]
async fn a_landing_that_is_seen_ends_the_wait_where_the_store_had_shown_the_state_before() {
    let bench = Bench::lagging(Duration::from_secs(2), PATIENCE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    advance(Duration::from_secs(2)).await;
    bench.store.next(Fault::LostAfterLanding);
    let (reply, took) = timed(bench.write(if_match("e1"))).await;
    assert!(is_replay(&reply, &present("e2")), "{reply:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// A delete that failed, of an object just written: the store says 404, as it did before the object.
#[tokio::test(start_paused = true)]
async fn that_an_object_is_gone_is_not_believed_while_its_key_is_young() {
    let bench = Bench::lagging(LAG, LEASE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    bench.store.next(Fault::Status(500));
    assert_eq!(status(&bench.delete(if_match("e1")).await), 204);
    assert_eq!(bench.store.begun(), 3, "it was sent again");
    assert_eq!(bench.store.etag(), None);
}

#[tokio::test(start_paused = true)]
async fn writes_of_a_key_keep_their_distance() {
    let spacing = Duration::from_secs(3);
    let bench = Bench::with_terms(Terms { spacing, ..TERMS }, LEASE);
    assert_eq!(status(&bench.write(CREATE).await), 200);
    for preconditions in [if_match("e1"), Preconditions::NONE] {
        let (reply, took) = timed(bench.write(preconditions)).await;
        assert_eq!(status(&reply), 200);
        assert!(took >= spacing && took < spacing * 2, "{took:?}");
    }
    advance(spacing).await;
    let (reply, took) = timed(bench.write(if_match("e3"))).await;
    assert_eq!((status(&reply), took), (200, Duration::ZERO));
}

//! A store that shows what was replaced for a while, and a register that was told so
//! (docs/protocol.md#f20).

use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tokio::time::{Instant, advance};

use super::fake::{Bench, Fault, TERMS, is_error, is_replay, status};
use super::{LEASE, SETTLED, if_match};
use crate::gate::{Expected, Gate, Reply, X_IFMATCH_GENERATION};
use crate::http1::fields::Fields;
use crate::register::{Register, State, Terms};
use crate::s3::{Current, Dialect, ETag, Operation, Preconditions, Query, RequestHead};

const LAG: Duration = Duration::from_secs(20);
const CREATE: Preconditions = Preconditions::IF_NONE_MATCH_ANY;

/// A client that waits for longer than the store lags.
const PATIENCE: Duration = Duration::from_mins(2);

fn present(etag: &str) -> State {
    State::Present(ETag::parse(etag.as_bytes()))
}

/// The condition of a write in the dialect of RFC 9110.
fn rfc(operation: Operation, name: &HeaderName, value: &'static str) -> Preconditions {
    let headers: Fields = [(name.clone(), HeaderValue::from_static(value))].into_iter().collect();
    let query = Query::default();
    let head =
        RequestHead { method: &Method::PUT, path: "/bucket/key", query: &query, headers: &headers };
    Preconditions::of_write(head, operation, Dialect::Rfc).unwrap()
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

/// Lists of ETags, and deletes in that dialect, are about the ETag alone.
#[tokio::test(start_paused = true)]
async fn the_record_of_a_young_key_judges_all_conditions_on_its_etag() {
    let bench = Bench::lagging(LAG, LEASE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    let heads = bench.store.heads();
    let of_put = |etags| rfc(Operation::PutObject, &header::IF_MATCH, etags);
    assert!(is_error(&bench.write(of_put("\"e8\", \"e9\"")).await, "PreconditionFailed"));
    assert_eq!(status(&bench.write(of_put("\"e1\", \"e9\"")).await), 200);
    let of_delete = |etag| rfc(Operation::DeleteObject, &header::IF_MATCH, etag);
    assert!(is_error(&bench.delete(of_delete("\"e1\"")).await, "PreconditionFailed"));
    assert_eq!(status(&bench.delete(of_delete("\"e2\"")).await), 204);
    assert_eq!(bench.store.heads(), heads);
}

/// An object was written, replaced, and written again with the same bytes: a HEAD may still show the
/// date of the first.
#[tokio::test(start_paused = true)]
async fn a_date_is_judged_when_the_store_shows_it() {
    let bench = Bench::lagging(LAG, PATIENCE).await;
    let lands_as = |etag: &str| *bench.store.lands_as.lock().unwrap() = Some(etag.to_owned());
    for etag in ["a", "b", "a"] {
        lands_as(etag);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    }
    let name = HeaderName::from_static("x-amz-if-match-last-modified-time");
    let condition = rfc(Operation::DeleteObject, &name, "Thu, 01 Jan 1970 00:00:10 GMT");
    let (reply, took) = timed(bench.delete(condition)).await;
    assert!(is_error(&reply, "PreconditionFailed"), "{reply:?}");
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

/// Readers are shown what the register knows. So nobody is told of a landing before that knows it: the
/// write is in doubt, and its retry is told of its success.
#[tokio::test(start_paused = true)]
async fn a_landing_that_cannot_be_recorded_is_not_told_where_the_store_lags() {
    let bench = Bench::lagging(LAG, PATIENCE).await;
    assert_eq!(status(&bench.write(CREATE).await), 200);
    bench.register.lose_commits(true);
    let lost = bench.attempt_at(&bench.gate, if_match("e1"), "own", 1).await;
    bench.register.lose_commits(false);
    let Reply::Error(error, None) = &lost else { panic!("{lost:?}") };
    assert_eq!((error.code(), bench.store.begun()), ("ServiceUnavailable", 2));
    assert!(error.message().contains("could not record it"), "{error:?}");
    let e1 = Current::Present(ETag::parse(b"e1"));
    assert_eq!(bench.gate.expected(&bench.name).await, Expected::This(e1));
    let told = bench.attempt_at(&bench.gate, if_match("e1"), "own", 2).await;
    assert!(is_replay(&told, &present("e2")), "{told:?}");
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
    // Its register may have had a predecessor.
    advance(spacing).await;
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

/// One HEAD that is older than the store was said to lag must not be remembered.
#[tokio::test(start_paused = true)]
async fn what_contradicts_a_record_is_not_believed_later() {
    let bench = Bench::lagging(Duration::from_secs(2), LEASE).await;
    bench.store.lags_by(LAG);
    assert_eq!(status(&bench.write(CREATE).await), 200);
    advance(LAG).await;
    assert_eq!(status(&bench.write(if_match("e1")).await), 200);
    advance(Duration::from_secs(3)).await;
    let heads = bench.store.heads();
    assert!(is_error(&bench.write(if_match("e9")).await, "PreconditionFailed"));
    assert_eq!(bench.store.heads(), heads + 1, "it showed e1");
    advance(Duration::from_hours(1)).await;
    assert!(is_error(&bench.write(if_match("e1")).await, "PreconditionFailed"));
    assert_eq!(status(&bench.write(if_match("e2")).await), 200);
}

/// A condition that waits for a young key keeps no other write of the process waiting.
#[tokio::test(start_paused = true)]
async fn a_write_that_waits_for_the_store_lets_others_pass() {
    let bench = Bench::lagging(LAG, PATIENCE).await;
    bench.store.hides_etags.store(true, Ordering::Relaxed);
    assert_eq!(status(&bench.write(CREATE).await), 200);
    assert_eq!(status(&bench.complete("u", Preconditions::NONE).await), 200);
    let plain = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        timed(bench.write(Preconditions::NONE)).await
    };
    let (waited, (reply, took)) = tokio::join!(timed(bench.write(if_match("e3"))), plain);
    assert_eq!((status(&reply), took), (200, Duration::ZERO));
    assert!(status(&waited.0) == 200 && waited.1 < Duration::from_secs(3), "{waited:?}");
}

/// Of a write whose commit was lost the register knows the generation only as one in doubt.
#[tokio::test(start_paused = true)]
async fn a_generation_in_doubt_refuses_nobody_early() {
    for lag in [Duration::ZERO, LAG] {
        let bench = Bench::lagging(lag, PATIENCE).await;
        let named = |reply: &Reply| {
            let Reply::Store(answer) = reply else { panic!("{reply:?}") };
            answer.headers.get(&X_IFMATCH_GENERATION).unwrap().to_str().unwrap().to_owned()
        };
        let first = named(&bench.write(Preconditions::NONE).await);
        bench.register.lose_commits(true);
        let lost = bench.write(Preconditions::NONE).await;
        bench.register.lose_commits(false);
        let pending = bench.register.observe(&bench.name).await.unwrap().pending;
        let second = pending.expect("the lease is armed").0;
        if lag.is_zero() {
            assert_eq!(named(&lost), second);
        } else {
            assert!(is_error(&lost, "ServiceUnavailable"), "{lost:?}");
        }
        advance(SETTLED + lag).await;
        for generation in [&first, &second] {
            let condition = Preconditions::if_generation_match(generation.as_str());
            assert!(bench.early_look(&condition).await.is_none(), "{lag:?}");
        }
        let replaced = bench.write(Preconditions::if_generation_match(second.as_str())).await;
        assert_eq!(status(&replaced), 200, "{lag:?}: {replaced:?}");
    }
}

/// The bytes are those that stood there, so only the id tells that the write landed.
#[tokio::test(start_paused = true)]
async fn an_id_on_the_object_tells_a_retry_of_its_landing_before_the_lag_is_over() {
    let mut bench = Bench::lagging(LAG, PATIENCE).await;
    bench.carries_ids = true;
    *bench.store.lands_as.lock().unwrap() = Some("e1".to_owned());
    assert_eq!(status(&bench.write(CREATE).await), 200);
    advance(LAG).await;
    bench.store.next(Fault::LostAfterLanding);
    let dying = impatient(&bench.another_process());
    let lost = bench.attempt_at(&dying, if_match("e1"), "own", 1).await;
    assert!(is_error(&lost, "ServiceUnavailable"), "equal bytes: {lost:?}");
    let next = bench.another_process();
    let (reply, took) = timed(bench.attempt_at(&next, if_match("e1"), "own", 2)).await;
    assert!(is_replay(&reply, &present("e1")), "{reply:?}");
    assert!(took < LAG + SETTLED / 2, "{took:?}");
}

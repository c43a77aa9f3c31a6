//! Multipart uploads: AWS's "changed since CreateMultipartUpload".

use std::sync::atomic::Ordering;

use http::StatusCode;

use super::fake::{Bench, Fault, OF_TWO_PARTS, is_error, is_replay, status};
use super::{LEASE, SETTLE_LONG, SETTLED, if_match};
use crate::gate::Reply;
use crate::register::{State, Writers};
use crate::s3::documents::{SuccessBody, outcome_of_success_body};
use crate::s3::{ETag, Preconditions};

const BOTH: [Writers; 2] = [Writers::Exclusive, Writers::Shared];

fn is_conflict(reply: &Reply) -> bool {
    is_error(reply, "ConditionalRequestConflict")
}

#[tokio::test(start_paused = true)]
async fn a_complete_is_judged_first_and_then_asked_whether_the_key_has_changed() {
    for writers in BOTH {
        let bench = Bench::new(writers, LEASE);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        assert_eq!(bench.create_upload("u").await, StatusCode::OK);
        assert!(is_error(
            &bench.complete("u", Preconditions::IF_NONE_MATCH_ANY).await,
            "PreconditionFailed"
        ));
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        assert!(is_error(&bench.complete("u", if_match("e1")).await, "PreconditionFailed"));
        assert!(is_conflict(&bench.complete("u", if_match("e2")).await), "{writers:?}");
        assert_eq!(bench.create_upload("v").await, StatusCode::OK);
        assert_eq!(status(&bench.complete("v", if_match("e2")).await), 200, "{writers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_not_there_is_said_before_the_condition() {
    let bench = Bench::new(Writers::Shared, LEASE);
    bench.store.put_around("e1");
    let reply = bench.complete("gone", Preconditions::IF_NONE_MATCH_ANY).await;
    assert!(is_error(&reply, "NoSuchUpload"), "{reply:?}");
    assert!(is_error(
        &bench.complete("u", Preconditions::IF_NONE_MATCH_ANY).await,
        "PreconditionFailed"
    ));
}

/// Ceph answers such a complete with 500, and the key would be shut for minutes.
#[tokio::test(start_paused = true)]
async fn a_complete_of_an_upload_that_is_not_there_is_not_sent() {
    for writers in BOTH {
        let bench = Bench::new(writers, LEASE);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        let landed = bench.store.written();
        for preconditions in [Preconditions::NONE, if_match("e1")] {
            let reply = bench.complete("gone", preconditions).await;
            assert!(is_error(&reply, "NoSuchUpload"), "{writers:?}: {reply:?}");
        }
        assert_eq!(bench.store.written(), landed, "{writers:?}");
        let began = tokio::time::Instant::now();
        assert_eq!(status(&bench.write(if_match("e1")).await), 200);
        assert!(began.elapsed() < LEASE, "the key is free");
    }
}

/// An upload that is gone may be gone because it was completed: the doubt comes first.
#[tokio::test(start_paused = true)]
async fn a_complete_that_landed_unheard_is_not_told_that_its_upload_is_gone() {
    let bench = Bench::new(Writers::Exclusive, LEASE + SETTLE_LONG * 2);
    bench.store.next(Fault::LostAndLate);
    let reply = bench.complete("once", Preconditions::IF_NONE_MATCH_ANY).await;
    assert!(is_replay(&reply, &State::Present(ETag::parse(b"e1"))), "{reply:?}");

    // Its client could not wait: another client asks again.
    let bench = Bench::new(Writers::Exclusive, LEASE);
    bench.store.next(Fault::LostAndLate);
    let reply = bench.complete("once", Preconditions::IF_NONE_MATCH_ANY).await;
    assert!(is_error(&reply, "ServiceUnavailable"), "{reply:?}");
    tokio::time::advance(LEASE + SETTLED + SETTLE_LONG).await;
    let reply = bench.complete("once", Preconditions::IF_NONE_MATCH_ANY).await;
    assert!(is_replay(&reply, &State::Present(ETag::parse(b"e1"))), "{reply:?}");

    let bench = Bench::new(Writers::Exclusive, LEASE + SETTLE_LONG * 2);
    bench.store.next(Fault::LostAfterLanding);
    let reply = bench.complete("once", Preconditions::NONE).await;
    assert!(is_error(&reply, "ServiceUnavailable"), "the outcome is unknown: {reply:?}");
}

#[tokio::test(start_paused = true)]
async fn equal_bytes_written_in_between_do_not_hide_the_change() {
    for writers in BOTH {
        let bench = Bench::new(writers, LEASE);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        assert_eq!(bench.create_upload("u").await, StatusCode::OK);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        // What a store says of the same bytes.
        bench.store.put_around("e1");
        assert!(is_conflict(&bench.complete("u", if_match("e1")).await), "{writers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_since_is_seen_by_the_store_s_own_dates() {
    let bench = Bench::new(Writers::Shared, LEASE);
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    for (modified, initiated, conflict) in [(99, 100, false), (100, 100, false), (101, 100, true)] {
        bench.store.put_around("e1");
        assert_eq!(status(&bench.write(if_match("e1")).await), 200);
        assert_eq!(bench.create_upload("u").await, StatusCode::OK);
        bench.store.put_around("foreign");
        *bench.store.dates_s.lock().unwrap() = (modified, initiated);
        let reply = bench.complete("u", if_match("foreign")).await;
        assert_eq!(is_conflict(&reply), conflict, "{modified} {initiated} {reply:?}");
        tokio::time::advance(super::fake::RETRY_HORIZON * 2).await;
    }
}

/// Found by the simulation: a HEAD under the lease made the foreign version the record's own.
#[tokio::test(start_paused = true)]
async fn what_others_wrote_since_is_seen_although_it_was_looked_at() {
    let bench = Bench::new(Writers::Shared, LEASE);
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    assert_eq!(bench.create_upload("u").await, StatusCode::OK);
    bench.store.put_around("foreign");
    *bench.store.dates_s.lock().unwrap() = (101, 100);
    assert!(is_error(&bench.write(Preconditions::IF_NONE_MATCH_ANY).await, "PreconditionFailed"));
    assert!(is_conflict(&bench.complete("u", if_match("foreign")).await));
}

#[tokio::test(start_paused = true)]
async fn a_register_that_forgot_the_upload_asks_when_it_began() {
    for (modified, conflict) in [(100, false), (101, true)] {
        let bench = Bench::new(Writers::Exclusive, LEASE);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        assert_eq!(bench.create_upload("u").await, StatusCode::OK);
        bench.register.forget();
        tokio::time::advance(SETTLED).await;
        *bench.store.dates_s.lock().unwrap() = (modified, 100);
        let reply = bench.complete("u", if_match("e1")).await;
        assert_eq!(is_conflict(&reply), conflict, "{reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn uploads_are_created_without_a_register_and_not_without_a_store() {
    let bench = Bench::new(Writers::Exclusive, LEASE);
    bench.register.cut_off(true);
    assert_eq!(bench.create_upload("u").await, StatusCode::OK);
    bench.register.cut_off(false);
    bench.store.next(Fault::LostAfterLanding);
    assert_eq!(bench.create_upload("v").await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_complete_asked_for_again_is_answered_with_its_success() {
    let bench = Bench::new(Writers::Exclusive, LEASE);
    assert_eq!(bench.create_upload("u").await, StatusCode::OK);
    assert_eq!(status(&bench.complete("u", Preconditions::IF_NONE_MATCH_ANY).await), 200);
    let again = bench.complete("u", Preconditions::IF_NONE_MATCH_ANY).await;
    assert!(is_replay(&again, &State::Present(ETag::parse(b"e1"))), "{again:?}");
    assert_eq!(bench.store.written(), 1);
}

/// Answers a complete without an ETag; the one that the client is told.
async fn etag_told(bench: &Bench, preconditions: Preconditions) -> Option<ETag> {
    bench.store.hides_etags.store(true, Ordering::Relaxed);
    *bench.store.lands_as.lock().unwrap() = Some(OF_TWO_PARTS.to_owned());
    assert_eq!(bench.create_upload("u").await, StatusCode::OK);
    let reply = bench.complete("u", preconditions).await;
    let Reply::Store(answer) = reply else { panic!("not the store's answer: {reply:?}") };
    *bench.store.lands_as.lock().unwrap() = None;
    match outcome_of_success_body(&answer.body) {
        SuccessBody::Result { etag } => {
            let empty = String::from_utf8_lossy(&answer.body).contains("<ETag></ETag>");
            assert!(!empty, "none is better than an empty one");
            etag
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_an_etag_is_completed_by_a_head() {
    for writers in BOTH {
        let bench = Bench::new(writers, LEASE);
        let etag = etag_told(&bench, Preconditions::NONE).await;
        assert_eq!(etag, Some(ETag::parse(OF_TWO_PARTS.as_bytes())), "{writers:?}");
        assert_eq!(status(&bench.write(if_match(OF_TWO_PARTS)).await), 200, "{writers:?}");
    }
}

/// A store that lags shows what stood there before; believed, it let a stale writer in.
#[tokio::test(start_paused = true)]
async fn a_head_that_may_be_older_than_the_landing_completes_no_answer() {
    for preconditions in [Preconditions::NONE, if_match("e1")] {
        let bench = Bench::new(Writers::Exclusive, LEASE);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        bench.store.lags.store(true, Ordering::Relaxed);
        assert_eq!(etag_told(&bench, preconditions.clone()).await, None, "{preconditions:?}");
        bench.store.lags.store(false, Ordering::Relaxed);
        let stale = bench.write(if_match("e1")).await;
        assert!(is_error(&stale, "PreconditionFailed"), "{preconditions:?}: {stale:?}");
        assert_eq!(status(&bench.write(if_match(OF_TWO_PARTS)).await), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_may_show_what_others_wrote_completes_no_answer() {
    let bench = Bench::new(Writers::Shared, LEASE);
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    *bench.store.then_foreign.lock().unwrap() = Some("foreign".to_owned());
    assert_eq!(etag_told(&bench, if_match("e1")).await, None);
    assert_eq!(bench.store.etag().as_deref(), Some("foreign"));
}

/// Garage drops an upload when its key is written meanwhile: the losers of a race by complete were
/// told that there had never been one.
#[tokio::test(start_paused = true)]
async fn an_upload_that_went_with_a_write_of_its_key_is_a_conflict() {
    for writers in BOTH {
        let bench = Bench::new(writers, LEASE);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        assert_eq!(bench.create_upload("dropped").await, StatusCode::OK);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        let condition_fails = "PreconditionFailed";
        for (preconditions, code) in [
            (Preconditions::IF_NONE_MATCH_ANY, condition_fails),
            (if_match("e1"), condition_fails),
            (if_match("e2"), "ConditionalRequestConflict"),
            (Preconditions::NONE, "NoSuchUpload"),
        ] {
            let reply = bench.complete("dropped", preconditions.clone()).await;
            assert!(is_error(&reply, code), "{writers:?} {preconditions:?}: {reply:?}");
        }
        assert_eq!(bench.store.written(), 2, "none of them was sent");
        // Aborted, with the key as it was.
        assert_eq!(bench.create_upload("gone").await, StatusCode::OK);
        let reply = bench.complete("gone", if_match("e2")).await;
        assert!(is_error(&reply, "NoSuchUpload"), "{writers:?}: {reply:?}");
    }
}

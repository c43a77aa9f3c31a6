//! Compare-and-swap by generation, which equal bytes do not deceive.

use super::fake::{Bench, Fault, is_error, status};
use super::{LEASE, SETTLED, if_match};
use crate::gate::Reply;
use crate::register::Writers;
use crate::s3::Preconditions;

const BOTH: [Writers; 2] = [Writers::Exclusive, Writers::Shared];

/// The generation that the answer to a write names.
fn generation(reply: &Reply) -> Preconditions {
    let Reply::Store(answer) = reply else { panic!("not the store's answer: {reply:?}") };
    let name = answer.headers.get("x-ifmatch-generation").expect("every landing names its own");
    Preconditions::if_generation_match(name.to_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_generation_can_be_swapped_once() {
    for writers in BOTH {
        let bench = Bench::new(writers, LEASE);
        let first = generation(&bench.write(Preconditions::NONE).await);
        let reply = bench.write(first.clone()).await;
        let second = generation(&reply);
        assert_ne!(first, second);
        let stale = bench.write(first).await;
        let Reply::Error(error, Some(etag)) = &stale else { panic!("{stale:?}") };
        assert_eq!(error.field("Condition"), Some("x-ifmatch-if-generation-match"));
        assert_eq!(etag.as_bytes(), b"e2");
        assert_eq!(status(&bench.write(second).await), 200, "{writers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_bytes_again_are_another_generation() {
    for writers in BOTH {
        let bench = Bench::new(writers, LEASE);
        let first = generation(&bench.write(Preconditions::NONE).await);
        assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
        bench.store.put_around("e1");
        assert!(is_error(&bench.write(first).await, "PreconditionFailed"), "{writers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_wrote_has_no_generation() {
    let bench = Bench::new(Writers::Shared, LEASE);
    let first = generation(&bench.write(Preconditions::NONE).await);
    bench.store.put_around("foreign");
    assert!(is_error(&bench.write(first).await, "PreconditionFailed"));
}

/// Found by the simulation: a HEAD under the lease told the record of the foreign version, which
/// then passed for the generation of the last landing.
#[tokio::test(start_paused = true)]
async fn what_others_wrote_gets_no_generation_by_being_looked_at() {
    let bench = Bench::new(Writers::Shared, LEASE);
    let first = generation(&bench.write(Preconditions::NONE).await);
    bench.store.put_around("foreign");
    for _ in 0..2 {
        assert!(is_error(&bench.write(first.clone()).await, "PreconditionFailed"));
    }
    bench.store.next(Fault::Status(403));
    assert_eq!(status(&bench.write(if_match("foreign")).await), 403);
    assert!(is_error(&bench.write(first).await, "PreconditionFailed"));
    assert_eq!(bench.store.written(), 1);
}

/// Found by the simulation: where the record does not know the key's state, no part of the proxy does.
#[tokio::test(start_paused = true)]
async fn what_others_wrote_while_the_record_knew_nothing_has_no_generation() {
    let bench = Bench::new(Writers::Shared, SETTLED);
    bench.store.next(Fault::DeadPooled);
    let resent = generation(&bench.write(Preconditions::NONE).await);
    bench.store.put_around("foreign");
    assert!(is_error(&bench.write(resent).await, "PreconditionFailed"));
    bench.register.lose_commits(true);
    let unrecorded = generation(&bench.write(Preconditions::NONE).await);
    bench.register.lose_commits(false);
    bench.store.put_around("foreign again");
    for _ in 0..2 {
        assert!(is_error(&bench.write(unrecorded.clone()).await, "PreconditionFailed"));
    }
    assert_eq!(bench.store.written(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_generation_ends_with_the_memory_of_the_register() {
    let bench = Bench::new(Writers::Exclusive, LEASE);
    let first = generation(&bench.write(Preconditions::NONE).await);
    bench.register.forget();
    tokio::time::advance(SETTLED).await;
    assert!(is_error(&bench.write(first).await, "PreconditionFailed"));
}

#[tokio::test(start_paused = true)]
async fn a_stale_generation_is_refused_before_the_body() {
    let bench = Bench::new(Writers::Exclusive, LEASE);
    let first = generation(&bench.write(Preconditions::NONE).await);
    assert!(bench.early_look(&first).await.is_none());
    assert_eq!(status(&bench.write(Preconditions::NONE).await), 200);
    let outcome = bench.early_look(&first).await.expect("it is stale");
    assert!(is_error(&outcome.reply, "PreconditionFailed"));
}

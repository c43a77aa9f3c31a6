//! Tests of what is shown of the writes under way.

use super::*;

const S: Duration = Duration::from_secs(1);

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn begin(writes: &Writes, key: &str, now: Instant) -> UnderWay {
    writes.begin(("b", key), "PutObject", now)
}

#[test]
fn a_write_is_shown_with_what_it_waits_for_until_its_last_part_ends() {
    let (writes, began) = (Writes::new(1), now());
    let write = begin(&writes, "a", began);
    write.waits_for(WaitsFor::Lease, || began + S, Some(began + 6 * S));
    // The same wait goes on, with another end.
    write.waits_for(WaitsFor::Lease, || began + 2 * S, Some(began + 7 * S));
    let part = write.clone();
    drop(write);
    let look = writes.look(9, began + 3 * S);
    assert_eq!(look.count, 1);
    let shown = &look.under_way[0];
    assert_eq!((&*shown.bucket, &*shown.key, shown.operation), ("b", "a", "PutObject"));
    assert_eq!((shown.age, shown.waits_since), (3 * S, 2 * S));
    assert_eq!((shown.waits_for, shown.waits_left), (WaitsFor::Lease, Some(4 * S)));
    assert!(!shown.has_lease && !shown.in_doubt);
    part.waits_for(WaitsFor::Store, || began + 3 * S, None);
    part.has_lease(true);
    part.in_doubt(true);
    let shown = &writes.look(9, began + 5 * S).under_way[0];
    assert_eq!((shown.waits_for, shown.waits_since), (WaitsFor::Store, 2 * S));
    assert!(shown.has_lease && shown.in_doubt && shown.waits_left.is_none());
    drop(part);
    assert_eq!(writes.look(9, began), Look::default());
}

#[test]
fn entries_are_bounded_and_used_again_and_the_oldest_are_shown() {
    let (writes, began) = (Writes::new(1), now());
    let most = u32::try_from(ENTRIES_MAX).unwrap() + 5;
    let all: Vec<_> =
        (0..most).map(|number| begin(&writes, &number.to_string(), began + S * number)).collect();
    let look = writes.look(3, began);
    assert_eq!(look.count, all.len());
    let keys: Vec<_> = look.under_way.iter().map(|shown| &*shown.key).collect();
    assert_eq!(keys, ["0", "1", "2"]);
    assert!(all.last().unwrap().entry().is_none());
    all.last().unwrap().waits_for(WaitsFor::Store, || began, None);
    drop(all);
    assert_eq!(writes.look(3, began).count, 0);
    let again = begin(&writes, "again", began);
    let kept = writes.0.as_ref().unwrap();
    let places: usize = kept.threads.iter().map(|entries| locked(entries).places.len()).sum();
    assert_eq!((places, again.entry().is_some()), (ENTRIES_MAX, true));
}

#[test]
fn what_was_left_in_doubt_is_shown_until_its_key_is_free() {
    let (writes, began) = (Writes::new(1), now());
    let leave = |key: &str, free| {
        writes.leave_in_doubt(LeftInDoubt {
            bucket: "b".to_owned(),
            key: key.to_owned(),
            operation: "PutObject",
            ended: began,
            free: began + free,
        });
    };
    let keys = |at| -> Vec<String> {
        writes.look(9, began + at).left_in_doubt.into_iter().map(|left| left.key).collect()
    };
    (0..LEFT_MAX + 6).for_each(|number| leave(&number.to_string(), 9 * S));
    assert_eq!(keys(S).len(), LEFT_MAX);
    leave("a", 60 * S);
    leave("b", 60 * S);
    assert_eq!(keys(10 * S), ["b", "a"]);
    writes.settles(("b", "a"));
    writes.settles(("other", "b"));
    assert_eq!(keys(10 * S), ["b"]);
    assert_eq!(keys(60 * S), Vec::<String>::new());
}

#[test]
fn where_nobody_can_look_nothing_is_kept() {
    let (writes, began) = (Writes::default(), now());
    let write = begin(&writes, "a", began);
    write.waits_for(WaitsFor::Store, || began, None);
    writes.settles(("b", "a"));
    assert_eq!(writes.look(9, began), Look::default());
}

#[test]
fn each_wait_has_its_own_number_and_words() {
    for (number, what) in WaitsFor::ALL.into_iter().enumerate() {
        assert_eq!(what as usize, number);
        let same = |other: &&WaitsFor| other.as_str() == what.as_str();
        assert_eq!(WaitsFor::ALL.iter().filter(same).count(), 1);
        assert!(!what.in_words().is_empty());
    }
}

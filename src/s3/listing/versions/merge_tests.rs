//! What the merge says of single pages. Whole listings are told as stories where the pages are read
//! (`proxy/consistent_versions_tests.rs`).

use super::*;
use crate::s3::Query;
use crate::s3::listing::versions::VersionsPage;

fn id(text: &str) -> VersionId {
    VersionId::parse(text).unwrap()
}

/// A page with these rows: "key id", with "!" before a delete marker's id, or a common prefix; the first of
/// a key is the current one, but for that of `inside`.
fn page(rows: &[&str], inside: Option<&str>) -> Vec<Row> {
    let mut document = "<ListVersionsResult>".to_owned();
    let mut before = inside.map(str::to_owned);
    for row in rows {
        let Some((key, id)) = row.split_once(' ') else {
            document.push_str("<CommonPrefixes><Prefix>");
            document.push_str(row);
            document.push_str("</Prefix></CommonPrefixes>");
            continue;
        };
        let latest = before.as_deref() != Some(key);
        before = Some(key.to_owned());
        let (kind, id) = match id.strip_prefix('!') {
            Some(id) => ("DeleteMarker", id),
            None => ("Version", id),
        };
        let version = format!(
            "<{kind}><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>\
             <ETag>\"{id}\"</ETag></{kind}>"
        );
        document.push_str(&version);
    }
    VersionsPage::parse((document + "</ListVersionsResult>").as_bytes()).unwrap().rows
}

/// Events in the same form, the newest first: "id", "!id" or "-id".
fn events(of: &[&str]) -> Lately {
    let event = |text: &&str| match (text.strip_prefix('!'), text.strip_prefix('-')) {
        (Some(marker), _) => Event::Marker(id(marker), Some(7)),
        (_, Some(gone)) => Event::Gone(id(gone)),
        (None, None) => Event::Put(id(text), ETag::parse(text.as_bytes()), None),
    };
    Lately::Events(of.iter().map(event).collect())
}

fn overlay(keys: &[(&str, &[&str])]) -> VersionsOverlay {
    let keys = keys.iter().map(|(key, of)| ((*key).to_owned(), events(of)));
    VersionsOverlay { keys: keys.collect(), horizon: None }
}

/// The entries in the same form, with "*" behind the current version.
fn shown(merged: &MergedVersions) -> Vec<String> {
    let entry = |entry: &Entry| match entry {
        Entry::Row(row) => {
            let marker = if row.kind == Kind::Marker { "!" } else { "" };
            let latest = if row.is_latest { "*" } else { "" };
            format!("{} {marker}{}{latest}", row.key, row.id.as_str())
        }
        Entry::Made(made) => {
            let marker = if matches!(made.made, Made::Marker(_)) { "!" } else { "" };
            let latest = if made.is_latest { "*" } else { "" };
            format!("{} {marker}{}{latest} made", made.key, made.id.as_str())
        }
        Entry::Prefix(prefix) => prefix.clone(),
    };
    merged.entries.iter().map(entry).collect()
}

fn request(query: &str) -> VersionsRequest {
    VersionsRequest::of(&Query::parse(query)).unwrap()
}

fn merged(query: &str, rows: &[&str], overlay: &VersionsOverlay) -> MergedVersions {
    let request = request(query);
    let begin = Begin::of(request.start.clone(), Some(overlay));
    let inside = begin.place.version().filter(|_| !begin.from_first);
    let rows = page(rows, inside.map(|(key, _)| key));
    merge(&request, &begin, (rows, None), overlay)
}

#[test]
fn the_newest_version_is_the_current_one_whether_the_store_shows_it_or_not() {
    let all = |of: &[&str]| shown(&merged("", &["a 2", "a 1", "b 1"], &overlay(&[("a", of)])));
    assert_eq!(all(&["3"]), ["a 3* made", "a 2", "a 1", "b 1*"]);
    assert_eq!(all(&["!3"]), ["a !3* made", "a 2", "a 1", "b 1*"]);
    assert_eq!(all(&["2"]), ["a 2*", "a 1", "b 1*"]);
    assert_eq!(all(&["-2"]), ["a 1*", "b 1*"]);
    assert_eq!(all(&["-2", "-1"]), ["b 1*"]);
    assert_eq!(all(&["-3", "3"]), ["a 2*", "a 1", "b 1*"]);
    assert_eq!(all(&["4", "-2", "3"]), ["a 4* made", "a 3 made", "a 1", "b 1*"]);
    let fresh = merged("", &["b 1"], &overlay(&[("a", &["2", "1"]), ("c", &["!1"])]));
    assert_eq!(shown(&fresh), ["a 2* made", "a 1 made", "b 1*", "c !1* made"]);
}

#[test]
fn the_version_null_is_replaced() {
    let all = |rows: &[&str], of: &[&str]| shown(&merged("", rows, &overlay(&[("a", of)])));
    assert_eq!(all(&["a 1", "a null"], &["null"]), ["a null*", "a 1"]);
    assert_eq!(all(&["a !null", "a 1"], &["null"]), ["a null* made", "a 1"]);
    assert_eq!(all(&["a null", "a 1"], &["!null"]), ["a !null* made", "a 1"]);
    assert_eq!(all(&["a null"], &["-null", "null"]), [""; 0]);
    assert_eq!(all(&["a null"], &["null", "-null"]), ["a null*"]);
}

#[test]
fn a_page_inside_a_key_goes_on_after_its_version() {
    let after = |id: &str, rows: &[&str], of: &[&str]| {
        let query = format!("key-marker=a&version-id-marker={id}");
        shown(&merged(&query, rows, &overlay(&[("a", of), ("b", &["9"])])))
    };
    // The store is asked for what comes after an old version.
    assert_eq!(after("3", &["a 2", "a 1", "b 1"], &["4"]), ["a 2", "a 1", "b 9* made", "b 1"]);
    assert_eq!(after("3", &["a 2", "a 1"], &["4", "-2"]), ["a 1", "b 9* made"]);
    // It is asked for all of the key where it may not know the version.
    let rows = &["a 3", "a 2", "a 1", "ab 7"];
    assert_eq!(after("4", rows, &["5", "4", "-2"]), ["a 3", "a 1"]);
    assert_eq!(
        after("6", rows, &["7", "6", "!5", "4"]),
        ["a !5 made", "a 4 made", "a 3", "a 2", "a 1"]
    );
    assert_eq!(after("3", rows, &["4", "3"]), ["a 2", "a 1"]);
    // A version that was deleted since: what comes after it is not lost.
    assert_eq!(after("2", rows, &["-2", "4"]), ["a 1"]);
    assert_eq!(after("2", &["a 1"], &["-2", "4"]), ["a 1"]);
    assert_eq!(after("5", rows, &["-5", "5", "4"]), ["a 4* made", "a 3", "a 2", "a 1"]);
}

#[test]
fn a_page_that_was_asked_for_one_key_ends_with_it() {
    let query = "key-marker=a&version-id-marker=4";
    let overlay = overlay(&[("a", &["4"]), ("b", &["9"])]);
    let begin = Begin::of(request(query).start, Some(&overlay));
    assert!(begin.from_first);
    let next =
        |rows: &[&str], end| merge(&request(query), &begin, (page(rows, None), end), &overlay).next;
    let (all, cut) = (Place::After("a".to_owned()), Place::AfterVersion("a".to_owned(), id("3")));
    assert_eq!(next(&["a 3"], None), Some(all.clone()));
    let beyond = Place::AfterVersion("ab".to_owned(), id("7"));
    assert_eq!(next(&["a 3", "ab 7"], Some(beyond)), Some(all));
    assert_eq!(next(&["a 3"], Some(cut.clone())), Some(cut));
}

#[test]
fn a_common_prefix_is_there_if_a_version_below_it_is() {
    let below = |rows: &[&str], of: &[&str]| {
        let merged = merged("delimiter=/", rows, &overlay(&[("a/b", of)]));
        (shown(&merged), merged.doubtful)
    };
    let none = Vec::<String>::new;
    let there = vec!["a/".to_owned()];
    assert_eq!(below(&[], &["1"]), (there.clone(), none()));
    assert_eq!(below(&[], &["!1"]), (there.clone(), none()));
    assert_eq!(below(&["a/"], &["1", "-2"]), (there.clone(), none()));
    assert_eq!(below(&["a/"], &["-1"]), (there.clone(), there.clone()));
    assert_eq!(below(&[], &["-1"]), (none(), none()));
}

#[test]
fn behind_the_horizon_nothing_is_said() {
    let mut known = overlay(&[("a", &["2"]), ("c", &["-1"])]);
    known.horizon = Some("c".to_owned());
    let merged = merged("", &["a 1", "c 1", "d 1"], &known);
    assert_eq!(shown(&merged), ["a 2* made", "a 1"]);
    assert_eq!(merged.next, Some(Place::After("c".to_owned())));
    assert!(merged.is_changed);
}

#[test]
fn what_is_not_known_stays_as_the_store_shows_it_and_is_told() {
    let keys = [("a".to_owned(), Lately::Unknown)].into();
    let known = VersionsOverlay { keys, horizon: None };
    let merged = merged("", &["a 2", "a 1"], &known);
    assert_eq!(shown(&merged), ["a 2*", "a 1"]);
    assert!(merged.has_unknown && !merged.is_changed);
}

#[test]
fn a_page_has_no_more_entries_than_were_asked_for() {
    let known = overlay(&[("a", &["4", "3"])]);
    let merged = merged("max-keys=3", &["a 2", "a 1"], &known);
    assert_eq!(shown(&merged), ["a 4* made", "a 3 made", "a 2"]);
    assert_eq!(merged.next, Some(Place::AfterVersion("a".to_owned(), id("2"))));
}

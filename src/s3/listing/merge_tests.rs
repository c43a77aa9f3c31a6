use super::*;
use crate::s3::listing::Version;
use crate::s3::listing::request::Said;
use crate::s3::xml::Element;

fn request(prefix: &str, delimiter: Option<&str>, max_keys: usize) -> ListRequest {
    ListRequest {
        version: Version::Two,
        prefix: prefix.to_owned(),
        delimiter: delimiter.map(str::to_owned),
        max_keys,
        start: None,
        said: Said::default(),
    }
}

fn etag(text: &str) -> ETag {
    ETag::parse(text.as_bytes())
}

/// Names that end in `/` are common prefixes.
fn rows(names: &[&str]) -> Vec<Row> {
    let row = |name: &&str| Row {
        name: (*name).to_owned(),
        etag: (!name.ends_with('/')).then(|| etag("old")),
        element: Element::default(),
    };
    names.iter().map(row).collect()
}

fn overlay(keys: &[(&str, Fresh)], horizon: Option<&str>) -> Overlay {
    let keys = keys.iter().map(|(key, fresh)| ((*key).to_owned(), fresh.clone())).collect();
    Overlay { keys, horizon: horizon.map(str::to_owned) }
}

fn object(text: &str) -> Fresh {
    Fresh::Object(etag(text), None)
}

/// The entries: with `+` what the store does not show, with `~` what it shows otherwise.
fn shown(merged: &Merged) -> Vec<String> {
    let shown = |entry: &Entry| match entry {
        Entry::Row(row) => row.name.clone(),
        Entry::Made(made) if made.older.is_some() => format!("~{}", made.key),
        Entry::Made(made) => format!("+{}", made.key),
        Entry::Prefix(prefix) => prefix.clone(),
    };
    merged.entries.iter().map(shown).collect()
}

fn next(merged: &Merged) -> Option<(Position, bool)> {
    merged.next.clone().map(|next| (next.position, next.with_the_store))
}

fn after(key: &str) -> Position {
    Position::After(key.to_owned())
}

fn after_all(prefix: &str) -> Position {
    Position::AfterAll(prefix.to_owned())
}

#[test]
fn what_was_written_is_listed_and_what_was_deleted_is_not() {
    let known = overlay(
        &[
            ("a", Fresh::Nothing),
            ("b", object("new")),
            ("c", object("old")),
            ("d", object("new")),
            ("f", Fresh::Nothing),
        ],
        None,
    );
    let page = rows(&["a", "b", "c", "e"]);
    let merged = merge(&request("", None, 9), &Position::First, (page, false), &known);
    assert_eq!(shown(&merged), ["~b", "c", "+d", "e"]);
    assert_eq!((merged.next, merged.has_unknown, merged.is_changed), (None, false, true));
}

#[test]
fn a_page_in_which_nothing_is_young_is_the_store_s() {
    let known = overlay(&[("c", object("old")), ("x", object("new"))], None);
    let page = rows(&["a/", "c", "d"]);
    let merged = merge(&request("", Some("/"), 3), &Position::First, (page, true), &known);
    assert_eq!(shown(&merged), ["a/", "c", "d"]);
    assert_eq!(next(&merged), Some((after("d"), true)), "what comes later waits for its page");
    assert!(!merged.is_changed && !merged.has_unknown);
}

#[test]
fn a_page_has_no_more_entries_than_were_asked_for() {
    let known = overlay(&[("a", object("new")), ("c", object("new"))], None);
    let page = rows(&["b", "d"]);
    let merged = merge(&request("", None, 2), &Position::First, (page, false), &known);
    assert_eq!(
        (shown(&merged), next(&merged)),
        (vec!["+a".to_owned(), "b".into()], Some((after("b"), false)))
    );
}

#[test]
fn a_common_prefix_is_there_if_a_key_below_it_is() {
    let keys = [
        ("a/1", object("new")),
        ("b/1", Fresh::Nothing),
        ("c/1", Fresh::Nothing),
        ("c/2", object("new")),
        ("d/1", Fresh::Unknown),
        ("e/1", Fresh::Nothing),
    ];
    let page = rows(&["b/", "c/", "d/"]);
    let known = overlay(&keys, None);
    let merged = merge(&request("", Some("/"), 9), &Position::First, (page, false), &known);
    assert_eq!(shown(&merged), ["a/", "b/", "c/", "d/"]);
    assert_eq!(merged.doubtful, ["b/"], "a key below c/ is there, and nobody lists e/");
    assert!(merged.has_unknown);
}

#[test]
fn behind_the_horizon_nothing_is_said() {
    let request = request("", Some("/"), 9);
    let merged_with = |keys: &[(&str, Fresh)], horizon| {
        let (page, known) = (rows(&["a", "b/", "c", "e"]), overlay(keys, Some(horizon)));
        merge(&request, &Position::First, (page, true), &known)
    };
    let merged = merged_with(&[("a", Fresh::Nothing), ("d", object("new"))], "d");
    assert_eq!(shown(&merged), ["b/", "c", "+d"]);
    assert_eq!(next(&merged), Some((after("d"), false)));
    // Below a common prefix: it is passed as a whole.
    let alive = merged_with(&[("b/1", object("new"))], "b/1");
    assert_eq!(
        (shown(&alive), next(&alive)),
        (vec!["a".to_owned(), "b/".into()], Some((after_all("b/"), false)))
    );
    assert_eq!(alive.doubtful, [""; 0]);
    let gone = merged_with(&[("aa/1", Fresh::Nothing)], "aa/1");
    assert_eq!(
        (shown(&gone), gone.doubtful),
        (vec!["a".to_owned(), "aa/".into()], vec!["aa/".to_owned()])
    );
    // Behind the store's page: it is of no account.
    let far = merged_with(&[("a", object("old"))], "x");
    assert_eq!((shown(&far).len(), next(&far)), (4, Some((after("e"), true))));
}

#[test]
fn a_page_begins_where_it_was_to_begin() {
    let known = Overlay::default();
    for (start, expected) in [
        (after("a/1"), &["a/", "b"][..]),
        (after_all("a/"), &["b"]),
        (after("a"), &["a/", "b"]),
        (after("b"), &[]),
    ] {
        let page = rows(&["a", "a/", "b"]);
        let merged = merge(&request("", Some("/"), 9), &start, (page, false), &known);
        assert_eq!(shown(&merged), expected, "{start:?}");
    }
}

#[test]
fn an_empty_page_goes_on_where_the_store_does() {
    let merged = merge(&request("", None, 9), &after("k"), (Vec::new(), true), &Overlay::default());
    assert_eq!(next(&merged), Some((after("k"), true)));
    let known = overlay(&[("l", object("new"))], None);
    let merged = merge(&request("", None, 9), &after("k"), (Vec::new(), true), &known);
    assert_eq!((shown(&merged).len(), next(&merged)), (0, Some((after("k"), true))));
}

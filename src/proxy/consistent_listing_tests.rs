//! Random stories of a store whose listings lag, against what a store that does not lag would list.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;

use super::*;
use crate::http1::fields::Fields;
use crate::proxy::dice::Dice;
use crate::s3::encoding::{decode_query, encode_path};
use crate::s3::listing::Fresh;
use crate::s3::{ETag, Operation, Query};

fn key(dice: &Dice) -> String {
    (0..=dice.below(5)).map(|_| dice.pick(&["a", "b", "/", "0"])).collect()
}

/// An entry of a listing: a name, and an ETag or none for a common prefix.
type Shown = (String, Option<String>);

/// The states of a key, each an ETag or nothing, and when it began.
type States = Vec<(u64, Option<String>)>;

/// A store whose listings may show, of each key, any state of the last `lag` moments.
#[derive(Debug)]
struct Store {
    dice: Dice,
    lag: u64,
    now: Cell<u64>,
    /// Each key's states, and when they began.
    keys: RefCell<BTreeMap<String, States>>,
    /// How many entries the register gives at once.
    limit: usize,
    /// The register does not know all, and the store does not say what objects are.
    is_ignorant: bool,
    leaves_out: Fault,
    /// A common prefix was looked below.
    looked_below: Cell<bool>,
}

/// A part of the rules that is left out, to see that it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// What was written lately is not asked for.
    Overlay,
    /// What is behind the horizon is taken for old.
    Horizon,
    /// Common prefixes stay without a look.
    LookBelow,
    /// The store's lag is longer than was told.
    LagTooShort,
    /// The store is asked before the register, and entries may be over in between.
    StoreFirst,
}

impl Store {
    fn change(&self) {
        let key = key(&self.dice);
        let now = self.now.get() + 1;
        self.now.set(now);
        let state = (!self.dice.below(5).lt(&2)).then(|| format!("e{now}"));
        self.keys.borrow_mut().entry(key).or_default().push((now, state));
    }

    fn wait(&self, moments: u64) {
        self.now.set(self.now.get() + moments);
    }

    fn truth(&self) -> BTreeMap<String, String> {
        let keys = self.keys.borrow();
        let last =
            keys.iter().map(|(key, states)| (key, states.last().and_then(|(_, it)| it.clone())));
        last.filter_map(|(key, state)| Some((key.clone(), state?))).collect()
    }

    /// What a listing shows that is asked now.
    fn view(&self) -> BTreeMap<String, String> {
        let since = self.now.get().saturating_sub(self.lag);
        let mut view = BTreeMap::new();
        for (key, states) in self.keys.borrow().iter() {
            // A state may be shown for as long after it was replaced as the store lags.
            let ends = states.iter().skip(1).map(|(at, _)| *at).chain([u64::MAX]);
            let mut shown: Vec<_> = states
                .iter()
                .zip(ends)
                .filter(|(_, end)| *end > since)
                .map(|(it, _)| it.1.clone())
                .collect();
            if states[0].0 > since {
                shown.push(None);
            }
            let chosen = usize::try_from(self.dice.below(shown.len() as u64)).unwrap();
            if let Some(etag) = shown.swap_remove(chosen) {
                view.insert(key.clone(), etag);
            }
        }
        view
    }
}

/// What a store lists of these keys, and whether there is more.
fn page_of(
    keys: &BTreeMap<String, String>,
    prefix: &str,
    delimiter: Option<&str>,
    start: &Position,
    most: usize,
) -> (Vec<Shown>, bool) {
    let rolling =
        ListRequest { delimiter: delimiter.map(str::to_owned), ..ListRequest::below(prefix, 1000) };
    let mut page: Vec<Shown> = Vec::new();
    for (key, etag) in keys {
        if !key.starts_with(prefix) || !start.is_before(key) {
            continue;
        }
        let entry = match rolling.rolled_up(key) {
            Some(rolled) => (rolled.to_owned(), None),
            None => (key.clone(), Some(etag.clone())),
        };
        if page.last() == Some(&entry) {
            continue;
        }
        if page.len() == most {
            return (page, true);
        }
        page.push(entry);
    }
    (page, false)
}

impl Sources for Store {
    async fn overlay(&self, request: &ListRequest, position: &Position) -> Option<Overlay> {
        if self.leaves_out == Fault::Overlay {
            return Some(Overlay::default());
        }
        if self.is_ignorant && self.dice.one_in(10) {
            return None;
        }
        let lag = match self.leaves_out {
            Fault::LagTooShort => self.lag / 2,
            _ => self.lag,
        };
        let mut keys = BTreeMap::new();
        let mut horizon = None;
        let (all, now) = (self.keys.borrow(), self.now.get());
        for (key, states) in all.range(request.prefix.clone()..) {
            let (at, state) = states.last().unwrap();
            if !key.starts_with(&request.prefix) || !position.is_before(key) || at + lag <= now {
                continue;
            }
            if keys.len() == self.limit {
                horizon = keys.keys().last().cloned();
                break;
            }
            // Of some objects the register knows no more than the ETag.
            let description = (at % 3 > 0).then_some(DESCRIPTION);
            let fresh = match state {
                _ if self.is_ignorant && at % 7 == 0 => Fresh::Unknown,
                Some(etag) => Fresh::Object(ETag::parse(etag.as_bytes()), description),
                None => Fresh::Nothing,
            };
            keys.insert(key.clone(), fresh);
        }
        let horizon = horizon.filter(|_| self.leaves_out != Fault::Horizon);
        Some(Overlay { keys, horizon })
    }

    async fn page(&self, query: Vec<(String, String)>) -> Result<Asked<Page>, NoPage> {
        let text: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = Query::parse(&text.join("&"));
        let get = |name| query.get(name).unwrap_or_default();
        self.looked_below.set(self.looked_below.get() || query.has("encoding-type"));
        if query.has("encoding-type") && self.leaves_out == Fault::LookBelow {
            // As if a key were always left.
            return Ok(answer(&[("x/x".to_owned(), Some("x".to_owned()))], false));
        }
        let delimiter = query.get("delimiter").filter(|it| !it.is_empty());
        let start = match (query.get("continuation-token"), query.get("start-after")) {
            (Some(token), _) => match token.split_at(1) {
                ("p", prefix) => Position::AfterAll(prefix.to_owned()),
                (_, key) => Position::After(key.to_owned()),
            },
            (None, Some(key)) => Position::After(key.to_owned()),
            (None, None) => marked(&query),
        };
        let most = get("max-keys").parse().unwrap();
        let (page, more) = page_of(&self.view(), get("prefix"), delimiter, &start, most);
        Ok(answer(&page, more))
    }

    async fn describe(&self, made: &Made) -> Result<Described, NoPage> {
        if self.is_ignorant && self.dice.one_in(4) {
            return Ok(if self.dice.one_in(4) { Described::Late } else { Described::Unclear });
        }
        let stands =
            self.truth().get(&made.key).is_some_and(|etag| etag.as_bytes() == made.etag.as_bytes());
        Ok(if stands { Described::As(DESCRIPTION) } else { Described::Changed })
    }
}

const DESCRIPTION: Description = Description { size_bytes: 1, modified_s: 1, is_standard: true };

/// Where a page of ListObjects begins: as at AWS, behind all of a common prefix.
fn marked(query: &Query) -> Position {
    let request = ListRequest::of(Operation::ListObjects, query).unwrap().unwrap();
    request.start.unwrap().position
}

/// A store's document.
fn answer(page: &[Shown], more: bool) -> Asked<Page> {
    let row = |(name, etag): &Shown| {
        let name = encode_path(name);
        match etag {
            Some(etag) => format!("<Contents><Key>{name}</Key><ETag>\"{etag}\"</ETag></Contents>"),
            None => format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"),
        }
    };
    let next = page.last().filter(|_| more).map(|(last, etag)| {
        let kind = if etag.is_some() { "k" } else { "p" };
        format!("<NextContinuationToken>{kind}{last}</NextContinuationToken>")
    });
    let body = [
        "<ListBucketResult><EncodingType>url</EncodingType>".to_owned(),
        format!("<IsTruncated>{more}</IsTruncated>"),
        page.iter().map(row).collect(),
        next.unwrap_or_default(),
        "</ListBucketResult>".to_owned(),
    ]
    .concat();
    let answer = Answer { status: StatusCode::OK, headers: Fields::new(), body: Bytes::from(body) };
    let page = Page::parse(&answer.body).unwrap();
    Asked::Page(page, answer)
}

/// The entries of a document, and its token.
fn read(document: &[u8]) -> (Vec<Shown>, Option<String>) {
    let page = Page::parse(document).unwrap();
    let etag = |etag: ETag| String::from_utf8(etag.as_bytes().to_vec()).unwrap();
    let rows = page.rows.into_iter().map(|row| (row.name, row.etag.map(etag))).collect();
    (rows, page.next_token.filter(|_| page.truncated))
}

/// What is listed in a story.
struct Wish {
    operation: Operation,
    prefix: &'static str,
    delimiter: Option<&'static str>,
    most: usize,
}

/// Lists all pages, as a client does; `between` happens between two pages. `None` where an answer says that
/// it may not show all.
async fn list_all(store: &Store, wish: &Wish, between: impl Fn()) -> Option<Vec<Shown>> {
    let (mut all, mut go_on) = (Vec::new(), None::<(&str, String)>);
    for _ in 0..1000 {
        let mut query = vec![
            ("prefix".to_owned(), wish.prefix.to_owned()),
            ("max-keys".to_owned(), wish.most.to_string()),
            ("delimiter".to_owned(), wish.delimiter.unwrap_or_default().to_owned()),
        ];
        query.extend(go_on.map(|(name, value)| (name.to_owned(), value)));
        let text: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query_read = Query::parse(&text.join("&"));
        let request = ListRequest::of(wish.operation, &query_read).unwrap().unwrap();
        let start = request.start.clone().unwrap();
        let listed = if store.leaves_out == Fault::StoreFirst {
            let kept = store.now.get();
            let early = Early { store, pages: RefCell::new(Vec::new()) };
            early.prepare(&request, &query, &start).await;
            store.now.set(kept + store.lag / 2);
            let overlay = store.overlay(&request, &start.position).await;
            list(&early, &request, &query, start, overlay).await
        } else {
            let overlay = store.overlay(&request, &start.position).await;
            list(store, &request, &query, start, overlay).await
        };
        let answer = match listed.unwrap() {
            Listed::Passed(answer) => answer,
            Listed::Written(answer, freshness) if freshness != Freshness::Unknown => answer,
            Listed::Written(..) | Listed::Unguarded(_) | Listed::GivenUp => return None,
        };
        let page = Page::parse(&answer.body).unwrap();
        let (rows, token) = read(&answer.body);
        assert!(rows.len() <= wish.most);
        let last = rows.last().map(|(name, _)| name.clone());
        all.extend(rows);
        if !page.truncated {
            return Some(all);
        }
        go_on = Some(match wish.operation {
            Operation::ListObjects => ("marker", marker(&answer.body).or(last).unwrap()),
            _ => ("continuation-token", token.unwrap()),
        });
        between();
    }
    panic!("the listing does not end");
}

fn marker(document: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(document).unwrap();
    let (marker, _) = text.split_once("<NextMarker>")?.1.split_once('<')?;
    Some(decode_query(marker).unwrap())
}

/// A store that was asked for its page before the register was.
struct Early<'a> {
    store: &'a Store,
    pages: RefCell<Vec<Asked<Page>>>,
}

impl Early<'_> {
    async fn prepare(&self, request: &ListRequest, query: &[(String, String)], start: &Start) {
        let page = self.store.page(request.placed(query.to_vec(), start)).await.unwrap();
        self.pages.borrow_mut().push(page);
    }
}

impl Sources for Early<'_> {
    async fn overlay(&self, request: &ListRequest, position: &Position) -> Option<Overlay> {
        self.store.overlay(request, position).await
    }

    async fn page(&self, query: Vec<(String, String)>) -> Result<Asked<Page>, NoPage> {
        let early = self.pages.borrow_mut().pop();
        match early {
            Some(page) => Ok(page),
            None => self.store.page(query).await,
        }
    }

    async fn describe(&self, made: &Made) -> Result<Described, NoPage> {
        self.store.describe(made).await
    }
}

/// A story: what was written, and what is to be listed.
fn story(seed: u64, leaves_out: Fault) -> (Store, Wish) {
    let dice = Dice::new(seed);
    let lag = [0, 5, 20, 60][usize::try_from(dice.below(4)).unwrap()];
    let store = Store {
        lag,
        now: Cell::new(1000),
        keys: RefCell::default(),
        limit: [1, 3, 1000][usize::try_from(dice.below(3)).unwrap()],
        is_ignorant: false,
        leaves_out,
        looked_below: Cell::new(false),
        dice,
    };
    for _ in 0..store.dice.below(80) {
        store.change();
    }
    store.wait([0, 0, 10, 70][usize::try_from(store.dice.below(4)).unwrap()]);
    let wish = Wish {
        operation: *store.dice.pick(&[&Operation::ListObjects, &Operation::ListObjectsV2]),
        prefix: store.dice.pick(&["", "a", "a/", "b", "ab", "a/b"]),
        delimiter: (!store.dice.one_in(3)).then(|| store.dice.pick(&["/", "b/"])),
        most: [1, 2, 3, 5, 1000][usize::try_from(store.dice.below(5)).unwrap()],
    };
    (store, wish)
}

/// Is the listing what a store that does not lag would list? `None` where it says that it may not be.
async fn is_right(seed: u64, leaves_out: Fault, is_ignorant: bool) -> Option<bool> {
    let (store, wish) = story(seed, leaves_out);
    let store = Store { is_ignorant, ..store };
    let listed = list_all(&store, &wish, || {}).await?;
    let truth = store.truth();
    let (expected, _) = page_of(&truth, wish.prefix, wish.delimiter, &Position::First, usize::MAX);
    Some(listed == expected)
}

/// How many stories are told: more with `IFMATCH_SEEDS`.
fn stories() -> std::ops::Range<u64> {
    0..std::env::var("IFMATCH_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(2_000)
}

#[tokio::test]
async fn a_listing_shows_what_stands_there_whatever_the_store_shows() {
    let mut looked_below = false;
    for seed in stories() {
        assert_eq!(is_right(seed, Fault::Nothing, false).await, Some(true), "seed {seed}");
        let (store, wish) = story(seed, Fault::Nothing);
        list_all(&store, &wish, || {}).await;
        looked_below |= store.looked_below.get();
    }
    assert!(looked_below);
}

/// Where the register does not know all, or the store does not say what an object is.
#[tokio::test]
async fn a_listing_that_may_be_wrong_says_so() {
    let (mut sure, mut unsure) = (0, 0);
    for seed in stories() {
        match is_right(seed, Fault::Nothing, true).await {
            Some(is_right) => {
                assert!(is_right, "seed {seed}");
                sure += 1;
            }
            None => unsure += 1,
        }
    }
    assert!(sure > 100 && unsure > 100, "{sure} {unsure}");
}

/// What may end a page is not what ends the listing: entries that change nothing, and deleted keys of
/// which nothing is left.
#[tokio::test]
async fn a_page_that_ends_early_says_that_more_follows() {
    for operation in [Operation::ListObjects, Operation::ListObjectsV2] {
        let seed = 0;
        let (store, _) = story(seed, Fault::Nothing);
        let mut keys: BTreeMap<String, States> = BTreeMap::new();
        for number in 0..50 {
            keys.insert(format!("a/{number:02}"), vec![(1, Some("e1".to_owned()))]);
            keys.insert(format!("b{number:02}"), vec![(1, Some("e1".to_owned())), (995, None)]);
        }
        keys.insert("c".to_owned(), vec![(999, Some("e2".to_owned()))]);
        for (limit, most) in [(3, 1000), (3, 2), (1000, 2)] {
            let keys = RefCell::new(keys.clone());
            let store = Store { keys, limit, lag: 900, now: Cell::new(1000), ..remade(&store) };
            let wish = Wish { operation, prefix: "", delimiter: Some("/"), most };
            let names = list_all(&store, &wish, || {}).await.unwrap();
            let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["a/", "c"], "{operation:?} {limit} {most}");
        }
    }
}

/// A store with the same dice, and nothing else.
fn remade(store: &Store) -> Store {
    Store {
        dice: Dice::new(store.dice.below(1 << 30)),
        lag: 0,
        now: Cell::new(0),
        keys: RefCell::default(),
        limit: 0,
        is_ignorant: false,
        leaves_out: Fault::Nothing,
        looked_below: Cell::new(false),
    }
}

#[tokio::test]
async fn each_part_of_the_rules_is_needed() {
    for fault in
        [Fault::Overlay, Fault::Horizon, Fault::LookBelow, Fault::LagTooShort, Fault::StoreFirst]
    {
        let mut wrong = 0;
        for seed in stories() {
            wrong += u64::from(is_right(seed, fault, false).await != Some(true));
        }
        assert!(wrong > 0, "{fault:?}");
    }
}

/// Keys that are not touched while a listing goes on are in it once, and in order.
#[tokio::test]
async fn a_listing_is_complete_while_others_write() {
    for seed in stories() {
        let (store, wish) = story(seed, Fault::Nothing);
        let before = store.truth();
        let began = store.now.get();
        let between = || (0..store.dice.below(4)).for_each(|_| store.change());
        let listed = list_all(&store, &wish, between).await.unwrap();
        let names: Vec<_> = listed.iter().map(|(name, _)| name.clone()).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed}: {names:?}");
        let keys = store.keys.borrow();
        let touched = |key: &String| keys[key].iter().any(|(at, _)| *at > began);
        for (name, etag) in &listed {
            match etag {
                Some(etag) => assert!(
                    keys.get(name).is_some_and(touched_or(began, etag)),
                    "seed {seed}: {name} {etag}"
                ),
                None => assert!(
                    keys.keys().any(|key| key.starts_with(name)),
                    "seed {seed}: nothing was ever below {name}"
                ),
            }
        }
        let request = ListRequest {
            delimiter: wish.delimiter.map(str::to_owned),
            ..ListRequest::below(wish.prefix, 1)
        };
        for key in before.keys().filter(|key| key.starts_with(wish.prefix) && !touched(key)) {
            let name = request.rolled_up(key).unwrap_or(key);
            assert!(names.iter().any(|it| it == name), "seed {seed}: {name} is missing");
        }
    }
}

/// Was this the state of the key then, or did it come later?
fn touched_or(began: u64, etag: &str) -> impl Fn(&States) -> bool {
    move |states| {
        let at_first = states.iter().rev().find(|(at, _)| *at <= began).map(|(_, state)| state);
        let is_later =
            |(at, state): &(u64, Option<String>)| *at > began && state.as_deref() == Some(etag);
        at_first.is_some_and(|state| state.as_deref() == Some(etag)) || states.iter().any(is_later)
    }
}

//! Random stories of a store whose listings of versions lag, against what a store that does not lag would
//! list.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;

use super::*;
use crate::backend::Answer;
use crate::http1::fields::Fields;
use crate::proxy::consistent_listing::Freshness;
use crate::proxy::dice::Dice;
use crate::s3::encoding::encode_path;
use crate::s3::listing::VersionId;
use crate::s3::listing::versions::row::{Kind, Row};
use crate::s3::listing::versions::{Event, Lately};
use crate::s3::{ETag, Query, xml};

/// A version: its id, its ETag, or none for a delete marker, and when it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    id: String,
    etag: Option<String>,
    at: u64,
}

/// An entry of a listing: a key with a version and whether it is the current one, or a common prefix.
type Shown = (String, Option<(Version, bool)>);

/// The versions of each key, the newest first.
type Versions = BTreeMap<String, Vec<Version>>;

#[derive(Debug, Clone)]
enum Act {
    Write(Version),
    Delete(String),
}

impl Act {
    fn id(&self) -> &str {
        match self {
            Self::Write(version) => &version.id,
            Self::Delete(id) => id,
        }
    }

    fn apply(&self, versions: &mut Vec<Version>) {
        versions.retain(|version| version.id != self.id());
        if let Self::Write(version) = self {
            versions.insert(0, version.clone());
        }
    }
}

/// A store whose listings may show, of each key, any state of the last `lag` moments.
#[derive(Debug)]
struct Store {
    dice: Dice,
    lag: u64,
    now: Cell<u64>,
    /// What was done to each key, and when.
    keys: RefCell<BTreeMap<String, Vec<(u64, Act)>>>,
    /// How many entries the register gives at once.
    limit: usize,
    /// The register does not know all, and the store does not say what versions are.
    is_ignorant: bool,
    leaves_out: Fault,
}

/// A part of the rules that is left out, to see that it is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// What was written lately is not asked for.
    Overlay,
    /// What is behind the horizon is taken for old.
    Horizon,
    /// What was done to the key in which the page begins is not asked for.
    OwnKey,
    /// Common prefixes stay without a look.
    LookBelow,
    /// Of what was done to a key only the last is known.
    OnlyLast,
    /// The store's lag is longer than was told.
    LagTooShort,
}

impl Store {
    fn change(&self) {
        let key: String =
            (0..=self.dice.below(3)).map(|_| self.dice.pick(&["a", "b", "/"])).collect();
        let now = self.now.get() + 1;
        self.now.set(now);
        let there = self.truth().remove(&key).unwrap_or_default();
        let id = if self.dice.one_in(5) { "null".to_owned() } else { format!("v{now}") };
        let act = match self.dice.below(5) {
            0 | 1 if !there.is_empty() => {
                let at = usize::try_from(self.dice.below(there.len() as u64)).unwrap();
                Act::Delete(there[at].id.clone())
            }
            2 => Act::Write(Version { id, etag: None, at: now }),
            _ => Act::Write(Version { id, etag: Some(format!("e{now}")), at: now }),
        };
        self.keys.borrow_mut().entry(key).or_default().push((now, act));
    }

    fn at(acts: &[(u64, Act)]) -> Vec<Version> {
        let mut versions = Vec::new();
        for (_, act) in acts {
            act.apply(&mut versions);
        }
        versions
    }

    fn truth(&self) -> Versions {
        let keys = self.keys.borrow();
        keys.iter().map(|(key, acts)| (key.clone(), Self::at(acts))).collect()
    }

    /// How many of these versions of a key a page leaves out that begins after one that is not there. What was
    /// deleted long ago still tells its place; otherwise any part is shown.
    fn behind(&self, key: &str, id: &VersionId, versions: &[Version]) -> usize {
        let keys = self.keys.borrow();
        let acts = keys.get(key).map(Vec::as_slice).unwrap_or_default();
        let of_it = || acts.iter().rev().filter(|(_, act)| act.id() == id.as_str());
        let is_old = of_it().next().is_some_and(|(at, _)| at + self.lag <= self.now.get());
        let written = of_it().find(|(_, act)| matches!(act, Act::Write(_))).map(|(at, _)| *at);
        match written.filter(|_| is_old) {
            Some(written) => versions.iter().filter(|version| version.at > written).count(),
            None => usize::try_from(self.dice.below(versions.len() as u64 + 1)).unwrap(),
        }
    }

    /// What a listing shows that is asked now.
    fn view(&self) -> Versions {
        let since = self.now.get().saturating_sub(self.lag);
        let keys = self.keys.borrow();
        let shown = keys.iter().map(|(key, acts)| {
            // Everything that is older is shown.
            let old = acts.iter().take_while(|(at, _)| *at <= since).count();
            let chosen =
                old + usize::try_from(self.dice.below((acts.len() - old + 1) as u64)).unwrap();
            (key.clone(), Self::at(&acts[..chosen]))
        });
        shown.collect()
    }
}

/// What a store lists of these versions, and whether there is more. `unknown`: how many versions of a key are
/// left out where that is not there after which the page begins.
fn page_of(
    keys: &Versions,
    request: &VersionsRequest,
    unknown: impl Fn(&str, &VersionId, &[Version]) -> usize,
) -> (Vec<Shown>, bool) {
    let mut page: Vec<Shown> = Vec::new();
    for (key, versions) in keys {
        if !key.starts_with(&request.prefix) || !request.start.may_be_before(key) {
            continue;
        }
        let mut from = 0;
        if let Some((_, id)) = request.start.version().filter(|(of, _)| of == key) {
            let known = versions.iter().position(|version| version.id == id.as_str());
            from = known.map_or_else(|| unknown(key, id, versions), |at| at + 1);
        }
        for (at, version) in versions.iter().enumerate().skip(from) {
            let entry = match request.rolled_up(key) {
                Some(rolled) => (rolled.to_owned(), None),
                None => (key.clone(), Some((version.clone(), at == 0))),
            };
            if page.last() == Some(&entry) {
                continue;
            }
            if page.len() == request.max_keys {
                return (page, true);
            }
            page.push(entry);
        }
    }
    (page, false)
}

impl Sources for Store {
    async fn overlay(&self, request: &VersionsRequest, place: &Place) -> Option<VersionsOverlay> {
        if self.leaves_out == Fault::Overlay {
            return Some(VersionsOverlay::default());
        }
        if self.is_ignorant && self.dice.one_in(10) {
            return None;
        }
        let lag = match self.leaves_out {
            Fault::LagTooShort => self.lag / 2,
            _ => self.lag,
        };
        let mut overlay = VersionsOverlay::default();
        let (all, now) = (self.keys.borrow(), self.now.get());
        let lately = |acts: &[(u64, Act)]| {
            if self.is_ignorant && acts.len().is_multiple_of(7) {
                return Lately::Unknown;
            }
            let young = acts.iter().rev().take_while(|(at, _)| at + lag > now);
            let young = young.take(if self.leaves_out == Fault::OnlyLast { 1 } else { usize::MAX });
            Lately::Events(young.map(|(at, act)| event(*at, act)).collect())
        };
        let is_young = |acts: &[(u64, Act)]| acts.last().unwrap().0 + lag > now;
        let position = place.position();
        for (key, acts) in all.range(request.prefix.clone()..) {
            if !key.starts_with(&request.prefix) || !position.is_before(key) || !is_young(acts) {
                continue;
            }
            if overlay.keys.len() == self.limit {
                overlay.horizon = overlay.keys.keys().last().cloned();
                break;
            }
            overlay.keys.insert(key.clone(), lately(acts));
        }
        if let Some((key, _)) = place.version().filter(|_| self.leaves_out != Fault::OwnKey)
            && let Some(acts) = all.get(key).filter(|acts| is_young(acts))
        {
            overlay.keys.insert(key.to_owned(), lately(acts));
        }
        overlay.horizon = overlay.horizon.filter(|_| self.leaves_out != Fault::Horizon);
        Some(overlay)
    }

    async fn page(&self, query: Vec<(String, String)>) -> Result<Asked<VersionsPage>, NoPage> {
        let text: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = Query::parse(&text.join("&"));
        if query.has("encoding-type") && self.leaves_out == Fault::LookBelow {
            // As if a version were always left.
            let version = Version { id: "v".to_owned(), etag: None, at: 0 };
            return Ok(self.answer(&[("x/x".to_owned(), Some((version, true)))], false));
        }
        let request = VersionsRequest::of(&query).unwrap();
        let (page, more) =
            page_of(&self.view(), &request, |key, id, versions| self.behind(key, id, versions));
        Ok(self.answer(&page, more))
    }

    async fn describe(&self, made: &MadeVersion) -> Result<Described, NoPage> {
        if self.is_ignorant && self.dice.one_in(4) {
            return Ok(if self.dice.one_in(4) { Described::Late } else { Described::Unclear });
        }
        let versions = self.truth().remove(&made.key).unwrap_or_default();
        let stands = versions.iter().find(|version| {
            let etag = version.etag.as_ref().map(|etag| ETag::parse(etag.as_bytes()));
            version.id == made.id.as_str()
                && matches!(&made.made, Made::Object(made, _) if Some(made) == etag.as_ref())
        });
        Ok(stands.map_or(Described::Changed, |it| Described::As(description(it.at))))
    }
}

fn description(at: u64) -> Description {
    Description { size_bytes: 1, modified_s: MIDNIGHT_S + at, is_standard: true }
}

/// 2026-11-30T00:00:00Z, from which stories count their moments.
const MIDNIGHT_S: u64 = 1_795_996_800;

fn event(at: u64, act: &Act) -> Event {
    let id = VersionId::parse(act.id()).unwrap();
    match act {
        Act::Delete(_) => Event::Gone(id),
        Act::Write(Version { etag: None, .. }) => Event::Marker(id, Some(MIDNIGHT_S + at)),
        Act::Write(Version { etag: Some(etag), .. }) => {
            // Of some objects the register knows no more than the ETag.
            let described = (!at.is_multiple_of(3)).then(|| description(at));
            Event::Put(id, ETag::parse(etag.as_bytes()), described)
        }
    }
}

impl Store {
    /// A store's document: all versions in one list, or objects and delete markers apart.
    fn answer(&self, page: &[Shown], more: bool) -> Asked<VersionsPage> {
        let rows = page.iter().filter_map(|(key, version)| Some((key, version.as_ref()?)));
        let row = |(key, (version, latest)): (&String, &(Version, bool))| {
            let (kind, etag) = match &version.etag {
                Some(etag) => ("Version", format!("<ETag>\"{etag}\"</ETag>")),
                None => ("DeleteMarker", String::new()),
            };
            let (key, id, at) = (encode_path(key), &version.id, version.at);
            format!(
                "<{kind}><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>\
                 <LastModified>2026-11-30T{:02}:{:02}:{:02}Z</LastModified>{etag}</{kind}>",
                at / 3600,
                at / 60 % 60,
                at % 60
            )
        };
        let mut rows: Vec<_> = rows.map(row).collect();
        if self.dice.one_in(2) {
            rows.sort_by_key(|row| row.starts_with("<D"));
        }
        let prefixes = page.iter().filter(|(_, version)| version.is_none());
        let prefixes = prefixes.map(|(prefix, _)| {
            format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encode_path(prefix))
        });
        let next = page.last().filter(|_| more).map(|(name, version)| {
            let id = version.as_ref().map(|(version, _)| &version.id);
            let id = id.map(|id| format!("<NextVersionIdMarker>{id}</NextVersionIdMarker>"));
            let name = encode_path(name);
            format!("<NextKeyMarker>{name}</NextKeyMarker>{}", id.unwrap_or_default())
        });
        let body = [
            "<ListVersionsResult><EncodingType>url</EncodingType>".to_owned(),
            format!("<IsTruncated>{more}</IsTruncated>"),
            rows.concat(),
            prefixes.collect(),
            next.unwrap_or_default(),
            "</ListVersionsResult>".to_owned(),
        ]
        .concat();
        let (status, headers) = (StatusCode::OK, Fields::new());
        let answer = Answer { status, headers, body: Bytes::from(body) };
        Asked::Page(VersionsPage::parse(&answer.body).unwrap(), answer)
    }
}

/// What is listed in a story.
#[derive(Debug)]
struct Wish {
    prefix: &'static str,
    delimiter: Option<&'static str>,
    most: usize,
}

/// An entry as the client sees it: key, id, whether it is a delete marker, and whether it is current.
type Read = (String, Option<(String, bool, bool)>);

/// The entries of a document, and the markers of the next page as parameters.
fn read(document: &[u8]) -> (Vec<Read>, Option<Vec<(String, String)>>) {
    let mut root = xml::parse(document).unwrap();
    let text = |name: &str| root.child_text(name).map(str::to_owned);
    let key = text("NextKeyMarker").map(|key| ("key-marker".to_owned(), key));
    let id = text("NextVersionIdMarker").map(|id| ("version-id-marker".to_owned(), id));
    let more = text("IsTruncated").as_deref() == Some("true");
    // The rest of the page is read as a page of a store.
    let cut = ["NextKeyMarker", "NextVersionIdMarker", "IsTruncated"];
    root.children.retain(|child| !cut.contains(&child.name.as_str()));
    let page = VersionsPage::parse(&root.to_document()).unwrap();
    let rows = page.rows.into_iter().map(|row| match row {
        Row::Version(row) => {
            let is_marker = row.kind == Kind::Marker;
            (row.key, Some((row.id.as_str().to_owned(), is_marker, row.is_latest)))
        }
        Row::Prefix(prefix) => (prefix, None),
    });
    (rows.collect(), more.then(|| key.into_iter().chain(id).collect()))
}

/// Lists all pages, as a client does; `between` happens between two pages. `None` where an answer says that
/// it may not show all.
async fn list_all(store: &Store, wish: &Wish, between: impl Fn(&[Read])) -> Option<Vec<Read>> {
    let (mut all, mut go_on) = (Vec::new(), None::<Vec<_>>);
    for _ in 0..2000 {
        let mut query = vec![
            ("versions".to_owned(), String::new()),
            ("prefix".to_owned(), wish.prefix.to_owned()),
            ("max-keys".to_owned(), wish.most.to_string()),
            ("delimiter".to_owned(), wish.delimiter.unwrap_or_default().to_owned()),
        ];
        query.extend(go_on.unwrap_or_default());
        let text: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = VersionsRequest::of(&Query::parse(&text.join("&"))).unwrap();
        let overlay = store.overlay(&request, &request.start).await;
        let answer = match list(store, &request, &query, overlay).await.unwrap() {
            Listed::Passed(answer) => answer,
            Listed::Written(answer, freshness) if freshness != Freshness::Unknown => answer,
            Listed::Written(..) | Listed::Unguarded(_) | Listed::GivenUp => return None,
        };
        let (rows, end) = read(&answer.body);
        assert!(rows.len() <= wish.most);
        all.extend(rows);
        if end.is_none() {
            return Some(all);
        }
        go_on = end;
        between(&all);
    }
    panic!("the listing does not end");
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
        dice,
    };
    for _ in 0..store.dice.below(80) {
        store.change();
    }
    store.now.set(store.now.get() + [0, 0, 10, 70][usize::try_from(store.dice.below(4)).unwrap()]);
    let wish = Wish {
        prefix: store.dice.pick(&["", "a", "a/", "b", "ab", "a/b"]),
        delimiter: (!store.dice.one_in(3)).then(|| store.dice.pick(&["/", "b/"])),
        most: [1, 2, 3, 5, 1000][usize::try_from(store.dice.below(5)).unwrap()],
    };
    (store, wish)
}

fn wanted(wish: &Wish) -> VersionsRequest {
    let delimiter = wish.delimiter.map(str::to_owned);
    VersionsRequest { delimiter, max_keys: usize::MAX, ..VersionsRequest::below(wish.prefix, 1) }
}

fn as_read((name, version): Shown) -> Read {
    (name, version.map(|(version, latest)| (version.id, version.etag.is_none(), latest)))
}

/// Is the listing what a store that does not lag would list? `None` where it says that it may not be.
async fn is_right(seed: u64, leaves_out: Fault, is_ignorant: bool) -> Option<bool> {
    let (store, wish) = story(seed, leaves_out);
    let store = Store { is_ignorant, ..store };
    let listed = list_all(&store, &wish, |_| {}).await?;
    let (expected, _) = page_of(&store.truth(), &wanted(&wish), |_, _, _| 0);
    let expected: Vec<_> = expected.into_iter().map(as_read).collect();
    if listed != expected && std::env::var_os("IFMATCH_SHOW").is_some() {
        println!("{seed} {wish:?} lag {} limit {} now {:?}", store.lag, store.limit, store.now);
        let keys = store.keys.borrow();
        for (key, acts) in keys.iter().filter(|(key, _)| key.starts_with(wish.prefix)) {
            println!("{key}: {acts:?}");
        }
        println!("{listed:?}\n{expected:?}");
    }
    Some(listed == expected)
}

/// How many stories are told: more with `IFMATCH_SEEDS`.
fn stories() -> std::ops::Range<u64> {
    0..std::env::var("IFMATCH_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(400)
}

#[tokio::test]
async fn a_listing_shows_the_versions_that_stand_there_whatever_the_store_shows() {
    for seed in stories() {
        assert_eq!(is_right(seed, Fault::Nothing, false).await, Some(true), "seed {seed}");
    }
}

/// Where the register does not know all, or the store does not say what a version is.
#[tokio::test]
async fn a_listing_of_versions_that_may_be_wrong_says_so() {
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
    assert!(sure > 20 && unsure > 20, "{sure} {unsure}");
}

#[tokio::test]
async fn each_part_of_the_rules_for_versions_is_needed() {
    for fault in [
        Fault::Overlay,
        Fault::Horizon,
        Fault::OwnKey,
        Fault::LookBelow,
        Fault::OnlyLast,
        Fault::LagTooShort,
    ] {
        let mut is_needed = false;
        for seed in stories() {
            is_needed = is_right(seed, fault, false).await != Some(true);
            if is_needed {
                break;
            }
        }
        assert!(is_needed, "{fault:?}");
    }
}

/// Versions that are there all the time are listed, and none that was never there.
#[tokio::test]
async fn a_listing_of_versions_is_complete_while_others_write() {
    for seed in stories() {
        let (store, wish) = story(seed, Fault::Nothing);
        let before = store.truth();
        let began = store.now.get();
        let between = |_: &[Read]| (0..store.dice.below(4)).for_each(|_| store.change());
        let Some(listed) = list_all(&store, &wish, between).await else {
            panic!("seed {seed}: nothing was hidden");
        };
        let keys = store.keys.borrow();
        let request = wanted(&wish);
        let touched = |key: &String, id: &str| {
            keys[key].iter().any(|(at, act)| *at > began && act.id() == id)
        };
        for (key, versions) in before.iter().filter(|(key, _)| key.starts_with(wish.prefix)) {
            for version in versions.iter().filter(|version| !touched(key, &version.id)) {
                let name = request.rolled_up(key).unwrap_or(key);
                let is_it = |(of, read): &Read| {
                    of == name && read.as_ref().is_none_or(|(id, ..)| *id == version.id)
                };
                assert!(listed.iter().any(is_it), "seed {seed}: {key} {} is missing", version.id);
            }
        }
        for (key, read) in &listed {
            let Some((id, ..)) = read else { continue };
            let was = |acts: &Vec<(u64, Act)>| acts.iter().any(|(_, act)| act.id() == id);
            assert!(keys.get(key).is_some_and(was), "seed {seed}: {key} {id} never was");
        }
    }
}

/// A client that deletes what a page has, and goes on after it, has deleted all when the listing ends.
#[tokio::test]
async fn a_bucket_is_emptied_page_by_page() {
    for seed in stories() {
        let (store, wish) = story(seed, Fault::Nothing);
        let wish = Wish { delimiter: None, ..wish };
        let empty = |listed: &[Read]| {
            for (key, version) in listed {
                let (id, ..) = version.clone().unwrap();
                let is_there = store.truth()[key].iter().any(|version| version.id == id);
                if is_there {
                    let now = store.now.get() + u64::from(store.dice.one_in(3));
                    store.now.set(now);
                    store.keys.borrow_mut().get_mut(key).unwrap().push((now, Act::Delete(id)));
                }
            }
        };
        let listed = list_all(&store, &wish, empty).await.unwrap();
        empty(&listed);
        let left = store.truth();
        let left: Vec<_> = left.iter().filter(|(key, _)| key.starts_with(wish.prefix)).collect();
        assert!(left.iter().all(|(_, versions)| versions.is_empty()), "seed {seed}: {left:?}");
    }
}

/// Below a common prefix, too, a page may end with a version that the store does not know when it is asked for
/// the next one.
#[tokio::test]
async fn what_is_left_below_a_common_prefix_is_found_behind_versions_that_are_gone() {
    for seed in 0..200 {
        let (store, _) = story(seed, Fault::Nothing);
        let written = (1..=6).map(|at| {
            let (id, etag) = (format!("v{at}"), Some(format!("e{at}")));
            (at, Act::Write(Version { id, etag, at }))
        });
        let deleted = (2..=6).map(|at| (995 + at, Act::Delete(format!("v{at}"))));
        let keys = [("a/k".to_owned(), written.chain(deleted).collect())].into();
        let keys = RefCell::new(keys);
        let store = Store { keys, lag: 20, limit: 1000, now: Cell::new(1001), ..store };
        let wish = Wish { prefix: "", delimiter: Some("/"), most: 1000 };
        let listed = list_all(&store, &wish, |_| {}).await;
        assert_eq!(listed, Some(vec![("a/".to_owned(), None)]), "seed {seed}");
    }
}

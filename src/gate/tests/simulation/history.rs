//! What really happened at the store, and the laws that it must fit
//! (docs/protocol.md#invariants).

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::s3::{Current, ETag, Operation, Preconditions, Seen, Shape};

/// Everything that was asked, that landed and that was told.
#[derive(Debug, Default)]
pub(super) struct History {
    pub(super) keys: Vec<Vec<Version>>,
    pub(super) calls: Vec<Call>,
    pub(super) uploads: HashMap<String, Upload>,
    /// Whose landing began a generation.
    generations: HashMap<String, usize>,
    /// How often the register had forgotten when an attempt of a call arrived.
    arrived: HashMap<(usize, u32), usize>,
    /// When an attempt of a call last looked at its key.
    pub(super) looked: HashMap<(usize, u32), Instant>,
    /// When its sender had looked, of each copy: what is looked at later decides nothing about it.
    judged: HashMap<u64, Instant>,
    /// How often the register has forgotten.
    pub(super) epochs: usize,
    /// How often the beginning of an upload was not noted. Then the store's dates decide, which are
    /// whole seconds and blind to deletes.
    pub(super) unnoted: usize,
    sent: u64,
    pub(super) breaches: Vec<String>,
    pub(super) shared: bool,
    /// Of each key the version that somebody was told of, by an answer to a write or to a read: no read
    /// that begins later may show an older one.
    floors: Vec<usize>,
}

/// What stood at a key from one moment on.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) etag: Option<String>,
    /// What is written on it.
    pub(super) id_field: Option<Box<str>>,
    by: Author,
    /// When it was sent, among all copies.
    sent: u64,
    pub(super) at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Author {
    /// It was there, or rather not, from the beginning.
    None,
    Call(usize),
    Foreign,
}

/// A write that a client wants, whatever number of attempts it takes.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: usize,
    pub(super) operation: Operation,
    pub(super) preconditions: Preconditions,
    /// The ETag of what it writes; where there is none, every copy of it gets another.
    pub(super) content: Option<String>,
    pub(super) upload: Option<String>,
    /// What it writes on the object.
    pub(super) id_field: Option<Box<str>>,
    pub(super) began: Instant,
    pub(super) told: Option<Told>,
    pub(super) landings: Vec<Option<String>>,
    /// How often the register had forgotten when it landed for the last time.
    pub(super) landed_in: usize,
    /// The store has refused it.
    pub(super) refused_by_store: bool,
    /// A delete that is done, there having been nothing to delete.
    pub(super) found_nothing: bool,
}

impl Call {
    pub(super) fn new(key: usize, operation: Operation, preconditions: Preconditions) -> Self {
        Self {
            key,
            operation,
            preconditions,
            content: None,
            upload: None,
            id_field: None,
            began: Instant::now(),
            told: None,
            landings: Vec::new(),
            landed_in: 0,
            refused_by_store: false,
            found_nothing: false,
        }
    }

    fn deletes(&self) -> bool {
        self.operation == Operation::DeleteObject
    }
}

#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: usize,
    /// When its creation was answered, if the register has noted its beginning.
    pub(super) created: Option<u64>,
    pub(super) epochs: usize,
    pub(super) initiated: Instant,
    pub(super) done: bool,
}

/// What a client has heard of its call in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// That it landed; with its ETag and generation where they were said.
    Success { etag: Option<String>, generation: Option<String> },
    /// That its condition does not hold.
    ConditionFailed,
    /// Any other definite refusal.
    Refused,
    /// Nothing definite.
    Unknown,
}

/// A request on its way to the store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copy {
    pub(super) call: usize,
    pub(super) sent: u64,
    /// How often the register had forgotten when its attempt arrived.
    arrived_in: usize,
}

impl History {
    pub(super) fn new(keys: usize, shared: bool) -> Self {
        let nothing =
            Version { etag: None, id_field: None, by: Author::None, sent: 0, at: Instant::now() };
        Self { keys: vec![vec![nothing]; keys], shared, floors: vec![0; keys], ..Self::default() }
    }

    fn breaks(&mut self, law: String) {
        self.breaches.push(law);
    }

    pub(super) fn current(&self, key: usize) -> &Version {
        self.keys[key].last().expect("there is a first one")
    }

    /// What a HEAD may show: what stands there, and what was replaced less than this time ago.
    pub(super) fn visible(&self, key: usize, lag: Duration) -> &[Version] {
        let versions = &self.keys[key];
        let oldest = versions[1..].iter().position(|next| next.at.elapsed() < lag);
        &versions[oldest.unwrap_or(versions.len() - 1)..]
    }

    /// What a read of this key that begins now may show at the oldest.
    pub(super) fn floor(&self, key: usize) -> usize {
        self.floors[key]
    }

    /// A guarded read that began at this floor shows this: the law of reads.
    pub(super) fn shows(&mut self, key: usize, floor: usize, shown: &Current) {
        let versions = self.keys[key][floor..].iter();
        let shown_by = |version: &Version| current(version.etag.as_deref()) == *shown;
        match versions.into_iter().position(shown_by) {
            Some(later) => self.floors[key] = self.floors[key].max(floor + later),
            None => self.breaks(format!(
                "reads: {shown:?} is shown at key {key}, and something newer was before"
            )),
        }
    }

    /// The next number of what is sent.
    pub(super) fn order(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// A copy is sent.
    pub(super) fn send(&mut self, call: usize, attempt: u32) -> Copy {
        let sent = self.order();
        if let Some(looked) = self.looked.get(&(call, attempt)) {
            self.judged.insert(sent, *looked);
        }
        let arrived_in = self.arrived.get(&(call, attempt)).copied().unwrap_or_default();
        Copy { call, sent, arrived_in }
    }

    /// An attempt of a call arrives.
    pub(super) fn arrives(&mut self, call: usize, attempt: u32) {
        self.arrived.insert((call, attempt), self.epochs);
    }

    pub(super) fn begin(&mut self, call: Call) -> usize {
        self.calls.push(call);
        self.calls.len() - 1
    }

    /// A writer goes around the proxies.
    pub(super) fn foreign(&mut self, key: usize, etag: Option<String>) {
        let sent = self.order();
        let (by, at) = (Author::Foreign, Instant::now());
        let version = Version { etag, id_field: None, by, sent, at };
        self.keys[key].push(version);
    }

    /// A copy of a call is applied: the laws, where they could break.
    pub(super) fn land(&mut self, copy: Copy) -> Option<String> {
        let Copy { call: index, sent, .. } = copy;
        let call = &self.calls[index];
        let key = call.key;
        let standing = self.current(key).clone();
        let succeeded = matches!(call.told, Some(Told::Success { .. }));
        if succeeded && call.deletes() && standing.etag.is_none() {
            // A delete of what is not there changes nothing.
            self.calls[index].landings.push(None);
            return None;
        }
        let mut found = Vec::new();
        if matches!(call.told, Some(Told::ConditionFailed | Told::Refused)) {
            found.push("L4: a write lands although its client was told that it did not");
        }
        if standing.by != Author::Call(index) {
            found.extend(self.lands_over(copy, &standing));
        }
        let etag = match call.operation {
            Operation::DeleteObject => None,
            _ => Some(call.content.clone().unwrap_or_else(|| format!("s{sent}"))),
        };
        let id_field = match call.operation {
            // Onto itself: it takes along what is written there.
            Operation::CopyObject => standing.id_field.clone(),
            _ => call.id_field.clone(),
        };
        let (by, at) = (Author::Call(index), Instant::now());
        let version = Version { etag: etag.clone(), id_field, by, sent, at };
        self.keys[key].push(version);
        self.calls[index].landings.push(etag.clone());
        self.calls[index].landed_in = self.epochs;
        for law in found {
            let Version { etag, by, sent, .. } = &standing;
            self.breaks(format!("{law}: call {index} over {etag:?} by {by:?}, sent {sent}"));
        }
        etag
    }

    /// The laws for a copy that lands over what another wrote.
    fn lands_over(&self, copy: Copy, standing: &Version) -> Vec<&'static str> {
        let call = &self.calls[copy.call];
        let mut found = Vec::new();
        if let Author::Call(_) = standing.by
            && standing.sent > copy.sent
        {
            found.push("L1: a write lands over one that was sent after it");
        }
        if matches!(call.told, Some(Told::Success { .. })) && standing.by != Author::Foreign {
            found.push("L1: a write that was acknowledged is applied again over another");
        }
        if call.preconditions.is_empty() || self.is_foreign_race(copy, call.key) {
            return found;
        }
        // An attempt that comes when the register has forgotten the one before is not known for one.
        if !call.landings.is_empty() && copy.arrived_in <= call.landed_in {
            found.push("L1: a conditional write is applied twice, with another in between");
        }
        if let Shape::GenerationMatch(wanted) = call.preconditions.shape() {
            let named = self.generations.get(wanted).map(|&call| Author::Call(call));
            // What others have written cannot be told from what stood there before, if it is that.
            let versions = self.keys[call.key].iter().rev();
            let last = versions.into_iter().find(|version| version.by != Author::Foreign);
            let last = last.filter(|version| version.etag == standing.etag);
            // A delete that found nothing to delete began a generation, and left no version.
            let nothing =
                |author| matches!(author, Author::Call(it) if self.calls[it].found_nothing);
            let nothing = named.is_some_and(nothing) && standing.etag.is_none();
            if !nothing && (named.is_none() || named != last.map(|version| version.by)) {
                found.push("L1: a write lands over another generation than it names");
            }
        } else if !holds(&call.preconditions, standing) {
            found.push("L1: a conditional write lands although its condition does not hold");
        }
        let upload = call.upload.as_ref().and_then(|id| self.uploads.get(id));
        if let Some(upload) = upload
            && upload.epochs == self.epochs
            && !self.shared
            && upload.created.is_some_and(|created| standing.sent > created)
            // One that was under way when the upload was created is taken to have come first.
            && let Author::Call(other) = standing.by
            && self.calls[other].began > upload.initiated
        {
            found.push("uploads: a complete lands although its key has changed since");
        }
        found
    }

    /// The race with a writer around the proxies that came after the judgement is not closed.
    fn is_foreign_race(&self, copy: Copy, key: usize) -> bool {
        let looked = self.judged.get(&copy.sent);
        self.keys[key]
            .iter()
            .rev()
            .take_while(|version| looked.is_none_or(|looked| version.at >= *looked))
            .any(|version| version.by == Author::Foreign)
    }

    /// A client is told how its call ended.
    pub(super) fn tell(&mut self, index: usize, told: &Told) {
        let call = &mut self.calls[index];
        call.told = Some(told.clone());
        let (key, by) = (call.key, Author::Call(index));
        if matches!(told, Told::Success { .. })
            && let Some(version) = self.keys[key].iter().position(|version| version.by == by)
        {
            self.floors[key] = self.floors[key].max(version);
        }
        let call = &self.calls[index];
        let mut landed = !call.landings.is_empty();
        let mut found = None;
        if matches!(told, Told::Success { .. }) && !landed && self.had_nothing_to_delete(call) {
            self.calls[index].found_nothing = true;
            landed = true;
        }
        let call = &self.calls[index];
        match told {
            Told::Success { .. } if !landed => {
                found = Some("L4: a client is told of a success that was none");
            }
            Told::Success { etag, generation } => {
                let is_own = |etag: &Option<String>| call.landings.contains(etag);
                if etag.is_some() && !self.shared && !is_own(etag) {
                    found = Some("L4: a success is told with the ETag of something else");
                }
                if let Some(generation) = generation {
                    let known = self.generations.insert(generation.clone(), index);
                    if known.is_some_and(|known| known != index) {
                        found = Some("generations: one names what two calls wrote");
                    }
                }
            }
            Told::ConditionFailed | Told::Refused if landed => {
                found = Some("L4: a client is told that its write was refused, and it landed");
            }
            Told::ConditionFailed if !self.has_failed(call) => {
                found = Some("L4: a client is told that its condition failed, and it held");
            }
            Told::ConditionFailed | Told::Refused | Told::Unknown => {}
        }
        if let Some(law) = found {
            self.breaks(format!("{law}: call {index}, told {told:?}"));
        }
    }

    /// Is it a delete whose condition says nothing of an object, and was there a moment since it began
    /// at which there was nothing to delete? Then it is done, although no copy of it has landed. (The
    /// generation that it names may be that of a delete.)
    fn had_nothing_to_delete(&self, call: &Call) -> bool {
        let any = matches!(call.preconditions.shape(), Shape::None | Shape::GenerationMatch(_));
        call.deletes() && any && self.stood_since(call).any(|version| version.etag.is_none())
    }

    /// What has stood at the call's key since it began.
    fn stood_since(&self, call: &Call) -> impl Iterator<Item = &Version> {
        let versions = &self.keys[call.key];
        let ends = versions.iter().skip(1).map(|next| next.at).chain([Instant::now()]);
        let began = call.began;
        versions.iter().zip(ends).filter(move |(_, end)| *end >= began).map(|(version, _)| version)
    }

    /// Was there a moment since the call began at which its condition did not hold? A generation
    /// may have ended without a landing, and of a retry that the store refused the journal only
    /// says that it was refused.
    fn has_failed(&self, call: &Call) -> bool {
        let asks_more = matches!(call.preconditions.shape(), Shape::GenerationMatch(_));
        if asks_more || call.refused_by_store {
            return true;
        }
        self.stood_since(call).any(|version| !holds(&call.preconditions, version))
    }
}

pub(super) fn holds(preconditions: &Preconditions, version: &Version) -> bool {
    let current = current(version.etag.as_deref());
    preconditions.evaluate(&Seen::from(current)).is_ok()
}

pub(super) fn current(etag: Option<&str>) -> Current {
    etag.map_or(Current::Absent, |etag| Current::Present(ETag::parse(etag.as_bytes())))
}

//! The objects that a probe writes, noted before they are written, so that all can be removed whatever
//! happens.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream;

use http::StatusCode;

use super::finding::is_unclear;
use super::node::{Changed, Node, somewhere};
use super::sweep::{Removed, swept, uploads_swept};
use super::trouble::Trouble;
use crate::backend::Answer;
use crate::random;
use crate::s3::documents::{SuccessBody, outcome_of_delete_result};
use crate::s3::{BucketName, ObjectKey, ObjectName, Segments};

/// How many digits of a random id are in the prefix.
const ID_DIGITS: usize = 16;

/// How many deletes are sent at the same time.
const AT_ONCE: usize = 8;

/// A prefix of a bucket under which only a probe writes.
#[derive(Debug)]
pub struct Scratch {
    bucket: BucketName,
    prefix: String,
    segments: Segments,
    keys: Mutex<BTreeMap<ObjectName, Leavings>>,
    /// Uploads by their ids that were begun and may not have ended.
    uploads: Mutex<BTreeMap<String, ObjectName>>,
    /// How many begins of uploads were sent whose answer does not name the upload.
    nameless: AtomicUsize,
}

/// What writes of a key have left.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Leavings {
    /// Whether an object may stand there.
    object: bool,
    /// The versions and delete markers that answers named.
    versions: Vec<String>,
    /// How many requests were sent once that have no answer.
    pending: usize,
    /// Whether a write was sent that has no answer: it may have left a version that is not known, and
    /// may land later.
    unanswered: bool,
}

impl Scratch {
    /// A prefix that begins so and ends with a random part. `segments`: what the store's keys may
    /// contain.
    ///
    /// # Errors
    /// It cannot begin a key.
    pub fn new(bucket: BucketName, begin: &str, segments: Segments) -> Result<Self, Trouble> {
        let id: String = random::id().chars().take(ID_DIGITS).collect();
        let prefix = format!("{begin}{id}/");
        let (keys, uploads) = (Mutex::default(), Mutex::default());
        let nameless = AtomicUsize::new(0);
        let scratch = Self { bucket, prefix, segments, keys, uploads, nameless };
        scratch.name("1").map(|_| scratch)
    }

    /// Bucket and prefix, for people.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.bucket, self.prefix)
    }

    /// The bucket.
    pub fn bucket(&self) -> &str {
        self.bucket.as_str()
    }

    /// The prefix with its random part.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The object of this name under the prefix.
    ///
    /// # Errors
    /// Its key is not allowed.
    pub fn name(&self, name: &str) -> Result<ObjectName, Trouble> {
        let key = format!("{}{name}", self.prefix);
        match ObjectKey::parse(&key, self.segments) {
            Ok(key) => Ok(ObjectName { bucket: self.bucket.clone(), key }),
            Err(error) => Err(Trouble::Key(key, error.message().to_owned())),
        }
    }

    /// The same, whatever segments are allowed: the store decides whether it takes the key.
    ///
    /// # Errors
    /// No store could take it.
    pub fn any_name(&self, name: &str) -> Result<ObjectName, Trouble> {
        let key = format!("{}{name}", self.prefix);
        match ObjectKey::parse(&key, Segments::ANY) {
            Ok(key) => Ok(ObjectName { bucket: self.bucket.clone(), key }),
            Err(error) => Err(Trouble::Key(key, error.message().to_owned())),
        }
    }

    /// Notes a request that is sent once, and its answer: whatever the answer says, an object may stand
    /// there if it could leave one. The error of `send` is a sentence.
    ///
    /// # Errors
    /// That of `send`.
    pub async fn noted(
        &self,
        name: &ObjectName,
        leaves_an_object: bool,
        send: impl Future<Output = Result<Answer, String>>,
    ) -> Result<Answer, String> {
        self.note(name, |left| left.pending += 1);
        let answered = send.await;
        if let Ok(answer) = &answered {
            self.note(name, |left| left.told(leaves_an_object, answer));
        }
        answered
    }

    /// A request is about to be sent that begins an upload. [`Self::begun`] follows, or
    /// [`Self::not_begun`], where there is an answer that says so.
    pub fn begins(&self) {
        self.nameless.fetch_add(1, Ordering::Relaxed);
    }

    /// It was refused.
    pub fn not_begun(&self) {
        self.nameless.fetch_sub(1, Ordering::Relaxed);
    }

    /// It was begun.
    pub fn begun(&self, name: &ObjectName, upload_id: &str) {
        self.nameless.fetch_sub(1, Ordering::Relaxed);
        self.uploads().insert(upload_id.to_owned(), name.clone());
    }

    /// An upload was completed.
    pub fn completed(&self, upload_id: &str) {
        self.uploads().remove(upload_id);
    }

    /// Removes all that was written as [`Self::remove`] does, uploads that were begun, and what listings
    /// show under the prefix after it: a store may keep an object by another key than the one that it was
    /// written by, or carry out what it has refused; and an upload whose begin had no answer has no
    /// other name.
    pub async fn remove_all(&self, nodes: &[Node]) -> Removed {
        let uploads = std::mem::take(&mut *self.uploads());
        let (mut count, mut last) = (0, None);
        for (id, name) in uploads {
            let aborted =
                somewhere(nodes, Trouble::Stopped, async |node| node.abort(&name, &id).await);
            if let Err(trouble) = aborted.await {
                count += 1;
                last = Some(trouble);
            }
        }
        let (mut all, hidden) = self.removed(nodes).await;
        // A store that aborts none has many.
        all.left.extend(last.map(|trouble| format!("uploads that were begun: {count}: {trouble}")));
        let (swept, by_versions) = swept(nodes, &self.bucket, &self.prefix).await;
        all.versions += swept.versions;
        all.left.extend(swept.left);
        if !by_versions {
            all.left.extend(hidden);
        }
        if self.nameless.load(Ordering::Relaxed) > 0 {
            all.left.extend(uploads_swept(nodes, &self.bucket, &self.prefix).await);
        }
        all
    }

    /// Writes an object at this node. Where it is given up before it ends, the write may land after the
    /// removal.
    ///
    /// # Errors
    /// The store refuses it, or does not answer.
    pub async fn put(
        &self,
        node: &Node,
        name: &ObjectName,
        content: &'static [u8],
    ) -> Result<Changed, Trouble> {
        let before = self.note(name, |left| left.sent(true));
        let answered = node.put(name, content).await;
        self.note(name, |left| left.answered(before, true, &answered));
        answered
    }

    /// Deletes an object at this node.
    ///
    /// # Errors
    /// As above.
    pub async fn delete(&self, node: &Node, name: &ObjectName) -> Result<Changed, Trouble> {
        let before = self.note(name, |left| left.sent(false));
        let answered = node.delete(name, None).await;
        self.note(name, |left| left.answered(before, false, &answered));
        answered
    }

    /// Removes all that was written, at the first of these nodes that does it.
    pub async fn remove(&self, nodes: &[Node]) -> Removed {
        let (mut all, hidden) = self.removed(nodes).await;
        all.left.extend(hidden);
        all.left.sort();
        all
    }

    /// The same, and what a delete marker may hide; a sentence each.
    async fn removed(&self, nodes: &[Node]) -> (Removed, Vec<String>) {
        let keys: Vec<_> = std::mem::take(&mut *self.keys()).into_iter().collect();
        let removals = keys.into_iter().map(|(name, left)| remove(nodes, name, left));
        let mut ended = stream::iter(removals).buffer_unordered(AT_ONCE);
        let (mut all, mut all_hidden) = (Removed::default(), Vec::new());
        while let Some((Removed { versions, left }, hidden)) = ended.next().await {
            all.versions += versions;
            all.left.extend(left);
            all_hidden.extend(hidden);
        }
        all.left.sort();
        (all, all_hidden)
    }

    fn note<T>(&self, name: &ObjectName, change: impl FnOnce(&mut Leavings) -> T) -> T {
        change(self.keys().entry(name.clone()).or_default())
    }

    fn keys(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Leavings>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, ObjectName>> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leavings {
    /// A write is about to be sent, which may leave an object. Returns what was there before.
    fn sent(&mut self, an_object: bool) -> Self {
        let before = self.clone();
        self.object |= an_object;
        self.unanswered = true;
        before
    }

    /// It has ended.
    fn answered(&mut self, before: Self, an_object: bool, answer: &Result<Changed, Trouble>) {
        match answer {
            Ok(changed) => {
                self.object = an_object;
                self.unanswered = before.unanswered || changed.repeated;
                self.versions.extend(changed.version_id.clone());
            }
            Err(Trouble::NoAnswer { .. }) => {}
            // Refused.
            Err(_) => *self = before,
        }
    }

    /// There is an answer to a request that was sent once.
    fn told(&mut self, leaves_an_object: bool, answer: &Answer) {
        self.pending = self.pending.saturating_sub(1);
        // A request of which the store says that it is wrong in itself was not half done.
        let is_done = answer.status.is_success() || may_be_half_done(answer.status);
        self.object |= leaves_an_object && is_done;
        // A batch delete may say in a 200 that it was not done.
        let is_refused = matches!(outcome_of_delete_result(&answer.body), SuccessBody::Error(_));
        let is_deleted =
            !leaves_an_object && answer.status.is_success() && !is_refused && self.pending == 0;
        self.object &= !is_deleted;
        self.unanswered |= is_unclear(answer.status.as_u16());
        let version = answer.headers.get("x-amz-version-id").and_then(|id| id.to_str().ok());
        self.versions.extend(version.filter(|id| *id != "null").map(str::to_owned));
    }

    /// What a plain delete is needed for: it would leave one more delete marker where all versions are
    /// known.
    fn needs_delete(&self) -> bool {
        self.unanswered || self.pending > 0 || self.object && self.versions.is_empty()
    }
}

/// What was removed, and what a delete marker may hide.
async fn remove(nodes: &[Node], name: ObjectName, leavings: Leavings) -> (Removed, Option<String>) {
    let (mut removed, mut hidden) = (Removed::default(), None);
    for id in &leavings.versions {
        let deleted =
            somewhere(nodes, Trouble::Stopped, async |node| node.delete(&name, Some(id)).await);
        match deleted.await {
            Ok(_) => removed.versions += 1,
            Err(Trouble::NoBucket(_)) => {}
            Err(trouble) => removed.left.push(format!("{name}, version {id}: {trouble}")),
        }
    }
    if leavings.needs_delete() {
        let deleted =
            somewhere(nodes, Trouble::Stopped, async |node| node.delete(&name, None).await);
        match deleted.await {
            Ok(changed) if changed.version_id.is_some() => {
                hidden = Some(format!(
                    "{name}: a write of it had no answer; a delete marker hides the version that it \
                     may have left"
                ));
            }
            // Where there is no bucket there is nothing in it.
            Ok(_) | Err(Trouble::NoBucket(_)) => {}
            // Not as AWS answers, and yet clear.
            Err(Trouble::Refused { answer, .. }) if answer.starts_with("404 ") => {}
            Err(trouble) => removed.left.push(format!("{name}: {trouble}")),
        }
    }
    (removed, hidden)
}

/// Whether a write that was refused so may stand there all the same.
fn may_be_half_done(status: StatusCode) -> bool {
    matches!(status.as_u16(), 304 | 404 | 409 | 412 | 500..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(begin: &str) -> Result<Scratch, Trouble> {
        Scratch::new(BucketName::parse("bucket").unwrap(), begin, Segments::default())
    }

    #[test]
    fn a_prefix_has_a_random_part_and_begins_keys() {
        let (one, other) = (scratch("a/").unwrap(), scratch("a/").unwrap());
        assert_ne!(one.shown(), other.shown());
        assert_eq!(one.name("1").unwrap().to_string(), format!("{}1", one.shown()));
        assert!(one.shown().starts_with("bucket/a/"));
        assert!(matches!(scratch("a/../"), Err(Trouble::Key(..))));
        assert!(matches!(scratch(&"a".repeat(1020)), Err(Trouble::Key(..))));
    }

    fn written(version: Option<&str>) -> Changed {
        Changed { version_id: version.map(str::to_owned), ..Changed::default() }
    }

    fn no_answer() -> Trouble {
        let (object, why) = ("b/k".to_owned(), "no".to_owned());
        Trouble::NoAnswer { asked: "PUT", object, why }
    }

    #[test]
    fn a_plain_delete_is_for_what_is_not_known_by_its_version() {
        let mut left = Leavings::default();
        let before = left.sent(true);
        assert!(left.needs_delete(), "it was sent, and the answer is not here yet");
        left.answered(before, true, &Ok(written(None)));
        assert!(left.needs_delete() && left.object && !left.unanswered);
        let before = left.sent(true);
        left.answered(before, true, &Ok(written(Some("1"))));
        assert!(!left.needs_delete() && left.versions == ["1"]);
        let before = left.sent(false);
        left.answered(before, false, &Err(no_answer()));
        assert!(left.needs_delete(), "it may have left a version without a name");
        let before = left.sent(false);
        left.answered(before, false, &Ok(written(Some("2"))));
        assert!(left.needs_delete() && left.versions == ["1", "2"], "the one before may land yet");
    }

    #[test]
    fn what_was_refused_may_have_been_carried_out() {
        let with = |status, body: &'static str| {
            let status = StatusCode::from_u16(status).unwrap();
            Answer { status, headers: crate::http1::fields::Fields::new(), body: body.into() }
        };
        let of = |status| with(status, "");
        let mut left = Leavings { pending: 1, ..Leavings::default() };
        assert!(left.needs_delete(), "it was sent, and the answer is not here yet");
        left.told(true, &of(400));
        assert_eq!(left, Leavings::default(), "nobody does what is wrong in itself");
        left.told(true, &of(412));
        assert!(left.object && !left.unanswered && left.needs_delete());
        left.told(false, &of(412));
        assert!(left.object, "a delete that was refused");
        left.pending = 2;
        left.told(false, &of(204));
        assert!(left.object, "another write is on its way");
        let refused = "<DeleteResult><Error><Code>PreconditionFailed</Code></Error></DeleteResult>";
        left.told(false, &with(200, refused));
        assert!(left.object, "a batch delete that was not done");
        left.pending = 1;
        left.told(false, &of(204));
        assert_eq!(left, Leavings::default());
        left.told(true, &of(503));
        assert!(left.unanswered);
    }

    #[test]
    fn what_was_deleted_or_refused_needs_nothing() {
        let mut left = Leavings::default();
        let before = left.sent(true);
        left.answered(before, true, &Err(Trouble::NoBucket("b".to_owned())));
        assert_eq!(left, Leavings::default());
        for an_object in [true, false] {
            let before = left.sent(an_object);
            left.answered(before, an_object, &Ok(written(None)));
        }
        assert_eq!(left, Leavings::default());
        assert!(!left.needs_delete());
        let before = left.sent(false);
        left.answered(before, false, &Ok(Changed { repeated: true, ..Changed::default() }));
        assert!(left.needs_delete(), "the first one may land later");
    }
}

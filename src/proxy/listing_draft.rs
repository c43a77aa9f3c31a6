//! A corrected page of a listing while the store is asked for what the register does not know of it.

use futures_util::future::try_join_all;

use crate::s3::listing::Description;
use crate::shares::NoRoom;

/// How many common prefixes of a page are looked below at most, and how many at once.
const PREFIXES_MAX: usize = 32;
const PREFIXES_AT_ONCE: usize = 4;

/// How many objects of a page are asked for at most, and how many at once. A page ends before the next.
const OBJECTS_MAX: usize = 64;
const OBJECTS_AT_ONCE: usize = 8;

/// Why there is no page.
#[derive(Debug)]
pub(super) enum NoPage {
    /// The store did not answer; a sentence.
    Unanswered(String),
    /// There is no room for it in memory.
    NoRoom(NoRoom),
}

/// An entry of a page.
pub(super) trait DraftEntry: Sized {
    /// The place behind an entry.
    type End;

    /// The key, or the common prefix.
    fn name(&self) -> &str;

    /// The place behind it.
    fn end(&self) -> Self::End;

    /// Whether it is an object of which more has to be known to list it.
    fn is_bare(&self) -> bool;

    /// Lists more of the object.
    fn describe(&mut self, description: Description);

    /// What is listed where nothing more is known of it; `None` for nothing.
    fn undescribed(self) -> Option<Self>;
}

/// Asks the store about the entries of a page.
pub(super) trait Asker<E> {
    /// Is a key left below this common prefix? `None` where that was not found out.
    async fn is_alive(&self, prefix: &str) -> Result<Option<bool>, NoPage>;

    /// What an object is that the store does not list yet.
    async fn describe(&self, entry: &E) -> Result<Described, NoPage>;
}

/// What the store says of an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Described {
    /// This.
    As(Description),
    /// Another one has been written since.
    Changed,
    /// Nothing that can be listed, or a write of it is under way or in doubt.
    Unclear,
    /// It did not show the object in time.
    Late,
}

/// A page while it is completed.
#[derive(Debug)]
pub(super) struct Draft<E: DraftEntry> {
    /// The entries, in their order.
    pub(super) entries: Vec<E>,
    /// The common prefixes among them below which nothing may be left.
    pub(super) doubtful: Vec<String>,
    /// Where the next page begins, if there may be one.
    pub(super) next: Option<E::End>,
    /// Everything that was acknowledged is known.
    pub(super) is_known: bool,
    /// It differs from the store's page.
    pub(super) is_changed: bool,
}

/// How the entries were completed.
pub(super) enum Completed {
    /// All are.
    Whole,
    /// Something was written since.
    Changed,
    /// The store did not show an object in time.
    Late,
}

impl<E: DraftEntry> Draft<E> {
    /// Leaves out what the page cannot name.
    pub(super) fn leave_out_nameless(&mut self, can_name: impl Fn(&str) -> bool) {
        let count = self.entries.len();
        self.entries.retain(|entry| can_name(entry.name()));
        self.is_known &= self.entries.len() == count;
    }

    /// Leaves out the common prefixes below which no key is left.
    pub(super) async fn look_below(&mut self, asker: &impl Asker<E>) -> Result<(), NoPage> {
        let doubtful = std::mem::take(&mut self.doubtful);
        self.is_known &= doubtful.len() <= PREFIXES_MAX;
        let looked_at = &doubtful[..doubtful.len().min(PREFIXES_MAX)];
        for prefixes in looked_at.chunks(PREFIXES_AT_ONCE) {
            let alive = prefixes.iter().map(|prefix| asker.is_alive(prefix));
            for (prefix, alive) in prefixes.iter().zip(try_join_all(alive).await?) {
                self.is_known &= alive.is_some();
                if alive == Some(false) {
                    self.entries.retain(|entry| entry.name() != prefix);
                    self.is_changed = true;
                }
            }
        }
        Ok(())
    }

    /// Asks what the objects are that are not described.
    pub(super) async fn describe(&mut self, asker: &impl Asker<E>) -> Result<Completed, NoPage> {
        let bare = (0..self.entries.len()).filter(|at| self.entries[*at].is_bare());
        let mut bare: Vec<_> = bare.collect();
        if let Some(end) = bare.get(OBJECTS_MAX).copied() {
            bare.truncate(OBJECTS_MAX);
            self.entries.truncate(end);
            self.next = self.entries.last().map(E::end);
        }
        let mut unclear = Vec::new();
        for some in bare.chunks(OBJECTS_AT_ONCE) {
            let asked = some.iter().map(|at| asker.describe(&self.entries[*at]));
            for (at, described) in some.iter().zip(try_join_all(asked).await?) {
                match described {
                    Described::As(it) => self.entries[*at].describe(it),
                    Described::Changed => return Ok(Completed::Changed),
                    Described::Late => return Ok(Completed::Late),
                    Described::Unclear => unclear.push(*at),
                }
            }
        }
        // What cannot be described is listed as the store lists it, or not at all.
        for at in unclear.into_iter().rev() {
            self.is_known = false;
            if let Some(older) = self.entries.remove(at).undescribed() {
                self.entries.insert(at, older);
            }
        }
        Ok(Completed::Whole)
    }
}

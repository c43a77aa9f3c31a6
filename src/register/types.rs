//! The register's types: plain values, no IO, no clock.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::s3::{Current, ETag, Preconditions, Shape};
pub use crate::units::in_millis;
use crate::units::{Positive, Span};

/// A moment on the register's own clock: milliseconds since the Unix epoch (for Redis, its `TIME`).
/// Never compared with a proxy's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Add<Duration> for Millis {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(in_millis(duration)))
    }
}

impl Millis {
    /// The time from `self` to `later`; zero when `later` is past.
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(later.0.saturating_sub(self.0))
    }

    /// The moment `ago` before this one.
    #[must_use]
    pub fn before(self, ago: Duration) -> Self {
        Self(self.0.saturating_sub(in_millis(ago)))
    }
}

/// The state of a key, as the register believes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum State {
    /// No current object, or a delete marker.
    Absent,
    /// An object with this ETag.
    Present(ETag),
    /// Unknown: only a HEAD can tell.
    Unknown,
}

impl From<Current> for State {
    fn from(current: Current) -> Self {
        match current {
            Current::Absent => Self::Absent,
            Current::Present(etag) => Self::Present(etag),
        }
    }
}

impl State {
    /// The state as a fact to judge a condition by, if it is one.
    pub fn known(&self) -> Option<Current> {
        match self {
            Self::Absent => Some(Current::Absent),
            Self::Present(etag) => Some(Current::Present(etag.clone())),
            Self::Unknown => None,
        }
    }

    /// Does the register know enough to say that these preconditions hold for a key in this state,
    /// of this generation? The answer is the one that [`Preconditions::evaluate`] would give for a
    /// HEAD, which is not needed then. acquire.lua does the same.
    pub fn satisfies(
        &self,
        generation: Option<&Generation>,
        preconditions: &Preconditions,
    ) -> bool {
        match (preconditions.shape(), self) {
            (Shape::None, _) => true,
            // Only a HEAD can tell.
            (Shape::Compound, _) | (_, Self::Unknown) => false,
            (Shape::IfNoneMatchAny, state) => *state == Self::Absent,
            (Shape::IfMatchAny, state) => matches!(state, Self::Present(_)),
            (Shape::IfMatch(wanted), state) => {
                matches!(state, Self::Present(etag) if etag == wanted)
            }
            (Shape::GenerationMatch(wanted), _) => {
                generation.is_some_and(|generation| generation.0 == wanted)
            }
        }
    }
}

/// The state that a write leaves if it lands, as far as its holder knows before. By this, a later
/// HEAD can prove that the write did not land.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// A delete.
    Absent,
    /// An object, with any ETag.
    SomeObject,
    /// An object that carries the write's id, with any ETag.
    CarriesId,
    /// Any state: the request was not understood.
    Anything,
}

/// The name of an epoch: one uninterrupted memory of the register.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EpochId(pub String);

/// A lease's name, `<epoch>.<nonce>`. It contains its epoch, so that after a failover a late step
/// of a former holder cannot be taken for a step of the present holder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token(pub String);

impl Token {
    /// The token of a lease asked for with this nonce.
    pub fn new(epoch: &EpochId, nonce: &str) -> Self {
        Self([&epoch.0, ".", nonce].concat())
    }

    /// Was this token given out in that epoch?
    pub fn is_of(&self, epoch: &EpochId) -> bool {
        self.0.split_once('.').is_some_and(|(id, _)| id == epoch.0)
    }
}

/// Names a process that asks for leases, among all processes of a fleet. A process asks for each
/// key with one write at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asker(pub String);

/// Names one state of one key: opaque, compared for equality only. A new one begins whenever a
/// write may have landed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Generation(pub String);

impl Generation {
    /// The generation with this number in an epoch.
    pub fn numbered(epoch: &EpochId, number: impl fmt::Display) -> Self {
        Self([&epoch.0, ".", &number.to_string()].concat())
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a multipart upload of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadName(String);

impl UploadName {
    /// The name of the upload with this id. It is a digest, since ids may be long and records are
    /// written often.
    pub fn of(upload_id: &str) -> Self {
        Self(hex::encode(&Sha256::digest(upload_id)[..12]))
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for UploadName {
    fn from(stored: String) -> Self {
        Self(stored)
    }
}

/// A multipart upload, and how its key stood when it was created (AWS: CompleteMultipartUpload: a
/// conditional one fails with 409 when the key has changed since).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The upload.
    pub name: UploadName,
    /// The key's generation just before the upload was created.
    pub generation: Option<Generation>,
    /// The generation of a write that was under way or in doubt just before the upload was created.
    /// If that write lands, it counts as the earlier one.
    pub pending: Option<Generation>,
    /// When it was noted.
    pub at: Millis,
}

impl Upload {
    /// Is the key, whose generation is now this one, unchanged since the upload was created?
    pub fn is_untouched(&self, generation: Option<&Generation>) -> bool {
        self.generation.as_ref() == generation
            || (generation.is_some() && self.pending.as_ref() == generation)
    }
}

/// Names one write across its retries (protocol: caller, operation, key, condition, body digest and
/// `amz-sdk-invocation-id`). A request without an invocation id gets a random name and is never
/// taken for a retry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WriteId(pub String);

impl WriteId {
    /// The id of a request that is never taken for a retry; `name` must be unique.
    pub fn alone(name: &str) -> Self {
        let mut id = String::with_capacity(ALONE.len_utf8() + name.len());
        id.push(ALONE);
        id.push_str(name);
        Self(id)
    }

    /// Can no later request have this id? Then the journal need not keep the landing.
    pub fn is_alone(&self) -> bool {
        self.0.starts_with(ALONE)
    }
}

/// The first character of the id of a request that is never taken for a retry; the scripts use it
/// too.
const ALONE: char = '~';

/// What a HEAD can have shown, at a store that lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum View {
    /// The key's state.
    Current,
    /// The state before the write in doubt, or what that write left; nothing older.
    SinceDoubt,
    /// Any state of the time that the store lags by.
    Older,
}

/// How long after its last byte a write may still land.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    /// Writes whose work ends with their last byte.
    Plain,
    /// Complete and copy, which work long after the last byte.
    Long,
}

/// Whether other writers than the proxies may change objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Writers {
    /// Other writers go around the proxies: the record is never believed, and every condition is
    /// judged by a HEAD.
    Shared,
    /// All writers go through the proxies: a record that satisfies the condition is believed.
    Exclusive,
}

/// The terms that all proxies of one register must agree on: the keys of these names in `[register]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// How long a lease lasts without renewal.
    #[serde(with = "Positive")]
    pub lease: Duration,
    /// How much longer an armed lease blocks its key before another process may take it over.
    #[serde(with = "Span")]
    pub grace: Duration,
    /// How long after the last byte a plain write may still land.
    #[serde(with = "Span")]
    pub settle: Duration,
    /// The same for CompleteMultipartUpload and CopyObject; not shorter than `settle`.
    #[serde(with = "Span")]
    pub settle_long: Duration,
    /// How long the journal remembers a write: a retry within this time gets the answer of its
    /// first attempt.
    #[serde(with = "Positive")]
    pub retry_horizon: Duration,
    /// How long an untouched record is kept; at least `retry_horizon`.
    #[serde(with = "Positive")]
    pub record_ttl: Duration,
    /// How long after a failover a master that was replaced may still grant leases.
    #[serde(with = "Span")]
    pub failover_lag: Duration,
    /// How long after a write the store may still show what stood there before.
    #[serde(with = "Span")]
    pub lag: Duration,
    /// The least time between two writes of one key, for a store that orders writes by clocks of
    /// its own.
    #[serde(with = "Span")]
    pub spacing: Duration,
    /// Whether other writers than the proxies may change objects.
    #[serde(skip)]
    pub writers: Writers,
}

impl Default for Terms {
    /// The defaults for one Redis at one address, as in `config/ifmatch.toml`.
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(6),
            grace: Duration::from_secs(3),
            settle: Duration::from_secs(10),
            settle_long: Duration::from_mins(5),
            retry_horizon: Duration::from_mins(10),
            record_ttl: Duration::from_hours(24),
            failover_lag: Duration::ZERO,
            lag: Duration::ZERO,
            spacing: Duration::ZERO,
            writers: Writers::Shared,
        }
    }
}

impl Terms {
    /// The settle time of a class of writes.
    pub fn settle(&self, class: Settle) -> Duration {
        match class {
            Settle::Plain => self.settle,
            Settle::Long => self.settle_long,
        }
    }

    /// How long no lease is granted after an epoch began: after this time every earlier lease is
    /// over, the store shows what was written under it, and another write is far enough from that.
    pub fn quarantine(&self) -> Duration {
        self.lease + self.grace + self.settle + self.failover_lag + self.after_landing()
    }

    /// How long after a landing nothing is granted by a register that knows nothing of it: the store may
    /// not show it, or may not order another write after it.
    pub fn after_landing(&self) -> Duration {
        self.lag.max(self.spacing)
    }

    /// How long after its landing a write is missed in what a HEAD shows. What is missing later can have
    /// gone by a rule of the store.
    pub fn missed_for(&self) -> Duration {
        MISSED_FOR + 2 * self.lag
    }

    /// A text of these terms, to tell proxies with other terms apart.
    pub fn fingerprint(&self) -> String {
        let mode = match self.writers {
            Writers::Shared => "shared",
            Writers::Exclusive => "exclusive",
        };
        // A version whose steps leave no young keys, or none with versions, is told apart where they count.
        let young = if self.lag.is_zero() { "" } else { "+versions" };
        format!(
            "lease={} grace={} settle={} settle_long={} failover_lag={} lag={}{young} spacing={} \
             writers={mode}",
            in_millis(self.lease),
            in_millis(self.grace),
            in_millis(self.settle),
            in_millis(self.settle_long),
            in_millis(self.failover_lag),
            in_millis(self.lag),
            in_millis(self.spacing)
        )
    }
}

/// See [`Terms::missed_for`], for a store that does not lag.
const MISSED_FOR: Duration = Duration::from_mins(1);

/// The headers of the store's answer to a write that a retry has to be told too, without its ETag
/// (a version, a delete marker): header lines, as many as fit. Empty where the answer was never
/// seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AnswerHeaders(String);

impl AnswerHeaders {
    /// The maximum that is kept, in bytes. A version id has at most 1,024 bytes (AWS: Object key
    /// and version id), and usually about 32.
    pub const BYTES_MAX: usize = 1280;

    /// These headers, the most important ones first.
    pub fn of<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut lines = String::new();
        for (name, value) in headers {
            if lines.len() + name.len() + value.len() + 2 <= Self::BYTES_MAX {
                for piece in [name, ":", value, "\n"] {
                    lines.push_str(piece);
                }
            }
        }
        lines.shrink_to_fit();
        Self(lines)
    }

    /// The headers.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(':'))
    }

    /// The stored form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for AnswerHeaders {
    fn from(stored: String) -> Self {
        Self(stored)
    }
}

/// How a write in the journal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It changed the key.
    Landed {
        /// The state that it left, where that is known.
        state: State,
        /// The generation it began.
        generation: Generation,
        /// The other headers of its answer.
        headers: AnswerHeaders,
    },
    /// Its second attempt was refused with this S3 error code: a first attempt that is still on its
    /// way must not land, and gets the same refusal.
    Refused {
        /// The code; empty where none is known.
        code: String,
    },
    /// It may have changed the key or not, and the outcome cannot be known any more.
    Undetermined {
        /// The generation that it began if it landed. The attempt that was in doubt is recognised
        /// by it.
        generation: Generation,
    },
}

/// One line of a key's journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The write.
    pub write_id: WriteId,
    /// Its ending.
    pub ending: Ending,
    /// When the line was written.
    pub at: Millis,
}

/// The register's present epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Its random name.
    pub id: EpochId,
    /// When it began.
    pub since: Millis,
    /// No lease is granted before this time.
    pub quarantine_until: Millis,
    /// The number of the last generation.
    pub generations: u64,
}

impl Epoch {
    /// An epoch that begins now: no lease is granted until every earlier lease must be over.
    pub fn begin(id: EpochId, terms: &Terms, now: Millis) -> Self {
        Self { id, since: now, quarantine_until: now + terms.quarantine(), generations: 0 }
    }

    /// Ends the quarantine, but for the time that the store needs after a landing.
    pub fn skip_quarantine(&mut self, terms: &Terms) {
        self.quarantine_until = self.quarantine_until.min(self.since + terms.after_landing());
    }

    /// Begins a generation.
    pub fn next_generation(&mut self) -> Generation {
        self.generations += 1;
        Generation::numbered(&self.id, self.generations)
    }
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;

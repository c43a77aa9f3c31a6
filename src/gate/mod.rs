//! The gate: every change of a key passes here, one at a time, whoever asks and however.
//!
//! [`Gate::early_look`] may refuse a stale writer before its body is read; [`Gate::write`] is the
//! guarded write itself, steps 3 to 10 of docs/protocol.md#a-write-step-by-step. [`Gate::send_unguarded`] is the
//! side door for keys that a rule takes out of its care.

mod acquire;
mod busy;
mod conclude;
mod doubt;
mod early;
pub mod finding;
mod judge;
mod landed;
mod landing;
mod lease;
mod object_id;
mod outcome;
mod queue;
mod reading;
mod reclaim;
mod refusal;
mod release;
mod repeat;
mod send;
mod stop;
mod unguarded;
mod upload;
mod write;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::backend::{KeepAlive, Question, Store, StoreRequest};
use crate::body::Body;
use crate::random;
use crate::register::{Asker, Expect, Register, Settle, Terms, UploadName, WriteId};
use crate::s3::{Current, ETag, Effect, ObjectName, Operation, Preconditions, WriteClass};
pub use object_id::id_field;
pub use outcome::{Commit, Decider, Outcome, Reply};
use queue::Queue;
pub use reading::Pinned;

/// On the answer to a write that landed: the generation it began. On that to a read that wants it:
/// the generation of what was read.
pub const X_IFMATCH_GENERATION: HeaderName = HeaderName::from_static("x-ifmatch-generation");

/// On a read, with the value `generation`: its answer is to name one.
pub const X_IFMATCH_WANT: HeaderName = HeaderName::from_static("x-ifmatch-want");

/// Everything a guarded write needs.
#[derive(Debug)]
pub struct Gate {
    register: Arc<dyn Register>,
    store: Arc<dyn Store>,
    settings: Settings,
    queue: Queue,
    /// By which the register tells this process from others that wait.
    asker: Asker,
    /// The writes in doubt whose leases this process reclaims.
    reclaiming: TaskTracker,
}

/// How the gate goes about its work.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The register's terms.
    pub terms: Terms,
    /// How much of a lease must be left, on this process's own clock, before anything is sent.
    pub margin: Duration,
    /// How long a write waits for a busy key.
    pub lease_wait: Duration,
    /// How many writes of one key may wait for each other, the one whose turn it is included.
    pub writes_per_key: usize,
    /// How long one plain write may take from its first byte to the end of its answer.
    pub write_timeout: Duration,
    /// The same for complete and copy.
    pub long_write_timeout: Duration,
    /// Codes of 5xx answers that this store gives before it does anything.
    pub definite_errors: Vec<String>,
}

/// One change of one key, ready to be sent.
#[derive(Debug, Clone)]
pub struct Write<'a> {
    /// The key.
    pub name: &'a ObjectName,
    /// What is asked.
    pub operation: Operation,
    /// Under which condition.
    pub preconditions: &'a Preconditions,
    /// The request, without the condition: the gate is the judge.
    pub request: &'a StoreRequest,
    /// Its whole body, checked.
    pub body: &'a Body,
    /// Names the write across its retries.
    pub write_id: WriteId,
    /// Which attempt of the client's this is, from 1 (`amz-sdk-request`).
    pub attempt: u32,
    /// When the request arrived.
    pub arrived: Instant,
    /// Headers that a HEAD of the object needs.
    pub head_headers: &'a HeaderMap,
    /// The version that the condition is about, decoded, where it is not the current one.
    pub version_id: Option<&'a str>,
    /// Of a CompleteMultipartUpload: the upload, decoded.
    pub upload_id: Option<&'a str>,
    /// Of a CompleteMultipartUpload: the ETag that AWS gives the object, where the parts tell it.
    pub etag: Option<&'a ETag>,
    /// Its id is written on what it leaves ([`id_field`]).
    pub carries_id: bool,
    /// Hears that the store is still at work.
    pub keep_alive: Option<&'a KeepAlive>,
}

impl Gate {
    /// A gate in front of this store, with this register.
    pub fn new(register: Arc<dyn Register>, store: Arc<dyn Store>, settings: Settings) -> Self {
        let (queue, reclaiming) = (Queue::default(), TaskTracker::new());
        Self { register, store, settings, queue, asker: Asker(random::id()), reclaiming }
    }

    /// The completes and copies in doubt for which this process is still needed: should the register
    /// forget them, no other process could put them back.
    pub fn reclaiming(&self) -> TaskTracker {
        self.reclaiming.clone()
    }
}

impl Write<'_> {
    /// A HEAD of what stands at the key now.
    fn question(&self) -> Question<'_> {
        Question { name: self.name, version_id: None, headers: self.head_headers }
    }

    /// The class of the write, by which its settle time and its deadline are chosen.
    fn settle(&self) -> Settle {
        match (self.operation, self.operation.effect()) {
            (Operation::PostObject | Operation::DeleteObjects, _)
            | (_, Effect::WritesKey(WriteClass::Plain) | Effect::UnknownWrite(WriteClass::Plain)) => {
                Settle::Plain
            }
            _ => Settle::Long,
        }
    }

    /// What it leaves behind if it lands, as far as can be told beforehand.
    fn expect(&self) -> Expect {
        match self.operation {
            _ if self.carries_id => Expect::CarriesId,
            Operation::DeleteObject => Expect::Absent,
            Operation::PutObject
            | Operation::PostObject
            | Operation::CopyObject
            | Operation::CompleteMultipartUpload => Expect::SomeObject,
            _ => Expect::Anything,
        }
    }

    /// Can it have left this at the key?
    fn may_leave(&self, current: &Current) -> bool {
        match self.expect() {
            Expect::Absent => *current == Current::Absent,
            Expect::SomeObject | Expect::CarriesId => *current != Current::Absent,
            Expect::Anything => true,
        }
    }

    /// The upload whose beginning counts: that of a complete with a condition.
    fn upload(&self) -> Option<UploadName> {
        self.upload_id.filter(|_| !self.is_unconditional()).map(UploadName::of)
    }

    /// Is it not the client's first attempt?
    fn is_retry(&self) -> bool {
        self.attempt >= 2
    }

    /// May a lost write be done again without asking whether it landed? Only where nothing was
    /// to be judged.
    fn is_unconditional(&self) -> bool {
        self.preconditions.is_empty()
    }
}

#[cfg(test)]
mod tests;

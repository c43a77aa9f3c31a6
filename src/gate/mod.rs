//! The gate: the guarded write. It serialises all writes of a key through the key's lease.
//!
//! [`Gate::early_look`] may refuse a stale write before its body is read. [`Gate::write`] is the
//! guarded write itself, steps 3 to 10 of docs/protocol.md#a-write-step-by-step.
//! [`Gate::send_unguarded`] sends a request without a lease, for keys with `mode = "pass"`.

mod acquire;
mod busy;
mod conclude;
mod doubt;
mod early;
pub mod finding;
mod fresh;
mod judge;
mod landed;
mod landing;
mod lease;
mod notice;
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

use http::HeaderName;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::backend::{HeadRequest, KeepAlive, Store, StoreRequest};
use crate::body::Body;
use crate::http1::fields::Fields;
use crate::metrics::Metrics;
use crate::present::Present;
use crate::random;
use crate::register::{Asker, Expect, Register, Settle, Terms, UploadName, WriteId};
use crate::s3::{Current, ETag, Effect, ObjectName, Operation, Preconditions, WriteClass};
pub use fresh::{Expected, Sight, VersionSight};
pub use object_id::id_field;
pub use outcome::{Commit, Decider, Outcome, Reply};
use queue::Queue;
pub use reading::Pinned;

/// In the answer to a write that landed: the generation that the write began. In the answer to a
/// read that asked for it: the generation of the object that was read.
pub const X_IFMATCH_GENERATION: HeaderName = HeaderName::from_static("x-ifmatch-generation");

/// In a read, with the value `generation`: asks for the generation in the answer.
pub const X_IFMATCH_WANT: HeaderName = HeaderName::from_static("x-ifmatch-want");

/// In answers to reads of keys whose rule is `consistency = "guarded"`: `guarded`, or `store` where the
/// register did not know what was written, and the store's answer counts.
pub const X_IFMATCH_CONSISTENCY: HeaderName = HeaderName::from_static("x-ifmatch-consistency");

/// Everything a guarded write needs.
#[derive(Debug)]
pub struct Gate {
    register: Arc<dyn Register>,
    store: Arc<dyn Store>,
    settings: Settings,
    queue: Queue,
    /// Names this process to the register, which tells waiting processes apart by it.
    asker: Asker,
    /// The writes in doubt whose leases this process reclaims.
    reclaiming: TaskTracker,
    metrics: Arc<Metrics>,
    /// Where the writes under way can be seen.
    present: Arc<Present>,
}

/// The gate's settings.
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
    /// Codes of 5xx answers that this store gives before it changes anything.
    pub definite_errors: Vec<String>,
}

/// One write of one key, ready to be sent.
#[derive(Debug, Clone)]
pub struct Write<'a> {
    /// The key.
    pub name: &'a ObjectName,
    /// The operation.
    pub operation: Operation,
    /// The conditions.
    pub preconditions: &'a Preconditions,
    /// The request, without its conditions: the gate judges them.
    pub request: &'a StoreRequest,
    /// The whole body, verified.
    pub body: &'a Body,
    /// Names the write across its retries.
    pub write_id: WriteId,
    /// The number of the client's attempt, from 1 (`amz-sdk-request`).
    pub attempt: u32,
    /// When the request arrived.
    pub arrived: Instant,
    /// Headers that a HEAD of the object needs.
    pub head_headers: &'a Fields,
    /// The version that the condition is about, decoded; `None` for the current version.
    pub version_id: Option<&'a str>,
    /// The upload id of a CompleteMultipartUpload, decoded.
    pub upload_id: Option<&'a str>,
    /// Of a CompleteMultipartUpload: the ETag that AWS gives the object, where the parts tell it.
    pub etag: Option<&'a ETag>,
    /// Whether the write leaves its id on the object ([`id_field`]).
    pub carries_id: bool,
    /// Is told that the store is still at work.
    pub keep_alive: Option<&'a KeepAlive>,
}

impl Gate {
    /// A gate in front of this store, with this register.
    pub fn new(register: Arc<dyn Register>, store: Arc<dyn Store>, settings: Settings) -> Self {
        let (queue, reclaiming) = (Queue::default(), TaskTracker::new());
        let (asker, metrics, present) = (Asker(random::id()), Arc::default(), Arc::default());
        Self { register, store, settings, queue, asker, reclaiming, metrics, present }
    }

    /// The same gate, which counts in these metrics.
    #[must_use]
    pub fn counted_by(self, metrics: Arc<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// The same gate, whose writes under way can be seen here.
    #[must_use]
    pub fn seen_in(self, present: Arc<Present>) -> Self {
        Self { present, ..self }
    }

    /// The register's terms.
    pub const fn terms(&self) -> &Terms {
        &self.settings.terms
    }

    /// Where it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The same gate with other settings: writes wait for each other in the same queues.
    #[must_use]
    pub fn with_settings(&self, store: Arc<dyn Store>, settings: Settings) -> Self {
        Self {
            register: Arc::clone(&self.register),
            store,
            settings,
            queue: self.queue.clone(),
            asker: self.asker.clone(),
            reclaiming: self.reclaiming.clone(),
            metrics: Arc::clone(&self.metrics),
            present: Arc::clone(&self.present),
        }
    }

    /// The long writes in doubt for which this process must stay alive: should the register forget
    /// their leases, no other process could reclaim them.
    pub fn reclaiming(&self) -> TaskTracker {
        self.reclaiming.clone()
    }
}

impl Write<'_> {
    /// A HEAD of what stands at the key now.
    fn head_request(&self) -> HeadRequest<'_> {
        HeadRequest { name: self.name, version_id: None, headers: self.head_headers }
    }

    /// The class of the write, which determines its settle time and its deadline.
    fn settle(&self) -> Settle {
        match (self.operation, self.operation.effect()) {
            (Operation::PostObject | Operation::DeleteObjects, _)
            | (_, Effect::WritesKey(WriteClass::Plain) | Effect::UnknownWrite(WriteClass::Plain)) => {
                Settle::Plain
            }
            _ => Settle::Long,
        }
    }

    /// The state that the write leaves if it lands, as far as it is known before.
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

    /// Can this write have left this state at the key?
    fn may_leave(&self, current: &Current) -> bool {
        match self.expect() {
            Expect::Absent => *current == Current::Absent,
            Expect::SomeObject | Expect::CarriesId => *current != Current::Absent,
            Expect::Anything => true,
        }
    }

    /// The upload whose beginning counts for the condition: of a complete that has a condition.
    fn upload(&self) -> Option<UploadName> {
        self.upload_id.filter(|_| !self.is_unconditional()).map(UploadName::of)
    }

    /// Is this a later attempt than the client's first?
    fn is_retry(&self) -> bool {
        self.attempt >= 2
    }

    /// May a lost write be sent again without asking whether it landed? Only where it has no
    /// condition.
    fn is_unconditional(&self) -> bool {
        self.preconditions.is_empty()
    }
}

#[cfg(test)]
mod tests;

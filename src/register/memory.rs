//! The register in this process's memory, for a fleet of one proxy.
//!
//! An exclusive lock on a file, held for the life of the process, ensures that no other proxy runs.
//! The process leaves in that file what the next process must wait for: only what the store needs after an orderly
//! end, otherwise a quarantine.

mod bytes;
mod lock_file;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ahash::{HashMap, HashMapExt};
use async_trait::async_trait;

use self::lock_file::{LockFile, Marker};
use super::identity::{Identified, RegisterId};
use super::record::{self, Slot};
use super::types::{Epoch, EpochId, Millis, Settle};
use super::young::{Mark, YoungIndex};
use super::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, KeyRange, Observation,
    ReclaimAnswer, ReclaimStep, Register, RegisterError, ReleaseStep, Resolution, ResolveStep,
    Status, Terms, Token, UploadStep, YoungKey, YoungKeys,
};
use crate::random;
use crate::s3::ObjectName;
use crate::s3::listing::Written;

/// How much memory may be used to remember keys, bytes. A leased key is never forgotten for lack of
/// memory.
const BYTES_MAX: usize = 1 << 30;

/// When this process started, by the register's clock. The register's memory begins before that: no
/// request is old enough for an earlier process to have known it.
const START: Millis = Millis(2);

/// The in-memory register.
#[derive(Debug)]
pub struct MemoryRegister {
    terms: Terms,
    bytes_max: usize,
    started: tokio::time::Instant,
    inner: Mutex<Inner>,
}

type Slots = HashMap<ObjectName, Box<Slot>>;

/// Slots are kept in two halves. A step moves its slot to `recent`. When `recent` has been filled
/// for half of the record's time to live, or with half of the allowed memory, the slots left in
/// `older` are forgotten.
#[derive(Debug)]
struct Inner {
    epoch: Epoch,
    recent: Slots,
    older: Slots,
    /// Memory of the slots in `recent`, bytes, without the table.
    recent_bytes: usize,
    /// The part of `recent_bytes` that leased slots use which the last turn had to keep.
    kept_bytes: usize,
    turned: Millis,
    /// When the last write landed of those whose keys were forgotten.
    forgotten_landing: Option<Millis>,
    /// What was written lately, for listings.
    young: YoungIndex,
    /// How many slots have an armed lease of a long write.
    long_armed: usize,
    /// No lease is granted any more.
    closing: bool,
    lock_file: LockFile,
}

impl MemoryRegister {
    /// Opens the register, taking the lock file for the life of the value.
    ///
    /// `Unsuitable` when another process holds the file or it is a symbolic link; `Unreachable`
    /// when it cannot be opened.
    pub fn open(lock_file: &Path, terms: Terms) -> Result<Self, RegisterError> {
        Self::open_within(lock_file, terms, BYTES_MAX)
    }

    /// As [`Self::open`], with another limit than 1 GiB on the memory used to remember keys, bytes.
    pub fn open_within(
        lock_file: &Path,
        terms: Terms,
        bytes_max: usize,
    ) -> Result<Self, RegisterError> {
        let lock_file = LockFile::open(lock_file)?;
        let mut epoch = Epoch::begin(EpochId(random::id()), &terms, Millis(0));
        epoch.quarantine_until = START + lock_file.inherited().quarantine(&terms);
        Ok(Self {
            terms,
            bytes_max,
            started: tokio::time::Instant::now(),
            inner: Mutex::new(Inner {
                epoch,
                recent: HashMap::new(),
                older: HashMap::new(),
                recent_bytes: 0,
                kept_bytes: 0,
                turned: START,
                forgotten_landing: None,
                young: YoungIndex::default(),
                long_armed: 0,
                closing: false,
                lock_file,
            }),
        })
    }

    /// Runs `work` under the lock, with the time of the register's clock.
    fn alone<T>(&self, work: impl FnOnce(&mut Inner, Millis) -> T) -> T {
        let (answer, forgotten) = {
            let mut inner = self.lock();
            let now = self.now();
            let forgotten = inner.turn(&self.terms, self.bytes_max, now);
            (work(&mut inner, now), forgotten)
        };
        // Dropping many slots takes time: it is done without the lock.
        drop(forgotten);
        answer
    }

    /// Runs one step on a key's slot.
    fn step<T>(
        &self,
        name: &ObjectName,
        step: impl FnOnce(&mut Epoch, &mut Slot, &Terms, Millis) -> T,
    ) -> T {
        self.alone(|inner, now| inner.step(name, None, step, &self.terms, now))
    }

    /// Runs a step after which a write may be sent. The answer is given only once the lock file
    /// tells the next process of it, too: also returns how long that took.
    fn granting_step<T>(
        &self,
        name: &ObjectName,
        step: impl FnOnce(&mut Epoch, &mut Slot, &Terms, Millis) -> T,
    ) -> Result<(T, Duration), RegisterError> {
        self.alone(|inner, now| {
            if inner.closing {
                return Err(RegisterError::Unreachable("closing".to_owned()));
            }
            let answer = inner.step(name, None, step, &self.terms, now);
            let took =
                if inner.leave_marker(now)? { now.until(self.now()) } else { Duration::ZERO };
            Ok((answer, took))
        })
    }

    /// The register's clock, which is monotonic and begins with the process.
    fn now(&self) -> Millis {
        START + self.started.elapsed()
    }

    /// Runs a step by which a write may have ended. `written`: of what it has left.
    fn ending_step<T>(
        &self,
        name: &ObjectName,
        written: Option<&Written>,
        step: impl FnOnce(&mut Epoch, &mut Slot, &Terms, Millis) -> T,
    ) -> T {
        self.alone(|inner, now| {
            let before = inner.long_armed;
            let answer = inner.step(name, written, step, &self.terms, now);
            if inner.long_armed < before
                && let Err(error) = inner.leave_marker(now)
            {
                // The step is done all the same. The next start will only wait longer than needed.
                tracing::warn!(%error, "the lock file keeps the mark of a long write");
            }
            answer
        })
    }

    /// A panic during a step would leave the slot half changed. No step panics, and going on is
    /// better than failing all further writes.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// `written`: of what the step says to have landed.
    fn step<T>(
        &mut self,
        name: &ObjectName,
        written: Option<&Written>,
        step: impl FnOnce(&mut Epoch, &mut Slot, &Terms, Millis) -> T,
        terms: &Terms,
        now: Millis,
    ) -> T {
        let unknown = self.unknown(terms, now);
        let Some(slot) = self.recent.get_mut(name) else {
            let mut slot = self.older.remove(name).unwrap_or_else(|| Box::new(unknown.clone()));
            let before = Mark::where_it_lags(&slot, terms.lag);
            let answer = take(step, (&mut self.epoch, &mut self.long_armed), &mut slot, terms, now);
            self.young.note_step(name, before, &slot, written, (terms.lag, now));
            // A slot without any knowledge is not kept.
            if *slot != unknown {
                self.recent_bytes += bytes::of_slot(name, &slot);
                self.recent.insert(name.clone(), slot);
            }
            return answer;
        };
        self.recent_bytes -= bytes::of_slot(name, slot);
        let before = Mark::where_it_lags(slot, terms.lag);
        let answer = take(step, (&mut self.epoch, &mut self.long_armed), slot, terms, now);
        self.young.note_step(name, before, slot, written, (terms.lag, now));
        if **slot == unknown {
            self.recent.remove(name);
        } else {
            self.recent_bytes += bytes::of_slot(name, slot);
        }
        answer
    }

    fn observe(&self, name: &ObjectName, terms: &Terms, now: Millis) -> Observation {
        let unknown = self.unknown(terms, now);
        let known = self.recent.get(name).or_else(|| self.older.get(name));
        record::observe(&self.epoch, known.map_or(&unknown, Box::as_ref), terms, now)
    }

    /// What is known of a key that is not in memory. Where one was forgotten that the store may not
    /// show yet, it may be this one.
    fn unknown(&self, terms: &Terms, now: Millis) -> Slot {
        let after = terms.after_landing();
        let mut slot = Slot::default();
        slot.record.landed_at = self.forgotten_landing.filter(|landing| now < *landing + after);
        slot
    }

    /// Writes to the file what the next process must wait for now. Whether that took any time.
    fn leave_marker(&mut self, now: Millis) -> Result<bool, RegisterError> {
        let inherited =
            now < self.epoch.quarantine_until && self.lock_file.inherited() == Marker::Long;
        let long = self.long_armed > 0 || inherited;
        self.lock_file.leave(if long { Marker::Long } else { Marker::Open })
    }

    /// Begins a new half when it is time, and returns the slots that are forgotten with the old
    /// half.
    fn turn(&mut self, terms: &Terms, bytes_max: usize, now: Millis) -> Slots {
        let used = self.recent_bytes + bytes::of_table(&self.recent);
        let full = used > bytes_max / 2 + self.kept_bytes;
        let period = (terms.record_ttl / 2).max(terms.retry_horizon);
        if self.turned.until(now) < period && !full {
            return HashMap::new();
        }
        self.turned = now;
        let mut forgotten = std::mem::replace(&mut self.older, std::mem::take(&mut self.recent));
        // A lease that is over blocks no write: its own write can no longer land.
        let leased = forgotten.extract_if(|_, slot| record::is_leased(slot, terms, now));
        self.recent = leased.collect();
        let costs = self.recent.iter().map(|(name, slot)| bytes::of_slot(name, slot));
        self.recent_bytes = costs.sum();
        self.kept_bytes = self.recent_bytes;
        let landings = forgotten.values().map(|slot| record::last_landing(slot, terms));
        self.forgotten_landing = landings.max().flatten().max(self.forgotten_landing);
        self.long_armed -= forgotten.values().filter(|slot| is_long_armed(slot)).count();
        if full {
            // Journal lines younger than the retry horizon may be lost. Requests that arrived
            // before now must not rely on them.
            self.epoch.since = now;
        }
        forgotten
    }

    fn status(&self, terms: &Terms, now: Millis) -> Status {
        let slots = self.recent.values().chain(self.older.values());
        Status {
            quarantine: now.until(self.epoch.quarantine_until),
            leases: slots.filter(|slot| record::is_leased(slot, terms, now)).count(),
            servers: Vec::new(),
        }
    }
}

/// Takes a step on a slot, and keeps count of the armed leases of long writes.
fn take<T>(
    step: impl FnOnce(&mut Epoch, &mut Slot, &Terms, Millis) -> T,
    (epoch, long_armed): (&mut Epoch, &mut usize),
    slot: &mut Slot,
    terms: &Terms,
    now: Millis,
) -> T {
    *long_armed -= usize::from(is_long_armed(slot));
    let answer = step(epoch, slot, terms, now);
    *long_armed += usize::from(is_long_armed(slot));
    answer
}

/// May a complete or copy be on its way to this key?
fn is_long_armed(slot: &Slot) -> bool {
    slot.lease.as_ref().is_some_and(|lease| lease.armed.is_some() && lease.settle == Settle::Long)
}

#[async_trait]
impl Register for MemoryRegister {
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        Ok(self.alone(|inner, now| inner.observe(name, &self.terms, now)))
    }

    async fn observe_writes(
        &self,
        name: &ObjectName,
    ) -> Result<(Observation, Option<YoungKey>), RegisterError> {
        Ok(self.alone(|inner, now| {
            let observed = inner.observe(name, &self.terms, now);
            let slot = inner.recent.get(name).or_else(|| inner.older.get(name));
            let landing = slot.and_then(|slot| slot.record.landed_at);
            (observed, inner.young.of(name, landing, self.terms.lag, now))
        }))
    }

    async fn pin(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        Ok(self.step(name, record::pin))
    }

    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError> {
        let (mut answer, took) = self.granting_step(name, |epoch, slot, terms, now| {
            record::acquire(epoch, slot, ask, terms, now)
        })?;
        if let Acquired::Granted(grant) = &mut answer {
            // A disk may take longer to sync the lock file than this process has run, and the
            // request would look older than the register's memory.
            grant.epoch_age += took;
        }
        Ok(answer)
    }

    async fn arm(&self, name: &ObjectName, step: ArmStep<'_>) -> Result<ArmAnswer, RegisterError> {
        let (answer, _) = self.granting_step(name, |epoch, slot, terms, now| {
            record::arm(epoch, slot, step, terms, now)
        })?;
        Ok(answer)
    }

    async fn reclaim(
        &self,
        name: &ObjectName,
        step: &ReclaimStep<'_>,
    ) -> Result<ReclaimAnswer, RegisterError> {
        let (answer, _) = self.granting_step(name, |epoch, slot, terms, now| {
            record::reclaim(epoch, slot, step, terms, now)
        })?;
        Ok(answer)
    }

    async fn renew(&self, name: &ObjectName, token: &Token) -> Result<bool, RegisterError> {
        Ok(self.step(name, |_, slot, terms, now| record::renew(slot, token, terms, now)))
    }

    async fn commit(
        &self,
        name: &ObjectName,
        step: &CommitStep<'_>,
    ) -> Result<CommitAnswer, RegisterError> {
        Ok(self.ending_step(name, Some(step.written), |epoch, slot, terms, now| {
            record::commit(epoch, slot, step, terms, now)
        }))
    }

    async fn disarm(
        &self,
        name: &ObjectName,
        step: &DisarmStep<'_>,
    ) -> Result<bool, RegisterError> {
        Ok(self.ending_step(name, None, |epoch, slot, terms, now| {
            record::disarm(epoch, slot, step, terms, now)
        }))
    }

    async fn release(
        &self,
        name: &ObjectName,
        step: &ReleaseStep<'_>,
    ) -> Result<bool, RegisterError> {
        Ok(self
            .step(name, |epoch, slot, terms, now| record::release(epoch, slot, step, terms, now)))
    }

    async fn resolve(
        &self,
        name: &ObjectName,
        step: &ResolveStep<'_>,
    ) -> Result<Resolution, RegisterError> {
        Ok(self.step(name, |_, slot, terms, now| record::resolve(slot, step, terms, now)))
    }

    async fn note_upload(
        &self,
        name: &ObjectName,
        step: &UploadStep<'_>,
    ) -> Result<bool, RegisterError> {
        Ok(self.step(name, |epoch, slot, _, now| record::note_upload(epoch, slot, step, now)))
    }

    async fn young_keys(&self, range: &KeyRange<'_>) -> Result<YoungKeys, RegisterError> {
        Ok(self.alone(|inner, now| {
            let mut young = inner.young.range(range, self.terms.lag, now);
            young.quarantine = now.until(inner.epoch.quarantine_until);
            young
        }))
    }

    async fn check(&self) -> Result<Status, RegisterError> {
        Ok(self.alone(|inner, now| inner.status(&self.terms, now)))
    }

    async fn skip_quarantine(&self) -> Result<(), RegisterError> {
        self.lock().epoch.skip_quarantine(&self.terms);
        Ok(())
    }

    /// Grants no lease from now on, and leaves the marker of an orderly end, unless a write of this
    /// process or of the one before it may still be on its way. May be called again when that write
    /// has ended.
    async fn close(&self) -> Result<(), RegisterError> {
        self.alone(|inner, now| {
            inner.closing = true;
            let Status { quarantine, leases, .. } = inner.status(&self.terms, now);
            if leases > 0 || !quarantine.is_zero() {
                return Ok(());
            }
            inner.lock_file.leave(Marker::Clean).map(|_| ())
        })
    }
}

#[async_trait]
impl Identified for MemoryRegister {
    async fn name(&self) -> Result<Option<RegisterId>, RegisterError> {
        Ok(self.lock().lock_file.id().cloned())
    }

    async fn name_if_nameless(&self, id: &RegisterId) -> Result<RegisterId, RegisterError> {
        let mut inner = self.lock();
        if let Some(known) = inner.lock_file.id() {
            return Ok(known.clone());
        }
        inner.lock_file.take_id(id.clone())?;
        Ok(id.clone())
    }
}

#[cfg(test)]
impl MemoryRegister {
    /// Forgets everything and begins an epoch, as a register in a separate process may do while the
    /// proxies live on.
    pub(crate) fn forget(&self, quarantine: Duration) {
        self.alone(|inner, now| {
            inner.epoch = Epoch::begin(EpochId(random::id()), &self.terms, now);
            inner.epoch.quarantine_until = now + quarantine;
            (inner.recent, inner.older) = (HashMap::new(), HashMap::new());
            (inner.recent_bytes, inner.kept_bytes) = (0, 0);
            (inner.long_armed, inner.forgotten_landing) = (0, None);
            inner.young = YoungIndex::default();
        });
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;

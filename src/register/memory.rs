//! The register in this process's memory: for one proxy alone.
//!
//! "Alone" is kept by an exclusive lock on a file for the life of the process. A process that ended
//! in good order leaves a marker in that file; without it the next one begins with a quarantine.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::record::{self, Slot};
use super::words::{Epoch, EpochId, Millis, in_millis};
use super::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, Observation, ReclaimAnswer,
    ReclaimStep, Register, RegisterError, ReleaseStep, Resolution, State, Status, Terms, Token,
};
use crate::chance;
use crate::s3::{Current, ObjectName};

/// How many keys are remembered at most: about 1 GiB at 500 bytes each.
const SLOTS_MAX: usize = 2_000_000;

/// What a process that ended in good order leaves in its lock file.
const CLEAN: &str = "clean\n";

/// The in-memory register.
#[derive(Debug)]
pub struct MemoryRegister {
    terms: Terms,
    started: tokio::time::Instant,
    lock_file: Mutex<File>,
    inner: Mutex<Inner>,
}

/// Slots live in two halves: a lookup moves a slot to `recent`; when `recent` has been filled for
/// half the record's time to live, what is left in `older` is forgotten.
#[derive(Debug)]
struct Inner {
    epoch: Epoch,
    recent: HashMap<ObjectName, Slot>,
    older: HashMap<ObjectName, Slot>,
    turned: Millis,
}

impl MemoryRegister {
    /// Opens the register, taking the lock file for the life of the value.
    ///
    /// `Unsuitable` when another process holds the file; `Unreachable` when the file cannot be
    /// opened.
    pub fn open(lock_file: &Path, terms: Terms) -> Result<Self, RegisterError> {
        let shown = lock_file.display();
        let broken = |error| RegisterError::Unreachable(format!("lock file {shown}: {error}"));
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(lock_file)
            .map_err(broken)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(RegisterError::Unsuitable(format!(
                    "another ifmatch process holds {shown}. The in-memory register serves one \
                     process; for several, set register.url to a Redis"
                )));
            }
            Err(TryLockError::Error(error)) => return Err(broken(error)),
        }
        let mut marker = String::new();
        file.read_to_string(&mut marker).map_err(broken)?;
        file.set_len(0).map_err(broken)?;
        let id = EpochId(chance::name());
        let mut epoch = Epoch::begin(id, &terms, Millis(0));
        // The lock proves that no other holder of a lease lives: only what is already on its way
        // to the store must end, and after a good end there is nothing.
        let on_its_way = if marker == CLEAN { Duration::ZERO } else { terms.settle };
        epoch.quarantine_until = Millis(0) + on_its_way;
        Ok(Self {
            terms,
            started: tokio::time::Instant::now(),
            lock_file: Mutex::new(file),
            inner: Mutex::new(Inner {
                epoch,
                recent: HashMap::new(),
                older: HashMap::new(),
                turned: Millis(0),
            }),
        })
    }

    /// The register's clock is monotonic and begins with the process.
    fn now(&self) -> Millis {
        Millis(in_millis(self.started.elapsed()))
    }

    /// Runs one step on a key's slot, alone.
    fn step<T>(
        &self,
        name: &ObjectName,
        step: impl FnOnce(&mut Epoch, &mut Slot, &Terms, Millis) -> T,
    ) -> T {
        let now = self.now();
        let mut inner = self.lock();
        inner.turn(&self.terms, now);
        let Inner { epoch, recent, older, .. } = &mut *inner;
        let slot =
            recent.entry(name.clone()).or_insert_with(|| older.remove(name).unwrap_or_default());
        step(epoch, slot, &self.terms, now)
    }

    /// A panic while a step ran would have left the slot half changed; no step panics, and
    /// going on is better than failing all further writes.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn turn(&mut self, terms: &Terms, now: Millis) {
        let full = self.recent.len() > SLOTS_MAX / 2;
        let period = (terms.record_ttl / 2).max(terms.retry_horizon);
        if self.turned.until(now) < period && !full {
            return;
        }
        self.turned = now;
        let forgotten = std::mem::replace(&mut self.older, std::mem::take(&mut self.recent));
        let kept = forgotten.into_iter().filter(|(_, slot)| slot.lease.is_some());
        self.recent = kept.collect();
        if full {
            // Journal lines younger than the retry horizon may have gone: requests that began
            // before now must not rely on them.
            self.epoch.since = now;
        }
    }
}

#[async_trait]
impl Register for MemoryRegister {
    async fn observe(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        Ok(self.step(name, |_, slot, terms, now| record::observe(slot, terms, now)))
    }

    async fn acquire(&self, name: &ObjectName, ask: &Ask) -> Result<Acquired, RegisterError> {
        Ok(self.step(name, |epoch, slot, terms, now| record::acquire(epoch, slot, ask, terms, now)))
    }

    async fn arm(&self, name: &ObjectName, step: ArmStep<'_>) -> Result<ArmAnswer, RegisterError> {
        Ok(self.step(name, |epoch, slot, terms, now| record::arm(epoch, slot, step, terms, now)))
    }

    async fn reclaim(
        &self,
        name: &ObjectName,
        step: &ReclaimStep<'_>,
    ) -> Result<ReclaimAnswer, RegisterError> {
        Ok(self
            .step(name, |epoch, slot, terms, now| record::reclaim(epoch, slot, step, terms, now)))
    }

    async fn renew(&self, name: &ObjectName, token: &Token) -> Result<bool, RegisterError> {
        Ok(self.step(name, |_, slot, terms, now| record::renew(slot, token, terms, now)))
    }

    async fn commit(
        &self,
        name: &ObjectName,
        step: &CommitStep<'_>,
    ) -> Result<CommitAnswer, RegisterError> {
        Ok(self.step(name, |epoch, slot, terms, now| record::commit(epoch, slot, step, terms, now)))
    }

    async fn disarm(
        &self,
        name: &ObjectName,
        token: &Token,
        pre: &State,
    ) -> Result<bool, RegisterError> {
        Ok(self.step(name, |epoch, slot, _, _| record::disarm(epoch, slot, token, pre)))
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
        token: &Token,
        head: &Current,
    ) -> Result<Resolution, RegisterError> {
        Ok(self.step(name, |_, slot, terms, now| record::resolve(slot, token, head, terms, now)))
    }

    async fn check(&self) -> Result<Status, RegisterError> {
        let now = self.now();
        let inner = self.lock();
        let slots = inner.recent.values().chain(inner.older.values());
        Ok(Status {
            quarantine: now.until(inner.epoch.quarantine_until),
            leases: slots.filter(|slot| record::observe(slot, &self.terms, now).leased).count(),
        })
    }

    async fn skip_quarantine(&self) -> Result<(), RegisterError> {
        self.lock().epoch.quarantine_until = Millis(0);
        Ok(())
    }

    /// Leaves the marker of a good end, unless a write may still be on its way.
    async fn close(&self) -> Result<(), RegisterError> {
        if self.check().await?.leases > 0 {
            return Ok(());
        }
        let mut file = self.lock_file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(CLEAN.as_bytes()))
            .and_then(|()| file.sync_all())
            .map_err(|error| RegisterError::Unreachable(format!("lock file: {error}")))
    }
}

//! Judging a write's condition by a HEAD under its lease: step 6 of
//! docs/protocol.md#a-write-step-by-step. The same HEAD resolves a doubt that an earlier holder left.

use super::lease::{Judged, Lease, Leased};
use super::object_id::id_carried;
use super::stop::Stop;
use super::upload::upload_gone;
use super::{Gate, Reply, refusal};
use crate::backend::{HeadError, HeadRequest};
use crate::metrics::labels::Verdict;
use crate::present::writes::WaitsFor;
use crate::register::{
    AnswerHeaders, Generation, InDoubt, RegisterError, Resolution, ResolveStep, State, View,
    Writers,
};
use crate::s3::{Current, ObjectName, Preconditions, Seen};

/// Why the write is not sent, and how its lease ends.
enum Against {
    /// The write is refused.
    Refuse(Option<State>, Stop),
    /// The write is not judged: the journal need not remember it.
    Release(Option<State>, Stop),
    /// The register does not answer: the lease is left to run out.
    Leave(Stop),
}

impl From<HeadError> for Against {
    fn from(error: HeadError) -> Self {
        Self::Release(None, error.into())
    }
}

impl From<RegisterError> for Against {
    fn from(error: RegisterError) -> Self {
        Self::Leave(error.into())
    }
}

impl<'a> Leased<'a> {
    /// Judges the condition, and releases the lease where the condition does not hold. `in_doubt`
    /// says whether the outcome of an earlier copy of this write is unknown; it is updated once the
    /// outcome is known.
    ///
    /// A lease that the register did not arm at once belongs to a write that needs a HEAD first, or
    /// that has come too late.
    pub(super) async fn judge(mut self, in_doubt: &mut bool) -> Result<Judged<'a>, Stop> {
        self.attempt.waits_for(WaitsFor::Head);
        match self.state_to_write_over(in_doubt).await {
            Ok(pre) => Ok(Judged { leased: self, pre }),
            Err(Against::Refuse(learned, stop)) => Err(self.refuse(learned, stop).await),
            Err(Against::Release(learned, stop)) => {
                self.release(learned, None).await;
                Err(stop)
            }
            Err(Against::Leave(stop)) => Err(stop),
        }
    }

    /// The key's state, if the condition holds for it.
    async fn state_to_write_over(&mut self, in_doubt: &mut bool) -> Result<State, Against> {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        if write.is_unconditional() {
            if gate.is_upload_gone(write).await {
                return Err(Against::Refuse(None, upload_gone(write, &self.lease)));
            }
            return Ok(self.lease.believed.clone());
        }
        let (mut seen, contradicts) = self.look(in_doubt).await?;
        if write.carries_id && id_carried(write, &seen).as_ref() == Some(&write.write_id) {
            return Err(self.own_landing(&seen));
        }
        // An upload may be gone because it was completed, so any doubt about its completion is
        // resolved first.
        let learned = gate.learned(seen.current.clone());
        // Either may be right: the next write asks again.
        let learned = learned.map(|state| if contradicts { State::Unknown } else { state });
        let gone = gate.is_upload_gone(write).await;
        if gone && self.lease.upload.is_none() {
            return Err(Against::Refuse(learned, upload_gone(write, &self.lease)));
        }
        seen.generation = gate.generation_under(&self.lease, &seen.current);
        let judged = match write.version_id {
            Some(_) if self.lease.is_young() => return Err(self.too_early()),
            Some(_) => {
                let asked = HeadRequest { version_id: write.version_id, ..write.head_request() };
                gate.store.head(asked).await?
            }
            None => seen.clone(),
        };
        let refused = match gate.refusal_by(write.name, write.preconditions, &judged).await {
            None if gone => Some(upload_gone(write, &self.lease)),
            None => gate.changed_since_upload(write, &self.lease, &seen).await?.map(Stop::Reply),
            refused => refused.map(Stop::Reply),
        };
        match refused {
            None => Ok(learned.unwrap_or_else(|| self.lease.believed.clone())),
            Some(stop) => Err(Against::Refuse(learned, stop)),
        }
    }

    /// The key's state, by a HEAD or, where the store may show an older one, by the register's record.
    /// And whether it contradicts the record of a write that landed a short time ago.
    async fn look(&mut self, in_doubt: &mut bool) -> Result<(Seen, bool), Against> {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        if let Some(doubted) = self.lease.doubt.take() {
            let view = self.lease.view(&doubted);
            let seen = gate.store.head(write.head_request()).await?;
            self.resolve(doubted, &seen, view, in_doubt).await?;
            self.lease.seen_not_applied = true;
            return Ok((seen, false));
        }
        if !self.lease.is_young() {
            let seen = gate.store.head(write.head_request()).await?;
            let Lease { believed, landed, .. } = &*self.lease;
            let contradicts = gate.notice(write.name, believed, *landed, &seen.current);
            self.lease.seen_not_applied = true;
            return Ok((seen, contradicts));
        }
        let Some(recorded) = self.lease.believed.known() else { return Err(self.too_early()) };
        if self.needs_date() {
            return Err(self.too_early());
        }
        if write.preconditions.are_about_the_etag() {
            return Ok((recorded.into(), false));
        }
        let seen = gate.store.head(write.head_request()).await?;
        if seen.current == recorded { Ok((seen, false)) } else { Err(self.too_early()) }
    }

    /// Does the object's date count? An older object with the same ETag has another one.
    fn needs_date(&self) -> bool {
        let write = self.attempt.write;
        let upload_is_unknown = write.upload_id.is_some() && self.lease.upload.is_none();
        upload_is_unknown || write.preconditions.are_about_the_date()
    }

    /// What the store shows may be old.
    fn too_early(&self) -> Against {
        Against::Release(None, Stop::Young(self.lease.young_until))
    }

    /// Resolves a doubt by the key's state. If the doubt is about an earlier attempt of this same
    /// write: an attempt that landed is answered as a success, one whose outcome cannot be known is
    /// reported as unknown, and after one that did not land this attempt is judged anew.
    async fn resolve(
        &mut self,
        doubted: InDoubt,
        seen: &Seen,
        view: View,
        in_doubt: &mut bool,
    ) -> Result<(), Against> {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        let (token, tagged) = (&self.lease.token, id_carried(write, seen));
        let step = ResolveStep { token, head: &seen.current, seen_id: tagged.as_ref(), view };
        let resolution = gate.register.resolve(write.name, &step).await?;
        // Where the lease is lost, what was seen may still be older than the write in doubt.
        let nothing_proven = matches!(resolution, Resolution::TooEarly | Resolution::Nothing);
        if nothing_proven && view != View::Current {
            return Err(self.too_early());
        }
        if matches!(resolution, Resolution::Landed | Resolution::Undetermined) {
            self.lease.generation = Some(doubted.generation);
        }
        let old = view != View::Current;
        if doubted.write_id != write.write_id {
            return if old { Err(self.too_early()) } else { Ok(()) };
        }
        let stop = match resolution {
            Resolution::DidNot => {
                *in_doubt = false;
                return Ok(());
            }
            Resolution::Landed => Stop::AlreadyRecorded,
            Resolution::Undetermined | Resolution::TooEarly | Resolution::Nothing => {
                Stop::error(refusal::outcome_unknown())
            }
        };
        let learned = gate.learned(seen.current.clone()).filter(|_| !old);
        Err(Against::Release(learned, stop))
    }

    /// An earlier attempt of this same write left the key's state, and the register has forgotten
    /// that attempt.
    fn own_landing(&self, seen: &Seen) -> Against {
        let gate = self.attempt.gate;
        let generation = gate.generation_under(&self.lease, &seen.current);
        let generation = generation.map(|name| Generation(name.into()));
        let state = State::from(seen.current.clone());
        let stop = Stop::Reply(Reply::Replayed(state, generation, AnswerHeaders::default()));
        Against::Release(gate.learned(seen.current.clone()), stop)
    }
}

impl Gate {
    /// The error for the client if a precondition is false for the key's state.
    pub(super) async fn refusal_by(
        &self,
        name: &ObjectName,
        preconditions: &Preconditions,
        seen: &Seen,
    ) -> Option<Reply> {
        let failed = preconditions.evaluate(seen).err()?;
        self.metrics.conditions.count(failed, Verdict::Failed);
        let etag = match &seen.current {
            Current::Present(etag) => Some(etag.clone()),
            Current::Absent => None,
        };
        let exists = etag.is_some();
        // A store that cannot say whether the bucket exists still has no such key.
        let bucket_exists =
            exists || self.store.has_bucket(name.bucket.as_str()).await.unwrap_or(true);
        Some(Reply::Error(refusal::failed(failed, exists, name, bucket_exists), etag))
    }

    /// The generation of the key's state: none where a writer that goes around the proxies may have
    /// written since.
    fn generation_under(&self, lease: &Lease, current: &Current) -> Option<Box<str>> {
        let foreign = self.may_be_foreign(lease, current);
        let generation = lease.generation.as_ref().filter(|_| !foreign)?;
        Some(generation.0.as_str().into())
    }

    /// May a writer that goes around the proxies have written the key's state?
    pub(super) fn may_be_foreign(&self, lease: &Lease, current: &Current) -> bool {
        self.settings.terms.writers == Writers::Shared
            && lease.believed != State::from(current.clone())
    }

    /// What a HEAD under the lease tells the register. Nothing where other writers go around the
    /// proxies: the record must keep the state that the last landing through the proxies left.
    /// Otherwise a later write around the proxies would be taken for the generation that this
    /// landing began.
    fn learned(&self, current: Current) -> Option<State> {
        let shared = self.settings.terms.writers == Writers::Shared;
        (!shared).then(|| State::from(current))
    }
}

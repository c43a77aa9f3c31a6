//! The register's transitions (docs/protocol.md): pure functions over values; the present time is
//! an argument. The in-memory register runs them, and the functions in Redis are tested against them.
//!
//! A key's [`Slot`] holds its [`Record`] (the believed state) and at most one [`Lease`] (the right
//! to change the key). A lease is *armed* before the first byte goes to the store; an armed lease
//! that ends without commit leaves a [`Doubt`], which the next holder resolves.

use std::time::Duration;

pub use super::steps::{
    Acquired, ArmAnswer, ArmStep, Ask, CommitAnswer, CommitStep, DisarmStep, Grant, InDoubt,
    Observation, ReclaimAnswer, ReclaimStep, ReleaseStep, Resolution, ResolveStep, UploadStep,
};
use super::types::{
    AnswerHeaders, Ending, Entry, Epoch, Expect, Generation, Millis, Settle, State, Terms, Token,
    Upload, UploadName, View, WriteId, Writers,
};
use super::waiters::Waiters;
use crate::s3::Current;

/// How many journal lines a key keeps: the newest ones.
pub const JOURNAL_ENTRIES_MAX: usize = 32;

/// How many uploads a key keeps: the newest ones. For an upload that was dropped, or lost with its
/// epoch, the store is asked when it began.
pub const UPLOADS_MAX: usize = 16;

/// How long an upload is kept.
pub const UPLOAD_TTL: Duration = Duration::from_hours(7 * 24);

/// How long a record is kept that holds only the generation that a read was told: long enough to
/// read and write again. Reads must not fill the register.
pub const PIN_TTL: Duration = Duration::from_mins(10);

/// The right to change one key, for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The lease's name; `None` for a lease that only keeps a key blocked after a resend.
    pub token: Option<Token>,
    /// When it ends unless renewed.
    pub expires: Millis,
    /// Set when the holder's write may be on its way.
    pub armed: Option<Armed>,
    /// Until when the first copy of a write that was sent twice may land.
    pub quiet_until: Millis,
    /// A former holder reported a landing after it had lost the lease.
    pub tainted: bool,
    /// The write it was asked for.
    pub write_id: WriteId,
    /// How long that write may still land after its last byte.
    pub settle: Settle,
}

/// What is known of the write under an armed lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    /// The state before it.
    pub pre: State,
    /// The state after it, if it lands.
    pub expect: Expect,
    /// The generation that begins with it.
    pub generation: Generation,
}

/// An armed lease that ended without commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The write in doubt.
    pub write_id: WriteId,
    /// What was known of it.
    pub armed: Armed,
    /// When it could land no more.
    pub landed_by: Millis,
}

/// What the register remembers of one key. May be lost at any time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The believed state of the key.
    pub state: State,
    /// The key's generation; `None` until one has begun in this epoch.
    pub generation: Option<Generation>,
    /// The last token that committed: by it a repeated commit is recognised.
    pub last_token: Option<Token>,
    /// When the last write of the key had landed, or could land no more, the write in doubt left out.
    /// `None` where none of this epoch is remembered.
    pub landed_at: Option<Millis>,
    /// A write that may have landed or not.
    pub doubt: Option<Doubt>,
    /// Recent writes and their endings, oldest first.
    pub journal: Vec<Entry>,
    /// When the newest line was written that was dropped before the retry horizon, for lack of
    /// room.
    pub forgotten: Option<Millis>,
    /// Multipart uploads that may still be completed, oldest first.
    pub uploads: Vec<Upload>,
}

impl Entry {
    /// Is this line about a newer attempt of the asker's write, with an unknown outcome? Then the
    /// line is younger than the asker's request and not about the asker's own attempt. The client
    /// may have replaced the asker by that attempt, and that attempt may have had a success.
    fn supersedes(&self, ask: &Ask, now: Millis) -> bool {
        let Ending::Undetermined { generation } = &self.ending else { return false };
        ask.own_doubt.as_ref() != Some(generation) && self.at + ask.age > now
    }

    /// An unconditional write with an unknown outcome is simply sent again. The exception is an
    /// attempt that came before the one in doubt: it might undo a later write.
    fn lets_it_be_done_again(&self, ask: &Ask, now: Millis) -> bool {
        ask.preconditions.is_empty()
            && matches!(self.ending, Ending::Undetermined { .. })
            && !self.supersedes(ask, now)
    }
}

impl Record {
    /// The record of an unknown key.
    pub const UNKNOWN: Self = Self {
        state: State::Unknown,
        generation: None,
        last_token: None,
        landed_at: None,
        doubt: None,
        journal: Vec::new(),
        forgotten: None,
        uploads: Vec::new(),
    };

    fn upload(&self, name: &UploadName) -> Option<&Upload> {
        self.uploads.iter().find(|upload| upload.name == *name)
    }

    fn write_down(&mut self, write_id: &WriteId, ending: Ending, terms: &Terms, now: Millis) {
        let oldest = now.before(terms.retry_horizon);
        self.journal.retain(|entry| entry.write_id != *write_id && entry.at >= oldest);
        self.journal.push(Entry { write_id: write_id.clone(), ending, at: now });
        let surplus = self.journal.len().saturating_sub(JOURNAL_ENTRIES_MAX);
        let dropped = self.journal.drain(..surplus).map(|entry| entry.at).max();
        self.forgotten = self.forgotten.max(dropped);
    }

    fn line_of(&self, write_id: &WriteId, terms: &Terms, now: Millis) -> Option<&Entry> {
        let oldest = now.before(terms.retry_horizon);
        self.journal.iter().find(|entry| entry.write_id == *write_id && entry.at >= oldest)
    }

    /// Ends a doubt that cannot be resolved: the write may have landed, so its generation counts.
    fn bury_doubt(&mut self, terms: &Terms, now: Millis) {
        if let Some(Doubt { write_id, armed: Armed { generation, .. }, landed_by }) =
            self.doubt.take()
        {
            let ending = Ending::Undetermined { generation: generation.clone() };
            self.write_down(&write_id, ending, terms, now);
            self.generation = Some(generation);
            self.may_have_landed(landed_by);
        }
    }

    /// Notes that a write may have landed at this time at the latest.
    fn may_have_landed(&mut self, at: Millis) {
        self.landed_at = self.landed_at.max(Some(at));
    }

    /// When the last write may have landed, that in doubt included.
    fn last_landing(&self) -> Option<Millis> {
        self.landed_at.max(self.doubt.as_ref().map(|doubt| doubt.landed_by))
    }

    /// For how long the store may still show an older state than the key's.
    fn young_for(&self, terms: &Terms, now: Millis) -> Duration {
        time_since(self.last_landing(), terms.lag, now)
    }
}

/// How much is left of the time that begins at this landing; nothing where no landing is remembered.
fn time_since(landing: Option<Millis>, time: Duration, now: Millis) -> Duration {
    landing.map_or(Duration::ZERO, |landing| now.until(landing + time))
}

/// The register's whole memory of one key, within one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The believed state, with its journal.
    pub record: Record,
    /// The right to change the key.
    pub lease: Option<Lease>,
    /// The processes that wait for the key.
    pub waiters: Waiters,
}

impl Default for Slot {
    fn default() -> Self {
        Self { record: Record::UNKNOWN, lease: None, waiters: Waiters::default() }
    }
}

// === the transitions ===

fn blocked_until(lease: &Lease, terms: &Terms) -> Millis {
    if lease.armed.is_some() {
        let landed_by = lease.expires + terms.grace + terms.settle(lease.settle);
        landed_by.max(lease.quiet_until)
    } else {
        lease.expires
    }
}

impl Slot {
    /// Before this moment, the outcome of an attempt may have been forgotten.
    fn remembered_since(&self, epoch: &Epoch) -> Millis {
        self.record.forgotten.map_or(epoch.since, |forgotten| forgotten.max(epoch.since))
    }

    /// The generation of a write that is under way or in doubt.
    fn pending(&self) -> Option<&Generation> {
        let armed = self.lease.as_ref().and_then(|lease| lease.armed.as_ref());
        let doubted = self.record.doubt.as_ref().map(|doubt| &doubt.armed);
        armed.or(doubted).map(|armed| &armed.generation)
    }

    /// The write that is under way or in doubt. One that was sent twice and is committed is neither.
    fn unsettled(&self) -> Option<&Armed> {
        let held = self.lease.as_ref().filter(|lease| lease.token.is_some());
        let doubted = self.record.doubt.as_ref().map(|doubt| &doubt.armed);
        held.and_then(|lease| lease.armed.as_ref()).or(doubted)
    }

    /// The id of the write under the lease, or in doubt.
    fn last_seen_write(&self) -> Option<&WriteId> {
        let leased = self.lease.as_ref().map(|lease| &lease.write_id);
        leased.or_else(|| self.record.doubt.as_ref().map(|doubt| &doubt.write_id))
    }

    /// Does the journal know a newer attempt of the same write, with an unknown outcome?
    fn is_superseded(&self, ask: &Ask, terms: &Terms, now: Millis) -> bool {
        let line = self.record.line_of(&ask.write_id, terms, now);
        line.is_some_and(|line| line.supersedes(ask, now))
    }

    fn grant(&self, epoch: &Epoch, token: Token, ask: &Ask, terms: &Terms, now: Millis) -> Grant {
        let armed = self.lease.as_ref().and_then(|lease| lease.armed.as_ref());
        Grant {
            token,
            state: armed.map_or(&self.record.state, |armed| &armed.pre).clone(),
            generation: self.record.generation.clone(),
            doubt: self.record.doubt.as_ref().map(|doubt| InDoubt {
                write_id: doubt.write_id.clone(),
                generation: doubt.armed.generation.clone(),
                pre_young_for: time_since(self.record.landed_at, terms.lag, now),
            }),
            landed: self.record.last_landing().map(|landing| landing.until(now)),
            young_for: self.record.young_for(terms, now),
            armed: armed.map(|armed| armed.generation.clone()),
            epoch_age: self.remembered_since(epoch).until(now),
            superseded: self.is_superseded(ask, terms, now),
            upload: ask.upload.as_ref().and_then(|name| self.record.upload(name)).cloned(),
        }
    }

    fn held_by(&mut self, token: &Token) -> Option<&mut Lease> {
        self.lease.as_mut().filter(|lease| lease.token.as_ref() == Some(token))
    }

    /// Ends a lease whose time is over. The write of an armed lease becomes a doubt. But if the
    /// write was committed and the lease only kept the key blocked, its landing is certain: its
    /// first copy may have landed since, with another ETag (with encryption, for example).
    fn take_over(&mut self, terms: &Terms, now: Millis) {
        let Some(lease) = self.lease.take() else { return };
        let landed_by = blocked_until(&lease, terms);
        let Lease { armed: Some(armed), token, write_id, .. } = lease else { return };
        self.record.bury_doubt(terms, now);
        if token.is_some() {
            self.record.doubt = Some(Doubt { write_id, armed, landed_by });
        } else {
            self.record.may_have_landed(landed_by);
        }
        self.record.state = State::Unknown;
    }

    /// Will the next holder find neither a known state nor a doubt?
    fn is_undecided(&self) -> bool {
        match self.lease.as_ref().filter(|lease| lease.armed.is_some()) {
            Some(lease) => lease.token.is_none(),
            None => self.record.state == State::Unknown && self.record.doubt.is_none(),
        }
    }
}

/// Reads the believed state of a key: a hint, never an answer by itself.
pub fn observe(epoch: &Epoch, slot: &Slot, terms: &Terms, now: Millis) -> Observation {
    let quarantine = now.until(epoch.quarantine_until);
    // What landed in earlier epochs is shown when the quarantine is over.
    let young = |landing| match terms.lag {
        Duration::ZERO => Duration::ZERO,
        lag => time_since(landing, lag, now).max(quarantine),
    };
    let young_for = young(last_landing(slot, terms));
    // The first copy of a write that was sent twice may have landed since its second was recorded.
    let unknown = !young_for.is_zero() && slot.is_undecided();
    Observation {
        state: if unknown { State::Unknown } else { slot.record.state.clone() },
        generation: slot.record.generation.clone(),
        pending: slot.pending().cloned(),
        epoch: epoch.id.clone(),
        quarantine,
        leased: is_leased(slot, terms, now),
        young_for,
        before: slot.unsettled().map(|armed| armed.pre.clone()),
        before_young_for: young(slot.record.landed_at),
        landed: slot.record.last_landing().map(|landing| landing.until(now)),
    }
}

/// Gives the key a generation where it has none (it was never written, or its record has gone), so
/// that the state read now has a name. A key whose record is made again never returns to an earlier
/// generation.
pub fn pin(epoch: &mut Epoch, slot: &mut Slot, terms: &Terms, now: Millis) -> Observation {
    if slot.record.generation.is_none() {
        slot.record.generation = Some(epoch.next_generation());
    }
    observe(epoch, slot, terms, now)
}

/// When the last write of the key had landed, or could land no more; of one under a lease: from when
/// on it can land no more. `None` where none of this epoch is remembered.
pub fn last_landing(slot: &Slot, terms: &Terms) -> Option<Millis> {
    let armed = slot.lease.as_ref().filter(|lease| lease.armed.is_some());
    slot.record.last_landing().max(armed.map(|lease| blocked_until(lease, terms)))
}

/// Is there a lease that blocks other writes?
pub fn is_leased(slot: &Slot, terms: &Terms, now: Millis) -> bool {
    slot.lease.as_ref().is_some_and(|lease| now < blocked_until(lease, terms))
}

/// Ends a lease that is over, as the next holder would: a write that may have landed becomes a
/// doubt of the record. So leases of keys that are not used again are not kept for ever. `false`
/// when there is no such lease.
pub fn set_aside(slot: &mut Slot, terms: &Terms, now: Millis) -> bool {
    let over = slot.lease.is_some() && !is_leased(slot, terms, now);
    if over {
        slot.take_over(terms, now);
    }
    over
}

/// Asks for the key's lease, and arms it at once where nothing has to be looked up first. A
/// repeated call with the same nonce (the answer was lost) returns the same answer.
pub fn acquire(
    epoch: &mut Epoch,
    slot: &mut Slot,
    ask: &Ask,
    terms: &Terms,
    now: Millis,
) -> Acquired {
    if now < epoch.quarantine_until {
        return Acquired::Quarantine(now.until(epoch.quarantine_until));
    }
    let token = Token::new(&epoch.id, &ask.nonce);
    if slot.held_by(&token).is_some() {
        return Acquired::Granted(slot.grant(epoch, token, ask, terms, now));
    }
    if let Some(line) = slot.record.line_of(&ask.write_id, terms, now)
        && !line.lets_it_be_done_again(ask, now)
    {
        return Acquired::Ended(line.ending.clone());
    }
    if let Some(lease) = &slot.lease {
        let free_at = blocked_until(lease, terms);
        if now < free_at {
            let write_id = Some(lease.write_id.clone());
            slot.waiters.join(&ask.asker, now);
            return Acquired::Busy { write_id, free_in: now.until(free_at) };
        }
    }
    if let Some(until) = slot.waiters.kept_for_another(&ask.asker, now) {
        slot.waiters.join(&ask.asker, now);
        let write_id = slot.last_seen_write().cloned();
        return Acquired::Busy { write_id, free_in: now.until(until) };
    }
    let landing = last_landing(slot, terms);
    let spaced_in = time_since(landing, terms.spacing, now);
    if !spaced_in.is_zero() {
        slot.waiters.join(&ask.asker, now);
        return Acquired::Busy { write_id: slot.last_seen_write().cloned(), free_in: spaced_in };
    }
    let young_for = time_since(landing, terms.lag, now);
    if !young_for.is_zero() && !ask.preconditions.is_empty() && slot.is_undecided() {
        return Acquired::Young(young_for);
    }
    slot.waiters.leave(&ask.asker, now);
    slot.take_over(terms, now);
    slot.lease = Some(Lease {
        token: Some(token.clone()),
        expires: now + terms.lease,
        armed: None,
        quiet_until: Millis(0),
        tainted: false,
        write_id: ask.write_id.clone(),
        settle: ask.settle,
    });
    if may_arm_at_once(slot, ask, terms) {
        let (pre, expect) = (slot.record.state.clone(), ask.expect.clone());
        let step = ArmStep { token: &token, pre, expect, age: ask.age };
        // For a request older than the register's memory the lease stays unarmed; arm answers with
        // the reason.
        arm(epoch, slot, step, terms, now);
    }
    Acquired::Granted(slot.grant(epoch, token, ask, terms, now))
}

/// An unconditional write has no condition to judge and need not wait for the end of a doubt. A
/// conditional write may be armed at once only where the record is believed and satisfies the
/// condition. For a complete the key must also be as it was when the upload was created.
fn may_arm_at_once(slot: &Slot, ask: &Ask, terms: &Terms) -> bool {
    let record = &slot.record;
    let untouched = ask.upload.as_ref().is_none_or(|name| {
        let upload = record.upload(name);
        upload.is_some_and(|upload| upload.is_untouched(record.generation.as_ref()))
    });
    ask.preconditions.is_empty()
        || (terms.writers == Writers::Exclusive
            && record.doubt.is_none()
            && record.state.satisfies(record.generation.as_ref(), &ask.preconditions)
            && untouched)
}

/// Arms the lease: from here on the write may land.
pub fn arm(
    epoch: &mut Epoch,
    slot: &mut Slot,
    step: ArmStep<'_>,
    terms: &Terms,
    now: Millis,
) -> ArmAnswer {
    let remembered_since = slot.remembered_since(epoch);
    let Some(lease) = slot.held_by(step.token).filter(|lease| now < lease.expires) else {
        return ArmAnswer::Lost;
    };
    if remembered_since + step.age > now {
        return ArmAnswer::OlderThanEpoch;
    }
    let generation = epoch.next_generation();
    lease.armed =
        Some(Armed { pre: step.pre, expect: step.expect, generation: generation.clone() });
    lease.expires = now + terms.lease;
    slot.record.bury_doubt(terms, now);
    slot.record.state = State::Unknown;
    ArmAnswer::Armed(generation)
}

/// Registers an armed lease of an earlier epoch again, while this epoch's quarantine blocks all
/// other writes. Does not prolong a lease that exists. A repeated call with the same nonce (the
/// answer was lost) returns the same answer.
pub fn reclaim(
    epoch: &mut Epoch,
    slot: &mut Slot,
    step: &ReclaimStep<'_>,
    terms: &Terms,
    now: Millis,
) -> ReclaimAnswer {
    let token = Token::new(&epoch.id, step.nonce);
    if slot.held_by(step.token).is_some_and(|lease| lease.armed.is_some()) {
        return ReclaimAnswer::Held;
    }
    let again = slot.held_by(&token).and_then(|lease| lease.armed.as_ref());
    if let Some(Armed { generation, .. }) = again {
        return ReclaimAnswer::Reclaimed { generation: generation.clone(), token };
    }
    // Within an epoch no lease is forgotten: a lease that is not there has ended.
    let ended = step.token.is_of(&epoch.id) || slot.record.last_token.as_ref() == Some(&token);
    if slot.lease.is_some() || ended || now >= epoch.quarantine_until {
        return ReclaimAnswer::TooLate;
    }
    let generation = epoch.next_generation();
    let (pre, expect) = (step.pre.clone(), step.expect.clone());
    slot.lease = Some(Lease {
        token: Some(token.clone()),
        expires: now + terms.lease,
        armed: Some(Armed { pre, expect, generation: generation.clone() }),
        quiet_until: Millis(0),
        tainted: false,
        write_id: step.write_id.clone(),
        settle: step.settle,
    });
    slot.record.bury_doubt(terms, now);
    slot.record.state = State::Unknown;
    ReclaimAnswer::Reclaimed { token, generation }
}

/// Prolongs a lease. `false` when it is no longer the asker's or has run out.
pub fn renew(slot: &mut Slot, token: &Token, terms: &Terms, now: Millis) -> bool {
    let held = slot.held_by(token).filter(|lease| now < lease.expires);
    held.map(|lease| lease.expires = now + terms.lease).is_some()
}

/// Records a proven landing and ends the lease. The lease's expiry does not matter while no other
/// lease was granted since.
pub fn commit(
    epoch: &mut Epoch,
    slot: &mut Slot,
    step: &CommitStep<'_>,
    terms: &Terms,
    now: Millis,
) -> CommitAnswer {
    if slot.record.last_token.as_ref() == Some(step.token) {
        return CommitAnswer::Committed;
    }
    let is_held =
        |lease: &mut Lease| lease.armed.is_some() && lease.token.as_ref() == Some(step.token);
    let held = slot.lease.take_if(is_held);
    let Some((armed, lease)) = held.and_then(|mut lease| Some((lease.armed.take()?, lease))) else {
        let alone = slot.lease.is_none() && step.token.is_of(&epoch.id);
        return match slot.record.doubt.take_if(|doubt| alone && step.is_of(doubt)) {
            Some(doubt) => commit_in_doubt(slot, doubt, step, terms, now),
            None => commit_came_late(epoch, slot, step.token, now),
        };
    };
    let record = &mut slot.record;
    record.state = if lease.tainted { State::Unknown } else { step.new.clone() };
    record.generation = Some(armed.generation.clone());
    record.doubt = None;
    record.landed_at = Some(now);
    record.last_token = Some(step.token.clone());
    if !lease.write_id.is_alone() {
        let ending = Ending::Landed {
            state: step.new.clone(),
            generation: armed.generation.clone(),
            headers: step.headers.clone(),
        };
        record.write_down(&lease.write_id, ending, terms, now);
    }
    slot.lease = step.quiet.map(|quiet| Lease {
        token: None,
        expires: Millis(0),
        armed: Some(armed),
        quiet_until: now + quiet,
        ..lease
    });
    CommitAnswer::Committed
}

impl CommitStep<'_> {
    /// Was the landed write the one in doubt? Every armed lease begins its own generation, so the
    /// generation decides. A write that was sent twice does not count: its first copy may still
    /// land.
    fn is_of(&self, doubt: &Doubt) -> bool {
        self.quiet.is_none() && self.generation == Some(&doubt.armed.generation)
    }
}

/// A landing reported after its lease was set aside, before another lease was granted. A HEAD must
/// find the key's state: a former holder may have reported a landing under the lease that is gone.
fn commit_in_doubt(
    slot: &mut Slot,
    doubt: Doubt,
    step: &CommitStep<'_>,
    terms: &Terms,
    now: Millis,
) -> CommitAnswer {
    let Doubt { write_id, armed: Armed { generation, .. }, landed_by } = doubt;
    let record = &mut slot.record;
    record.may_have_landed(landed_by);
    record.state = State::Unknown;
    record.generation = Some(generation.clone());
    record.last_token = Some(step.token.clone());
    if !write_id.is_alone() {
        let ending =
            Ending::Landed { state: step.new.clone(), generation, headers: step.headers.clone() };
        record.write_down(&write_id, ending, terms, now);
    }
    CommitAnswer::Committed
}

/// A landing reported by a former holder that has lost its lease. Clearing the present holder's
/// lease would make two holders, and a state written to the record would be overwritten by that
/// holder's commit. So the lease is marked as tainted.
fn commit_came_late(
    epoch: &mut Epoch,
    slot: &mut Slot,
    token: &Token,
    now: Millis,
) -> CommitAnswer {
    if let Some(lease) = &mut slot.lease {
        lease.tainted = true;
    }
    slot.record.state = State::Unknown;
    slot.record.may_have_landed(now);
    slot.record.generation = Some(epoch.next_generation());
    if token.is_of(&epoch.id) { CommitAnswer::Overtaken } else { CommitAnswer::EpochChanged }
}

/// Ends an armed lease whose write the store definitely did not apply. `false` when the lease is no
/// longer the asker's, or when a refusal was to be noted and the journal says that an earlier
/// attempt may have landed: that line stays.
pub fn disarm(
    epoch: &mut Epoch,
    slot: &mut Slot,
    step: &DisarmStep<'_>,
    terms: &Terms,
    now: Millis,
) -> bool {
    let Some(lease) = slot
        .lease
        .take_if(|lease| lease.token.as_ref() == Some(step.token) && lease.armed.is_some())
    else {
        return false;
    };
    let earlier = slot.record.line_of(&lease.write_id, terms, now).map(|line| &line.ending);
    let undetermined = matches!(earlier, Some(Ending::Undetermined { .. }));
    let contradicted = step.refused.is_some() && undetermined;
    if let Some(code) = step.refused.filter(|_| !contradicted) {
        let ending = Ending::Refused { code: code.to_owned() };
        slot.record.write_down(&lease.write_id, ending, terms, now);
    }
    end_without_landing(epoch, &mut slot.record, &lease, step.pre.clone());
    !contradicted
}

/// Releases a lease that was never armed. `false` when it is not the asker's, or armed: an armed
/// lease is never released.
pub fn release(
    epoch: &mut Epoch,
    slot: &mut Slot,
    step: &ReleaseStep<'_>,
    terms: &Terms,
    now: Millis,
) -> bool {
    let Some(lease) = slot
        .lease
        .take_if(|lease| lease.token.as_ref() == Some(step.token) && lease.armed.is_none())
    else {
        return false;
    };
    if let Some(code) = step.refused {
        let ending = Ending::Refused { code: code.to_owned() };
        slot.record.write_down(&lease.write_id, ending, terms, now);
    }
    let state = step.learned.clone().unwrap_or_else(|| slot.record.state.clone());
    end_without_landing(epoch, &mut slot.record, &lease, state);
    true
}

/// A tainted lease means that another holder's write landed under it: what its own holder knew of
/// the key is void. A state that is not the believed one was left by a writer that goes around the
/// proxies: it gets its own generation.
fn end_without_landing(epoch: &mut Epoch, record: &mut Record, lease: &Lease, state: State) {
    let overturned = record.state.known().zip(state.known()).is_some_and(|(old, new)| old != new);
    if lease.tainted || overturned {
        record.generation = Some(epoch.next_generation());
    }
    record.state = if lease.tainted { State::Unknown } else { state };
}

/// Resolves the key's doubt by what a HEAD under the lease showed.
pub fn resolve(slot: &mut Slot, step: &ResolveStep<'_>, terms: &Terms, now: Millis) -> Resolution {
    if slot.held_by(step.token).is_none() {
        return Resolution::Nothing;
    }
    let Some(doubt) = slot.record.doubt.take() else { return Resolution::Nothing };
    let resolution = step.verdict(&doubt, terms);
    if resolution == Resolution::TooEarly {
        slot.record.doubt = Some(doubt);
        return resolution;
    }
    let Doubt { write_id, armed: Armed { generation, .. }, landed_by } = doubt;
    let record = &mut slot.record;
    let state = State::from(step.head.clone());
    let ending = match resolution {
        Resolution::Landed => Some(Ending::Landed {
            state: state.clone(),
            generation: generation.clone(),
            headers: AnswerHeaders::default(),
        }),
        Resolution::Undetermined => Some(Ending::Undetermined { generation: generation.clone() }),
        Resolution::DidNot | Resolution::TooEarly | Resolution::Nothing => None,
    };
    if let Some(ending) = ending {
        record.write_down(&write_id, ending, terms, now);
        record.generation = Some(generation);
        record.may_have_landed(landed_by);
    }
    // Where other writers go around the proxies, the state need not belong to the doubt's
    // generation. And of two copies that landed, an old HEAD may have shown the first.
    let known = terms.writers == Writers::Exclusive && step.view == View::Current;
    record.state = if known { state } else { State::Unknown };
    resolution
}

impl ResolveStep<'_> {
    /// What the HEAD proves about the write in doubt.
    fn verdict(&self, doubt: &Doubt, terms: &Terms) -> Resolution {
        let Doubt { write_id, armed, .. } = doubt;
        let by_its_id = self
            .seen_id
            .filter(|_| armed.expect == Expect::CarriesId)
            .map(|seen_id| verdict_by_id(armed, self.head, seen_id == write_id));
        let verdict = by_its_id.unwrap_or_else(|| match terms.writers {
            Writers::Shared => Resolution::Undetermined,
            Writers::Exclusive => verdict_on(armed, self.head),
        });
        let by_id = by_its_id.is_some();
        match (self.view, verdict) {
            (View::Current, verdict) => verdict,
            // What a write has left cannot be older than the write.
            (_, Resolution::Landed) if by_id || self.view == View::SinceDoubt => verdict,
            (View::SinceDoubt | View::Older, _) => Resolution::TooEarly,
        }
    }
}

/// Remembers the key's generation before an upload was created. `false` when that was in another
/// epoch: its generations mean nothing in this one.
pub fn note_upload(epoch: &Epoch, slot: &mut Slot, step: &UploadStep<'_>, now: Millis) -> bool {
    if step.before.epoch != epoch.id {
        return false;
    }
    let uploads = &mut slot.record.uploads;
    let oldest = now.before(UPLOAD_TTL);
    uploads.retain(|upload| upload.name != *step.name && upload.at >= oldest);
    let surplus = (uploads.len() + 1).saturating_sub(UPLOADS_MAX);
    uploads.drain(..surplus);
    uploads.push(Upload {
        name: step.name.clone(),
        generation: step.before.generation.clone(),
        pending: step.before.pending.clone(),
        at: now,
    });
    true
}

/// Did a write land that leaves its id on the object, where the object seen carries some write's
/// id? Another write's id was there before, unless the state has changed: since the lease was armed
/// no write came through the proxies, and a writer that goes around them leaves no id of this key.
fn verdict_by_id(armed: &Armed, head: &Current, its_own: bool) -> Resolution {
    match armed.pre.known() {
        _ if its_own => Resolution::Landed,
        Some(pre) if pre != *head => Resolution::Undetermined,
        Some(_) | None => Resolution::DidNot,
    }
}

/// Did the write land, where all writers go through the proxies? If the state changed, this write
/// changed it. If it did not change, and the write would have changed it, the write did not land. A
/// write of equal bytes cannot be told from no write.
fn verdict_on(armed: &Armed, head: &Current) -> Resolution {
    let Some(pre) = armed.pre.known() else { return Resolution::Undetermined };
    if pre != *head {
        return Resolution::Landed;
    }
    let would_show = match (&armed.expect, head) {
        (Expect::Absent, Current::Present(_))
        | (Expect::SomeObject | Expect::CarriesId, Current::Absent) => true,
        (Expect::SomeObject | Expect::CarriesId | Expect::Anything, Current::Present(_))
        | (Expect::Absent | Expect::Anything, Current::Absent) => false,
    };
    if would_show { Resolution::DidNot } else { Resolution::Undetermined }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;

//! The safeguards of the protocol, each of which can be taken out: then the search must find a
//! counterexample, or it could not fail at all.

use pure_rooms::register::Settle;

use crate::faults::Faults;
use crate::scenarios::{NONE, create, delete, delete_if, put, replace};
use crate::search::explore;
use crate::trace;
use crate::world::Scenario;

/// What keeps the laws, one by one. F1 and its like are the failure stories of
/// docs/protocol.md#failure-stories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Safeguard {
    /// F1: After a resend the key is kept quiet until the first copy can land no more.
    Quiet,
    /// F1: So is it after a delete that was answered with an error has been sent again,
    QuietAfterError,
    /// F1: Or was found to have nothing left to delete.
    QuietAfterGone,
    /// F1: A refusal after a resend may be the second copy's, refused because the first landed.
    RefusalAfterResendIsDoubt,
    /// F2: The quarantine is as much longer as an old master may go on.
    QuarantineCoversFailover,
    /// F2, F8: A new epoch grants nothing for a while.
    Quarantine,
    /// F5: A memory that has been interrupted is a new epoch, whatever it still knows.
    EpochOfItsOwn,
    /// F5: What was believed in an earlier epoch is not believed.
    NewEpochDistrusts,
    /// F3: Nothing is sent unless some of the lease is left.
    Margin,
    /// F3: An armed lease is taken over only some time after its end.
    Grace,
    /// F4: And only when what was sent has settled.
    Settle,
    /// F4: A holder that cannot renew hangs up at its deadline.
    DeadlineClosesConnection,
    /// F6: A late commit does not end the lease of another.
    LateCommitEndsNoLease,
    /// F6: A late commit's state is not believed.
    LateCommitWritesNoState,
    /// F5: A late release writes nothing.
    LateReleaseWritesNothing,
    /// F7: A landing that cannot be seen begins a generation all the same.
    UndeterminedBurnsGeneration,
    /// A write with an unknown outcome is not judged anew.
    UndeterminedJournalled,
    /// An unconditional write over a doubt begins a generation for it.
    BuriedDoubtBurnsGeneration,
    /// An unconditional write over a doubt writes it down.
    BuriedDoubtJournalled,
    /// F10: Redis evicts nothing.
    EvictionRefused,
    /// F11: A retry that finds its own first attempt in the way is not told of a conflict.
    BusyByOwnIsUnknown,
    /// F12: The write's id is stored before its first byte goes.
    WriteIdStoredFirst,
    /// F13: The journal is read before the condition is judged.
    JournalFirst,
    /// F13: A journal that had no room says so.
    JournalKnowsItForgot,
    /// F14: The refusal of a retry is written down.
    RefusalsJournalled,
    /// F14: A retry is told that it is refused only when that has been written down.
    RefusalNeedsItsJournal,
    /// F14: Also where the store refused.
    StoreRefusalsJournalled,
    /// F14: A request older than the epoch is not armed.
    OlderThanEpoch,
    /// An attempt that came before its write became undetermined is not done again.
    GivenUpIsNotDoneAgain,
    /// Nor is it its own retry after another attempt of it was in doubt.
    SupersededIsNotItsOwnRetry,
    /// F15: A young epoch refuses no retry.
    YoungEpochRefusesNoRetry,
    /// F16: "Changed, so it was ours" is not said where others write.
    ChangedProvesNothingIfShared,
    /// Where others write the record is not believed.
    SharedBelievesNothing,
    /// F17: No refusal rests on the register alone.
    HeadBeforeRefusal,
    /// F19: No answer, or a 5xx, is a doubt.
    LostAnswerIsDoubt,
    /// Once a copy is in doubt, a later refusal is no answer.
    DoubtIsRemembered,
    /// The lease is armed before the first byte goes.
    ArmedBeforeSending,
    /// A lease that ended armed leaves a doubt.
    TakeoverLeavesDoubt,
    /// A wait ends early only when there was one copy.
    EarlyEndOfOneCopy,
    /// An id ends a wait early only when it was not there before.
    EarlyEndByANewId,
    /// A wait ends early only when the HEAD was answered under the lease.
    EarlyEndUnderLease,
    /// A wait ends early only when the write has landed.
    EarlyEndOnlyOnProof,
    /// A living holder reclaims its long write in a new epoch.
    Reclaim,
    /// F20: While the store may show an older state, the record decides.
    YoungRecordDecides,
    /// F20: Where it is unknown then, no condition is judged.
    YoungUnknownWaits,
    /// F20: The quarantine is as much longer as the store lags.
    QuarantineCoversLag,
    /// F20: A doubt is resolved only by what cannot be older than it.
    DoubtWaitsForLag,
    /// F20: A wait ends early only when what is seen is not older than the write.
    EarlyEndWaitsForLag,
    /// F20: That an object is gone is believed only then, too.
    GoneWaitsForLag,
}

const STATES_MAX: usize = 3_000_000;

/// A scenario in which this safeguard is needed.
#[allow(
    clippy::too_many_lines,
    clippy::match_same_arms,
    reason = "a table, in the safeguards' own order"
)]
fn scenario(safeguard: Safeguard) -> Scenario {
    use Safeguard as S;
    let rivals = || vec![replace("e0", "e1"), replace("e0", "e2")];
    let retry = || vec![create("e1").twice()];
    let retry_and_delete = || vec![create("e1").twice(), delete_if("e1")];
    let in_the_way_and_gone = || vec![create("e1").twice(), delete_if("e0")];
    let with = |calls, faults| Scenario::exclusive("", calls).with(faults);
    let lost = Faults { lost_answers: 1, ..NONE };
    let scenario = match safeguard {
        S::Quiet => with(vec![put("e1"), replace("e1", "e2")], Faults { resends: 1, ..NONE }),
        S::QuietAfterError | S::QuietAfterGone => {
            with(vec![delete(), create("e1")], Faults { errors: 1, ..NONE })
        }
        S::RefusalAfterResendIsDoubt => with(rivals(), Faults { resends: 1, refusals: 1, ..NONE }),
        S::QuarantineCoversFailover => {
            with(rivals(), Faults { split_brains: 1, freezes: 1, ..NONE })
        }
        S::Quarantine => with(rivals(), Faults { losses: 1, ..NONE }),
        S::EpochOfItsOwn | S::NewEpochDistrusts => {
            with(vec![replace("e0", "e1"), replace("e0", "e2")], Faults { losses: 1, ..NONE })
        }
        S::Margin => with(rivals(), Faults { freezes: 2, ..NONE }),
        S::Grace | S::Settle => with(rivals(), Faults { freezes: 1, ..NONE }),
        S::DeadlineClosesConnection => with(rivals(), NONE),
        S::LateCommitEndsNoLease => with(
            vec![replace("e0", "e1"), replace("e1", "e2"), replace("e1", "e3")],
            Faults { freezes: 1, ..NONE },
        ),
        S::LateCommitWritesNoState => with(
            vec![replace("e0", "e1"), replace("e1", "e2"), replace("e1", "e3")],
            Faults { freezes: 1, ..NONE },
        ),
        S::LateReleaseWritesNothing => with(
            vec![create("e9"), replace("e0", "e1"), replace("e0", "e2")],
            Faults { freezes: 1, ..NONE },
        ),
        S::UndeterminedBurnsGeneration => with(
            vec![replace("e0", "e0"), create("e9"), create("e8")],
            Faults { lost_answers: 1, ..NONE },
        ),
        S::UndeterminedJournalled => {
            Scenario::shared("", vec![create("e1").twice(), replace("e9", "e8")]).with(lost)
        }
        S::BuriedDoubtBurnsGeneration => with(
            vec![put("e1"), put("e2"), create("e9"), create("e8")],
            Faults { lost_answers: 1, refusals: 1, ..NONE },
        ),
        S::BuriedDoubtJournalled => with(vec![create("e1").twice(), put("e2")], lost),
        S::EvictionRefused => with(rivals(), Faults { evictions: 1, ..NONE }),
        S::BusyByOwnIsUnknown | S::JournalFirst => with(retry(), lost),
        S::DoubtIsRemembered => {
            with(vec![put("e1")], Faults { lost_answers: 1, refusals: 1, ..NONE })
        }
        S::WriteIdStoredFirst | S::TakeoverLeavesDoubt => {
            with(retry(), Faults { crashes: 1, ..NONE })
        }
        S::JournalKnowsItForgot => with(vec![replace("e0", "e1").twice(), put("e2")], NONE),
        S::RefusalsJournalled => with(in_the_way_and_gone(), NONE),
        S::RefusalNeedsItsJournal => {
            with(in_the_way_and_gone(), Faults { lost_replies: 1, ..NONE })
        }
        S::StoreRefusalsJournalled => with(retry(), Faults { refusals: 1, ..NONE }),
        S::OlderThanEpoch => with(retry_and_delete(), Faults { losses: 1, ..NONE }),
        S::GivenUpIsNotDoneAgain | S::SupersededIsNotItsOwnRetry => {
            with(vec![put("e1").twice(), put("e2")], Faults { lost_replies: 1, ..NONE })
        }
        S::YoungEpochRefusesNoRetry => with(retry(), Faults { losses: 1, ..NONE }),
        S::ChangedProvesNothingIfShared => {
            Scenario::shared("", retry()).with(lost).foreign(&[Some("f1")])
        }
        S::SharedBelievesNothing => {
            Scenario::shared("", vec![replace("e0", "e1")]).foreign(&[Some("f1")])
        }
        S::HeadBeforeRefusal => with(vec![create("e1")], NONE).foreign(&[None]),
        S::LostAnswerIsDoubt => with(rivals(), lost),
        S::ArmedBeforeSending => with(rivals(), NONE),
        S::EarlyEndOfOneCopy => with(
            vec![replace("e0", "e1"), replace("e1", "e2")],
            Faults { lost_answers: 1, resends: 1, ..NONE },
        ),
        S::EarlyEndByANewId => {
            with(vec![put("e0").with_id(), replace("e0", "e1")], Faults { lost_answers: 1, ..NONE })
        }
        S::EarlyEndUnderLease => with(rivals(), Faults { lost_answers: 1, freezes: 1, ..NONE }),
        S::EarlyEndOnlyOnProof => with(rivals(), lost),
        S::Reclaim => {
            let mut calls = rivals();
            calls[0].class = Settle::Long;
            with(calls, Faults { losses: 1, ..NONE })
        }
        S::YoungRecordDecides => with(rivals(), NONE).lagging(),
        S::YoungUnknownWaits => {
            with(vec![put("e1"), replace("e0", "e2")], Faults { resends: 1, ..NONE }).lagging()
        }
        S::QuarantineCoversLag => with(rivals(), Faults { losses: 1, ..NONE }).lagging(),
        S::DoubtWaitsForLag => with(rivals(), Faults { crashes: 1, ..NONE }).lagging(),
        S::EarlyEndWaitsForLag => {
            with(vec![replace("e0", "e1"), replace("e1", "e2")], lost).lagging()
        }
        S::GoneWaitsForLag => {
            with(vec![create("e1"), delete_if("e1")], Faults { errors: 1, ..NONE }).lagging()
        }
    };
    let empty = matches!(
        safeguard,
        S::QuietAfterGone
            | S::BusyByOwnIsUnknown
            | S::JournalFirst
            | S::WriteIdStoredFirst
            | S::TakeoverLeavesDoubt
            | S::StoreRefusalsJournalled
            | S::OlderThanEpoch
            | S::YoungEpochRefusesNoRetry
            | S::ChangedProvesNothingIfShared
            | S::UndeterminedJournalled
            | S::BuriedDoubtJournalled
            | S::GoneWaitsForLag
    );
    let early_end = matches!(
        safeguard,
        S::EarlyEndOfOneCopy
            | S::EarlyEndByANewId
            | S::EarlyEndUnderLease
            | S::EarlyEndOnlyOnProof
            | S::EarlyEndWaitsForLag
    );
    let journal_lines = if safeguard == S::JournalKnowsItForgot { 1 } else { usize::MAX };
    let object = if empty { None } else { scenario.object };
    Scenario { object, early_end, journal_lines, without: Some(safeguard), ..scenario }
}

/// Taken out, the safeguard is missed: there is a counterexample.
fn is_needed(safeguard: Safeguard) {
    let scenario = scenario(safeguard);
    let found = explore(&scenario, STATES_MAX);
    let Some(breach) = found.breach else {
        panic!("without {safeguard:?} no law breaks in {} states", found.states)
    };
    println!("without {safeguard:?}, after {} states:", found.states);
    println!("{}", trace::tell(&scenario, &breach));
}

macro_rules! needed {
    ($($(#[$attribute:meta])* $test:ident: $safeguard:ident,)*) => {
        $(#[test] $(#[$attribute])* fn $test() { is_needed(Safeguard::$safeguard); })*
    };
}

needed! {
    quiet: Quiet,
    quiet_after_error: QuietAfterError,
    quiet_after_gone: QuietAfterGone,
    refusal_after_resend_is_doubt: RefusalAfterResendIsDoubt,
    quarantine: Quarantine,
    epoch_of_its_own: EpochOfItsOwn,
    new_epoch_distrusts: NewEpochDistrusts,
    margin: Margin,
    grace: Grace,
    settle: Settle,
    deadline_closes_connection: DeadlineClosesConnection,
    late_release_writes_nothing: LateReleaseWritesNothing,
    undetermined_burns_generation: UndeterminedBurnsGeneration,
    undetermined_journalled: UndeterminedJournalled,
    buried_doubt_journalled: BuriedDoubtJournalled,
    eviction_refused: EvictionRefused,
    busy_by_own_is_unknown: BusyByOwnIsUnknown,
    write_id_stored_first: WriteIdStoredFirst,
    journal_first: JournalFirst,
    journal_knows_it_forgot: JournalKnowsItForgot,
    refusals_journalled: RefusalsJournalled,
    refusal_needs_its_journal: RefusalNeedsItsJournal,
    store_refusals_journalled: StoreRefusalsJournalled,
    young_epoch_refuses_no_retry: YoungEpochRefusesNoRetry,
    changed_proves_nothing_if_shared: ChangedProvesNothingIfShared,
    shared_believes_nothing: SharedBelievesNothing,
    head_before_refusal: HeadBeforeRefusal,
    lost_answer_is_doubt: LostAnswerIsDoubt,
    doubt_is_remembered: DoubtIsRemembered,
    armed_before_sending: ArmedBeforeSending,
    takeover_leaves_doubt: TakeoverLeavesDoubt,
    early_end_of_one_copy: EarlyEndOfOneCopy,
    early_end_by_a_new_id: EarlyEndByANewId,
    early_end_under_lease: EarlyEndUnderLease,
    early_end_only_on_proof: EarlyEndOnlyOnProof,
    reclaim: Reclaim,
    young_record_decides: YoungRecordDecides,
    young_unknown_waits: YoungUnknownWaits,
    quarantine_covers_lag: QuarantineCoversLag,
    doubt_waits_for_lag: DoubtWaitsForLag,
    early_end_waits_for_lag: EarlyEndWaitsForLag,
    gone_waits_for_lag: GoneWaitsForLag,
    #[ignore = "hundreds of thousands of states: make model"]
    quarantine_covers_failover: QuarantineCoversFailover,
    #[ignore = "hundreds of thousands of states: make model"]
    older_than_epoch: OlderThanEpoch,
    #[ignore = "hundreds of thousands of states: make model"]
    buried_doubt_burns_generation: BuriedDoubtBurnsGeneration,
    #[ignore = "hundreds of thousands of states: make model"]
    given_up_is_not_done_again: GivenUpIsNotDoneAgain,
    #[ignore = "hundreds of thousands of states: make model"]
    superseded_is_not_its_own_retry: SupersededIsNotItsOwnRetry,
    #[ignore = "hundreds of thousands of states: make model"]
    late_commit_ends_no_lease: LateCommitEndsNoLease,
    #[ignore = "hundreds of thousands of states: make model"]
    late_commit_writes_no_state: LateCommitWritesNoState,
}

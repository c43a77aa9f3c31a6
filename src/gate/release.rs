//! Releasing a lease under which no write landed. If the release fails, no harm is done: the lease
//! runs out by itself.

use std::borrow::Cow;

use super::lease::{Armed, Lease, Leased};
use super::stop::Stop;
use super::{Reply, Write, refusal};
use crate::register::{DisarmStep, RegisterError, ReleaseStep, State};
use crate::s3::Code;
use crate::s3::documents::parse_store_error;

impl Leased<'_> {
    /// Releases the lease and returns the reply for the client. `learned` is the key's state, where
    /// a HEAD has shown it.
    pub(super) async fn refuse(self, learned: Option<State>, refusal: Stop) -> Stop {
        let write = self.attempt.write;
        let note = self.attempt.note(&self.lease, &refusal);
        let released = self.release(learned, note.as_deref()).await;
        unless_in_doubt(write, note.is_some() && released, refusal)
    }

    /// Releases the lease. `true` if the register has confirmed it, and with it that the refusal of
    /// a retry is in the journal.
    pub(super) async fn release(self, learned: Option<State>, refused: Option<&str>) -> bool {
        let write = self.attempt.write;
        let step = ReleaseStep { token: &self.lease.token, learned, refused };
        is_confirmed(write, self.attempt.gate.register.release(write.name, &step).await)
    }
}

impl Armed<'_> {
    /// As [`Leased::refuse`], for an armed lease of whose write nothing was applied.
    pub(super) async fn refuse(self, refusal: Stop) -> Stop {
        let write = self.attempt.write;
        let note = self.attempt.note(&self.lease, &refusal);
        let disarmed = self.disarm(note.as_deref()).await;
        unless_in_doubt(write, note.is_some() && disarmed, refusal)
    }

    /// As [`Leased::release`], for an armed lease of whose write nothing was applied.
    pub(super) async fn disarm(self, refused: Option<&str>) -> bool {
        let write = self.attempt.write;
        let step = DisarmStep { token: &self.lease.token, pre: &self.pre, refused };
        is_confirmed(write, self.attempt.gate.register.disarm(write.name, &step).await)
    }
}

impl super::lease::Attempt<'_> {
    /// The code that the journal has to keep, so that an earlier attempt of a refused retry is
    /// refused too. A register too young to know whether that attempt has landed can refuse
    /// nothing.
    fn note(&self, lease: &Lease, refusal: &Stop) -> Option<Cow<'static, str>> {
        let remembered = lease.epoch_age >= self.gate.settings.terms.retry_horizon;
        (self.write.is_retry() && remembered).then(|| code_of(refusal))
    }
}

/// A retry's first attempt may still be on its way, and a client that was told of a refusal must
/// not see the write land. So unless the journal keeps the refusal, the client is told that the
/// outcome is unknown.
fn unless_in_doubt(write: &Write<'_>, noted: bool, refusal: Stop) -> Stop {
    if write.is_retry() && !noted { Stop::error(refusal::outcome_unknown()) } else { refusal }
}

fn is_confirmed(write: &Write<'_>, answer: Result<bool, RegisterError>) -> bool {
    answer.unwrap_or_else(|error| {
        tracing::warn!(name = %write.name, %error, "a lease was not given back");
        false
    })
}

/// The code by which a refusal can be repeated.
fn code_of(refusal: &Stop) -> Cow<'static, str> {
    match refusal {
        Stop::Reply(Reply::Error(error, _)) => Cow::Owned(error.code().to_owned()),
        Stop::Refused(answer) => {
            let code = parse_store_error(&answer.body).and_then(|error| Code::spelled(&error.code));
            Cow::Borrowed(code.map_or("", Code::as_str))
        }
        _ => Cow::Borrowed(""),
    }
}

//! Giving a lease back where nothing has landed. Nothing is lost where that fails: the lease runs out
//! by itself.

use std::borrow::Cow;

use super::lease::Lease;
use super::write::Stop;
use super::{Gate, Reply, Write, refusal};
use crate::register::{DisarmStep, RegisterError, ReleaseStep, State};
use crate::s3::Code;
use crate::s3::documents::parse_store_error;

impl Gate {
    /// Gives the lease back, nothing having been applied, and says what the writer is told. `state`
    /// is what stands there now, where that is known.
    ///
    /// A retry's first attempt may be on its way still, and whoever was told that the write is
    /// refused must not see it land: unless the journal keeps it out, nothing is promised. Nor is
    /// it by a register too young to know whether that attempt has landed.
    pub(super) async fn turn_away(
        &self,
        write: &Write<'_>,
        lease: &Lease,
        state: Option<State>,
        refusal: Stop,
    ) -> Stop {
        let retry = write.attempt >= 2;
        let remembered = lease.epoch_age >= self.settings.terms.retry_horizon;
        let note = (retry && remembered).then(|| code_of(&refusal));
        let note = note.as_deref();
        let given_back = if lease.armed.is_some() {
            let pre = state.as_ref().unwrap_or(&lease.believed);
            self.disarm(write, lease, pre, note).await
        } else {
            self.release(write, lease, state, note).await
        };
        let noted = note.is_some() && given_back;
        if retry && !noted { Stop::error(refusal::outcome_unknown()) } else { refusal }
    }

    /// Whether the register has confirmed it, and with it that a refused retry is written down.
    pub(super) async fn release(
        &self,
        write: &Write<'_>,
        lease: &Lease,
        learned: Option<State>,
        refused: Option<&str>,
    ) -> bool {
        let step = ReleaseStep { token: &lease.token, learned, refused };
        given_back(write, self.register.release(write.name, &step).await)
    }

    /// As [`Self::release`], for a lease that is armed.
    pub(super) async fn disarm(
        &self,
        write: &Write<'_>,
        lease: &Lease,
        pre: &State,
        refused: Option<&str>,
    ) -> bool {
        let step = DisarmStep { token: &lease.token, pre, refused };
        given_back(write, self.register.disarm(write.name, &step).await)
    }
}

fn given_back(write: &Write<'_>, answer: Result<bool, RegisterError>) -> bool {
    answer.unwrap_or_else(|error| {
        tracing::warn!(name = %write.name, %error, "a lease was not given back");
        false
    })
}

/// The code by which a refusal can be told again.
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

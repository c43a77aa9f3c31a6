//! A holder's standing when the register forgets: a living holder of an armed lease puts it back
//! before anything is granted again (docs/protocol.md#reclaim).
//!
//! The quarantine of a new epoch covers plain writes. A complete or copy may work in the store for
//! minutes, with or without its connection, so while one may still land its holder stands by. Left
//! over is the double fault: the register lost, and the holder dead.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::lease::Lease;
use super::{Gate, Write};
use crate::in_flight::InFlight;
use crate::random;
use crate::register::{
    Expect, ReclaimAnswer, ReclaimStep, Register, RegisterError, Settle, State, Terms, Token,
    WriteId,
};
use crate::s3::ObjectName;

/// What is needed to put an armed lease back.
#[derive(Debug)]
pub(super) struct Standing {
    register: Arc<dyn Register>,
    terms: Terms,
    name: ObjectName,
    token: Token,
    nonce: String,
    write_id: WriteId,
    settle: Settle,
    pre: State,
    expect: Expect,
    deadline: Instant,
    count: InFlight,
}

impl Standing {
    pub(super) fn new(gate: &Gate, write: &Write<'_>, lease: &mut Lease, pre: &State) -> Self {
        Self {
            register: Arc::clone(&gate.register),
            terms: gate.settings.terms,
            name: write.name.clone(),
            token: lease.token.clone(),
            nonce: lease.reclaim_nonce().to_owned(),
            write_id: write.write_id.clone(),
            settle: write.settle(),
            pre: pre.clone(),
            expect: write.expect(),
            deadline: lease.deadline,
            count: gate.standing_by.clone(),
        }
    }

    /// Puts the lease back where the register has forgotten it.
    pub(super) async fn reclaim(&self) -> Result<ReclaimAnswer, RegisterError> {
        let step = ReclaimStep {
            token: &self.token,
            nonce: &self.nonce,
            write_id: &self.write_id,
            settle: self.settle,
            pre: &self.pre,
            expect: &self.expect,
        };
        self.register.reclaim(&self.name, &step).await
    }

    /// Stands by for a write in doubt, as long as it may still land and nobody can have taken its
    /// lease over. Plain writes need none of this: the quarantine covers them.
    pub(super) fn stand_by(mut self) -> Option<JoinHandle<()>> {
        if self.settle == Settle::Plain {
            return None;
        }
        let until = self.deadline + self.terms.grace + self.terms.settle(self.settle);
        // Often enough to be there in every quarantine.
        let pause = (self.terms.quarantine() / 4).max(Duration::from_millis(100));
        let counted = self.count.enter();
        Some(tokio::spawn(async move {
            let _counted = counted;
            while Instant::now() + pause < until {
                sleep(pause).await;
                match self.reclaim().await {
                    Ok(ReclaimAnswer::Reclaimed { token, .. }) => {
                        tracing::info!(name = %self.name, "a write in doubt was put back into the \
                                       register, which had forgotten it");
                        self.token = token;
                        self.nonce = random::id();
                    }
                    Ok(ReclaimAnswer::TooLate) => return,
                    // Unreachable: it may be about to forget.
                    Ok(ReclaimAnswer::Held) | Err(_) => {}
                }
            }
        }))
    }
}

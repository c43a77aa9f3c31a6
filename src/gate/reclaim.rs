//! Reclaim: when the register has lost its state, the holder of an armed lease registers it again
//! before anything is granted (docs/protocol.md#reclaim).
//!
//! The quarantine of a new epoch covers plain writes. A complete or copy may work in the store for
//! minutes, with or without its connection, so while one may still land its holder keeps reclaiming.
//! One case is not covered, the double fault: the register lost its state, and the holder died.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::task::TaskTracker;

use super::lease::Armed;
use crate::random;
use crate::register::{
    Expect, ReclaimAnswer, ReclaimStep, Register, RegisterError, Settle, State, Terms, Token,
    WriteId,
};
use crate::s3::ObjectName;

/// What is needed to reclaim an armed lease.
#[derive(Debug)]
pub(super) struct Reclaimer {
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
    /// Counts the writes whose leases are reclaimed.
    count: TaskTracker,
}

impl Reclaimer {
    pub(super) fn new(armed: &mut Armed<'_>) -> Self {
        let (gate, write) = (armed.attempt.gate, armed.attempt.write);
        Self {
            register: Arc::clone(&gate.register),
            terms: gate.settings.terms,
            name: write.name.clone(),
            token: armed.lease.token.clone(),
            nonce: armed.reclaim_nonce().to_owned(),
            write_id: write.write_id.clone(),
            settle: write.settle(),
            pre: armed.pre.clone(),
            expect: write.expect(),
            deadline: armed.lease.deadline,
            count: gate.reclaiming.clone(),
        }
    }

    /// Registers the lease again where the register has forgotten it.
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

    /// Reclaims the lease of a write in doubt whenever the register forgets it, for as long as the
    /// write may still land and no other process can have taken over its lease. Plain writes need
    /// no reclaim: the quarantine covers them.
    pub(super) fn keep_reclaiming(mut self) -> Option<JoinHandle<()>> {
        if self.settle == Settle::Plain {
            return None;
        }
        let until = self.deadline + self.terms.grace + self.terms.settle(self.settle);
        // Short enough that every quarantine has at least one attempt.
        let pause = (self.terms.quarantine() / 4).max(Duration::from_millis(100));
        let counted = self.count.token();
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
                    // Unreachable: the register may be about to lose its state.
                    Ok(ReclaimAnswer::Held) | Err(_) => {}
                }
            }
        }))
    }
}

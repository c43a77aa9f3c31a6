//! Arming a lease and sending the write under it: step 7 of docs/protocol.md#a-write-step-by-step.

use tokio::time::{Instant, sleep_until, timeout_at};

use super::lease::{Armed, Judged};
use super::reclaim::Reclaimer;
use super::stop::Stop;
use crate::backend::{Exchange, Sending};
use crate::metrics::labels::Alarm;
use crate::present::writes::WaitsFor;
use crate::register::{ArmAnswer, ArmStep, ReclaimAnswer, Settle};

/// An armed lease whose write was sent, or could not be sent.
#[derive(Debug)]
#[must_use]
pub(super) struct Answered<'a> {
    pub(super) armed: Armed<'a>,
    pub(super) exchange: Exchange,
    /// Where two copies were sent: when the first one was last readable.
    pub(super) first_copy: Option<Instant>,
}

impl Answered<'_> {
    /// Was it answered with a server error?
    pub(super) fn failed(&self) -> bool {
        matches!(&self.exchange, Exchange::Answered(answer) if answer.status.is_server_error())
    }
}

impl<'a> Judged<'a> {
    /// Arms the lease: from here on no other process gets the key before the write's outcome is
    /// known.
    pub(super) async fn arm(self) -> Result<Armed<'a>, Stop> {
        let (gate, write) = (self.leased.attempt.gate, self.leased.attempt.write);
        if self.leased.lease.outdated {
            self.leased.release(None, None).await;
            return Err(Stop::not_sent());
        }
        let asked = Instant::now();
        self.leased.attempt.waits_from(WaitsFor::Register, asked);
        let step = ArmStep {
            token: &self.leased.lease.token,
            pre: self.pre.clone(),
            expect: write.expect(),
            age: asked - write.arrived,
        };
        match gate.register.arm(write.name, step).await? {
            ArmAnswer::Armed(begins) => Ok(self.armed(begins, asked + gate.settings.terms.lease)),
            ArmAnswer::Lost => Err(Stop::not_sent()),
            ArmAnswer::OlderThanEpoch => {
                self.leased.release(None, None).await;
                Err(Stop::not_sent())
            }
        }
    }
}

impl<'a> Armed<'a> {
    /// The present time, if the lease lasts for long enough to send anything.
    pub(super) fn has_time(&self) -> Option<Instant> {
        let now = Instant::now();
        (now + self.attempt.gate.settings.margin < self.lease.deadline).then_some(now)
    }

    /// Sends the write, and once more where a pooled connection was dead. Renews the lease
    /// meanwhile; a holder that cannot renew drops the connection at its deadline. `now`: when it was
    /// seen that there is time for it.
    pub(super) async fn send(mut self, now: Instant) -> Answered<'a> {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        self.attempt.waits_from(WaitsFor::Store, now);
        let patience = match write.settle() {
            Settle::Plain => gate.settings.write_timeout,
            Settle::Long => gate.settings.long_write_timeout,
        };
        let until = now + patience;
        // The first of two copies may land for as long as a write of its class may. For a long
        // write the quarantine of a register that lost its state is too short, and once the write
        // is committed no process reclaims its lease. So a long write is never sent twice.
        let fresh = write.settle() == Settle::Long;
        let keep_alive = write.keep_alive;
        let sending = Sending { fresh, keep_alive, ..Sending::new(write.body, until) };
        let exchange = async {
            let first = gate.store.exchange(write.request, sending).await;
            let Exchange::DeadPooled(last_byte, why) = first else { return (first, None) };
            gate.metrics.backend_resends.count();
            tracing::debug!(name = %write.name, why, "a pooled connection was dead; sent again");
            let sending = Sending { fresh: true, ..sending };
            let second = gate.store.exchange(write.request, sending).await;
            (second, Some(last_byte))
        };
        let (exchange, first_copy) = tokio::select! {
            // An answer that has arrived counts before anything else.
            biased;
            sent = exchange => sent,
            () = self.keep(now) => {
                (Exchange::Lost("the lease could not be renewed".to_owned()), None)
            }
        };
        if Instant::now() > self.lease.deadline + gate.settings.terms.grace {
            gate.metrics.alarms.count(Alarm::StoodStill);
            tracing::error!(name = %write.name, "ALARM: this process stood still for longer than \
                            a lease and its grace while a write was under way; another write of \
                            the key may be lost");
        }
        Answered { armed: self, exchange, first_copy }
    }

    /// Renews the lease while that works, from now on; returns when the lease has run out. Reclaims it
    /// where the register has forgotten it in the meantime.
    async fn keep(&mut self, mut now: Instant) {
        let (gate, write) = (self.attempt.gate, self.attempt.write);
        let term = gate.settings.terms.lease;
        loop {
            sleep_until((now + term / 3).min(self.lease.deadline)).await;
            let asked = Instant::now();
            let renewal = gate.register.renew(write.name, &self.lease.token);
            match timeout_at(self.lease.deadline, renewal).await {
                Ok(Ok(true)) => self.lease.deadline = asked + term,
                Ok(Ok(false)) => {
                    let reclaimer = Reclaimer::new(self);
                    match timeout_at(self.lease.deadline, reclaimer.reclaim()).await {
                        Ok(Ok(ReclaimAnswer::Reclaimed { token, generation })) => {
                            self.is_back(token, generation, asked + term);
                        }
                        Ok(Ok(ReclaimAnswer::Held | ReclaimAnswer::TooLate)) => return,
                        Ok(Err(_)) | Err(_) => {}
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(name = %write.name, %error, "a lease was not renewed");
                }
                Err(_) => {}
            }
            now = Instant::now();
            if now >= self.lease.deadline {
                return;
            }
        }
    }
}

//! Concluding a write from the store's answer: step 8 of docs/protocol.md#a-write-step-by-step.

use super::Reply;
use super::doubt::Copies;
use super::finding::{Finding, finding};
use super::landed::Landed;
use super::send::Answered;
use super::stop::Stop;
use crate::backend::Exchange;

impl<'a> Answered<'a> {
    /// Decides by the store's answer what became of the write, and by a HEAD where the answer
    /// proves nothing.
    pub(super) async fn conclude(self) -> Result<Landed<'a>, Stop> {
        let Self { armed, exchange, first_copy } = self;
        let (gate, write) = (armed.attempt.gate, armed.attempt.write);
        let copies = if first_copy.is_none() { Copies::One } else { Copies::Two };
        let mut answer = match exchange {
            Exchange::Answered(answer) => answer,
            Exchange::NotSent(why) if first_copy.is_none() => {
                tracing::warn!(name = %write.name, why, "the store cannot be reached");
                armed.disarm(None).await;
                return Err(Stop::not_sent());
            }
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                return Box::pin(armed.in_doubt(copies, why)).await;
            }
        };
        let new = match finding(write.operation, &answer, &gate.settings.definite_errors) {
            Finding::Landed(new) => new,
            // After a resend, a refusal may be about the second copy, because the first copy
            // landed.
            Finding::NotApplied if first_copy.is_some() => {
                let why = "refused after it was sent twice".to_owned();
                return Box::pin(armed.in_doubt(copies, why)).await;
            }
            Finding::NotApplied => return Err(armed.refuse(Stop::Refused(answer)).await),
            Finding::Doubt(why) => return Box::pin(armed.in_doubt(copies, why)).await,
        };
        let new = gate.looked_up(&armed, copies, new, &mut answer).await;
        let settle = gate.settings.terms.settle(write.settle());
        let quiet = first_copy.map(|last_byte| settle.saturating_sub(last_byte.elapsed()));
        Ok(Landed { armed, reply: Reply::Store(answer), new, quiet })
    }
}

//! Requests that are sent without a lease, with a buffered body: writes of keys with `mode =
//! "pass"`, and requests that change no key's content.

use std::time::Duration;

use tokio::time::Instant;

use super::{Decider, Gate, Outcome, Reply, refusal};
use crate::backend::{Exchange, KeepAlive, Sending, StoreRequest};
use crate::body::Body;
use crate::s3::{Effect, Operation, WriteClass};

impl Gate {
    /// Sends a request to the store once, unchanged, and returns the store's answer. The request is
    /// never repeated: only its client knows whether that would do harm.
    pub async fn send_unguarded(
        &self,
        operation: Operation,
        request: &StoreRequest,
        body: &Body,
        keep_alive: Option<&KeepAlive>,
    ) -> Outcome {
        let started = Instant::now();
        // No writer waits for the end of an upload part, however large it is.
        let patience = match operation.effect() {
            Effect::WritesKey(WriteClass::Long)
            | Effect::UnknownWrite(WriteClass::Long)
            | Effect::Streams => self.settings.long_write_timeout,
            Effect::WritesKey(WriteClass::Plain)
            | Effect::UnknownWrite(WriteClass::Plain)
            | Effect::WritesKeysInBody
            | Effect::Read => self.settings.write_timeout,
        };
        let sending = Sending { keep_alive, ..Sending::new(body, started + patience) };
        let reply = match self.store.exchange(request, sending).await {
            Exchange::Answered(answer) => Reply::Store(answer),
            Exchange::NotSent(why) => {
                tracing::warn!(path = %request.path, why, "a request was not sent");
                Reply::Error(refusal::not_sent(), None)
            }
            Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                tracing::warn!(path = %request.path, why, "a request's answer was lost");
                Reply::Error(refusal::answer_lost(), None)
            }
        };
        let store_failed =
            matches!(&reply, Reply::Store(answer) if answer.status.is_server_error());
        Outcome {
            reply,
            store_failed,
            decided_by: Decider::Backend,
            waited: Duration::ZERO,
            held: started.elapsed(),
            commit: None,
        }
    }
}

//! The context of one request: its state beside the session, and its log line.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::cors::Asking;
use crate::config::AccessLog;
use crate::gate::{self, Decider, Reply};
use crate::http1::fields::Fields;
use crate::metrics::Metrics;
use crate::metrics::labels::{ErrorCode, OperationClass, OperationName, Outcome, RefusedBy};
use crate::present::hot_keys::{Did, HotKeys};
use crate::random;
use crate::s3::{Code, Effect, Operation, Target};
use crate::shares::Share;
use crate::traces::Span;
use crate::traces::parent::trace_id;

/// The header that names the request in its answer.
pub(super) const REQUEST_ID: &str = "x-amz-request-id";

/// The header that names the server in its answer, where AWS names a host.
pub(super) const HOST_ID: &str = "x-amz-id-2";
pub(super) const HOST: &str = "ifmatch";

/// The state of one request.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) arrived: Instant,
    pub(super) request_id: String,
    pub(super) log: LogLine,
    /// Held until its end by a request that changes something.
    pub(super) room: Option<Share>,
    /// The CORS question whether a page of another origin may see the answer.
    pub(super) cors: Option<Asking>,
    /// Whether the bucket is named by the host.
    pub(super) host_style: bool,
    /// Whether the rest of a refused body is read, to keep its connection.
    pub(super) reads_out: bool,
    _under_way: TaskTrackerToken,
}

/// The fields of a request's log line. It never contains a header value or a query.
#[derive(Debug, Default)]
pub(super) struct LogLine {
    pub(super) operation: Option<Operation>,
    pub(super) bucket: String,
    pub(super) key: String,
    /// The client, once the signature has proved it.
    pub(super) access_key_id: String,
    /// The known client that the request says to come from, where its signature proves nothing.
    pub(super) claimed_access_key_id: String,
    /// Where the connection comes from.
    pub(super) address: Option<IpAddr>,
    /// Whether the client signed with its previous secret.
    pub(super) previous_secret: bool,
    pub(super) attempt: u32,
    pub(super) code: String,
    /// The trace that this request is a part of, by the client's headers (W3C: Trace Context), or one
    /// that began here.
    pub(super) trace_id: Option<String>,
    /// The store's name for its part, where the store has told it.
    store_request_id: Option<String>,
    /// The part of the proxy that judges the request now, so that would refuse it.
    pub(super) judged_by: Option<RefusedBy>,
    outcome: Option<Outcome>,
    decided_by: Option<Decider>,
    waited_ms: u64,
    held_ms: u64,
}

impl LogLine {
    /// Sets the fields about the target.
    pub(super) fn target(&mut self, target: &Target) {
        self.bucket = target.bucket().map(|bucket| bucket.as_str().to_owned()).unwrap_or_default();
        self.key = target.object().map(|name| name.key.as_str().to_owned()).unwrap_or_default();
    }

    /// Sets the trace that the client says this request belongs to.
    pub(super) fn trace(&mut self, request: &Fields) {
        if self.trace_id.is_none() {
            self.trace_id = trace_id(request).map(str::to_owned);
        }
    }

    /// Sets the fields about the gate's outcome.
    pub(super) fn gate(&mut self, outcome: &gate::Outcome) {
        self.decided_by = Some(outcome.decided_by);
        self.waited_ms = millis(outcome.waited);
        self.held_ms = millis(outcome.held);
        if matches!(outcome.reply, Reply::Replayed(..)) {
            self.outcome = Some(Outcome::Replayed);
        }
    }

    /// The client left before the answer ended, or did not send all of its request.
    pub(super) fn client_gone(&mut self) {
        self.outcome = Some(Outcome::ClientGone);
    }

    /// The store broke off an answer after the client had got a part of it.
    pub(super) fn store_broke_off(&mut self) {
        self.outcome = Some(Outcome::StoreBrokeOff);
    }

    /// How the request ended, with this status if it was answered.
    fn outcome(&self, status: Option<u16>) -> Outcome {
        self.outcome.unwrap_or(match status {
            Some(200..=399) => Outcome::Ok,
            Some(400..=499) => Outcome::Refused,
            _ => Outcome::Failed,
        })
    }

    /// What refused the request.
    fn refused_by(&self) -> RefusedBy {
        match self.decided_by {
            Some(Decider::Early) => RefusedBy::Early,
            Some(Decider::Gate) => RefusedBy::Gate,
            Some(Decider::Backend) => RefusedBy::Store,
            None if self.code == Code::SlowDown.as_str() => RefusedBy::Limit,
            // Without the gate, only the store can be out of reach.
            None if self.code == Code::ServiceUnavailable.as_str() => RefusedBy::Store,
            None => self.judged_by.unwrap_or(RefusedBy::Request),
        }
    }
}

impl Context {
    pub(super) fn new(under_way: TaskTrackerToken) -> Self {
        Self {
            arrived: Instant::now(),
            request_id: random::upper_case_id(),
            log: LogLine::default(),
            room: None,
            cors: None,
            host_style: false,
            reads_out: false,
            _under_way: under_way,
        }
    }

    /// Counts the request.
    pub(super) fn count(
        &self,
        metrics: &Metrics,
        status: Option<u16>,
        (bytes_in, bytes_out): (usize, usize),
        now: Instant,
    ) {
        let line = &self.log;
        metrics.requests.count(OperationName(line.operation), line.outcome(status));
        let class = line.operation.map_or(OperationClass::Other, OperationClass::of);
        metrics.request_duration.observe(class, now - self.arrived);
        metrics.request_bytes.add(bytes_in as u64);
        metrics.response_bytes.add(bytes_out as u64);
        if is_refused(status) {
            metrics.refusals.count(line.refused_by(), ErrorCode::spelled(&line.code));
        }
    }

    /// Counts that the key was asked for. What strangers ask for does not count: they could push out
    /// what is asked for in truth.
    pub(super) fn count_key(&self, hot_keys: &HotKeys, status: Option<u16>, now: Instant) {
        let line = &self.log;
        let Some(operation) = line.operation.filter(|_| !line.key.is_empty()) else { return };
        let refused = status.is_none_or(|status| status >= 400);
        let is_stranger = refused
            && matches!(
                line.refused_by(),
                RefusedBy::Request | RefusedBy::Signature | RefusedBy::Access
            );
        if !is_stranger {
            let did = Did { write: operation.effect() != Effect::Read, refused };
            hot_keys.count((&line.bucket, &line.key), did, now.into_std());
        }
    }

    /// Tells the request's span what the log line says, but for who has sent it.
    pub(super) fn describe(
        &self,
        span: &mut Span,
        status: Option<u16>,
        (bytes_in, bytes_out): (usize, usize),
    ) {
        if !span.is_recorded() {
            return;
        }
        let line = &self.log;
        let outcome = line.outcome(status);
        if let Some(operation) = line.operation {
            span.rename(format!("S3/{}", operation.name()));
            span.text("rpc.method", operation.name());
        }
        span.text("rpc.system", "aws-api");
        span.text("rpc.service", "S3");
        span.text("aws.request_id", &self.request_id);
        span.text("aws.s3.bucket", &line.bucket);
        span.text("aws.s3.key", &line.key);
        if let Some(status) = status {
            span.number("http.response.status_code", status.into());
        }
        span.number("http.request.body.size", bytes_in as u64);
        span.number("http.response.body.size", bytes_out as u64);
        span.text("ifmatch.code", &line.code);
        span.text("ifmatch.outcome", outcome.as_str());
        span.text("ifmatch.decided_by", line.decided_by.map_or("", Decider::as_str));
        // What a client has done wrong is no failure of this service (OpenTelemetry: HTTP spans).
        if matches!(outcome, Outcome::Failed | Outcome::StoreBrokeOff) {
            span.fail(if line.code.is_empty() { outcome.as_str() } else { &line.code });
        }
    }

    /// Notes the id that the store has given the request, where its answer has one.
    pub(super) fn answered_by_store(&mut self, answer: &Fields) {
        let id = answer.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        if let Some(id) = id.filter(|id| *id != self.request_id) {
            self.log.store_request_id = Some(id.to_owned());
        }
    }

    /// Writes the one log line of the request, unless it is a successful read that `sampling` leaves
    /// out.
    pub(super) fn write_log_line(
        &self,
        status: Option<u16>,
        (bytes_in, bytes_out): (usize, usize),
        sampling: Option<&ReadSampling>,
    ) {
        let line = &self.log;
        let outcome = line.outcome(status);
        let is_read = line.operation.is_some_and(|operation| operation.effect() == Effect::Read);
        let sampling =
            sampling.filter(|_| is_read && outcome == Outcome::Ok && !line.previous_secret);
        if sampling.is_some_and(|sampling| !sampling.takes_next()) {
            return;
        }
        tracing::info!(
            target: AccessLog::TARGET,
            request_id = %self.request_id,
            store_request_id = line.store_request_id,
            trace_id = line.trace_id,
            operation = line.operation.map_or("", Operation::name),
            bucket = some(&line.bucket),
            key = some(&line.key),
            access_key_id = some(&line.access_key_id),
            claimed_access_key_id = some(&line.claimed_access_key_id),
            address = line.address.map(tracing::field::display),
            secret = line.previous_secret.then_some("previous"),
            attempt = line.attempt,
            status = status.unwrap_or_default(),
            code = some(&line.code),
            refused_by = is_refused(status).then(|| line.refused_by().as_str()),
            outcome = outcome.as_str(),
            decided_by = line.decided_by.map(Decider::as_str),
            waited_ms = line.decided_by.map(|_| line.waited_ms),
            held_ms = line.decided_by.map(|_| line.held_ms),
            took_ms = millis(self.arrived.elapsed()),
            bytes_in,
            bytes_out,
            one_of = sampling.map(|sampling| sampling.one_of).filter(|one_of| *one_of > 1),
            "request"
        );
    }
}

/// Which successful reads have a line in the log. Clones count the same reads.
#[derive(Debug, Clone)]
pub struct ReadSampling {
    one_of: u64,
    seen: Arc<AtomicU64>,
}

impl ReadSampling {
    /// One of so many; all where it is 1.
    pub(super) fn one_of(one_of: u64) -> Self {
        Self { one_of: one_of.max(1), seen: Arc::default() }
    }

    /// The same count, for another share.
    pub(super) fn with_share(&self, one_of: u64) -> Self {
        Self { one_of: one_of.max(1), seen: Arc::clone(&self.seen) }
    }

    fn takes_next(&self) -> bool {
        self.one_of == 1 || self.seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.one_of)
    }
}

fn is_refused(status: Option<u16>) -> bool {
    status.is_some_and(|status| status >= 400)
}

/// A text field, unless it is empty. It is recorded as a text value, which both formats escape: a
/// key cannot forge a log line.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_so_many_reads_one_is_taken() {
        let all = ReadSampling::one_of(1);
        assert!((0..5).all(|_| all.takes_next()));
        let third = all.with_share(3);
        let taken = (0..9).filter(|_| third.takes_next()).count();
        assert_eq!(taken, 3);
    }
}

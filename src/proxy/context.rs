//! The context of one request: its state beside the session, and its log line.

use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::cors::Asking;
use super::forward::Forward;
use crate::gate::{Decider, Outcome, Reply};
use crate::random;
use crate::s3::{Operation, S3Error, Target};
use crate::shares::Share;

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
    pub(super) forward: Option<Forward>,
    /// Why forwarding failed, where this module knows more than Pingora.
    pub(super) failure: Option<S3Error>,
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
    pub(super) access_key_id: String,
    /// Whether the client signed with its previous secret.
    pub(super) previous_secret: bool,
    pub(super) attempt: u32,
    pub(super) code: String,
    outcome: Option<&'static str>,
    decided_by: Option<Decider>,
    waited_ms: u64,
    held_ms: u64,
}

impl LogLine {
    /// Sets the fields about the target.
    pub(super) fn target(&mut self, target: &Target) {
        self.bucket = target.bucket().map(ToString::to_string).unwrap_or_default();
        self.key = target.object().map(|name| name.key.to_string()).unwrap_or_default();
    }

    /// Sets the fields about the gate's outcome.
    pub(super) fn gate(&mut self, outcome: &Outcome) {
        self.decided_by = Some(outcome.decided_by);
        self.waited_ms = millis(outcome.waited);
        self.held_ms = millis(outcome.held);
        if matches!(outcome.reply, Reply::Replayed(..)) {
            self.outcome = Some("replayed");
        }
    }

    /// The client left before the answer ended, or did not send all of its request.
    pub(super) fn client_gone(&mut self) {
        self.outcome = Some("client gone");
    }

    /// The store broke off an answer after the client had got a part of it.
    pub(super) fn store_broke_off(&mut self) {
        self.outcome = Some("store broke off");
    }
}

impl Context {
    pub(super) fn new(under_way: TaskTrackerToken) -> Self {
        Self {
            arrived: Instant::now(),
            request_id: random::id().to_ascii_uppercase(),
            log: LogLine::default(),
            forward: None,
            failure: None,
            room: None,
            cors: None,
            host_style: false,
            reads_out: false,
            _under_way: under_way,
        }
    }

    /// Writes the one log line of the request.
    pub(super) fn write_log_line(&self, status: Option<u16>, bytes_in: usize, bytes_out: usize) {
        let line = &self.log;
        let outcome = line.outcome.unwrap_or(match status {
            Some(200..=399) => "ok",
            Some(400..=499) => "refused",
            _ => "failed",
        });
        tracing::info!(
            request_id = %self.request_id,
            operation = line.operation.map_or("", Operation::name),
            bucket = some(&line.bucket),
            key = some(&line.key),
            access_key_id = some(&line.access_key_id),
            secret = line.previous_secret.then_some("previous"),
            attempt = line.attempt,
            status = status.unwrap_or_default(),
            code = some(&line.code),
            outcome,
            decided_by = line.decided_by.map(Decider::as_str),
            waited_ms = line.decided_by.map(|_| line.waited_ms),
            held_ms = line.decided_by.map(|_| line.held_ms),
            took_ms = millis(self.arrived.elapsed()),
            bytes_in,
            bytes_out,
            "request"
        );
    }
}

/// A text field, unless it is empty. It is recorded as a text value, which both formats escape: a
/// key cannot forge a log line.
fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

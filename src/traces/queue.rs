//! The spans that wait to be sent. Whoever adds some never waits: where there is no room, they are
//! dropped and counted.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::span::Spans;
use crate::metrics::Metrics;
use crate::metrics::labels::SpanEnd;

/// How many spans may wait. One has about 300 bytes, and one of a request up to 2 KiB with its key.
const WAITING_MAX: usize = 16_384;

/// With so many, they are sent at once; so many are sent together.
pub(super) const BATCH: usize = 512;

/// The spans that wait, in the order in which their requests ended.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// Is told when a batch is full.
    pub(super) full: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Spans>,
    spans: usize,
}

impl Queue {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { waiting: Mutex::default(), full: Notify::new(), metrics }
    }

    /// Adds the spans of a request, of which `left_out` were too many.
    pub(super) fn put(&self, spans: Spans, left_out: usize) {
        let more = spans.all.len();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = waiting.spans + more <= WAITING_MAX;
        if has_room {
            waiting.spans += more;
            waiting.requests.push_back(spans);
        }
        let is_full = waiting.spans >= BATCH;
        drop(waiting);
        if is_full {
            self.full.notify_one();
        }
        self.count(SpanEnd::Dropped, left_out + if has_room { 0 } else { more });
    }

    /// The oldest ones: as many as are sent together, and all of each request.
    pub(super) fn take(&self) -> Vec<Spans> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut taken, mut spans) = (Vec::new(), 0);
        while spans < BATCH
            && let Some(next) = waiting.requests.pop_front()
        {
            spans += next.all.len();
            taken.push(next);
        }
        waiting.spans -= spans;
        taken
    }

    /// Counts what became of so many spans.
    pub(super) fn count(&self, end: SpanEnd, spans: usize) {
        self.metrics.trace_spans.add(end, spans as u64);
    }
}

/// How many spans these are.
pub(super) fn spans(requests: &[Spans]) -> usize {
    requests.iter().map(|of_request| of_request.all.len()).sum()
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::traces::parent::{SpanId, TraceId};
    use crate::traces::span::{Ended, Kind};

    fn of(spans: usize) -> Spans {
        let span = Ended {
            id: SpanId([1; 8]),
            parent: None,
            name: Cow::Borrowed("a"),
            kind: Kind::Internal,
            began: 1,
            until: 2,
            attributes: Vec::new(),
            failure: None,
        };
        Spans { trace: TraceId([1; 16]), state: String::new(), all: vec![span; spans] }
    }

    #[test]
    fn spans_without_room_are_dropped_and_counted_and_never_waited_for() {
        let metrics = Arc::<Metrics>::default();
        let queue = Queue::new(Arc::clone(&metrics));
        for _ in 0..WAITING_MAX / 4 {
            queue.put(of(4), 0);
        }
        queue.put(of(1), 2);
        let counted = |wanted| {
            let mut counts = metrics.trace_spans.counts();
            counts.find(|(end, _)| *end == wanted).map(|(_, count)| count)
        };
        assert_eq!(counted("dropped"), Some(3));
        assert_eq!(spans(&queue.take()), BATCH);
        queue.put(of(BATCH), 0);
        let mut left = 0;
        loop {
            let taken = spans(&queue.take());
            if taken == 0 {
                break;
            }
            left += taken;
        }
        assert_eq!(left, WAITING_MAX, "what was taken has made room");
        assert_eq!(counted("dropped"), Some(3));
    }
}

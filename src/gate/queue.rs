//! Waiting in line: of all writers of one key inside this process, one at a time goes to the
//! register, in the order they came. The others cost the register nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Mutex as TurnMutex, OwnedMutexGuard};

use crate::s3::ObjectName;

/// The lines of all keys that are being written now.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: Arc<Mutex<HashMap<ObjectName, Weak<TurnMutex<()>>>>>,
}

/// The right to contend for a key on behalf of this process; dropped, the next in line has it.
#[derive(Debug)]
pub(super) struct Turn {
    // Field order matters: the guard goes first, so that `Leave` sees whether others wait.
    _guard: OwnedMutexGuard<()>,
    _leave: Leave,
}

#[derive(Debug)]
struct Leave {
    lines: Arc<Mutex<HashMap<ObjectName, Weak<TurnMutex<()>>>>>,
    name: ObjectName,
    line: Option<Arc<TurnMutex<()>>>,
}

impl Queue {
    /// Waits in the key's line, at most so long. `None` when the time is over.
    pub(super) async fn turn(&self, name: &ObjectName, patience: Duration) -> Option<Turn> {
        let line = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let known = lines.get(name).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let line = Arc::new(TurnMutex::new(()));
                lines.insert(name.clone(), Arc::downgrade(&line));
                line
            })
        };
        let leave = Leave {
            lines: Arc::clone(&self.lines),
            name: name.clone(),
            line: Some(Arc::clone(&line)),
        };
        let guard = tokio::time::timeout(patience, line.lock_owned()).await.ok()?;
        Some(Turn { _guard: guard, _leave: leave })
    }
}

impl Drop for Leave {
    /// The last one out takes the line away, so that only keys in use cost memory.
    fn drop(&mut self) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.line.take());
        if lines.get(&self.name).is_some_and(|line| line.strong_count() == 0) {
            lines.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::{BucketName, EmptySegments, ObjectKey};

    fn name(key: &str) -> ObjectName {
        ObjectName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse(key, EmptySegments::Kept).unwrap(),
        }
    }

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test(start_paused = true)]
    async fn writers_of_one_key_take_turns_in_the_order_they_came() {
        let queue = Arc::new(Queue::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = queue.turn(&name("a"), LONG).await.unwrap();
        let mut waiting = Vec::new();
        for number in 0..5 {
            let (queue, order) = (Arc::clone(&queue), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _turn = queue.turn(&name("a"), LONG).await.unwrap();
                order.lock().unwrap().push(number);
            }));
            tokio::task::yield_now().await;
        }
        assert!(order.lock().unwrap().is_empty(), "nobody passes the one whose turn it is");
        drop(first);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert!(queue.lines.lock().unwrap().is_empty(), "an empty line costs nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_do_not_wait_for_each_other_and_patience_ends() {
        let queue = Queue::default();
        let held = queue.turn(&name("a"), LONG).await.unwrap();
        assert!(queue.turn(&name("b"), Duration::ZERO).await.is_some());
        assert!(queue.turn(&name("a"), Duration::from_secs(1)).await.is_none());
        drop(held);
        assert!(queue.turn(&name("a"), Duration::ZERO).await.is_some());
        assert!(queue.lines.lock().unwrap().is_empty());
    }
}

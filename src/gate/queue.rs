//! Queues of writes inside this process, one for each key. One write of a key at a time asks the
//! register, in the order of arrival. The others cost the register nothing.

use std::sync::{Arc, Mutex, PoisonError};

use ahash::HashMap;
use tokio::sync::{Mutex as TurnMutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::patience::until;
use crate::s3::ObjectName;

type Queues = Arc<Mutex<HashMap<ObjectName, KeyQueue>>>;

/// The queues of all keys that are being written now. Clones are the same queues.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    queues: Queues,
}

#[derive(Debug, Default)]
struct KeyQueue {
    turn: Arc<TurnMutex<()>>,
    /// How many writes are in the queue, including the one whose turn it is.
    members: usize,
}

/// Why a write got no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unserved {
    /// The queue was full.
    TooMany,
    /// The wait took too long.
    TooLong,
}

/// The right to ask the register for a key on behalf of this process. When it is dropped, the next
/// write in the queue gets it.
#[derive(Debug)]
pub(super) struct Turn {
    _guard: OwnedMutexGuard<()>,
    _slot: QueueSlot,
}

/// A slot in a queue.
#[derive(Debug)]
struct QueueSlot {
    queues: Queues,
    name: ObjectName,
}

impl Queue {
    /// Waits in the key's queue, until this moment at most, and only if the queue has fewer members
    /// than this number.
    pub(super) async fn turn(
        &self,
        name: &ObjectName,
        members_max: usize,
        give_up: Instant,
    ) -> Result<Turn, Unserved> {
        let turn = {
            let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
            let queue_of_key = queues.entry(name.clone()).or_default();
            if queue_of_key.members >= members_max {
                return Err(Unserved::TooMany);
            }
            queue_of_key.members += 1;
            Arc::clone(&queue_of_key.turn)
        };
        let slot = QueueSlot { queues: Arc::clone(&self.queues), name: name.clone() };
        match until(give_up, turn.lock_owned()).await {
            Ok(guard) => Ok(Turn { _guard: guard, _slot: slot }),
            Err(_) => Err(Unserved::TooLong),
        }
    }
}

impl Drop for QueueSlot {
    /// The last member to leave removes the queue, so that only keys in use cost memory.
    fn drop(&mut self) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue_of_key) = queues.get_mut(&self.name) {
            queue_of_key.members -= 1;
            if queue_of_key.members == 0 {
                queues.remove(&self.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::s3::{BucketName, EmptySegments, ObjectKey};

    fn name(key: &str) -> ObjectName {
        ObjectName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse(key, EmptySegments::Kept).unwrap(),
        }
    }

    fn late() -> Instant {
        Instant::now() + Duration::from_mins(1)
    }

    const MANY: usize = 100;

    #[tokio::test(start_paused = true)]
    async fn writers_of_one_key_take_turns_in_the_order_they_came() {
        let queue = Arc::new(Queue::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = queue.turn(&name("a"), MANY, late()).await.unwrap();
        let mut waiting = Vec::new();
        for number in 0..5 {
            let (queue, order) = (Arc::clone(&queue), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _turn = queue.turn(&name("a"), MANY, late()).await.unwrap();
                order.lock().unwrap().push(number);
            }));
            tokio::task::yield_now().await;
        }
        assert!(order.lock().unwrap().is_empty(), "no write overtakes the one whose turn it is");
        drop(first);
        for task in waiting {
            task.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
        assert!(queue.queues.lock().unwrap().is_empty(), "an empty queue costs nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_do_not_wait_for_each_other_and_patience_ends() {
        let queue = Queue::default();
        let held = queue.turn(&name("a"), MANY, late()).await.unwrap();
        assert!(queue.turn(&name("b"), MANY, Instant::now()).await.is_ok());
        let late = queue.turn(&name("a"), MANY, Instant::now() + Duration::from_secs(1)).await;
        assert_eq!(late.unwrap_err(), Unserved::TooLong);
        drop(held);
        assert!(queue.turn(&name("a"), MANY, Instant::now()).await.is_ok());
        assert!(queue.queues.lock().unwrap().is_empty());
    }
    #[tokio::test(start_paused = true)]
    async fn a_full_line_takes_the_next_write_when_one_leaves() {
        let queue = Queue::default();
        let name = name("a");
        let held = queue.turn(&name, 2, late()).await.unwrap();
        let waiting = queue.turn(&name, 2, late());
        let third = async {
            tokio::task::yield_now().await;
            let refused = queue.turn(&name, 2, late()).await.unwrap_err();
            drop(held);
            refused
        };
        let (second, refused) = tokio::join!(waiting, third);
        assert_eq!(refused, Unserved::TooMany);
        drop(second.unwrap());
        assert!(queue.turn(&name, 1, Instant::now()).await.is_ok());
        assert!(queue.queues.lock().unwrap().is_empty());
    }
}

//! Queues of writes inside this process, one for each key. One write of a key at a time asks the
//! register, in the order of arrival. The others cost the register nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as TurnMutex, OwnedMutexGuard};

use crate::s3::ObjectName;

type Lines = Arc<Mutex<HashMap<ObjectName, Line>>>;

/// The queues of all keys that are being written now.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lines: Lines,
}

#[derive(Debug, Default)]
struct Line {
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
    _place: Place,
}

/// A place in a queue.
#[derive(Debug)]
struct Place {
    lines: Lines,
    name: ObjectName,
}

impl Queue {
    /// Waits in the key's queue, for at most this time, and only if the queue has fewer members
    /// than this number.
    pub(super) async fn turn(
        &self,
        name: &ObjectName,
        members_max: usize,
        patience: Duration,
    ) -> Result<Turn, Unserved> {
        let turn = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            let line = lines.entry(name.clone()).or_default();
            if line.members >= members_max {
                return Err(Unserved::TooMany);
            }
            line.members += 1;
            Arc::clone(&line.turn)
        };
        let place = Place { lines: Arc::clone(&self.lines), name: name.clone() };
        match tokio::time::timeout(patience, turn.lock_owned()).await {
            Ok(guard) => Ok(Turn { _guard: guard, _place: place }),
            Err(_) => Err(Unserved::TooLong),
        }
    }
}

impl Drop for Place {
    /// The last member to leave removes the queue, so that only keys in use cost memory.
    fn drop(&mut self) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(&self.name) {
            line.members -= 1;
            if line.members == 0 {
                lines.remove(&self.name);
            }
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
    const MANY: usize = 100;

    #[tokio::test(start_paused = true)]
    async fn writers_of_one_key_take_turns_in_the_order_they_came() {
        let queue = Arc::new(Queue::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = queue.turn(&name("a"), MANY, LONG).await.unwrap();
        let mut waiting = Vec::new();
        for number in 0..5 {
            let (queue, order) = (Arc::clone(&queue), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _turn = queue.turn(&name("a"), MANY, LONG).await.unwrap();
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
        assert!(queue.lines.lock().unwrap().is_empty(), "an empty line costs nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn keys_do_not_wait_for_each_other_and_patience_ends() {
        let queue = Queue::default();
        let held = queue.turn(&name("a"), MANY, LONG).await.unwrap();
        assert!(queue.turn(&name("b"), MANY, Duration::ZERO).await.is_ok());
        let late = queue.turn(&name("a"), MANY, Duration::from_secs(1)).await;
        assert_eq!(late.unwrap_err(), Unserved::TooLong);
        drop(held);
        assert!(queue.turn(&name("a"), MANY, Duration::ZERO).await.is_ok());
        assert!(queue.lines.lock().unwrap().is_empty());
    }
    #[tokio::test(start_paused = true)]
    async fn a_full_line_takes_nobody_until_somebody_leaves() {
        let queue = Queue::default();
        let name = name("a");
        let held = queue.turn(&name, 2, LONG).await.unwrap();
        let waiting = queue.turn(&name, 2, LONG);
        let third = async {
            tokio::task::yield_now().await;
            let refused = queue.turn(&name, 2, LONG).await.unwrap_err();
            drop(held);
            refused
        };
        let (second, refused) = tokio::join!(waiting, third);
        assert_eq!(refused, Unserved::TooMany);
        drop(second.unwrap());
        assert!(queue.turn(&name, 1, Duration::ZERO).await.is_ok());
        assert!(queue.lines.lock().unwrap().is_empty());
    }
}

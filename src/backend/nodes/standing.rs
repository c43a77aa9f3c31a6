//! The standing of one node: its health, and what it was asked. Everything that asks the node shares
//! one.

use std::time::Instant;

use tokio::sync::watch;

use crate::backend::choice::health::{Health, Sign, State, Thresholds};
use crate::metrics::cells::{Counter, Gauge, Held};
use crate::metrics::levels::NodeLevel;

/// The standing of a node.
#[derive(Debug)]
pub(crate) struct Standing {
    name: String,
    /// `None` where the node is not checked: then it is always up.
    thresholds: Option<Thresholds>,
    health: watch::Sender<Health>,
    under_way: Gauge,
    requests: Counter,
    changes: Counter,
}

impl Standing {
    /// Of a node with this name, which is up until it is seen to be down.
    pub(crate) fn new(name: String, thresholds: Option<Thresholds>) -> Self {
        Self {
            name,
            thresholds,
            health: watch::Sender::new(Health::new(State::Up, now())),
            under_way: Gauge::default(),
            requests: Counter::default(),
            changes: Counter::default(),
        }
    }

    /// The node's name: its URL.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the node is checked.
    pub(crate) fn is_checked(&self) -> bool {
        self.thresholds.is_some()
    }

    /// Whether the node gets requests.
    pub(crate) fn is_up(&self) -> bool {
        self.thresholds.is_none() || self.health.borrow().is_up()
    }

    /// How many requests are under way there.
    pub(crate) fn load(&self) -> i64 {
        self.under_way.get()
    }

    /// Counts a request, and that it is under way until the guard is dropped.
    pub(crate) fn begin(&self) -> Held {
        self.requests.count();
        self.under_way.hold()
    }

    /// Notes a sign of the node's health; `why` is a sentence about it.
    pub(crate) fn note(&self, sign: Sign, why: &str) {
        let Some(thresholds) = self.thresholds else { return };
        self.change(why, |health| health.after(sign, thresholds, now()));
    }

    /// Takes the node out at once: it could not be reached when the process began.
    pub(crate) fn take_out(&self, why: &str) {
        if self.is_checked() {
            self.change(why, |_| Health::new(State::Down, now()));
        }
    }

    fn change(&self, why: &str, change: impl FnOnce(Health) -> Health) {
        let mut changed = None;
        self.health.send_if_modified(|health| {
            let (before, after) = (*health, change(*health));
            *health = after;
            changed = (before.state != after.state).then_some((before, after));
            changed.is_some()
        });
        let Some((before, after)) = changed else { return };
        self.changes.count();
        let (from, to) = (before.state.as_str(), after.state.as_str());
        if after.is_up() {
            tracing::info!(node = self.name, from, to, why, "a node of the store is back");
        } else {
            tracing::warn!(node = self.name, from, to, why, "a node of the store is taken out");
        }
    }

    /// Waits until the node is taken out; for ever where it is not checked.
    pub(crate) async fn goes_down(&self) {
        if self.is_checked() {
            let mut seen = self.health.subscribe();
            if seen.wait_for(|health| !health.is_up()).await.is_ok() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// What is shown of the node.
    pub(crate) fn level(&self) -> NodeLevel {
        let health = *self.health.borrow();
        NodeLevel {
            node: self.name.clone(),
            up: health.is_up(),
            unchanged: health.since.elapsed(),
            requests: self.requests.get(),
            changes: self.changes.get(),
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { down_after: 2, up_after: 1 };

    #[tokio::test]
    async fn a_request_learns_that_its_node_is_taken_out() {
        let standing = Standing::new("http://n1".to_owned(), Some(THRESHOLDS));
        let _under_way = standing.begin();
        assert!(timeout(Duration::from_millis(5), standing.goes_down()).await.is_err());
        standing.note(Sign::Dead, "no answer");
        assert!(standing.is_up());
        standing.note(Sign::Dead, "no answer");
        assert!(!standing.is_up());
        standing.goes_down().await;
        let level = standing.level();
        assert_eq!((level.up, level.requests, level.changes), (false, 1, 1));
        standing.note(Sign::Alive, "it answers");
        assert!(standing.is_up());
    }

    #[test]
    fn a_node_that_is_not_checked_is_always_up() {
        let standing = Standing::new("http://n1".to_owned(), None);
        standing.take_out("no answer");
        for _ in 0..9 {
            standing.note(Sign::Dead, "no answer");
        }
        assert!(standing.is_up() && standing.level().up && standing.level().changes == 0);
    }
}

//! The health of one node: whether it gets requests. Checks in a row change it; one alone does not,
//! as a single lost packet would move keys to another node and back.

use std::time::Instant;

/// Whether a node gets requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Up,
    /// It does not.
    Down,
}

impl State {
    /// Its name in the log, and in the status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What was seen of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answered a check.
    Alive,
    /// It did not, or a connection to it could not be opened.
    Dead,
}

/// How many signs in a row change the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Until a node that is up is taken out.
    pub down_after: usize,
    /// Until a node that is down is taken back.
    pub up_after: usize,
}

/// The health of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether it gets requests.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// How many of the last signs in a row speak against the state.
    against: usize,
}

impl Health {
    /// At the beginning.
    pub const fn new(state: State, now: Instant) -> Self {
        Self { state, since: now, against: 0 }
    }

    /// Whether the node gets requests.
    pub fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// The health after one more sign.
    #[must_use]
    pub fn after(self, sign: Sign, thresholds: Thresholds, now: Instant) -> Self {
        let (other, needed) = match (self.state, sign) {
            (State::Up, Sign::Alive) | (State::Down, Sign::Dead) => {
                return Self { against: 0, ..self };
            }
            (State::Up, Sign::Dead) => (State::Down, thresholds.down_after),
            (State::Down, Sign::Alive) => (State::Up, thresholds.up_after),
        };
        let against = self.against.saturating_add(1);
        if against >= needed { Self::new(other, now) } else { Self { against, ..self } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { down_after: 3, up_after: 2 };

    /// The states after each of these signs.
    fn played(signs: &[Sign]) -> Vec<State> {
        let now = tokio::time::Instant::now().into_std();
        let mut health = Health::new(State::Up, now);
        let played = signs.iter().map(|sign| {
            health = health.after(*sign, THRESHOLDS, now);
            health.state
        });
        played.collect()
    }

    #[test]
    fn three_dead_signs_in_a_row_take_a_node_out_and_two_living_ones_bring_it_back() {
        use Sign::{Alive, Dead};
        use State::{Down, Up};
        assert_eq!(played(&[Dead, Dead, Dead, Alive, Alive]), [Up, Up, Down, Down, Up]);
        assert_eq!(played(&[Dead, Dead, Alive, Dead, Dead]), [Up; 5], "not in a row");
        assert_eq!(
            played(&[Dead, Dead, Dead, Alive, Dead, Alive, Alive]),
            [Up, Up, Down, Down, Down, Down, Up]
        );
    }

    #[test]
    fn since_is_the_time_of_the_change_and_not_of_a_later_sign() {
        let began = tokio::time::Instant::now().into_std();
        let later = |seconds| began + std::time::Duration::from_secs(seconds);
        let mut health = Health::new(State::Up, began);
        for second in 1..=5 {
            health = health.after(Sign::Dead, THRESHOLDS, later(second));
        }
        assert_eq!((health.state, health.since), (State::Down, later(3)));
    }
}

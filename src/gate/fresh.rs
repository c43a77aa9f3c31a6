//! What a read of a key may show, at a store that lags (docs/protocol.md#reads).

use super::Gate;
use crate::register::Observation;
use crate::s3::{Current, ObjectName};

/// What a read of a key may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// What the store shows: nothing that was acknowledged is younger than the store lags.
    Anything,
    /// What the store shows, which may be old: the register does not know what was written.
    Unknown,
    /// This, or the store shows something older.
    This(Current),
}

impl Expected {
    fn of(observed: &Observation) -> Self {
        if !observed.quarantine.is_zero() {
            return Self::Unknown;
        }
        if observed.young_for.is_zero() {
            return Self::Anything;
        }
        let shown = match &observed.before {
            // Under way or in doubt: what was there before is right, and what it leaves as well. But
            // once that was seen, the store may still show what was there before; and its client may
            // have been told of a success that could not be recorded.
            Some(_) if observed.before_young_for.is_zero() => return Self::Unknown,
            Some(before) => before,
            None => &observed.state,
        };
        shown.known().map_or(Self::Unknown, Self::This)
    }
}

impl Gate {
    /// What a read of this key may show, by what was acknowledged until now.
    pub async fn expected(&self, name: &ObjectName) -> Expected {
        if self.settings.terms.lag.is_zero() {
            return Expected::Anything;
        }
        match self.register.observe(name).await {
            Ok(observed) => Expected::of(&observed),
            Err(error) => {
                tracing::debug!(%name, %error, "a read was not compared with the register");
                Expected::Unknown
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::register::{EpochId, State};
    use crate::s3::ETag;

    const AGES: [Duration; 2] = [Duration::ZERO, Duration::from_secs(1)];
    const AGES_OF_A_STORE_WITHOUT_LAG: [Duration; 3] = [Duration::ZERO; 3];

    fn present(etag: &str) -> State {
        State::Present(ETag::parse(etag.as_bytes()))
    }

    fn expected(state: State, before: Option<State>, ages: [Duration; 3]) -> Expected {
        let [quarantine, young_for, before_young_for] = ages;
        Expected::of(&Observation {
            state,
            generation: None,
            pending: None,
            epoch: EpochId("e".to_owned()),
            quarantine,
            leased: before.is_some(),
            young_for,
            before,
            before_young_for,
        })
    }

    #[test]
    fn a_young_key_shows_what_was_written_last_and_any_other_what_the_store_shows() {
        let a = || Expected::This(State::known(&present("a")).unwrap());
        for [young, old] in [AGES, [AGES[1], AGES[0]]] {
            // A key at rest.
            let is_young = !young.is_zero();
            let this = if is_young { a() } else { Expected::Anything };
            assert_eq!(expected(present("a"), None, [AGES[0], young, old]), this);
            let gone = if is_young { Expected::This(Current::Absent) } else { Expected::Anything };
            assert_eq!(expected(State::Absent, None, [AGES[0], young, old]), gone);
            let unknown = if is_young { Expected::Unknown } else { Expected::Anything };
            assert_eq!(expected(State::Unknown, None, [AGES[0], young, old]), unknown);
            // A write under way: how old the state before it is decides.
            let shown = if is_young { a() } else { Expected::Unknown };
            let under_way = expected(State::Unknown, Some(present("a")), [AGES[0], AGES[1], young]);
            assert_eq!(under_way, shown);
            let blind = expected(State::Unknown, Some(State::Unknown), [AGES[0], AGES[1], young]);
            assert_eq!(blind, Expected::Unknown);
            let no_lag = expected(State::Unknown, Some(present("a")), AGES_OF_A_STORE_WITHOUT_LAG);
            assert_eq!(no_lag, Expected::Anything);
        }
        assert_eq!(expected(present("a"), None, [AGES[1], AGES[1], AGES[0]]), Expected::Unknown);
    }
}

//! Generations of what is read, for a compare-and-swap that begins with a read.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::sleep;

use super::Gate;
use crate::register::{Generation, Observation, State, Writers};
use crate::s3::{Current, ETag, ObjectName};

/// The generation that a key had before it was read. Whoever swaps by it writes only if nothing was
/// written since, so that what was read is not older; it may be newer, and then the swap fails.
#[derive(Debug)]
pub struct Pinned {
    generation: Generation,
    state: State,
    writers: Writers,
}

/// A write is answered while it is being recorded; who reads at once what he has written shall not
/// come too early. So long is waited for, longer and longer.
const RECORDING: [Duration; 5] = [
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
];

impl Gate {
    /// Names the key's generation. `None` where the register cannot: reads go on without it.
    pub async fn pin(&self, name: &ObjectName) -> Option<Pinned> {
        let mut pauses = RECORDING.into_iter();
        loop {
            match self.register.pin(name).await {
                Ok(observed) => match pauses.next().filter(|_| observed.leased) {
                    Some(pause) => sleep(pause).await,
                    None => return Pinned::of(observed, self.settings.terms.writers),
                },
                Err(error) => {
                    tracing::warn!(%name, %error, "a read was not told its generation");
                    return None;
                }
            }
        }
    }
}

impl Pinned {
    /// In quarantine a write that the register has forgotten may still land.
    fn of(observed: Observation, writers: Writers) -> Option<Self> {
        let generation = observed.generation.filter(|_| observed.quarantine.is_zero())?;
        Some(Self { generation, state: observed.state, writers })
    }

    /// The generation as the answer's header, if what was read belongs to it. What the register
    /// knows must be what was read; where others write, one who knows nothing would not see that
    /// they did.
    pub fn of_answer(self, status: StatusCode, headers: &HeaderMap) -> Option<HeaderValue> {
        let found = State::from(found(status, headers)?);
        let belongs = match (self.state, self.writers) {
            (State::Unknown, writers) => writers == Writers::Exclusive,
            (known, _) => known == found,
        };
        self.generation.0.parse().ok().filter(|_| belongs)
    }
}

/// What an answer to a read says of the key.
fn found(status: StatusCode, headers: &HeaderMap) -> Option<Current> {
    if status == StatusCode::NOT_FOUND {
        return Some(Current::Absent);
    }
    let shows_object = status.is_success() || status == StatusCode::NOT_MODIFIED;
    let etag = headers.get(header::ETAG).filter(|_| shows_object)?;
    Some(Current::Present(ETag::parse(etag.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::EpochId;

    fn pinned(state: State, writers: Writers, quarantine: Duration) -> Option<Pinned> {
        let observed = Observation {
            state,
            generation: Some(Generation("e.1".to_owned())),
            pending: None,
            epoch: EpochId("e".to_owned()),
            quarantine,
            leased: false,
        };
        Pinned::of(observed, writers)
    }

    fn names(state: State, writers: Writers, status: u16, etag: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(etag) = etag {
            headers.insert(header::ETAG, HeaderValue::from_static(etag));
        }
        let pinned = pinned(state, writers, Duration::ZERO).unwrap();
        pinned.of_answer(StatusCode::from_u16(status).unwrap(), &headers).is_some()
    }

    #[test]
    fn what_was_read_has_the_generation_of_what_is_known() {
        let a = || State::Present(ETag::parse(b"a"));
        for writers in [Writers::Shared, Writers::Exclusive] {
            for status in [200, 206, 304] {
                assert!(names(a(), writers, status, Some("\"a\"")));
                assert!(!names(a(), writers, status, Some("\"b\"")), "another object");
                assert!(!names(a(), writers, status, None));
            }
            assert!(names(State::Absent, writers, 404, None));
            assert!(!names(a(), writers, 404, None));
            for status in [403, 412, 416, 500] {
                assert!(!names(a(), writers, status, Some("\"a\"")), "{status} shows no object");
            }
        }
    }

    #[test]
    fn where_nothing_is_known_only_exclusive_writers_have_a_generation() {
        assert!(names(State::Unknown, Writers::Exclusive, 200, Some("\"a\"")));
        assert!(!names(State::Unknown, Writers::Shared, 200, Some("\"a\"")));
    }

    #[test]
    fn a_quarantine_names_none() {
        assert!(pinned(State::Unknown, Writers::Exclusive, Duration::from_millis(1)).is_none());
    }
}

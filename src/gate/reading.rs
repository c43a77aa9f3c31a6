//! Generations in answers to reads, for a compare-and-swap that begins with a read.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use tokio::time::sleep;

use super::Gate;
use crate::backend::HeadRequest;
use crate::http1::fields::Fields;
use crate::register::{Generation, Observation, RegisterError, State, Writers};
use crate::s3::{Current, ETag, ObjectName, Seen};

/// The generation that a key had before it was read. A compare-and-swap by it succeeds only if no
/// write came since, so the content read is not older than the generation. It may be newer, and
/// then the swap fails. A key that has no generation and is absent is named by [`ABSENT`].
#[derive(Debug)]
pub struct Pinned {
    generation: Option<Generation>,
    state: State,
    writers: Writers,
    /// The store may show an older state than the key's.
    young: bool,
}

/// A write is answered before it is recorded. A client that reads its own write at once may find
/// the record not yet written; the read then waits for it with these growing pauses.
const RECORDING: [Duration; 5] = [
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(40),
];

/// The generation named for a key that is absent and has none of its own: a write that names it
/// creates the object. The register remembers nothing for such a key, so reads of absent keys use
/// no memory.
const ABSENT: HeaderValue = HeaderValue::from_static("absent");

impl Gate {
    /// Reads the key's generation. `None` where the register cannot answer: the read goes on
    /// without it. `head_headers` are the headers that a HEAD of the object needs.
    pub async fn pin(&self, name: &ObjectName, head_headers: &Fields) -> Option<Pinned> {
        let pinned = self.name_generation(name, head_headers).await;
        let observed = pinned.inspect_err(
            |error| tracing::warn!(%name, %error, "a read was not told its generation"),
        );
        Pinned::of(observed.ok()?, self.settings.terms.writers)
    }

    /// Gives an object without a generation one. Not where other writers go around the proxies:
    /// there, an object that the register does not know has no generation.
    async fn name_generation(
        &self,
        name: &ObjectName,
        headers: &Fields,
    ) -> Result<Observation, RegisterError> {
        let observed = self.observe_recorded(name).await?;
        let shared = self.settings.terms.writers == Writers::Shared;
        if observed.generation.is_some() || shared {
            return Ok(observed);
        }
        let asked = HeadRequest { name, version_id: None, headers };
        match self.store.head(asked).await {
            Ok(Seen { current: Current::Present(_), .. }) => self.register.pin(name).await,
            Ok(_) | Err(_) => Ok(observed),
        }
    }

    async fn observe_recorded(&self, name: &ObjectName) -> Result<Observation, RegisterError> {
        let mut pauses = RECORDING.into_iter();
        loop {
            let observed = self.register.observe(name).await?;
            match pauses.next().filter(|_| observed.leased) {
                Some(pause) => sleep(pause).await,
                None => return Ok(observed),
            }
        }
    }
}

impl Pinned {
    /// In quarantine a write that the register has forgotten may still land.
    fn of(observed: Observation, writers: Writers) -> Option<Self> {
        let Observation { generation, state, .. } = observed;
        let young = !observed.young_for.is_zero();
        observed.quarantine.is_zero().then_some(Self { generation, state, writers, young })
    }

    /// The generation as a header of the answer, if the object read belongs to it. The state that
    /// the register knows must be the state that was read. An unknown state would not show that what
    /// was read is older, or that a writer around the proxies left it, where that can be.
    pub fn of_answer(self, status: StatusCode, headers: &Fields) -> Option<HeaderValue> {
        let found = State::from(found(status, headers)?);
        let Some(generation) = self.generation else {
            return (found == State::Absent).then_some(ABSENT);
        };
        let belongs = match (self.state, self.writers) {
            (State::Unknown, writers) => writers == Writers::Exclusive && !self.young,
            (known, _) => known == found,
        };
        generation.0.parse().ok().filter(|_| belongs)
    }
}

/// The key's state as an answer to a read shows it.
fn found(status: StatusCode, headers: &Fields) -> Option<Current> {
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
            young_for: Duration::ZERO,
            before: None,
            before_young_for: Duration::ZERO,
            landed: None,
        };
        Pinned::of(observed, writers)
    }

    fn names(state: State, writers: Writers, status: u16, etag: Option<&'static str>) -> bool {
        let mut headers = Fields::new();
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
    fn what_has_no_generation_and_is_absent_is_named_so() {
        for writers in [Writers::Shared, Writers::Exclusive] {
            let named = |status, etag: Option<&'static str>| {
                let state = State::Unknown;
                let pinned = Pinned { generation: None, state, writers, young: false };
                let etag = etag.map(|etag| (header::ETAG, HeaderValue::from_static(etag)));
                pinned.of_answer(status, &etag.into_iter().collect())
            };
            assert_eq!(named(StatusCode::NOT_FOUND, None), Some(ABSENT));
            assert_eq!(named(StatusCode::OK, Some("\"a\"")), None);
            assert_eq!(named(StatusCode::FORBIDDEN, None), None);
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

//! Generations of what is read, for a compare-and-swap that begins with a read.

use http::{HeaderMap, HeaderValue, StatusCode, header};

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

impl Gate {
    /// Names the key's generation. `None` where the register cannot: reads go on without it.
    pub async fn pin(&self, name: &ObjectName) -> Option<Pinned> {
        match self.register.pin(name).await {
            Ok(observed) => Pinned::of(observed, self.settings.terms.writers),
            Err(error) => {
                tracing::warn!(%name, %error, "a read was not told its generation");
                None
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

//! Mending a record that the store contradicts: as a conditional writer does that is refused. It takes a
//! lease that is not armed, looks by a HEAD under it, and releases it with what it has learned. No write
//! of the key is under way meanwhile, and the store is not changed.

use std::time::Duration;

use tokio::time::timeout;

use super::auditor::{Auditor, Trouble};
use super::finding::lesson;
use crate::backend::{HeadRequest, Store as _};
use crate::http1::fields::Fields;
use crate::random;
use crate::register::{
    Acquired, Ask, Asker, Expect, Grant, Register as _, ReleaseStep, Settle, State, WriteId,
};
use crate::s3::{Current, ObjectName, Preconditions};

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// It says this now.
    Now(State),
    /// It is as it was; why, in a few words.
    Left(String),
}

impl Mended {
    fn left(why: &str) -> Self {
        Self::Left(why.to_owned())
    }
}

impl Auditor {
    /// Sets the record of a key to what a HEAD under a lease shows, or to unknown, where that
    /// contradicts it, and the key is neither young nor in doubt. Never waits for a key that is busy.
    ///
    /// # Errors
    /// The register does not answer. A lease that was taken then ends by its time.
    pub async fn mend(&self, name: &ObjectName) -> Result<Mended, Trouble> {
        let grant = match self.register.acquire(name, &ask()).await? {
            Acquired::Granted(grant) => grant,
            Acquired::Quarantine(_) => return Ok(Mended::left("the register is in quarantine")),
            Acquired::Busy { .. } => return Ok(Mended::left("another writer has the key")),
            Acquired::Young(_) => return Ok(Mended::left(YOUNG)),
            Acquired::Ended(_) => return Ok(Mended::left("the lease was not granted")),
        };
        let learned = self.learned(name, &grant).await;
        let step = ReleaseStep {
            token: &grant.token,
            learned: learned.as_ref().ok().cloned(),
            refused: None,
        };
        let released = self.register.release(name, &step).await?;
        Ok(match learned {
            Err(why) => Mended::Left(why),
            Ok(_) if !released => Mended::left("the lease ended before the record was set"),
            Ok(state) => Mended::Now(state),
        })
    }

    /// What the record should say; or why it should be left as it is.
    async fn learned(&self, name: &ObjectName, grant: &Grant) -> Result<State, String> {
        if grant.doubt.is_some() {
            return Err("a write is in doubt".to_owned());
        }
        if !grant.young_for.is_zero() {
            return Err(YOUNG.to_owned());
        }
        let Some(believed) = grant.state.known() else {
            return Err("the register does not know the state".to_owned());
        };
        let seen = self.head_within_lease(name).await?;
        if seen == believed {
            return Err("the store agrees now".to_owned());
        }
        Ok(lesson(&self.terms, grant.landed, &seen))
    }

    async fn head_within_lease(&self, name: &ObjectName) -> Result<Current, String> {
        let headers = Fields::new();
        let asked = self.store.head(HeadRequest { name, version_id: None, headers: &headers });
        match timeout(self.terms.lease / 2, asked).await {
            Ok(seen) => seen.map(|seen| seen.current).map_err(|error| error.to_string()),
            Err(_) => Err("the store did not answer within half a lease".to_owned()),
        }
    }
}

/// A request for a lease that is never armed: no record meets its condition.
fn ask() -> Ask {
    let id = random::id();
    Ask {
        asker: Asker(id.clone()),
        write_id: WriteId::alone(&id),
        nonce: id,
        settle: Settle::Plain,
        age: Duration::ZERO,
        preconditions: Preconditions::if_generation_match(NEVER),
        expect: Expect::Anything,
        upload: None,
        own_doubt: None,
    }
}

/// No generation is called so: their names have a dot.
const NEVER: &str = "audit";

const YOUNG: &str = "the key is young";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{EpochId, Generation};
    use crate::s3::ETag;

    #[test]
    fn the_lease_is_never_armed_at_once() {
        let generation = Generation::numbered(&EpochId(NEVER.to_owned()), 1);
        for state in [State::Absent, State::Present(ETag::parse(b"a")), State::Unknown] {
            assert!(!state.satisfies(Some(&generation), &ask().preconditions));
        }
        assert!(ask().write_id.is_alone() && ask().nonce != ask().nonce);
    }
}

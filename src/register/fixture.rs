//! Helpers for the tests of the register and of its users.

use std::time::Duration;

use super::{Ask, Asker, Expect, Settle, WriteId};
use crate::s3::Preconditions;

/// A request for the lease of an unconditional write. Its nonce is the write's name.
pub(crate) fn ask(write: &str) -> Ask {
    Ask {
        asker: Asker("one".to_owned()),
        nonce: write.to_owned(),
        write_id: WriteId(write.to_owned()),
        settle: Settle::Plain,
        age: Duration::ZERO,
        preconditions: Preconditions::NONE,
        expect: Expect::SomeObject,
        upload: None,
        own_doubt: None,
    }
}

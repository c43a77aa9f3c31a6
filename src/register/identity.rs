//! A register's name, by which one fleet's is told from another's (F9).

use std::fmt;

use async_trait::async_trait;

use super::RegisterError;
use crate::random;

/// What a register is called, for as long as it remembers anything: 32 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterId(String);

impl RegisterId {
    /// A name that no other has.
    pub fn new() -> Self {
        Self(random::id())
    }

    /// Reads one as it is stored.
    pub fn parse(text: &str) -> Option<Self> {
        let sound = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        sound.then(|| Self(text.to_owned()))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RegisterId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RegisterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A register that has a name, once it was given one. Only those ask that compare it with a marker.
#[async_trait]
pub trait Identified: Send + Sync + fmt::Debug {
    /// What it is called; `None` when it was never given a name, or has forgotten it.
    async fn name(&self) -> Result<Option<RegisterId>, RegisterError>;

    /// Gives it this name unless it has one. What it is called now.
    async fn name_if_nameless(&self, id: &RegisterId) -> Result<RegisterId, RegisterError>;
}

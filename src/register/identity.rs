//! The register's id: tells the register of one fleet from another fleet's (F9).

use std::fmt;

use async_trait::async_trait;

use super::RegisterError;
use crate::random;

/// The register's id: 32 hex digits. It stays the same for as long as the register remembers
/// anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterId(String);

impl RegisterId {
    /// A new random id.
    pub fn new() -> Self {
        Self(random::id())
    }

    /// Parses the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        let sound = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        sound.then(|| Self(text.to_owned()))
    }

    /// The stored form.
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

/// A register that may have an id. Only the comparison with a marker asks for it.
#[async_trait]
pub trait Identified: Send + Sync + fmt::Debug {
    /// The register's id; `None` when it was never given one, or has forgotten it.
    async fn name(&self) -> Result<Option<RegisterId>, RegisterError>;

    /// Gives the register this id unless it has one. Returns the id that it has now.
    async fn name_if_nameless(&self, id: &RegisterId) -> Result<RegisterId, RegisterError>;
}

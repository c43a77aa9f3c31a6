//! Why a probe fails.

/// Why a probe fails; each is a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The store at this URL cannot be reached, or does not accept the credential.
    #[error("the store at {0} cannot be used: {1}")]
    Unusable(String, String),
    /// The store has no such bucket.
    #[error("the store has no bucket {0:?}")]
    NoBucket(String),
    /// The store refuses a request: what was asked, of which object, and what it answered.
    #[error(
        "the store refuses {asked} of {object}: {answer}. The credential in [backend] needs to \
         write, read, delete and list objects there"
    )]
    Refused {
        /// The request, such as `GET`.
        asked: &'static str,
        /// The object.
        object: String,
        /// Status, code and message of the answer.
        answer: String,
    },
    /// There is no usable answer, not even after several tries.
    #[error("the store gives no usable answer to {asked} of {object}: {why}")]
    NoAnswer {
        /// The request, such as `GET`.
        asked: &'static str,
        /// The object.
        object: String,
        /// A sentence.
        why: String,
    },
    /// An object has the name of a new one.
    #[error("{0} is shown before anything was written there")]
    NotAbsent(String),
    /// The prefix and a name make no key that the store takes.
    #[error("{0:?} cannot be the key of an object: {1}")]
    Key(String, String),
    /// It was told to stop.
    #[error("told to stop before the end; what was measured until then is not shown")]
    Stopped,
}

impl Trouble {
    /// What a table says where this is all that was found.
    pub fn shown(&self) -> &'static str {
        match self {
            Self::NoAnswer { .. } => "not known",
            _ => "not tried",
        }
    }
}

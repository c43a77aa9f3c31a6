//! Failures of the index.

use std::error::Error;
use std::io;

/// The index cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(in crate::embedded::store) enum Broken {
    /// One row is damaged. It fails the requests that read it, and no others.
    #[error("a row of the index is damaged: {0}")]
    Row(#[source] Box<dyn Error + Send + Sync>),
    /// The disk is full or fails, or the file is damaged.
    #[error("the index fails: {0}")]
    Database(#[source] Box<redb::Error>),
    /// The index was not asked: it is opened again after a failure.
    #[error("the index is opened again after a failure of the disk")]
    Reopening,
    /// The file is not what this version reads, or a thread of the store has failed.
    #[error("the index fails: {0}")]
    Other(String),
}

impl Broken {
    pub(in crate::embedded::store) fn row(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Row(Box::new(error))
    }

    pub(in crate::embedded::store) fn because(why: impl Into<String>) -> Self {
        Self::Other(why.into())
    }
}

macro_rules! broken {
    ($($error:ty),*) => {
        $(impl From<$error> for Broken {
            fn from(error: $error) -> Self {
                Self::Database(Box::new(error.into()))
            }
        })*
    };
}

broken!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError);
broken!(redb::DatabaseError, io::Error);

//! Failures of the index.

use std::error::Error;

/// The index cannot be read or written: the disk is full or fails, or the file is damaged.
#[derive(Debug, thiserror::Error)]
#[error("the index fails: {0}")]
pub(in crate::embedded::store) struct Broken(#[source] Box<dyn Error + Send + Sync>);

impl Broken {
    pub(in crate::embedded::store) fn row(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }

    pub(super) fn because(why: impl Into<String>) -> Self {
        Self(why.into().into())
    }
}

macro_rules! broken {
    ($($error:ty),*) => {
        $(impl From<$error> for Broken {
            fn from(error: $error) -> Self {
                Self(Box::new(error))
            }
        })*
    };
}

broken!(redb::StorageError, redb::TableError, redb::TransactionError, redb::CommitError);
broken!(redb::DatabaseError, redb::Error, std::io::Error);

//! Changes of rows that can be taken back: a request that fails among others of its transaction leaves
//! no trace in it.

use redb::{Key, Table};

use super::broken::Broken;

/// A table whose rows are JSON.
type Rows<'t, K> = Table<'t, K, &'static [u8]>;

/// The place of a row.
#[derive(Debug)]
pub(super) enum Place {
    Bucket(String),
    /// Bucket, key, and order.
    Version(String, Vec<u8>, u64),
    /// Bucket, key, and id.
    Upload(String, Vec<u8>, String),
    /// The upload's id, and a number.
    Part(String, u16),
}

/// A row as it was before it was changed; `None` where there was none.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) place: Place,
    pub(super) row: Option<Vec<u8>>,
}

/// Stores a row, or removes it; returns what stood there.
pub(super) fn exchange<K: Key + 'static>(
    table: &mut Rows<'_, K>,
    key: K::SelfType<'_>,
    row: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, Broken> {
    let before = match row {
        Some(row) => table.insert(key, row)?,
        None => table.remove(key)?,
    };
    Ok(before.map(|before| before.value().to_vec()))
}

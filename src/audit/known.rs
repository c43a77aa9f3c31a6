//! The keys that an audit is about: all that the register knows of a range, or the young ones.

use std::collections::BTreeSet;

use super::auditor::{Auditor, Trouble};
use crate::register::redis::Walk;
use crate::register::{KeyRange, Register as _};
use crate::s3::listing::Position;
use crate::s3::{BucketName, ObjectKey, ObjectName, Segments};

/// How many young keys a page has, about.
const PAGE: usize = 1000;

/// Keys of a bucket that begin so, page by page.
#[derive(Debug)]
pub enum Known {
    /// All that the register knows, in no order.
    All(Walk),
    /// Those that were written less than the store's lag ago, in their order.
    Young(Young),
}

/// Where a walk over the young keys stands.
#[derive(Debug)]
pub struct Young {
    bucket: BucketName,
    prefix: String,
    /// `None` at the end.
    position: Option<Position>,
    /// Whether some were left out for lack of room, or written before the register's memory began.
    pub is_incomplete: bool,
}

impl Known {
    /// All keys of this bucket that begin so.
    pub fn all(bucket: &BucketName, prefix: &str) -> Self {
        Self::All(Walk::new(bucket, prefix))
    }

    /// The young ones among them.
    pub fn young(bucket: &BucketName, prefix: &str) -> Self {
        Self::Young(Young {
            bucket: bucket.clone(),
            prefix: prefix.to_owned(),
            position: Some(Position::First),
            is_incomplete: false,
        })
    }

    /// Whether keys may be missing.
    pub fn is_incomplete(&self) -> bool {
        matches!(self, Self::Young(Young { is_incomplete: true, .. }))
    }
}

impl Auditor {
    /// The next keys; `None` at the end.
    pub async fn next_keys(
        &self,
        known: &mut Known,
    ) -> Result<Option<BTreeSet<ObjectName>>, Trouble> {
        match known {
            Known::All(walk) => Ok(self.register.next_known(walk).await?),
            Known::Young(young) => self.next_young(young).await,
        }
    }

    async fn next_young(&self, young: &mut Young) -> Result<Option<BTreeSet<ObjectName>>, Trouble> {
        let Some(position) = young.position.take() else { return Ok(None) };
        let Young { bucket, prefix, .. } = &*young;
        let range = KeyRange { bucket, prefix, position: &position, limit: PAGE };
        let found = self.register.young_keys(&range).await?;
        let names = found.keys.keys().filter_map(|key| {
            let key = ObjectKey::parse(key, Segments::ANY).ok()?;
            Some(ObjectName { bucket: bucket.clone(), key })
        });
        let names = names.collect();
        young.is_incomplete |= found.incomplete || !found.quarantine.is_zero();
        young.position = found.horizon.map(Position::After);
        Ok(Some(names))
    }
}

//! Which server is the master of each partition.

use std::collections::BTreeMap;

use super::format::PARTITIONS;
use super::place::Address;

/// The master of each partition, as far as there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Masters(Vec<Option<Address>>);

impl Masters {
    /// One server for all.
    pub(super) fn all_at(address: &Address) -> Self {
        Self((0..PARTITIONS).map(|_| Some(address.clone())).collect())
    }

    /// As this says of each partition.
    pub(super) fn by(of: impl FnMut(u64) -> Option<Address>) -> Self {
        Self((0..PARTITIONS).map(of).collect())
    }

    /// The master of a partition.
    pub(super) fn of(&self, partition: u64) -> Option<&Address> {
        self.0.get(usize::try_from(partition).ok()?)?.as_ref()
    }

    /// How many partitions have none.
    pub(super) fn missing(&self) -> usize {
        self.0.iter().filter(|master| master.is_none()).count()
    }

    /// Every master with its partitions.
    pub(super) fn each(&self) -> BTreeMap<&Address, Vec<u64>> {
        let mut each: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (partition, master) in (0..).zip(&self.0) {
            if let Some(master) = master {
                each.entry(master).or_default().push(partition);
            }
        }
        each
    }

    /// The partitions of one of them.
    pub(super) fn partitions_of(&self, address: &Address) -> Vec<u64> {
        self.each().remove(address).unwrap_or_default()
    }
}

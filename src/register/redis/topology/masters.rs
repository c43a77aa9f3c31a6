//! Which server is the master of each part of the register.

use std::collections::BTreeMap;

use crate::register::redis::format::PARTITIONS;
use crate::register::redis::settings::Address;

/// What is at one server as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The partition of this number.
    Partition(u64),
    /// The register's id.
    Id,
}

/// The master of each partition and of the id, as far as there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Masters {
    partitions: Vec<Option<Address>>,
    id: Option<Address>,
}

impl Masters {
    /// One server for all.
    pub(crate) fn all_at(address: &Address) -> Self {
        Self::by(|_| Some(address.clone()))
    }

    /// As this says of each part.
    pub(crate) fn by(mut of: impl FnMut(Part) -> Option<Address>) -> Self {
        let partitions = (0..PARTITIONS).map(|number| of(Part::Partition(number))).collect();
        Self { partitions, id: of(Part::Id) }
    }

    /// The master of a part.
    pub(crate) fn of(&self, part: Part) -> Option<&Address> {
        match part {
            Part::Partition(number) => self.partitions.get(usize::try_from(number).ok()?)?.as_ref(),
            Part::Id => self.id.as_ref(),
        }
    }

    /// How many parts have none.
    pub(crate) fn missing(&self) -> usize {
        let parts = self.partitions.iter().chain([&self.id]);
        parts.filter(|master| master.is_none()).count()
    }

    /// Every master of partitions with those.
    pub(crate) fn each(&self) -> BTreeMap<&Address, Vec<u64>> {
        let mut each: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (partition, master) in (0..).zip(&self.partitions) {
            if let Some(master) = master {
                each.entry(master).or_default().push(partition);
            }
        }
        each
    }

    /// The partitions of one of them.
    pub(crate) fn partitions_of(&self, address: &Address) -> Vec<u64> {
        self.each().remove(address).unwrap_or_default()
    }
}

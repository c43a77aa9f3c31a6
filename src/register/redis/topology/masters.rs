//! Snapshots of the masters: which server has each shard of the register, and for how long that may
//! be used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::register::redis::format::PARTITIONS;
use crate::register::redis::settings::Address;

/// A part of the register that is on one server as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shard {
    /// The partition with this number.
    Partition(u64),
    /// The register's id.
    Id,
}

/// The masters at one moment, as the operator, Sentinels or a cluster named them.
#[derive(Debug, Clone)]
pub(crate) struct TopologySnapshot {
    pub(crate) masters: Arc<Masters>,
    /// When they were asked for: just before the question.
    pub(super) asked: Instant,
    /// For how long after `asked` the snapshot may be used; `None`: without limit.
    pub(super) ttl: Option<Duration>,
}

impl TopologySnapshot {
    pub(crate) fn is_fresh(&self) -> bool {
        self.ttl.is_none_or(|ttl| self.asked.elapsed() < ttl)
    }
}

/// The master of each partition and of the id, as far as one is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Masters {
    partitions: Vec<Option<Address>>,
    id: Option<Address>,
}

impl Masters {
    /// One server as the master of all shards.
    pub(crate) fn all_at(address: &Address) -> Self {
        Self::by(|_| Some(address.clone()))
    }

    /// For each shard the master that `of` returns.
    pub(crate) fn by(mut of: impl FnMut(Shard) -> Option<Address>) -> Self {
        let partitions = (0..PARTITIONS).map(|number| of(Shard::Partition(number))).collect();
        Self { partitions, id: of(Shard::Id) }
    }

    /// The master of a shard.
    pub(crate) fn of(&self, shard: Shard) -> Option<&Address> {
        match shard {
            Shard::Partition(number) => {
                self.partitions.get(usize::try_from(number).ok()?)?.as_ref()
            }
            Shard::Id => self.id.as_ref(),
        }
    }

    /// How many shards have no master.
    pub(crate) fn missing(&self) -> usize {
        let shards = self.partitions.iter().chain([&self.id]);
        shards.filter(|master| master.is_none()).count()
    }

    /// Every master of at least one partition, with the numbers of its partitions.
    pub(crate) fn each(&self) -> BTreeMap<&Address, Vec<u64>> {
        let mut each: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for (partition, master) in (0..).zip(&self.partitions) {
            if let Some(master) = master {
                each.entry(master).or_default().push(partition);
            }
        }
        each
    }

    /// The numbers of the partitions of one master.
    pub(crate) fn partitions_of(&self, address: &Address) -> Vec<u64> {
        self.each().remove(address).unwrap_or_default()
    }
}

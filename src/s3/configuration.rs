//! The configuration of buckets: which parts of it let the store itself, or others, change objects
//! without passing a proxy (AWS: the subresources of a bucket).

/// What the store does on its own once this is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Nothing to any object, and nobody may do more than before.
    Nothing,
    /// It writes or deletes objects of this bucket later, or others may.
    ThisBucket,
    /// It writes objects of buckets that the document names.
    OtherBuckets,
}

/// Every subresource of a bucket that can be put or deleted, with what it leads to.
pub const CONFIGURATIONS: &[(&str, Reach)] = &[
    ("abac", Reach::ThisBucket),
    ("accelerate", Reach::Nothing),
    ("acl", Reach::ThisBucket),
    ("analytics", Reach::OtherBuckets),
    ("cors", Reach::Nothing),
    ("encryption", Reach::Nothing),
    ("intelligent-tiering", Reach::ThisBucket),
    ("inventory", Reach::OtherBuckets),
    ("lifecycle", Reach::ThisBucket),
    ("logging", Reach::OtherBuckets),
    ("metadataAnnotationTable", Reach::OtherBuckets),
    ("metadataConfiguration", Reach::OtherBuckets),
    ("metadataInventoryTable", Reach::OtherBuckets),
    ("metadataJournalTable", Reach::OtherBuckets),
    ("metadataTable", Reach::OtherBuckets),
    ("metrics", Reach::Nothing),
    ("notification", Reach::ThisBucket),
    ("object-lock", Reach::Nothing),
    ("ownershipControls", Reach::ThisBucket),
    ("policy", Reach::ThisBucket),
    ("publicAccessBlock", Reach::ThisBucket),
    ("replication", Reach::OtherBuckets),
    ("requestPayment", Reach::Nothing),
    ("tagging", Reach::Nothing),
    ("versioning", Reach::Nothing),
    ("website", Reach::Nothing),
];

/// The reach of the configuration of this name; `None` when there is none of that name.
pub fn reach(name: &str) -> Option<Reach> {
    CONFIGURATIONS.iter().find(|(known, _)| *known == name).map(|(_, reach)| *reach)
}

/// The names of those that the right to configure is needed for.
pub fn reaching() -> impl Iterator<Item = &'static str> {
    CONFIGURATIONS.iter().filter(|(_, reach)| *reach != Reach::Nothing).map(|(name, _)| *name)
}

//! Bucket configuration: which subresources of a bucket let the store itself, or other clients,
//! change objects without a proxy (AWS: the subresources of a bucket). And whether it keeps versions.

use super::xml;

/// What the store does by itself once this is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It changes no object, and gives no client new rights.
    Nothing,
    /// It writes or deletes objects of this bucket later, or lets other clients do so.
    ThisBucket,
    /// It writes objects of buckets named in the document.
    OtherBuckets,
}

/// Every subresource of a bucket that can be put or deleted, with its reach.
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

/// The names of the configurations that need the right to configure.
pub fn reaching() -> impl Iterator<Item = &'static str> {
    CONFIGURATIONS.iter().filter(|(_, reach)| *reach != Reach::Nothing).map(|(name, _)| *name)
}

/// What GetBucketVersioning's answer says: `Enabled`, `Suspended`, or nothing where versions were never
/// kept. `None` for another document.
pub fn versioning_status(document: &[u8]) -> Option<String> {
    let root = xml::parse(document).filter(|root| root.name == "VersioningConfiguration")?;
    Some(root.child_text("Status").unwrap_or_default().trim_ascii().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_says_whether_it_keeps_versions() {
        let of = |inside| {
            let document = format!("<VersioningConfiguration>{inside}</VersioningConfiguration>");
            versioning_status(document.as_bytes())
        };
        assert_eq!(of("<Status> Enabled </Status>").as_deref(), Some("Enabled"));
        assert_eq!(of("<MfaDelete>Disabled</MfaDelete>").as_deref(), Some(""));
        assert_eq!(versioning_status(b"<Error/>"), None);
    }
}

//! Listings of buckets and objects: parsed from the store's documents; and pages of a store that lags,
//! in which young keys are corrected.

mod document;
pub mod entry;
pub mod merge;
pub mod page;
pub mod request;
pub mod versions;

use super::name::{BucketName, EmptySegments, ObjectKey, ObjectName};
use super::xml::{self, Element};
pub use entry::{Description, Entry, Made, Row};
pub use merge::{Fresh, Merged, Next, Overlay, merge};
pub use page::Page;
pub use request::{ListRequest, Position, Start, Version};
pub use versions::{Change, VersionId, Written};

/// How many bytes of memory a page takes for each byte of the store's document: the document itself, what
/// is read of it (six small elements for an object, with two texts each), and the document that is
/// written in its place. 9.0 were measured, with names of 60 bytes.
pub const PAGE_MEMORY_FACTOR: u64 = 10;

/// The most memory that a page takes, in bytes.
pub const PAGE_MEMORY_MAX: u64 = PAGE_MEMORY_FACTOR * xml::DOCUMENT_BYTES_MAX as u64;

/// The buckets in a ListBuckets answer; none for another document.
pub fn buckets(document: &[u8]) -> Vec<BucketName> {
    let Some(root) = xml::parse(document).filter(|root| root.name == "ListAllMyBucketsResult")
    else {
        return Vec::new();
    };
    let list = root.children.iter().find(|child| child.name == "Buckets");
    let names = list.into_iter().flat_map(|list| &list.children);
    names
        .filter_map(|bucket| BucketName::parse(bucket.child_text("Name")?.trim_ascii()).ok())
        .collect()
}

/// The first object in a ListObjects or ListObjectsV2 answer, requested without `encoding-type`.
pub fn first_object(bucket: &BucketName, document: &[u8]) -> Option<ObjectName> {
    let root = xml::parse(document).filter(|root| root.name == "ListBucketResult")?;
    let contents = |child: &&Element| child.name == "Contents";
    let key = root.children.iter().find(contents)?.child_text("Key")?;
    let key = ObjectKey::parse(key, EmptySegments::Kept).ok()?;
    Some(ObjectName { bucket: bucket.clone(), key })
}

/// The size in bytes of the object with this key in a ListObjects or ListObjectsV2 answer, requested
/// without `encoding-type`; the inner `None` where the object is not listed. The outer one for
/// another document, or an object without a size.
pub fn size_of(key: &ObjectKey, document: &[u8]) -> Option<Option<u64>> {
    let root = xml::parse(document).filter(|root| root.name == "ListBucketResult")?;
    let is_it = |child: &&Element| {
        child.name == "Contents" && child.child_text("Key") == Some(key.as_str())
    };
    match root.children.iter().find(is_it) {
        Some(object) => object.child_text("Size")?.trim_ascii().parse().ok().map(Some),
        None => Some(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_listings_and_from_nothing_else() {
        let list = "<ListAllMyBucketsResult><Owner><ID>o</ID></Owner><Buckets><Bucket><Name>one</Name>\
                    </Bucket><Bucket><Name>x</Name></Bucket><Bucket><Name>two</Name></Bucket></Buckets>\
                    </ListAllMyBucketsResult>";
        let names: Vec<_> = buckets(list.as_bytes()).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["one", "two"], "one of them is no name");
        assert!(buckets(b"<Error/>").is_empty() && buckets(b"").is_empty());

        let bucket = BucketName::parse("one").unwrap();
        let of = |inside| format!("<ListBucketResult><Name>one</Name>{inside}</ListBucketResult>");
        let first = |document: &str| first_object(&bucket, document.as_bytes());
        let two = of("<Contents><Key> a&amp;b</Key></Contents><Contents><Key>c</Key></Contents>");
        assert_eq!(first(&two).map(|name| name.to_string()).as_deref(), Some("one/ a&b"));
        assert_eq!(first(&of("")), None);
        assert_eq!(first(&of("<Contents><Key>../x</Key></Contents>")), None);
        assert_eq!(first("<x><Contents><Key>a</Key></Contents></x>"), None);
    }

    #[test]
    fn an_object_is_found_by_its_whole_key_with_its_size() {
        let key = ObjectKey::parse("a&b", EmptySegments::Kept).unwrap();
        let size = |inside: &str| {
            size_of(&key, format!("<ListBucketResult>{inside}</ListBucketResult>").as_bytes())
        };
        let longer = "<Contents><Key>a&amp;b/c</Key><Size>1</Size></Contents>";
        assert_eq!(size(longer), Some(None));
        let it = "<Contents><Key>a&amp;b</Key><Size> 22 </Size></Contents>";
        assert_eq!(size(&[longer, it].concat()), Some(Some(22)));
        assert_eq!(size("<Contents><Key>a&amp;b</Key></Contents>"), None);
        assert_eq!(size_of(&key, b"<Error/>"), None);
    }
}

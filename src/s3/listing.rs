//! Listings of buckets and objects, parsed from the store's documents.

use super::name::{BucketName, EmptySegments, ObjectKey, ObjectName};
use super::xml::{self, Element};

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
}

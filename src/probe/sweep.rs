//! What a listing shows under the prefix of a probe once all that it noted is removed, and its removal.

use std::collections::BTreeSet;

use super::node::{Node, somewhere};
use super::trouble::Trouble;
use crate::s3::documents::parse_store_error;
use crate::s3::encoding::encode_query;
use crate::s3::xml::{self, Element};
use crate::s3::{BucketName, ObjectKey, ObjectName, Segments};

/// How many pages are listed and removed at most; each has up to 1,000 keys.
const PAGES_MAX: usize = 20;

/// What a removal did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many versions and delete markers were deleted, one by one.
    pub versions: usize,
    /// What is, or may be, left behind; a sentence each.
    pub left: Vec<String>,
}

/// An object that a listing shows, or one version of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    key: String,
    version_id: Option<String>,
}

/// Deletes what is listed under this prefix, by the first node that answers. A listing that lags shows
/// again what was deleted: nothing is deleted twice. The flag says whether versions were listed, so that
/// none is hidden by a delete marker.
pub(super) async fn swept(nodes: &[Node], bucket: &BucketName, prefix: &str) -> (Removed, bool) {
    let (mut removed, mut known) = (Removed::default(), BTreeSet::new());
    let mut are_versions = true;
    for _ in 0..PAGES_MAX {
        let nobody = || "there is no node".to_owned();
        let listed = somewhere(nodes, nobody(), async |node| page(node, bucket, prefix).await);
        let page = match listed.await {
            Ok((page, by_versions)) => {
                are_versions &= by_versions;
                page
            }
            Err(why) => {
                are_versions = false;
                removed.left.push(format!(
                    "{bucket}/{prefix}: whether something is left there is not known: {why}"
                ));
                break;
            }
        };
        let fresh: Vec<_> = page.into_iter().filter(|each| known.insert(each.clone())).collect();
        if fresh.is_empty() {
            break;
        }
        for each in fresh {
            match delete(nodes, bucket, &each).await {
                Ok(()) => removed.versions += usize::from(each.version_id.is_some()),
                Err(trouble) => removed.left.push(format!("{bucket}/{}: {trouble}", each.key)),
            }
        }
    }
    (removed, are_versions)
}

/// Aborts the uploads that are listed under this prefix, each at the first node that does it. Returns a
/// sentence for what is, or may be, left.
pub(super) async fn uploads_swept(
    nodes: &[Node],
    bucket: &BucketName,
    prefix: &str,
) -> Vec<String> {
    let unknown = |why: String| {
        vec![format!(
            "{bucket}/{prefix}: an upload was begun without an answer, and whether it is left is not \
             known: {why}"
        )]
    };
    let nobody = "there is no node".to_owned();
    let listed = somewhere(nodes, nobody, async |node| node.uploads(bucket, prefix).await).await;
    let listed = match listed {
        Ok(listed) => listed,
        Err(why) => return unknown(why),
    };
    let mut left = Vec::new();
    for (key, id) in listed {
        let Ok(key) = ObjectKey::parse(&key, Segments::ANY) else {
            left.push(format!("{bucket}/{key}: an upload of it cannot be aborted"));
            continue;
        };
        let name = ObjectName { bucket: bucket.clone(), key };
        let aborted = somewhere(nodes, Trouble::Stopped, async |node| node.abort(&name, &id).await);
        if let Err(trouble) = aborted.await {
            left.push(format!("{name}: an upload of it: {trouble}"));
        }
    }
    left
}

/// A page of what stands under the prefix, and whether it has the versions.
async fn page(
    node: &Node,
    bucket: &BucketName,
    prefix: &str,
) -> Result<(Vec<Listed>, bool), String> {
    let prefix_sent = encode_query(prefix);
    let versions = node.read(bucket, &[("prefix", &prefix_sent), ("versions", "")]).await;
    let found = versions.ok().and_then(|answer| versions_of(&answer.body, prefix));
    if let Some(versions) = found {
        return Ok((versions, true));
    }
    let answer = node.read(bucket, &[("prefix", &prefix_sent)]).await?;
    if is_no_bucket(&answer.body) {
        // Where there is no bucket there is nothing in it.
        return Ok((Vec::new(), true));
    }
    let objects = objects_of(&answer.body, prefix);
    objects
        .map(|objects| (objects, false))
        .ok_or_else(|| format!("a listing is answered {}", answer.status))
}

fn is_no_bucket(document: &[u8]) -> bool {
    parse_store_error(document).is_some_and(|error| error.code == "NoSuchBucket")
}

/// Deletes what was listed.
async fn delete(nodes: &[Node], bucket: &BucketName, listed: &Listed) -> Result<(), Trouble> {
    let key = ObjectKey::parse(&listed.key, Segments::ANY)
        .map_err(|error| Trouble::Key(listed.key.clone(), error.message().to_owned()))?;
    let name = ObjectName { bucket: bucket.clone(), key };
    let version = listed.version_id.as_deref();
    somewhere(nodes, Trouble::Stopped, async |node| node.delete(&name, version).await.map(drop))
        .await
}

/// The versions and delete markers in a ListObjectVersions answer that are under the prefix, whatever
/// the store lists; `None` for another document. Where the bucket keeps none, objects have no version.
fn versions_of(document: &[u8], prefix: &str) -> Option<Vec<Listed>> {
    let root = xml::parse(document).filter(|root| root.name == "ListVersionsResult")?;
    let is_one = |child: &&Element| matches!(child.name.as_str(), "Version" | "DeleteMarker");
    let all: Vec<_> = root
        .children
        .iter()
        .filter(is_one)
        .filter_map(|child| Some((child.child_text("Key")?, child)))
        .filter(|(key, _)| key.starts_with(prefix))
        .collect();
    let id = |of: &Element| of.child_text("VersionId").map(str::to_owned);
    // While versioning is suspended all that is new has the id `null`, delete markers too.
    let keeps_versions = all
        .iter()
        .any(|(_, of)| of.name == "DeleteMarker" || id(of).is_some_and(|id| id != "null"));
    let listed = all.into_iter().map(|(key, of)| Listed {
        key: key.to_owned(),
        version_id: id(of).filter(|_| keeps_versions),
    });
    Some(listed.collect())
}

/// The objects in a ListObjects answer that are under the prefix; `None` for another document.
fn objects_of(document: &[u8], prefix: &str) -> Option<Vec<Listed>> {
    let root = xml::parse(document).filter(|root| root.name == "ListBucketResult")?;
    let objects = root.children.iter().filter(|child| child.name == "Contents");
    let keys = objects.filter_map(|child| child.child_text("Key"));
    let under = keys.filter(|key| key.starts_with(prefix));
    Some(under.map(|key| Listed { key: key.to_owned(), version_id: None }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_named_where_the_bucket_keeps_them() {
        let of_two = |id: &str, other: &str| {
            versions_of(
                format!(
                    "<ListVersionsResult><Version><Key>p/a</Key><VersionId>{id}</VersionId></Version>\
                     <{other}><Key>p/b</Key><VersionId>null</VersionId></{other}>\
                     <Version><Key>q</Key><VersionId>9</VersionId></Version></ListVersionsResult>"
                )
                .as_bytes(),
                "p/",
            )
            .unwrap()
        };
        let of = |id: &str| of_two(id, "DeleteMarker");
        let versions = |listed: Vec<Listed>| {
            listed.into_iter().map(|each| each.version_id).collect::<Vec<_>>()
        };
        assert_eq!(versions(of("1")), [Some("1".to_owned()), Some("null".to_owned())]);
        assert_eq!(versions(of_two("null", "Version")), [None, None]);
        let null = || Some("null".to_owned());
        assert_eq!(versions(of("null")), [null(), null()], "versioning is suspended");
        assert_eq!(versions_of(b"<ListBucketResult/>", "p/"), None);
    }

    #[test]
    fn nothing_outside_the_prefix_is_ever_deleted() {
        let page = b"<ListBucketResult><Contents><Key>p/a</Key></Contents>\
                     <Contents><Key>other</Key></Contents></ListBucketResult>";
        let keys: Vec<_> = objects_of(page, "p/").unwrap().into_iter().map(|it| it.key).collect();
        assert_eq!(keys, ["p/a"]);
        assert_eq!(objects_of(b"<Error/>", "p/"), None);
    }
}

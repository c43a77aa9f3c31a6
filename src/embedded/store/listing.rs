//! ListObjects, ListObjectsV2 and ListObjectVersions: pages in the order of the keys' bytes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, ETag, ListObjectVersionsInput, ListObjectVersionsOutput,
    ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ObjectVersion,
    Owner,
};
use s3s::{S3Request, S3Response, S3Result, dto, s3_error};

use super::Store;
use super::described::timestamp_ms;
use super::failure::Refused;
use super::find;
use super::index::{Placed, Read, Snapshot, behind_all_with, just_behind};
use super::names::Encoding;
use super::objects::signed;

/// The most entries of a page (AWS: ListObjectsV2).
pub(super) const PAGE_MAX: i32 = 1000;

/// What a page is to show.
#[derive(Debug, Clone, Default)]
pub(super) struct Wish {
    pub(super) bucket: String,
    pub(super) prefix: String,
    /// Never empty: an empty one means none (AWS: ListObjects).
    pub(super) delimiter: Option<String>,
    pub(super) most: usize,
}

impl Wish {
    pub(super) fn new(
        bucket: String,
        prefix: Option<String>,
        delimiter: Option<&String>,
        most: Option<i32>,
    ) -> S3Result<Self> {
        let most = most.unwrap_or(PAGE_MAX);
        let Ok(most) = usize::try_from(most.min(PAGE_MAX)) else {
            return Err(s3_error!(
                InvalidArgument,
                "Argument maxKeys must be an integer between 0 and 2147483647"
            ));
        };
        let delimiter = delimiter.filter(|delimiter| !delimiter.is_empty()).cloned();
        Ok(Self { bucket, prefix: prefix.unwrap_or_default(), delimiter, most })
    }

    /// The common prefix that stands for a key, if one does.
    pub(super) fn rolled_up<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter.as_ref()?;
        let rest = key.strip_prefix(self.prefix.as_str())?;
        let end = rest.find(delimiter.as_str())? + delimiter.len();
        key.get(..self.prefix.len() + end)
    }

    /// Where the entries behind a name begin. A common prefix stands before all its keys, so a name under
    /// it is behind it.
    pub(super) fn behind(&self, name: &str) -> Vec<u8> {
        let from = match self.rolled_up(name) {
            Some(rolled_up) => behind_all_with(rolled_up.as_bytes()),
            None => just_behind(name.as_bytes()),
        };
        from.max(self.prefix.clone().into_bytes())
    }

    /// Where the listing begins.
    pub(super) fn start(&self, behind: Option<&str>) -> Vec<u8> {
        let start = || self.prefix.clone().into_bytes();
        behind.filter(|entry| !entry.is_empty()).map_or_else(start, |entry| self.behind(entry))
    }
}

/// One entry of a page.
#[derive(Debug)]
enum Entry {
    Object(Box<Placed>),
    Prefix(String),
}

impl Entry {
    fn name(&self) -> &str {
        match self {
            Self::Object(placed) => &placed.key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

#[derive(Debug, Default)]
struct Page {
    entries: Vec<Entry>,
    truncated: bool,
}

/// The page of latest versions from `from` on; delete markers hide their keys.
fn page(index: &Snapshot, wish: &Wish, mut from: Vec<u8>) -> Result<Page, Refused> {
    find::bucket(index, &wish.bucket)?;
    let mut page = Page::default();
    if wish.most == 0 {
        return Ok(page);
    }
    while let Some(placed) = index.version_from(&wish.bucket, &from, u64::MAX)? {
        if !placed.key.starts_with(&wish.prefix) {
            break;
        }
        if placed.version.object.is_none() {
            from = just_behind(placed.key.as_bytes());
            continue;
        }
        if page.entries.len() == wish.most {
            page.truncated = true;
            break;
        }
        let entry = if let Some(prefix) = wish.rolled_up(&placed.key) {
            from = behind_all_with(prefix.as_bytes());
            Entry::Prefix(prefix.to_owned())
        } else {
            from = just_behind(placed.key.as_bytes());
            Entry::Object(Box::new(placed))
        };
        page.entries.push(entry);
    }
    Ok(page)
}

impl Page {
    /// The name behind which the next page begins.
    fn next(&self) -> Option<&str> {
        self.entries.last().filter(|_| self.truncated).map(Entry::name)
    }
}

/// The entries as a document has them: objects, and common prefixes.
fn shown(
    entries: Vec<Entry>,
    encoding: Encoding,
    with_owner: bool,
) -> (Vec<dto::Object>, Vec<CommonPrefix>) {
    let (mut objects, mut prefixes) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Prefix(prefix) => {
                prefixes.push(CommonPrefix { prefix: Some(encoding.apply(&prefix)) });
            }
            Entry::Object(placed) => {
                let Some(object) = placed.version.object else { continue };
                let algorithm = object.checksum.as_ref().map(|sum| sum.algorithm.name());
                objects.push(dto::Object {
                    key: Some(encoding.apply(&placed.key)),
                    e_tag: Some(ETag::Strong(object.etag.clone())),
                    size: Some(signed(object.size)),
                    last_modified: Some(timestamp_ms(placed.version.modified_ms)),
                    storage_class: Some(object.described.class().into()),
                    owner: with_owner.then(owner),
                    checksum_algorithm: algorithm.map(|name| vec![name.to_owned().into()]),
                    checksum_type: object.checksum.as_ref().map(super::checksums::kind),
                    ..<_>::default()
                });
            }
        }
    }
    (objects, prefixes)
}

/// The id and the name of the only owner that there is.
pub(in crate::embedded) const OWNER: &str = "embedded";

/// The only owner that there is.
pub(super) fn owner() -> Owner {
    Owner { id: Some(OWNER.to_owned()), display_name: Some(OWNER.to_owned()) }
}

/// The name in a token of ListObjectsV2. Clients cannot read it, and do not try.
fn of_token(token: &str) -> S3Result<String> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

impl Store {
    pub(super) async fn list_v1(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let input = request.input;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let wish = Wish::new(input.bucket, input.prefix, input.delimiter.as_ref(), input.max_keys)?;
        let from = wish.start(input.marker.as_deref());
        let wished = wish.clone();
        let page = self.read_listing(move |index| page(index, &wished, from)).await?;
        // AWS: ListObjects. NextMarker is there only beside a delimiter.
        let next =
            page.next().filter(|_| wish.delimiter.is_some()).map(|next| encoding.apply(next));
        let truncated = page.truncated;
        let (objects, prefixes) = shown(page.entries, encoding, true);
        Ok(S3Response::new(ListObjectsOutput {
            name: Some(wish.bucket),
            prefix: Some(encoding.apply(&wish.prefix)),
            marker: Some(encoding.apply(&input.marker.unwrap_or_default())),
            max_keys: i32::try_from(wish.most).ok(),
            is_truncated: Some(truncated),
            contents: Some(objects),
            common_prefixes: Some(prefixes),
            delimiter: wish.delimiter.map(|delimiter| encoding.apply(&delimiter)),
            next_marker: next,
            encoding_type: input.encoding_type,
            ..<_>::default()
        }))
    }

    pub(super) async fn list_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let wish = Wish::new(input.bucket, input.prefix, input.delimiter.as_ref(), input.max_keys)?;
        let token = input.continuation_token.as_deref().map(of_token).transpose()?;
        let from = wish.start(token.as_deref().or(input.start_after.as_deref()));
        let wished = wish.clone();
        let page = self.read_listing(move |index| page(index, &wished, from)).await?;
        let next = page.next().map(|next| BASE64_URL_SAFE_NO_PAD.encode(next));
        let (truncated, count) = (page.truncated, page.entries.len());
        let (objects, prefixes) = shown(page.entries, encoding, input.fetch_owner.unwrap_or(false));
        let start_after = input.start_after.filter(|_| token.is_none());
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(wish.bucket),
            prefix: Some(encoding.apply(&wish.prefix)),
            max_keys: i32::try_from(wish.most).ok(),
            key_count: i32::try_from(count).ok(),
            continuation_token: input.continuation_token,
            is_truncated: Some(truncated),
            next_continuation_token: next,
            contents: Some(objects),
            common_prefixes: Some(prefixes),
            delimiter: wish.delimiter.map(|delimiter| encoding.apply(&delimiter)),
            encoding_type: input.encoding_type,
            start_after: start_after.map(|after| encoding.apply(&after)),
            ..<_>::default()
        }))
    }

    pub(super) async fn list_versions(
        &self,
        request: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let input = request.input;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let wish = Wish::new(input.bucket, input.prefix, input.delimiter.as_ref(), input.max_keys)?;
        let key_marker = input.key_marker.unwrap_or_default();
        let version_marker = input.version_id_marker.filter(|id| !id.is_empty());
        if version_marker.is_some() && key_marker.is_empty() {
            return Err(s3_error!(
                InvalidArgument,
                "A version-id marker cannot be specified without a key marker."
            ));
        }
        let (wished, marker) = (wish.clone(), (key_marker.clone(), version_marker.clone()));
        let read = self.read_listing(move |index| versions(index, &wished, marker));
        let mut page = read.await?;
        let mut output = ListObjectVersionsOutput {
            name: Some(wish.bucket),
            prefix: Some(encoding.apply(&wish.prefix)),
            key_marker: Some(encoding.apply(&key_marker)),
            version_id_marker: Some(version_marker.unwrap_or_default()),
            max_keys: i32::try_from(wish.most).ok(),
            is_truncated: Some(page.next.is_some()),
            delimiter: wish.delimiter.map(|delimiter| encoding.apply(&delimiter)),
            encoding_type: input.encoding_type,
            ..<_>::default()
        };
        if let Some((key, version_id)) = page.next.take() {
            output.next_key_marker = Some(encoding.apply(&key));
            output.next_version_id_marker = version_id;
        }
        page.show(&mut output, encoding);
        Ok(S3Response::new(output))
    }
}

/// A page of versions.
#[derive(Debug, Default)]
struct VersionPage {
    /// Each with whether it is the latest of its key.
    versions: Vec<(Placed, bool)>,
    prefixes: Vec<String>,
    /// The last entry, if there are more behind it: the key, and the version's id.
    next: Option<(String, Option<String>)>,
}

/// All versions behind the marker: a key, and the id of one of its versions.
fn versions(
    index: &Snapshot,
    wish: &Wish,
    (key, version_id): (String, Option<String>),
) -> Result<VersionPage, Refused> {
    find::bucket(index, &wish.bucket)?;
    let mut page = VersionPage::default();
    let mut from = (wish.start(Some(&key)), u64::MAX);
    if let Some(id) = version_id.filter(|_| wish.rolled_up(&key).is_none()) {
        find::check_version_id(&id)?;
        // A version that was deleted since the last page tells its place by its id. Only `null` does
        // not: then the key's versions are shown from the first on, rather than some of them never.
        let placed = index.version(&wish.bucket, &key, &id)?;
        let told = id.get(..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let sequence = placed.map(|placed| placed.sequence).or(told);
        let before = sequence.map_or(u64::MAX, |sequence| sequence.saturating_sub(1));
        from = (key.clone().into_bytes(), before).max((wish.prefix.clone().into_bytes(), 0));
    }
    let mut key_before = (from.1 != u64::MAX).then_some(key);
    let mut last = None;
    while let Some(placed) = index.version_from(&wish.bucket, &from.0, from.1)? {
        if !placed.key.starts_with(&wish.prefix) {
            break;
        }
        if page.versions.len() + page.prefixes.len() >= wish.most {
            page.next = last;
            break;
        }
        if let Some(prefix) = wish.rolled_up(&placed.key) {
            from = (behind_all_with(prefix.as_bytes()), u64::MAX);
            last = Some((prefix.to_owned(), None));
            page.prefixes.push(prefix.to_owned());
            continue;
        }
        from = (placed.key.clone().into_bytes(), placed.sequence.saturating_sub(1));
        last = Some((placed.key.clone(), Some(placed.version.id().to_owned())));
        let is_latest = key_before.as_ref() != Some(&placed.key);
        key_before = Some(placed.key.clone());
        page.versions.push((placed, is_latest));
    }
    Ok(page)
}

impl VersionPage {
    fn show(self, output: &mut ListObjectVersionsOutput, encoding: Encoding) {
        let (mut versions, mut markers) = (Vec::new(), Vec::new());
        for (placed, is_latest) in self.versions {
            let key = Some(encoding.apply(&placed.key));
            let version_id = Some(placed.version.id().to_owned());
            let last_modified = Some(timestamp_ms(placed.version.modified_ms));
            let (is_latest, owner) = (Some(is_latest), Some(owner()));
            match placed.version.object {
                Some(object) => {
                    let algorithm = object.checksum.as_ref().map(|sum| sum.algorithm.name());
                    versions.push(ObjectVersion {
                        checksum_algorithm: algorithm.map(|name| vec![name.to_owned().into()]),
                        checksum_type: object.checksum.as_ref().map(super::checksums::kind),
                        e_tag: Some(ETag::Strong(object.etag.clone())),
                        size: Some(signed(object.size)),
                        storage_class: Some(object.described.class().into()),
                        is_latest,
                        key,
                        last_modified,
                        owner,
                        version_id,
                        ..<_>::default()
                    });
                }
                None => markers.push(DeleteMarkerEntry {
                    is_latest,
                    key,
                    last_modified,
                    owner,
                    version_id,
                }),
            }
        }
        let prefixes = self.prefixes.iter();
        let prefixes = prefixes.map(|prefix| CommonPrefix { prefix: Some(encoding.apply(prefix)) });
        output.common_prefixes = Some(prefixes.collect());
        output.versions = Some(versions);
        output.delete_markers = Some(markers);
    }
}

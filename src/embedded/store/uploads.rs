//! ListMultipartUploads and ListParts.

use s3s::dto::{
    CommonPrefix, ETag, Initiator, ListMultipartUploadsInput, ListMultipartUploadsOutput,
    ListPartsInput, ListPartsOutput, MultipartUpload, Part,
};
use s3s::{S3Request, S3Response, S3Result};

use super::checksums::{self, show};
use super::described::timestamp_ms;
use super::failure::Refused;
use super::index::{Read as _, Snapshot, behind_all_with};
use super::listing::{PAGE_MAX, Wish, owner};
use super::names::Encoding;
use super::objects::signed;
use super::records::Upload;
use super::{Store, find, multipart};

/// A page of uploads.
#[derive(Debug, Default)]
struct Page {
    uploads: Vec<(String, String, Upload)>,
    prefixes: Vec<String>,
    /// The last entry: the key, and the upload's id.
    last: Option<(String, Option<String>)>,
    /// Whether there are more behind it.
    truncated: bool,
}

fn page(
    index: &Snapshot,
    wish: &Wish,
    key_marker: &str,
    id_marker: Option<&str>,
) -> Result<Page, Refused> {
    find::bucket(index, &wish.bucket)?;
    let mut page = Page::default();
    // Without a key, an id as a marker means nothing (AWS: ListMultipartUploads).
    let is_place = !key_marker.is_empty() && wish.rolled_up(key_marker).is_none();
    let mut from = match id_marker.filter(|_| is_place) {
        Some(id) => (key_marker.as_bytes().to_vec(), format!("{id}\0")),
        None => (wish.start(Some(key_marker)), String::new()),
    };
    while let Some((key, id, upload)) = index.upload_from(&wish.bucket, &from.0, &from.1)? {
        if !key.starts_with(&wish.prefix) {
            if key.as_bytes() < wish.prefix.as_bytes() {
                from = (wish.prefix.clone().into_bytes(), String::new());
                continue;
            }
            break;
        }
        if page.uploads.len() + page.prefixes.len() >= wish.most {
            page.truncated = wish.most > 0;
            break;
        }
        if let Some(prefix) = wish.rolled_up(&key) {
            from = (behind_all_with(prefix.as_bytes()), String::new());
            page.last = Some((prefix.to_owned(), None));
            page.prefixes.push(prefix.to_owned());
            continue;
        }
        from = (key.clone().into_bytes(), format!("{id}\0"));
        page.last = Some((key.clone(), Some(id.clone())));
        page.uploads.push((key, id, upload));
    }
    Ok(page)
}

impl Store {
    pub(super) async fn list_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let encoding = Encoding::of(input.encoding_type.as_ref())?;
        let wish =
            Wish::new(input.bucket, input.prefix, input.delimiter.as_ref(), input.max_uploads)?;
        let key_marker = input.key_marker.unwrap_or_default();
        let id_marker =
            input.upload_id_marker.filter(|id| !id.is_empty() && !key_marker.is_empty());
        let (wished, key, id) = (wish.clone(), key_marker.clone(), id_marker.clone());
        let page = self.index.read(move |index| page(index, &wished, &key, id.as_deref())).await?;
        // AWS: ListMultipartUploads. It names the last upload also where there are no more.
        let (next_key, next_id) = page.last.unwrap_or_default();
        let prefixes = page.prefixes.iter();
        let prefixes = prefixes.map(|prefix| CommonPrefix { prefix: Some(encoding.apply(prefix)) });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            bucket: Some(wish.bucket),
            key_marker: Some(encoding.apply(&key_marker)),
            upload_id_marker: Some(id_marker.unwrap_or_default()),
            next_key_marker: Some(encoding.apply(&next_key)),
            next_upload_id_marker: Some(next_id.unwrap_or_default()),
            max_uploads: i32::try_from(wish.most).ok(),
            is_truncated: Some(page.truncated),
            prefix: (!wish.prefix.is_empty()).then(|| encoding.apply(&wish.prefix)),
            delimiter: wish.delimiter.map(|delimiter| encoding.apply(&delimiter)),
            encoding_type: input.encoding_type,
            common_prefixes: Some(prefixes.collect()),
            uploads: Some(page.uploads.into_iter().map(|upload| shown(upload, encoding)).collect()),
            ..<_>::default()
        }))
    }

    pub(super) async fn list_parts(
        &self,
        request: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        let most = Wish::new(input.bucket.clone(), None, None, input.max_parts)?.most;
        let after = input.part_number_marker.unwrap_or(0);
        let place = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
        let read = self.index.read(move |index| -> Result<_, Refused> {
            let (bucket, key, id) = place;
            let upload = multipart::upload(index, (&bucket, &key, &id))?;
            Ok((upload, index.parts_of(&id)?))
        });
        let (upload, mut parts) = read.await?;
        parts.retain(|(number, _)| i32::from(*number) > after);
        // A page of nothing has no next one: it would be the same again.
        let truncated = most > 0 && parts.len() > most;
        parts.truncate(most);
        let shown = parts.iter().map(|(number, part)| {
            let mut shown = Part {
                part_number: Some(i32::from(*number)),
                size: Some(signed(part.size)),
                e_tag: Some(ETag::Strong(part.etag.clone())),
                last_modified: Some(timestamp_ms(part.modified_ms)),
                ..<_>::default()
            };
            // Of an upload without an algorithm AWS checks the sums of parts, and shows none.
            show!(shown, part.checksum.as_ref().filter(|_| upload.algorithm.is_some()));
            shown
        });
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            part_number_marker: Some(after),
            next_part_number_marker: Some(parts.last().map_or(0, |(number, _)| i32::from(*number))),
            max_parts: i32::try_from(most).ok().or(Some(PAGE_MAX)),
            is_truncated: Some(truncated),
            parts: Some(shown.collect()),
            owner: Some(owner()),
            initiator: Some(initiator()),
            storage_class: Some(upload.described.class().into()),
            checksum_algorithm: multipart::algorithm(&upload),
            checksum_type: upload.algorithm.map(|_| checksums::kind_of(upload.whole_checksum)),
            ..<_>::default()
        }))
    }
}

fn shown((key, id, upload): (String, String, Upload), encoding: Encoding) -> MultipartUpload {
    MultipartUpload {
        key: Some(encoding.apply(&key)),
        upload_id: Some(id),
        initiated: Some(timestamp_ms(upload.initiated_ms)),
        initiator: Some(initiator()),
        owner: Some(owner()),
        checksum_algorithm: multipart::algorithm(&upload),
        checksum_type: upload.algorithm.map(|_| checksums::kind_of(upload.whole_checksum)),
        storage_class: Some(upload.described.class().into()),
    }
}

fn initiator() -> Initiator {
    let owner = owner();
    Initiator { id: owner.id, display_name: owner.display_name }
}

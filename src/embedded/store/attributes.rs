//! GetObjectAttributes.

use s3s::dto::{
    ETag, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
    ObjectPart, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::Store;
use super::checksums::{self, show};
use super::described::timestamp_ms;
use super::find::Target;
use super::listing::Wish;
use super::objects::signed;
use super::records::{Checksum, Part};

impl Store {
    pub(super) async fn attributes(
        &self,
        request: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let input = request.input;
        let target = Target::new(input.bucket, input.key, input.version_id);
        let (found, parts) = self.look(target, true).await?;
        // Clients send one field with a list, and `s3s` does not part it.
        let asked = || input.object_attributes.iter().flat_map(|field| field.as_str().split(','));
        let asks = |name: &str| asked().any(|asked| asked.trim() == name);
        if let Some(unknown) = asked().find(|asked| !ATTRIBUTES.contains(&asked.trim())) {
            return Err(s3_error!(InvalidArgument, "Invalid attribute name specified: {unknown}"));
        }
        let after = input.part_number_marker.unwrap_or(0);
        let most = Wish::new(String::new(), None, None, input.max_parts)?.most;
        let object = &found.object;
        let checksum = object.checksum.as_ref().filter(|_| asks("Checksum"));
        let is_composite = object.checksum.as_ref().is_some_and(Checksum::is_composite);
        let output = GetObjectAttributesOutput {
            checksum: checksum.map(checksums::element),
            e_tag: asks("ETag").then(|| ETag::Strong(object.etag.clone())),
            last_modified: Some(timestamp_ms(found.version.modified_ms)),
            object_parts: (asks("ObjectParts") && !parts.is_empty())
                .then(|| page_of_parts(&parts, after, most, is_composite)),
            object_size: asks("ObjectSize").then_some(signed(object.size)),
            storage_class: asks("StorageClass")
                .then(|| StorageClass::from(object.described.class())),
            version_id: found.version_id,
            ..<_>::default()
        };
        let mut response = S3Response::new(output);
        response.extensions.insert(BareETag);
        Ok(response)
    }
}

/// Marks an answer whose ETag AWS shows without quotes: `s3s` writes them always.
#[derive(Debug, Clone, Copy)]
pub(in crate::embedded) struct BareETag;

/// AWS: ObjectAttributes.
const ATTRIBUTES: [&str; 5] = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"];

/// AWS: GetObjectAttributesParts. Only of an object with a composite checksum the parts are shown, else
/// how many there are.
fn page_of_parts(
    parts: &[(u16, Part)],
    after: i32,
    most: usize,
    with_each: bool,
) -> GetObjectAttributesParts {
    let total_parts_count = i32::try_from(parts.len()).ok();
    if !with_each {
        return GetObjectAttributesParts { total_parts_count, ..<_>::default() };
    }
    let behind: Vec<_> = parts.iter().filter(|(number, _)| i32::from(*number) > after).collect();
    let page = &behind[..behind.len().min(most)];
    let shown = page.iter().map(|(number, part)| {
        let mut shown = ObjectPart {
            part_number: Some(i32::from(*number)),
            size: Some(signed(part.size)),
            ..<_>::default()
        };
        show!(shown, &part.checksum);
        shown
    });
    GetObjectAttributesParts {
        is_truncated: Some(most > 0 && page.len() < behind.len()),
        max_parts: i32::try_from(most).ok(),
        next_part_number_marker: Some(page.last().map_or(0, |(number, _)| i32::from(*number))),
        part_number_marker: Some(after),
        parts: Some(shown.collect()),
        total_parts_count,
    }
}

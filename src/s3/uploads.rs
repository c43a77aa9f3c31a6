//! Multipart uploads, parsed from the store's documents.

use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

use super::xml::{self, Element};

/// The id of a new upload, from CreateMultipartUpload's answer.
pub fn parse_upload_id(body: &[u8]) -> Option<String> {
    let root = xml::parse(body).filter(|root| root.name == "InitiateMultipartUploadResult")?;
    let id = root.child_text("UploadId")?.trim_ascii();
    (!id.is_empty()).then(|| id.to_owned())
}

/// A page of ListMultipartUploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUploads {
    /// The uploads on this page.
    pub uploads: Vec<ListedUpload>,
    /// Key and upload id after which the next page begins, if there is one.
    pub next: Option<(String, String)>,
}

/// An upload in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// Its key.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// When it was created, in seconds since 1970; `None` when that cannot be read.
    pub initiated_s: Option<i64>,
}

/// Parses a page of ListMultipartUploads, requested without `encoding-type`.
pub fn parse_uploads(body: &[u8]) -> Option<ListedUploads> {
    let root = xml::parse(body).filter(|root| root.name == "ListMultipartUploadsResult")?;
    let text = |element: &Element, name| element.child_text(name).unwrap_or_default().to_owned();
    let listed = root.children.iter().filter(|child| child.name == "Upload");
    let uploads = listed.map(|upload| ListedUpload {
        key: text(upload, "Key"),
        upload_id: text(upload, "UploadId"),
        initiated_s: unix_seconds(text(upload, "Initiated").trim_ascii()),
    });
    let truncated = text(&root, "IsTruncated").trim_ascii() == "true";
    let next = (text(&root, "NextKeyMarker"), text(&root, "NextUploadIdMarker"));
    Some(ListedUploads { uploads: uploads.collect(), next: truncated.then_some(next) })
}

/// A time in ISO 8601, as in S3's documents.
fn unix_seconds(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Iso8601::DEFAULT).ok().map(OffsetDateTime::unix_timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_s_id_is_read_from_the_answer_that_began_it() {
        let of =
            |id| format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>");
        let found = parse_upload_id(of("<Key>k</Key><UploadId> a/b~1 </UploadId>").as_bytes());
        assert_eq!(found.as_deref(), Some("a/b~1"));
        for body in [of(""), of("<UploadId/>"), "<Error><UploadId>u</UploadId></Error>".to_owned()]
        {
            assert_eq!(parse_upload_id(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_listing_says_when_each_upload_began_and_whether_more_follow() {
        let page = |more| {
            parse_uploads(
                format!(
                    "<ListMultipartUploadsResult><Bucket>b</Bucket><IsTruncated>{more}</IsTruncated>\
                     <NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>\
                     <Upload><Key>k</Key><UploadId>1</UploadId>\
                     <Initiated>2026-11-25T01:02:03.000Z</Initiated></Upload>\
                     <Upload><Key>k</Key><UploadId>2</UploadId><Initiated>soon</Initiated></Upload>\
                     </ListMultipartUploadsResult>"
                )
                .as_bytes(),
            )
            .unwrap()
        };
        let began: Vec<_> = page(false).uploads.iter().map(|u| u.initiated_s).collect();
        assert_eq!(began, [Some(1_795_568_523), None]);
        assert_eq!(page(false).next, None);
        assert_eq!(page(true).next, Some(("k".to_owned(), "2".to_owned())));
        assert_eq!(parse_uploads(b"<ListBucketResult/>"), None);
    }
}

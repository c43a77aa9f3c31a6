//! The document of CompleteMultipartUpload.

use md5::{Digest, Md5};

use super::etag::ETag;
use super::xml::{self, DECLARATION, NAMESPACE, push_tree};

/// The ETag that AWS gives the object that this document completes: the MD5 of its parts' MD5s, and
/// their number (AWS: Checking object integrity, multipart uploads). `None` where a part's ETag is no
/// MD5, or the document is another.
pub fn multipart_etag(document: &[u8]) -> Option<ETag> {
    let root = xml::parse(document).filter(|root| root.name == "CompleteMultipartUpload")?;
    let mut digest = Md5::new();
    let mut parts = 0;
    for part in root.children.iter().filter(|child| child.name == "Part") {
        let etag = ETag::parse(part.child_text("ETag")?.as_bytes());
        let mut md5 = [0; 16];
        hex::decode_to_slice(etag.as_bytes(), &mut md5).ok()?;
        digest.update(md5);
        parts += 1;
    }
    let of_all = hex::encode(&digest.finalize()[..]);
    (parts > 0).then(|| ETag::parse(format!("{of_all}-{parts}").as_bytes()))
}

/// The document without the checksums of its parts, for a store that was told none. `None` when
/// it has none, or is not such a document: then it goes on as it is, for the store to judge.
pub fn without_checksums(document: &[u8]) -> Option<Vec<u8>> {
    let mut root = xml::parse(document).filter(|root| root.name == "CompleteMultipartUpload")?;
    let mut dropped = false;
    for part in root.children.iter_mut().filter(|child| child.name == "Part") {
        let before = part.children.len();
        part.children.retain(|child| !child.name.starts_with("Checksum"));
        dropped |= part.children.len() < before;
    }
    if !dropped {
        return None;
    }
    let mut out = format!("{DECLARATION}\n<{} xmlns=\"{NAMESPACE}\">", root.name);
    for child in &root.children {
        push_tree(&mut out, child);
    }
    out.push_str("</CompleteMultipartUpload>");
    Some(out.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lose_their_checksums_and_nothing_else() {
        let document = "<?xml version=\"1.0\"?><CompleteMultipartUpload xmlns=\"x\">\n\
            <Part><ETag>&quot;a&quot;</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32>\
            <PartNumber>1</PartNumber></Part>\
            <Part><PartNumber>2</PartNumber><ETag>b&lt;</ETag></Part></CompleteMultipartUpload>";
        let left = without_checksums(document.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(left).unwrap(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUpload \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Part><ETag>&quot;a&quot;</ETag><PartNumber>1</PartNumber></Part>\
             <Part><PartNumber>2</PartNumber><ETag>b&lt;</ETag></Part></CompleteMultipartUpload>"
        );
    }

    #[test]
    fn a_complete_object_s_etag_is_made_of_its_parts_md5s() {
        let part =
            |etag: &str| format!("<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>");
        let of = |parts: &[String]| {
            let parts = parts.concat();
            multipart_etag(
                format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>").as_bytes(),
            )
        };
        // md5sum of the parts "a" and "b", and of these two digests after each other.
        let (a, b) = ("0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f");
        let both = ETag::parse(b"96e024ba2074fe77e8e965ba43a704be-2");
        assert_eq!(of(&[part(a), part(&format!("&quot;{b}&quot;"))]), Some(both));
        for none in [&[part("opaque")][..], &[part(a), part("")], &[part("0cc1")], &[]] {
            assert_eq!(of(none), None, "{none:?}");
        }
        assert_eq!(multipart_etag(b"<Delete/>"), None);
    }

    #[test]
    fn what_has_no_checksums_or_is_another_document_goes_on_as_it_is() {
        for document in [
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part>\
             </CompleteMultipartUpload>",
            "<Delete><Part><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part></Delete>",
            "<CompleteMultipartUpload><Part>",
            "",
        ] {
            assert_eq!(without_checksums(document.as_bytes()), None, "{document}");
        }
    }
}

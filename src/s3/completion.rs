//! The document of CompleteMultipartUpload.

use super::xml::{self, DECLARATION, NAMESPACE, push_tree};

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

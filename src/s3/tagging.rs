//! An object's tags, as a form carries them and as a header does (AWS: PostObject, PutObject).

use super::answer::S3Error;
use super::encoding::encode_query;
use super::xml::{self, Element};

/// The value of `x-amz-tagging` for a `<Tagging>` document: `key=value&key=value`. How many tags
/// there may be, and of what length, is the store's to judge. 400 `MalformedXML` for another
/// document.
pub fn tagging_header(document: &str) -> Result<String, S3Error> {
    let tags = tags(document).ok_or_else(S3Error::malformed_xml)?;
    let pairs = tags.iter().map(|(k, v)| format!("{}={}", encode_query(k), encode_query(v)));
    Ok(pairs.collect::<Vec<_>>().join("&"))
}

fn tags(document: &str) -> Option<Vec<(String, String)>> {
    let root = xml::parse(document.as_bytes()).filter(|root| root.name == "Tagging")?;
    let [set] = root.children.as_slice() else { return None };
    if set.name != "TagSet" {
        return None;
    }
    set.children.iter().map(tag).collect()
}

fn tag(element: &Element) -> Option<(String, String)> {
    if element.name != "Tag" || element.children.len() != 2 {
        return None;
    }
    let text = |name| element.child_text(name).map(str::to_owned);
    Some((text("Key")?, text("Value")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_become_a_header_and_other_documents_are_refused() {
        let header = |set: &str| tagging_header(&format!("<Tagging>{set}</Tagging>"));
        let two = "<TagSet><Tag><Key>a b</Key><Value>1&amp;2</Value></Tag>\
                   <Tag><Value>\u{fc}</Value><Key>c</Key></Tag></TagSet>";
        assert_eq!(header(two).unwrap(), "a%20b=1%262&c=%C3%BC");
        assert_eq!(header("<TagSet/>").unwrap(), "");
        for wrong in [
            "",
            "<TagSet/><TagSet/>",
            "<Tags/>",
            "<TagSet><Tag><Key>a</Key></Tag></TagSet>",
            "<TagSet><Tag><Key>a</Key><Value/><Value/></Tag></TagSet>",
            "<TagSet><Key>a</Key></TagSet>",
        ] {
            assert_eq!(header(wrong).unwrap_err().code(), "MalformedXML", "{wrong}");
        }
        assert_eq!(tagging_header("a=1").unwrap_err().code(), "MalformedXML");
    }
}

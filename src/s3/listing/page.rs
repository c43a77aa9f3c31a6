//! A page of a listing: parsed from the store's document, and written anew with other entries.

use super::document::{
    PREFIX, common_prefix, decoded, is_encoded, is_truncated, iso_8601, text_of,
};
use super::entry::{Entry, Made, Row};
use super::request::{ListRequest, Start, Version};
use crate::s3::ETag;
use crate::s3::encoding::encode_path;
use crate::s3::well_formed::is_char;
use crate::s3::xml::{self, Element};

/// A page as the store answered it (AWS: ListObjects, ListObjectsV2).
#[derive(Debug, Clone)]
pub struct Page {
    /// The document without its entries, and without what says where the page begins and ends.
    rest: Element,
    /// The entries, in the order of their names.
    pub rows: Vec<Row>,
    /// Whether there are more behind them.
    pub truncated: bool,
    /// The store's token for those.
    pub next_token: Option<String>,
    /// Names are percent-encoded (`encoding-type=url`).
    encoded: bool,
}

impl Page {
    /// Reads a page of a listing. `None` for what is not one, or not in the order of the names' bytes,
    /// and where it cannot be written again as it was: names with characters that XML does not have.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let mut rest = xml::parse(document).filter(|root| root.name == "ListBucketResult")?;
        let children = std::mem::take(&mut rest.children);
        let (encoded, truncated) = (is_encoded(&children), is_truncated(&children)?);
        let next_token = text_of(&children, "NextContinuationToken").map(str::to_owned);
        let mut rows = Vec::new();
        for child in children {
            match child.name.as_str() {
                OBJECT | PREFIX => rows.push(Row::of(child, encoded)?),
                name if PLACES.contains(&name) => {}
                _ => rest.children.push(child),
            }
        }
        // Objects and common prefixes are two lists, each in order; a store may mix them.
        let (objects, prefixes): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.etag.is_some());
        let in_order = |rows: &[&Row]| rows.windows(2).all(|pair| pair[0].name < pair[1].name);
        let ordered = in_order(&objects) && in_order(&prefixes);
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        ordered.then_some(Self { rest, rows, truncated, next_token, encoded })
    }

    /// Whether this name can be written in the page.
    pub fn can_name(&self, name: &str) -> bool {
        self.encoded || name.chars().all(is_char)
    }

    /// Writes the page with these entries, which go on there.
    pub fn write(
        self,
        request: &ListRequest,
        entries: Vec<Entry>,
        next: Option<&Start>,
    ) -> Vec<u8> {
        let Self { mut rest, encoded, .. } = self;
        let name = |name: &str| if encoded { encode_path(name) } else { name.to_owned() };
        let mut add = |of: &str, text: String| rest.children.push(Element::of_text(of, text));
        let said = &request.said;
        match request.version {
            Version::One => {
                add("Marker", said.marker.as_deref().map(name).unwrap_or_default());
                // AWS: ListObjects. It is there only beside a delimiter; elsewhere clients go on after
                // the last key, if there is one.
                let is_told = request.delimiter.is_some() || entries.is_empty();
                let next = next.filter(|_| is_told);
                if let Some(last) = next.and_then(|next| next.position.name()) {
                    add("NextMarker", name(last));
                }
            }
            Version::Two => {
                if let Some(token) = &said.token {
                    add("ContinuationToken", token.clone());
                }
                if let Some(next) = next {
                    add("NextContinuationToken", next.to_token());
                }
                if let Some(key) = &said.start_after {
                    add("StartAfter", name(key));
                }
                add("KeyCount", entries.len().to_string());
            }
        }
        add("IsTruncated", next.is_some().to_string());
        // All have the owner of the bucket, where the listing names one.
        let owner = entries.iter().find_map(Entry::owner).cloned();
        let is_prefix = |entry: &Entry| matches!(entry, Entry::Prefix(_));
        let (prefixes, objects): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_prefix);
        for entry in objects.into_iter().chain(prefixes) {
            rest.children.push(match entry {
                Entry::Row(row) => row.element,
                Entry::Made(made) => made.element(name(&made.key), owner.clone()),
                Entry::Prefix(prefix) => common_prefix(name(&prefix)),
            });
        }
        rest.to_document()
    }
}

impl Row {
    fn of(element: Element, encoded: bool) -> Option<Self> {
        let is_object = element.name == OBJECT;
        let name = element.child_text(if is_object { "Key" } else { "Prefix" })?;
        let name = decoded(name, encoded)?;
        let etag = element.child_text("ETag").unwrap_or_default().trim_ascii();
        let etag = is_object.then(|| ETag::parse(etag.as_bytes()));
        Some(Self { name, etag, element })
    }
}

impl Entry {
    /// The owner that the store names.
    fn owner(&self) -> Option<&Element> {
        let row = match self {
            Self::Row(row) => Some(row),
            Self::Made(made) => made.older.as_ref(),
            Self::Prefix(_) => None,
        };
        row?.element.children.iter().find(|child| child.name == "Owner")
    }
}

impl Made {
    /// The entry as a document has it. What is not known is left out.
    fn element(&self, key: String, owner: Option<Element>) -> Element {
        let described = self.description;
        let mut children = vec![Element::of_text("Key", key)];
        if let Some(modified) = described.and_then(|described| iso_8601(described.modified_s)) {
            children.push(Element::of_text("LastModified", modified));
        }
        children.push(Element::of_text("ETag", self.etag.to_string()));
        if let Some(described) = described {
            children.push(Element::of_text("Size", described.size_bytes.to_string()));
        }
        children.extend(owner);
        if described.is_some_and(|described| described.is_standard) {
            children.push(Element::of_text("StorageClass", "STANDARD"));
        }
        Element { children, ..Element::of_text(OBJECT, "") }
    }
}

const OBJECT: &str = "Contents";

/// What says where a page begins and ends, and how much is in it.
const PLACES: [&str; 7] = [
    "IsTruncated",
    "KeyCount",
    "ContinuationToken",
    "NextContinuationToken",
    "StartAfter",
    "Marker",
    "NextMarker",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::listing::{Description, Position};
    use crate::s3::{Operation, Query};

    fn of(inside: &str) -> Option<Page> {
        Page::parse(format!("<ListBucketResult>{inside}</ListBucketResult>").as_bytes())
    }

    fn object(key: &str) -> String {
        format!("<Contents><Key>{key}</Key><ETag>\"e\"</ETag></Contents>")
    }

    fn prefix(name: &str) -> String {
        format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>")
    }

    fn names(page: &Page) -> Vec<(&str, bool)> {
        page.rows.iter().map(|row| (row.name.as_str(), row.etag.is_some())).collect()
    }

    #[test]
    fn a_page_is_read_in_the_order_of_its_names() {
        let page = of(&[object("a"), object("c"), prefix("b/")].concat()).unwrap();
        assert_eq!(names(&page), [("a", true), ("b/", false), ("c", true)]);
        assert!(!page.truncated && page.next_token.is_none());
        let more =
            "<IsTruncated>true</IsTruncated><NextContinuationToken> t </NextContinuationToken>";
        let page = of(more).unwrap();
        assert!(page.truncated && page.next_token.as_deref() == Some("t"));
        let encoded = ["<EncodingType>url</EncodingType>", &object("a+b%2B%01/%C3%A4")].concat();
        assert_eq!(names(&of(&encoded).unwrap()), [("a b+\u{1}/ä", true)]);
        assert_eq!(names(&of(&object("a+b%2B")).unwrap()), [("a+b%2B", true)]);
    }

    #[test]
    fn what_cannot_be_corrected_is_no_page() {
        for inside in [
            [object("b"), object("a")].concat(),
            [object("a"), object("a")].concat(),
            [prefix("b/"), prefix("a/")].concat(),
            object("&#x1;"),
            "<Contents><ETag>e</ETag></Contents>".to_owned(),
            "<EncodingType>url</EncodingType><Contents><Key>%</Key></Contents>".to_owned(),
            "<IsTruncated>maybe</IsTruncated>".to_owned(),
        ] {
            assert!(of(&inside).is_none(), "{inside}");
        }
        for document in ["", "<Error/>", "<ListVersionsResult/>", "<ListBucketResult>"] {
            assert!(Page::parse(document.as_bytes()).is_none(), "{document}");
        }
    }

    #[test]
    fn an_empty_page_of_list_objects_that_goes_on_says_after_which_key() {
        let next = Start { position: Position::After("k".to_owned()), token: None };
        let write = |entries| {
            let request = ListRequest::of(Operation::ListObjects, &Query::parse("")).unwrap();
            let document = of("").unwrap().write(&request.unwrap(), entries, Some(&next));
            String::from_utf8(document).unwrap()
        };
        assert!(write(Vec::new()).contains("<NextMarker>k</NextMarker>"));
        let page = of(&object("k")).unwrap();
        let row = Entry::Row(page.rows[0].clone());
        assert!(!write(vec![row]).contains("NextMarker"));
    }

    #[test]
    fn a_name_that_xml_cannot_hold_is_named_in_an_encoded_page_only() {
        let encoded = of("<EncodingType>url</EncodingType>").unwrap();
        let plain = of("").unwrap();
        assert!(encoded.can_name("a\u{1}") && !plain.can_name("a\u{1}") && plain.can_name("ä\n"));
    }

    fn written(operation: Operation, query: &str, encoded: bool, next: Option<&Start>) -> String {
        let request = ListRequest::of(operation, &Query::parse(query)).unwrap().unwrap();
        let older = "<Contents><Key>a</Key><Owner><ID>o</ID></Owner><ETag>x</ETag><StorageClass>IA\
                     </StorageClass><Size>1</Size></Contents>";
        let head = "<Name>b</Name><Marker>old</Marker><StartAfter>old</StartAfter><KeyCount>9</KeyCount>\
                    <IsTruncated>true</IsTruncated><NextMarker>old</NextMarker>\
                    <ContinuationToken>old</ContinuationToken>";
        let encoding = if encoded { "<EncodingType>url</EncodingType>" } else { "" };
        let mut page = of(&[head, encoding, older].concat()).unwrap();
        let row = page.rows.remove(0);
        let described = Description { size_bytes: 5, modified_s: 1_255_369_850, is_standard: true };
        let made = |key: &str, older| {
            let (key, etag) = (key.to_owned(), ETag::parse(b"new"));
            Entry::Made(Made { key, etag, description: Some(described), older })
        };
        let entries = vec![
            made("a", Some(row.clone())),
            Entry::Prefix("a b/".to_owned()),
            made("ä", None),
            Entry::Row(row),
        ];
        let document = String::from_utf8(page.write(&request, entries, next)).unwrap();
        let inside = document.split_once("2006-03-01/\">").unwrap().1;
        inside.strip_suffix("</ListBucketResult>").unwrap().to_owned()
    }

    #[test]
    fn a_page_is_written_with_other_entries_and_its_own_beginning_and_end() {
        let next = Start { position: Position::AfterAll("a b/".to_owned()), token: None };
        let made = "<LastModified>2009-10-12T17:50:50.000Z</LastModified><ETag>&quot;new&quot;</ETag>\
                    <Size>5</Size>";
        let own = |key: &str| {
            format!(
                "<Contents><Key>{key}</Key>{made}<Owner><ID>o</ID></Owner>\
                 <StorageClass>STANDARD</StorageClass></Contents>"
            )
        };
        let of_older = own("a");
        let row = "<Contents><Key>a</Key><Owner><ID>o</ID></Owner><ETag>x</ETag><StorageClass>IA\
                   </StorageClass><Size>1</Size></Contents>";
        let plain = [of_older.as_str(), &own("ä"), row, &prefix("a b/")].concat();
        let encoded = [of_older.as_str(), &own("%C3%A4"), row, &prefix("a%20b/")].concat();
        let one = written(Operation::ListObjects, "marker=m&delimiter=/", false, Some(&next));
        assert_eq!(
            one,
            format!(
                "<Name>b</Name><Marker>m</Marker><NextMarker>a b/</NextMarker>\
                 <IsTruncated>true</IsTruncated>{plain}"
            )
        );
        let without_delimiter = written(Operation::ListObjects, "", true, Some(&next));
        assert_eq!(
            without_delimiter,
            format!(
                "<Name>b</Name><EncodingType>url</EncodingType><Marker></Marker>\
                 <IsTruncated>true</IsTruncated>{encoded}"
            )
        );
        let two = written(Operation::ListObjectsV2, "start-after=s+s", true, None);
        assert_eq!(
            two,
            format!(
                "<Name>b</Name><EncodingType>url</EncodingType><StartAfter>s%20s</StartAfter>\
                 <KeyCount>4</KeyCount><IsTruncated>false</IsTruncated>{encoded}"
            )
        );
        let token = next.to_token();
        let query = format!("continuation-token={token}");
        let two = written(Operation::ListObjectsV2, &query, false, Some(&next));
        assert!(two.contains(&format!("<ContinuationToken>{token}</ContinuationToken>")), "{two}");
        let following = format!("<NextContinuationToken>{token}</NextContinuationToken>");
        assert!(two.contains(&following), "{two}");
    }
}

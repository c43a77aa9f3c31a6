//! A page of versions: parsed from the store's document, and written anew with other entries.

use std::cmp::Ordering;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::change::VersionId;
use super::request::{Place, VersionsRequest};
use super::row::{Entry, Kind, Made, MadeVersion, Row, VersionRow};
use crate::s3::ETag;
use crate::s3::encoding::encode_path;
use crate::s3::listing::document::{
    PREFIX, common_prefix, decoded, is_encoded, is_truncated, iso_8601, text_of,
};
use crate::s3::well_formed::is_char;
use crate::s3::xml::{self, Element};

/// A page as the store answered it (AWS: ListObjectVersions).
#[derive(Debug, Clone)]
pub struct VersionsPage {
    /// The document without its entries, and without what says which page it is.
    rest: Element,
    /// The entries, by name, and the versions of a key the newest first.
    pub rows: Vec<Row>,
    /// Where the store's next page begins, if there is one.
    pub end: Option<Place>,
    /// Names are percent-encoded (`encoding-type=url`).
    encoded: bool,
}

impl VersionsPage {
    /// Reads a page. `None` for what is not one, or not in the order of the names' bytes, and where it
    /// cannot be written again as it was: names with characters that XML does not have.
    pub fn parse(document: &[u8]) -> Option<Self> {
        let mut rest = xml::parse(document).filter(|root| root.name == "ListVersionsResult")?;
        let children = std::mem::take(&mut rest.children);
        let (encoded, is_truncated) = (is_encoded(&children), is_truncated(&children)?);
        let text = |name| text_of(&children, name);
        let next = match text("NextKeyMarker") {
            Some(key) => {
                Some((decoded(key, encoded)?, text("NextVersionIdMarker").map(str::to_owned)))
            }
            None => None,
        };
        let (mut versions, mut prefixes) = (Vec::new(), Vec::new());
        for child in children {
            match child.name.as_str() {
                OBJECT | MARKER => versions.push(VersionRow::of(child, encoded)?),
                PREFIX => prefixes.push(decoded(child.child_text("Prefix")?, encoded)?),
                name if PLACES.contains(&name) => {}
                _ => rest.children.push(child),
            }
        }
        if !prefixes.windows(2).all(|pair| pair[0] < pair[1]) {
            return None;
        }
        let versions = in_order(versions)?.into_iter().map(Row::Version);
        let mut rows: Vec<_> = versions.chain(prefixes.into_iter().map(Row::Prefix)).collect();
        rows.sort_by(|a, b| a.name().cmp(b.name()));
        let end = if is_truncated { Some(end(&mut rows, next)?) } else { None };
        Some(Self { rest, rows, end, encoded })
    }

    /// Whether this name can be written in the page.
    pub fn can_name(&self, name: &str) -> bool {
        self.encoded || name.chars().all(is_char)
    }

    /// Writes the page with these entries, which go on there.
    pub fn write(
        self,
        request: &VersionsRequest,
        entries: Vec<Entry>,
        next: Option<&Place>,
    ) -> Vec<u8> {
        let Self { mut rest, encoded, .. } = self;
        let name = |name: &str| if encoded { encode_path(name) } else { name.to_owned() };
        let mut add = |of: &str, text: String| rest.children.push(Element::of_text(of, text));
        add("Prefix", name(&request.prefix));
        add("KeyMarker", request.start.name().map(name).unwrap_or_default());
        let marker = request.start.version().map(|(_, id)| id.as_str().to_owned());
        add("VersionIdMarker", marker.unwrap_or_default());
        if let Some(delimiter) = &request.delimiter {
            add("Delimiter", name(delimiter));
        }
        add("MaxKeys", request.max_keys.to_string());
        if let Some(key) = next.and_then(Place::name) {
            add("NextKeyMarker", name(key));
        }
        if let Some((_, id)) = next.and_then(Place::version) {
            add("NextVersionIdMarker", id.as_str().to_owned());
        }
        add("IsTruncated", next.is_some().to_string());
        // All have the owner of the bucket.
        let owner = entries.iter().find_map(Entry::owner).cloned();
        let is_prefix = |entry: &Entry| matches!(entry, Entry::Prefix(_));
        let (prefixes, versions): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_prefix);
        for entry in versions.into_iter().chain(prefixes) {
            rest.children.push(match entry {
                Entry::Row(row) => row.element,
                Entry::Made(made) => made.element(name(&made.key), owner.clone()),
                Entry::Prefix(prefix) => common_prefix(name(&prefix)),
            });
        }
        rest.to_document()
    }
}

/// The versions by key, and those of a key the newest first. A store may list all objects first, and then
/// the delete markers; `None` where one of these lists is not in order.
fn in_order(versions: Vec<VersionRow>) -> Option<Vec<VersionRow>> {
    let is_sorted = |rows: &[VersionRow]| rows.windows(2).all(|pair| pair[0].key <= pair[1].key);
    let is_object = |row: &VersionRow| matches!(row.kind, Kind::Object(_));
    let changes = versions.windows(2).filter(|pair| is_object(&pair[0]) != is_object(&pair[1]));
    if changes.count() > 1 {
        return is_sorted(&versions).then_some(versions);
    }
    let (objects, markers): (Vec<_>, Vec<_>) = versions.into_iter().partition(is_object);
    if !is_sorted(&objects) || !is_sorted(&markers) {
        return None;
    }
    let (mut objects, mut markers) =
        (objects.into_iter().peekable(), markers.into_iter().peekable());
    let mut merged = Vec::new();
    loop {
        let is_marker = match (objects.peek(), markers.peek()) {
            (Some(object), Some(marker)) => marker.comes_before(object),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        match if is_marker { markers.next() } else { objects.next() } {
            Some(row) => merged.push(row),
            None => return Some(merged),
        }
    }
}

/// Where the store's next page begins, by what it says and the last entry. `None` where these contradict
/// each other.
fn end(rows: &mut [Row], next: Option<(String, Option<String>)>) -> Option<Place> {
    let Some((key, id)) = next else { return rows.last().map(Row::end) };
    let last = rows.last().filter(|row| row.name() >= key.as_str());
    let Some(last) = last else {
        // Between the last entry and that key there is nothing.
        return id.is_none().then_some(Place::After(key));
    };
    if last.name() != key {
        return None;
    }
    let (Row::Version(_), Some(id)) = (last, id) else {
        let is_version = matches!(last, Row::Version(_));
        return Some(if is_version { Place::After(key) } else { last.end() });
    };
    // Of two versions of one moment, a list of objects and one of delete markers do not say which is newer.
    let id = VersionId::parse(&id)?;
    let at = rows
        .iter()
        .rposition(|row| matches!(row, Row::Version(row) if row.key == key && row.id == id))?;
    rows[at..].rotate_left(1);
    Some(Place::AfterVersion(key, id))
}

impl VersionRow {
    fn of(element: Element, encoded: bool) -> Option<Self> {
        let key = decoded(element.child_text("Key")?, encoded)?;
        let id = VersionId::parse(element.child_text("VersionId")?.trim_ascii())?;
        let kind = if element.name == OBJECT {
            let etag = element.child_text("ETag").unwrap_or_default().trim_ascii();
            Kind::Object(ETag::parse(etag.as_bytes()))
        } else {
            Kind::Marker
        };
        let is_latest = match element.child_text(LATEST)?.trim_ascii() {
            "true" => true,
            "false" => false,
            _ => return None,
        };
        Some(Self { key, id, kind, is_latest, element })
    }

    fn modified(&self) -> Option<OffsetDateTime> {
        let text = self.element.child_text("LastModified")?;
        OffsetDateTime::parse(text.trim_ascii(), &Rfc3339).ok()
    }

    /// Is it the newer one of two versions, or of an earlier key?
    fn comes_before(&self, other: &Self) -> bool {
        let order = self.key.cmp(&other.key);
        let order = order.then_with(|| other.is_latest.cmp(&self.is_latest));
        order.then_with(|| other.modified().cmp(&self.modified())) == Ordering::Less
    }
}

impl Entry {
    /// The owner that the store names.
    fn owner(&self) -> Option<&Element> {
        let Self::Row(row) = self else { return None };
        row.element.children.iter().find(|child| child.name == "Owner")
    }

    /// Says whether it is the key's current version.
    pub(super) fn set_latest(&mut self, is_latest: bool) {
        match self {
            Self::Row(row) if row.is_latest != is_latest => {
                row.is_latest = is_latest;
                let children = row.element.children.iter_mut();
                for child in children.filter(|child| child.name == LATEST) {
                    child.text = is_latest.to_string();
                }
            }
            Self::Made(made) => made.is_latest = is_latest,
            Self::Row(_) | Self::Prefix(_) => {}
        }
    }
}

impl MadeVersion {
    /// The entry as a document has it. What is not known is left out.
    fn element(&self, key: String, owner: Option<Element>) -> Element {
        let mut children = vec![
            Element::of_text("Key", key),
            Element::of_text("VersionId", self.id.as_str()),
            Element::of_text(LATEST, self.is_latest.to_string()),
        ];
        let (name, modified_s) = match &self.made {
            Made::Object(_, described) => (OBJECT, described.map(|it| it.modified_s)),
            Made::Marker(at_s) => (MARKER, *at_s),
        };
        let modified = modified_s.and_then(iso_8601);
        children.extend(modified.map(|modified| Element::of_text("LastModified", modified)));
        if let Made::Object(etag, described) = &self.made {
            children.push(Element::of_text("ETag", etag.to_string()));
            if let Some(described) = described {
                children.push(Element::of_text("Size", described.size_bytes.to_string()));
                if described.is_standard {
                    children.push(Element::of_text("StorageClass", "STANDARD"));
                }
            }
        }
        children.extend(owner);
        Element { children, ..Element::of_text(name, "") }
    }
}

const OBJECT: &str = "Version";
const MARKER: &str = "DeleteMarker";
const LATEST: &str = "IsLatest";

/// What says which page it is, where it begins and ends.
const PLACES: [&str; 9] = [
    "Prefix",
    "KeyMarker",
    "VersionIdMarker",
    "Delimiter",
    "MaxKeys",
    "NextKeyMarker",
    "NextVersionIdMarker",
    "IsTruncated",
    "KeyCount",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::Query;
    use crate::s3::listing::Description;

    fn of(inside: &str) -> Option<VersionsPage> {
        VersionsPage::parse(format!("<ListVersionsResult>{inside}</ListVersionsResult>").as_bytes())
    }

    fn object(key: &str, id: &str, latest: bool, at: &str) -> String {
        format!(
            "<Version><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>\
             <LastModified>2026-11-30T00:00:{at}Z</LastModified><ETag>\"e{id}\"</ETag></Version>"
        )
    }

    fn marker(key: &str, id: &str, latest: bool, at: &str) -> String {
        format!(
            "<DeleteMarker><Key>{key}</Key><VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest>\
             <LastModified>2026-11-30T00:00:{at}Z</LastModified></DeleteMarker>"
        )
    }

    fn names(page: &VersionsPage) -> Vec<String> {
        let name = |row: &Row| match row {
            Row::Version(row) => format!("{} {}", row.key, row.id.as_str()),
            Row::Prefix(prefix) => prefix.clone(),
        };
        page.rows.iter().map(name).collect()
    }

    fn after(key: &str, id: &str) -> Place {
        Place::AfterVersion(key.to_owned(), VersionId::parse(id).unwrap())
    }

    #[test]
    fn versions_stand_in_the_order_in_which_they_were_written() {
        // As AWS lists them, also where clocks differ.
        let mixed = [
            object("A", "1", true, "01"),
            marker("a", "3", true, "01"),
            object("a", "2", false, "02"),
            object("b", "1", true, "01"),
        ];
        assert_eq!(names(&of(&mixed.concat()).unwrap()), ["A 1", "a 3", "a 2", "b 1"]);
        // Objects first, then delete markers.
        let two_lists = [
            object("a", "2", false, "02"),
            object("b", "9", true, "09.5"),
            object("b", "7", false, "07"),
            marker("a", "3", true, "03"),
            marker("b", "8", false, "08"),
            "<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>".to_owned(),
        ];
        let page = of(&two_lists.concat()).unwrap();
        assert_eq!(names(&page), ["a 3", "a 2", "a/", "b 9", "b 8", "b 7"]);
        assert_eq!(page.end, None);
        let one_key = [
            object("a", "3", true, "03"),
            object("a", "1", false, "01"),
            marker("a", "2", false, "02"),
        ];
        assert_eq!(names(&of(&one_key.concat()).unwrap()), ["a 3", "a 2", "a 1"]);
    }

    #[test]
    fn a_page_ends_where_the_store_says() {
        let rows = [object("a", "2", true, "02"), marker("a", "1", false, "02")].concat();
        let ends = |next: &str| {
            let page = of(&format!("<IsTruncated>true</IsTruncated>{next}{rows}"))?;
            Some((page.end.clone().unwrap(), names(&page)))
        };
        let as_listed = vec!["a 2".to_owned(), "a 1".into()];
        assert_eq!(ends(""), Some((after("a", "1"), as_listed.clone())));
        let key = "<NextKeyMarker>a</NextKeyMarker>";
        assert_eq!(ends(key), Some((Place::After("a".to_owned()), as_listed.clone())));
        let version = |id| format!("{key}<NextVersionIdMarker>{id}</NextVersionIdMarker>");
        assert_eq!(ends(&version("1")), Some((after("a", "1"), as_listed)));
        let other = vec!["a 1".to_owned(), "a 2".into()];
        assert_eq!(ends(&version("2")), Some((after("a", "2"), other)));
        // The first of the next page, as some stores name it.
        assert_eq!(ends(&version("0")), None);
        let first = "<NextKeyMarker>b</NextKeyMarker><NextVersionIdMarker>1</NextVersionIdMarker>";
        assert_eq!(ends(first), None);
        assert_eq!(ends("<NextKeyMarker>A</NextKeyMarker>"), None);
        // Nothing is left between the last entry and that key.
        let later = ends("<NextKeyMarker>b</NextKeyMarker>").unwrap();
        assert_eq!(later.0, Place::After("b".to_owned()));
        let empty = of("<IsTruncated>true</IsTruncated><NextKeyMarker>b</NextKeyMarker>").unwrap();
        assert_eq!(empty.end, Some(Place::After("b".to_owned())));
    }

    #[test]
    fn what_cannot_be_corrected_is_no_page() {
        for inside in [
            [object("b", "1", true, "01"), object("a", "1", true, "01")].concat(),
            object("a", "", true, "01"),
            object("&#x1;", "1", true, "01"),
            object("a", "1", true, "01").replace("true", "maybe"),
            "<IsTruncated>maybe</IsTruncated>".to_owned(),
            "<IsTruncated>true</IsTruncated>".to_owned(),
            "<CommonPrefixes><Prefix>b</Prefix></CommonPrefixes><CommonPrefixes><Prefix>a</Prefix>\
             </CommonPrefixes>"
                .to_owned(),
        ] {
            assert!(of(&inside).is_none(), "{inside}");
        }
        assert!(VersionsPage::parse(b"<ListBucketResult/>").is_none());
    }

    #[test]
    fn a_page_is_written_with_other_entries_and_its_own_beginning_and_end() {
        let owned = "<Version><Key>b</Key><VersionId>1</VersionId><IsLatest>true</IsLatest><Owner><ID>o</ID>\
                     </Owner><ETag>x</ETag></Version>";
        let inside = format!(
            "<Name>n</Name><Prefix>old</Prefix><KeyMarker>old</KeyMarker><MaxKeys>9</MaxKeys>\
             <IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>{owned}"
        );
        let page = of(&inside).unwrap();
        let Row::Version(row) = page.rows[0].clone() else { unreachable!() };
        let mut row = Entry::Row(row);
        row.set_latest(false);
        let query = "versions&prefix=&delimiter=/&key-marker=a&version-id-marker=v&max-keys=4";
        let request = VersionsRequest::of(&Query::parse(query)).unwrap();
        let id = |id| VersionId::parse(id).unwrap();
        let described = Description { size_bytes: 5, modified_s: 1_255_369_850, is_standard: true };
        let made = |id, made, is_latest| {
            Entry::Made(MadeVersion { key: "b ä".to_owned(), id, made, is_latest })
        };
        let etag = ETag::parse(b"new");
        let entries = vec![
            row,
            made(id("3"), Made::Marker(Some(1_255_369_850)), true),
            made(id("2"), Made::Object(etag, Some(described)), false),
            Entry::Prefix("b/".to_owned()),
        ];
        let next = after("b ä", "2");
        let document = String::from_utf8(page.write(&request, entries, Some(&next))).unwrap();
        let inside = document.split_once("2006-03-01/\">").unwrap().1;
        let expected = "<Name>n</Name><EncodingType>url</EncodingType><Prefix></Prefix>\
            <KeyMarker>a</KeyMarker><VersionIdMarker>v</VersionIdMarker><Delimiter>/</Delimiter>\
            <MaxKeys>4</MaxKeys><NextKeyMarker>b%20%C3%A4</NextKeyMarker>\
            <NextVersionIdMarker>2</NextVersionIdMarker><IsTruncated>true</IsTruncated>\
            <Version><Key>b</Key><VersionId>1</VersionId><IsLatest>false</IsLatest><Owner><ID>o</ID></Owner>\
            <ETag>x</ETag></Version>\
            <DeleteMarker><Key>b%20%C3%A4</Key><VersionId>3</VersionId><IsLatest>true</IsLatest>\
            <LastModified>2009-10-12T17:50:50.000Z</LastModified><Owner><ID>o</ID></Owner></DeleteMarker>\
            <Version><Key>b%20%C3%A4</Key><VersionId>2</VersionId><IsLatest>false</IsLatest>\
            <LastModified>2009-10-12T17:50:50.000Z</LastModified><ETag>&quot;new&quot;</ETag><Size>5</Size>\
            <StorageClass>STANDARD</StorageClass><Owner><ID>o</ID></Owner></Version>\
            <CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes></ListVersionsResult>";
        assert_eq!(inside, expected);
    }
}

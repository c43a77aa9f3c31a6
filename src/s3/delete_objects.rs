//! DeleteObjects: the document of the request, and that of the answer (AWS: DeleteObjects).

use super::arguments::{invalid_version, is_id};
use super::canonical::{is_like_another_value, parse_canonical, refused};
use super::conditional::{Dialect, EntryElements, Preconditions};
use super::error::S3Error;
use super::xml::{self, DECLARATION, Element, NAMESPACE, push_element};

// === asked ===

/// The body of DeleteObjects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Whether only errors are to be listed in the answer.
    pub quiet: bool,
    /// 1 to [`DELETE_OBJECTS_MAX`] entries, in order; the same key may occur twice.
    pub objects: Vec<DeleteEntry>,
}

/// One object to delete.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeleteEntry {
    /// The key as written, not yet validated.
    pub key: String,
    /// `<VersionId>`
    pub version_id: Option<String>,
    /// `<ETag>`: a condition.
    pub etag: Option<String>,
    /// `<LastModifiedTime>`: a condition of directory buckets.
    pub last_modified_time: Option<String>,
    /// `<Size>`: a condition of directory buckets.
    pub size: Option<String>,
}

impl DeleteEntry {
    /// Refuses a version id that no store gives, as for the parameter of DeleteObject (400
    /// `InvalidArgument`).
    pub fn check_version(&self) -> Result<(), S3Error> {
        match self.version_id.as_deref().filter(|id| !is_id(id)) {
            Some(id) => Err(invalid_version(id)),
            None => Ok(()),
        }
    }

    /// The entry's preconditions. 501 for those that this dialect does not accept.
    pub fn preconditions(&self, dialect: Dialect) -> Result<Preconditions, S3Error> {
        let elements = EntryElements {
            etag: self.etag.as_deref(),
            size: self.size.as_deref(),
            last_modified_time: self.last_modified_time.as_deref(),
        };
        Preconditions::of_entry(elements, self.version_id.is_some(), dialect)
    }
}

/// The most entries of one DeleteObjects (AWS: DeleteObjects).
pub const DELETE_OBJECTS_MAX: usize = 1000;

/// Reads the body of DeleteObjects. 400 `MalformedXML` for anything that AWS does not document; an
/// unknown element is never ignored, since it may be a condition.
pub fn parse_delete_objects(body: &[u8]) -> Result<DeleteRequest, S3Error> {
    xml::parse_request(body).and_then(delete_request).ok_or_else(S3Error::malformed_xml)
}

/// Reads the body of a DeleteObjects that the store will read itself. 400 `MalformedXML` when it is
/// not in the canonical spelling ([`parse_canonical`]), or contains a value that some readers take
/// for another.
pub fn parse_delete_objects_as_sent(body: &[u8]) -> Result<DeleteRequest, S3Error> {
    let root = parse_canonical(body)?;
    let entries = root.children.iter().filter(|child| child.name == "Object");
    let mut leaves = entries.flat_map(|entry| &entry.children);
    if leaves.any(|leaf| leaf.text.is_empty()) {
        return Err(refused("leave empty elements out"));
    }
    if root.child_text("Quiet").is_some_and(|text| !matches!(text, "true" | "false")) {
        return Err(refused("Quiet is true or false"));
    }
    let request = delete_request(root).ok_or_else(|| refused(WHAT_A_DELETE_HOLDS))?;
    if request.objects.iter().any(|entry| is_like_another_value(&entry.key)) {
        return Err(refused(LIKE_A_NUMBER));
    }
    Ok(request)
}

const WHAT_A_DELETE_HOLDS: &str = "a Delete holds Quiet at most once and 1 to 1000 Objects, and each \
     of those one Key, and VersionId, ETag, LastModifiedTime and Size at most once";
const LIKE_A_NUMBER: &str = "some stores read this key as a number, which is written otherwise; use \
     DeleteObject";

fn delete_request(root: Element) -> Option<DeleteRequest> {
    if root.name != "Delete" || !root.is_only_elements() {
        return None;
    }
    let mut quiet = None;
    let mut objects = Vec::new();
    for child in root.children {
        match child.name.as_str() {
            "Object" => objects.push(delete_entry(child)?),
            "Quiet" => set_once(&mut quiet, boolean(&child)?)?,
            _ => return None,
        }
    }
    let counted = (1..=DELETE_OBJECTS_MAX).contains(&objects.len());
    counted.then_some(DeleteRequest { quiet: quiet.unwrap_or(false), objects })
}

fn delete_entry(element: Element) -> Option<DeleteEntry> {
    if !element.is_only_elements() {
        return None;
    }
    let mut key = None;
    let mut entry = DeleteEntry::default();
    for child in element.children {
        if !child.children.is_empty() {
            return None;
        }
        let slot = match child.name.as_str() {
            "Key" => &mut key,
            "VersionId" => &mut entry.version_id,
            "ETag" => &mut entry.etag,
            "LastModifiedTime" => &mut entry.last_modified_time,
            "Size" => &mut entry.size,
            _ => return None,
        };
        set_once(slot, child.text)?;
    }
    // An empty element counts as missing, as an empty header does; but a key must be there.
    for slot in
        [&mut entry.version_id, &mut entry.etag, &mut entry.last_modified_time, &mut entry.size]
    {
        if slot.as_ref().is_some_and(|text| text.trim_ascii().is_empty()) {
            *slot = None;
        }
    }
    entry.key = key.filter(|key| !key.is_empty())?;
    Some(entry)
}

fn set_once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

fn boolean(element: &Element) -> Option<bool> {
    if !element.children.is_empty() {
        return None;
    }
    match element.text.trim_ascii() {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

// === answered ===

/// How the delete of one entry ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteOutcome {
    /// The object is gone, or never existed.
    Deleted(Deleted),
    /// It was not deleted, or the outcome is unknown.
    Error {
        /// The key.
        key: String,
        /// The version in the request.
        version_id: Option<String>,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
}

/// A delete that was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deleted {
    /// The key.
    pub key: String,
    /// The version in the request.
    pub version_id: Option<String>,
    /// Whether a delete marker was created or deleted.
    pub delete_marker: bool,
    /// That marker's version.
    pub delete_marker_version_id: Option<String>,
}

impl DeleteOutcome {
    /// The outcome of an entry that failed with this error.
    pub fn failed(entry: &DeleteEntry, error: &S3Error) -> Self {
        Self::Error {
            key: entry.key.clone(),
            version_id: entry.version_id.clone(),
            code: error.code().to_owned(),
            message: error.message().to_owned(),
        }
    }

    fn push_to(&self, out: &mut String) {
        let push = |out: &mut String, name, text: Option<&str>| {
            if let Some(text) = text {
                push_element(out, name, text);
            }
        };
        match self {
            Self::Deleted(deleted) => {
                out.push_str("<Deleted>");
                push(out, "Key", Some(&deleted.key));
                push(out, "VersionId", deleted.version_id.as_deref());
                push(out, "DeleteMarker", deleted.delete_marker.then_some("true"));
                push(out, "DeleteMarkerVersionId", deleted.delete_marker_version_id.as_deref());
                out.push_str("</Deleted>");
            }
            Self::Error { key, version_id, code, message } => {
                out.push_str("<Error>");
                push(out, "Key", Some(key));
                push(out, "VersionId", version_id.as_deref());
                push(out, "Code", Some(code));
                push(out, "Message", Some(message));
                out.push_str("</Error>");
            }
        }
    }
}

/// The answer document of DeleteObjects, with the outcomes in the order of the request. `quiet`
/// omits the successful deletes.
pub fn delete_result(quiet: bool, outcomes: &[DeleteOutcome]) -> Vec<u8> {
    let mut out = format!("{DECLARATION}\n<DeleteResult xmlns=\"{NAMESPACE}\">");
    for outcome in outcomes {
        if !quiet || matches!(outcome, DeleteOutcome::Error { .. }) {
            outcome.push_to(&mut out);
        }
    }
    out.push_str("</DeleteResult>");
    out.into_bytes()
}

#[cfg(test)]
#[path = "delete_objects_tests.rs"]
mod tests;

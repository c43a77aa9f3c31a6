//! Answer documents of writes: parsed from the store's answers, and written by the proxy.

use http::StatusCode;

use super::code::Code;
use super::etag::ETag;
use super::name::ObjectName;
use super::xml::{self, DECLARATION, Element, NAMESPACE, push_element};

// === what a store answers ===

/// The meaning of the body of a 200. For CompleteMultipartUpload and CopyObject the status alone
/// proves nothing, since it may have been sent before the work was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SuccessBody {
    /// The work was done.
    Result {
        /// The object's new ETag, if the document contains it.
        etag: Option<ETag>,
    },
    /// It failed after all.
    Error(StoreError),
    /// Neither can be read from it: the outcome is unknown.
    Unreadable,
}

/// A store's `<Error>` document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    /// `<Code>`, empty when missing.
    pub code: String,
    /// `<Message>`, empty when missing.
    pub message: String,
}

/// Reads the whole body of a 200 to CompleteMultipartUpload or CopyObject.
pub fn outcome_of_success_body(body: &[u8]) -> SuccessBody {
    let Some(root) = xml::parse(body) else {
        return SuccessBody::Unreadable;
    };
    match root.name.as_str() {
        result if RESULTS.contains(&result) => {
            let etag = root.child_text("ETag").filter(|text| !text.trim_ascii().is_empty());
            SuccessBody::Result { etag: etag.map(|text| ETag::parse(text.as_bytes())) }
        }
        "Error" => SuccessBody::Error(StoreError::of(&root)),
        _ => SuccessBody::Unreadable,
    }
}

/// Reads the answer to a DeleteObjects of one key: that key's error, or its success, which a quiet
/// answer does not mention.
pub fn outcome_of_delete_result(body: &[u8]) -> SuccessBody {
    match xml::parse(body).filter(|root| root.name == "DeleteResult") {
        None => SuccessBody::Unreadable,
        Some(root) => match root.children.iter().find(|child| child.name == "Error") {
            Some(error) => SuccessBody::Error(StoreError::of(error)),
            None => SuccessBody::Result { etag: None },
        },
    }
}

/// The status of an error that means that the store did nothing, even where the store can send it
/// only inside a 200. `None` for every other error: after it, the outcome is unknown.
pub fn late_refusal(code: &str) -> Option<StatusCode> {
    Some(match code {
        "AccessDenied" => StatusCode::FORBIDDEN,
        "EntityTooSmall" | "InvalidArgument" | "InvalidPart" | "InvalidPartOrder"
        | "InvalidRequest" => StatusCode::BAD_REQUEST,
        "NoSuchBucket" | "NoSuchKey" | "NoSuchUpload" => StatusCode::NOT_FOUND,
        "PreconditionFailed" => StatusCode::PRECONDITION_FAILED,
        _ => return None,
    })
}

/// Reads the body of an error answer; `None` when it is not an `<Error>` document.
pub fn parse_store_error(body: &[u8]) -> Option<StoreError> {
    xml::parse(body).filter(|root| root.name == "Error").map(|root| StoreError::of(&root))
}

/// A store's error document, completed with the elements that AWS's always have (AWS: REST error
/// responses). `None` where nothing is missing, and where it is not an error document.
pub fn completed_error(body: &[u8], request_id: &str, host_id: &str) -> Option<Vec<u8>> {
    let mut root = xml::parse(body).filter(|root| root.name == "Error")?;
    root.children.retain(|child| !child.text.is_empty() || !child.children.is_empty());
    let code = root.child_text("Code").unwrap_or_default().to_owned();
    let message = Code::spelled(&code).map_or(code.as_str(), |known| known.message());
    let lacking: Vec<_> = [("Message", message), ("RequestId", request_id), ("HostId", host_id)]
        .into_iter()
        .filter(|(name, _)| root.child_text(name).is_none())
        .map(|(name, text)| Element::of_text(name, text))
        .collect();
    if lacking.is_empty() {
        return None;
    }
    root.children.extend(lacking);
    // AWS's order, whatever the store's own: code and message first.
    root.children.sort_by_key(|child| match child.name.as_str() {
        "Code" => 0,
        "Message" => 1,
        "RequestId" => 3,
        "HostId" => 4,
        _ => 2,
    });
    Some(root.to_plain_document())
}

impl StoreError {
    fn of(root: &Element) -> Self {
        let text = |name| root.child_text(name).unwrap_or_default().trim_ascii().to_owned();
        Self { code: text("Code"), message: text("Message") }
    }
}

/// Does this consist only of white space, perhaps with the XML declaration or a part of it? A store
/// sends that before a document to keep the connection alive.
pub fn is_prologue(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    body.is_empty()
        || DECLARATION_START.starts_with(body)
        || (body.starts_with(DECLARATION_START) && !body.contains(&b'>'))
        || (body.starts_with(DECLARATION_START) && body.ends_with(b"?>"))
}

/// A document without its prologue, which has been sent already.
pub fn without_prologue(document: &[u8]) -> &[u8] {
    let document = document.trim_ascii_start();
    if !document.starts_with(DECLARATION_START) {
        return document;
    }
    let end = document.windows(2).position(|pair| pair == b"?>");
    end.map_or(document, |end| document[end + 2..].trim_ascii_start())
}

const DECLARATION_START: &[u8] = b"<?xml";

/// The same answer with this ETag, where it has none. `None` when it is not a result.
pub fn with_etag(body: &[u8], etag: &ETag) -> Option<Vec<u8>> {
    let mut root = xml::parse(body).filter(|root| RESULTS.contains(&root.name.as_str()))?;
    root.children.retain(|child| child.name != "ETag");
    root.children.push(Element::of_text("ETag", etag.to_string()));
    Some(root.to_document())
}

/// The same answer without its ETag. `None` when it has none, or is not a result.
pub fn without_etag(body: &[u8]) -> Option<Vec<u8>> {
    let mut root = xml::parse(body).filter(|root| RESULTS.contains(&root.name.as_str()))?;
    let before = root.children.len();
    root.children.retain(|child| child.name != "ETag");
    (root.children.len() < before).then(|| root.to_document())
}

/// The same answer to a complete or a form with this location of the object. `None` for other
/// answers, and where the location is already right.
pub fn with_location(body: &[u8], location: &str) -> Option<Vec<u8>> {
    let mut root = xml::parse(body).filter(|root| LOCATED.contains(&root.name.as_str()))?;
    if root.child_text("Location") == Some(location) {
        return None;
    }
    root.children.retain(|child| child.name != "Location");
    root.children.insert(0, Element::of_text("Location", location));
    Some(if root.name == "PostResponse" { root.to_plain_document() } else { root.to_document() })
}

const LOCATED: [&str; 2] = ["CompleteMultipartUploadResult", "PostResponse"];

/// The same answer with its ETag in quotes, as AWS sends it. `None` when it is not a result, has no
/// ETag, or has a quoted one.
pub fn with_quoted_etag(body: &[u8]) -> Option<Vec<u8>> {
    let mut root = xml::parse(body).filter(|root| RESULTS.contains(&root.name.as_str()))?;
    let etag = root.children.iter_mut().find(|child| child.name == "ETag")?;
    let text = etag.text.trim_ascii();
    if text.is_empty() || text.ends_with('"') {
        return None;
    }
    etag.text = ETag::parse(text.as_bytes()).to_string();
    Some(root.to_document())
}

const RESULTS: [&str; 3] = ["CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult"];

// === answers of the proxy ===

/// The answer to CompleteMultipartUpload (AWS: CompleteMultipartUpload, response syntax).
pub fn complete_result(location: &str, name: &ObjectName, etag: Option<&ETag>) -> Vec<u8> {
    let etag = etag.map(ETag::to_string).unwrap_or_default();
    document(
        "CompleteMultipartUploadResult",
        &[
            ("Location", location),
            ("Bucket", name.bucket.as_str()),
            ("Key", name.key.as_str()),
            ("ETag", &etag),
        ],
    )
}

/// The answer to CopyObject (AWS: CopyObject, response syntax), without the modification time,
/// which is not known.
pub fn copy_result(etag: Option<&ETag>) -> Vec<u8> {
    let etag = etag.map(ETag::to_string).unwrap_or_default();
    document("CopyObjectResult", &[("ETag", &etag)])
}

fn document(root: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = format!("{DECLARATION}\n<{root} xmlns=\"{NAMESPACE}\">");
    for (name, text) in fields {
        push_element(&mut out, name, text);
    }
    for piece in ["</", root, ">"] {
        out.push_str(piece);
    }
    out.into_bytes()
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;

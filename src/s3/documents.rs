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

/// Reads the body of an error answer; `None` when it is no `<Error>` document.
pub fn parse_store_error(body: &[u8]) -> Option<StoreError> {
    StoreDocument::parse(body)?.error()
}

/// A store's answer, parsed once, to be corrected for the client.
#[derive(Debug)]
pub struct StoreDocument {
    root: Element,
}

impl StoreDocument {
    /// `None` for a body that is no XML document.
    pub fn parse(body: &[u8]) -> Option<Self> {
        xml::parse(body).map(|root| Self { root })
    }

    /// The error, if it is an `<Error>` document.
    pub fn error(&self) -> Option<StoreError> {
        (self.root.name == "Error").then(|| StoreError::of(&self.root))
    }

    /// Adds to an error document what AWS's always have (AWS: REST error responses). Returns whether
    /// something was missing.
    pub fn complete_error(&mut self, request_id: &str, host_id: &str) -> bool {
        let root = &mut self.root;
        if root.name != "Error" {
            return false;
        }
        root.children.retain(|child| !child.text.is_empty() || !child.children.is_empty());
        let code = root.child_text("Code").unwrap_or_default().to_owned();
        let message = Code::spelled(&code).map_or(code.as_str(), |known| known.message());
        let lacking: Vec<_> =
            [("Message", message), ("RequestId", request_id), ("HostId", host_id)]
                .into_iter()
                .filter(|(name, _)| root.child_text(name).is_none())
                .map(|(name, text)| Element::of_text(name, text))
                .collect();
        if lacking.is_empty() {
            return false;
        }
        root.children.extend(lacking);
        // Code and message first, whatever the store's own order (AWS's).
        root.children.sort_by_key(|child| match child.name.as_str() {
            "Code" => 0,
            "Message" => 1,
            "RequestId" => 3,
            "HostId" => 4,
            _ => 2,
        });
        true
    }

    /// Puts this location into the answer to a complete or a form. Returns whether the answer is one
    /// of these and said another location.
    pub fn set_location(&mut self, location: &str) -> bool {
        let root = &mut self.root;
        let is_located = LOCATED.contains(&root.name.as_str());
        if !is_located || root.child_text("Location") == Some(location) {
            return false;
        }
        root.children.retain(|child| child.name != "Location");
        root.children.insert(0, Element::of_text("Location", location));
        true
    }

    /// Puts the ETag of a result into the quotes that AWS has there. Returns whether it had none.
    pub fn quote_etag(&mut self) -> bool {
        if !RESULTS.contains(&self.root.name.as_str()) {
            return false;
        }
        let etag = self.root.children.iter_mut().find(|child| child.name == "ETag");
        let Some(etag) = etag else { return false };
        let text = etag.text.trim_ascii();
        if text.is_empty() || text.ends_with('"') {
            return false;
        }
        etag.text = ETag::parse(text.as_bytes()).to_string();
        true
    }

    /// The document as bytes: errors and the answers to forms without a namespace, as at AWS.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self.root.name.as_str() {
            "Error" | "PostResponse" => self.root.to_plain_document(),
            _ => self.root.to_document(),
        }
    }
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

const LOCATED: [&str; 2] = ["CompleteMultipartUploadResult", "PostResponse"];

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
mod tests {
    use super::*;
    use crate::s3::{BucketName, EmptySegments, ObjectKey};

    fn etag(text: &str) -> ETag {
        ETag::parse(text.as_bytes())
    }

    #[test]
    fn a_200_is_believed_only_when_its_whole_body_says_so() {
        let result = |etag| SuccessBody::Result { etag };
        let error = |code: &str| {
            SuccessBody::Error(StoreError { code: code.to_owned(), message: "No.".to_owned() })
        };
        for (body, expected) in [
            (
                "<CompleteMultipartUploadResult xmlns=\"x\"><Key>k</Key><ETag>&quot;abc-2&quot;</ETag>\
                 </CompleteMultipartUploadResult>",
                result(Some(etag("abc-2"))),
            ),
            (
                "   \n \r\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CopyObjectResult><ETag>\"a\"\
                 </ETag></CopyObjectResult>\n",
                result(Some(etag("a"))),
            ),
            ("<CopyObjectResult><ETag> </ETag></CopyObjectResult>", result(None)),
            ("<CopyObjectResult/>", result(None)),
            (
                "  <?xml version=\"1.0\"?>\n<Error><Code>PreconditionFailed</Code>\
                 <Message>No.</Message></Error>",
                error("PreconditionFailed"),
            ),
            ("<Error><Message>No.</Message></Error>", error("")),
            ("", SuccessBody::Unreadable),
            ("      ", SuccessBody::Unreadable),
            ("<CopyObjectResult><ETag>\"a\"</ETag>", SuccessBody::Unreadable),
            ("<Other/>", SuccessBody::Unreadable),
            ("{}", SuccessBody::Unreadable),
            ("<!DOCTYPE x><CopyObjectResult/>", SuccessBody::Unreadable),
        ] {
            assert_eq!(outcome_of_success_body(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn a_stores_error_gives_code_and_message() {
        let body =
            b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Message>a &amp; b</Message></Error>";
        let expected = StoreError { code: "NoSuchKey".to_owned(), message: "a & b".to_owned() };
        assert_eq!(parse_store_error(body), Some(expected));
        assert_eq!(parse_store_error(b"<html/>"), None);
        assert_eq!(parse_store_error(b""), None);
    }

    #[test]
    fn what_may_come_before_a_document_is_known_and_can_be_taken_off() {
        for prologue in
            ["", " ", "\r\n  ", "<?x", " <?xml vers", "<?xml version=\"1.0\"?>", "\n<?xml?> \n"]
        {
            assert!(is_prologue(prologue.as_bytes()), "{prologue:?}");
            let whole = format!("{prologue}<Error/>");
            let is_whole = !prologue.contains("<?") || prologue.contains("?>");
            if is_whole {
                assert!(!is_prologue(whole.as_bytes()), "{whole:?}");
                assert_eq!(without_prologue(whole.as_bytes()), b"<Error/>", "{whole:?}");
            }
        }
        for other in ["<", "<E", "<?xml?><", "x", " <!--"] {
            assert_eq!(is_prologue(other.as_bytes()), other == "<", "{other:?}");
        }
    }

    #[test]
    fn an_answer_without_an_etag_is_given_the_one_that_was_looked_up() {
        let name = ObjectName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse("a&b", EmptySegments::Kept).unwrap(),
        };
        for bare in [complete_result("http://h/bucket/a", &name, None), copy_result(None)] {
            assert_eq!(outcome_of_success_body(&bare), SuccessBody::Result { etag: None });
            let whole = with_etag(&bare, &etag("e-2")).unwrap();
            assert_eq!(
                outcome_of_success_body(&whole),
                SuccessBody::Result { etag: Some(etag("e-2")) }
            );
            let key = |body| xml::parse(body).unwrap().child_text("Key").map(str::to_owned);
            assert_eq!(key(&whole), key(&bare));
        }
        assert_eq!(with_etag(b"<Error><Code>X</Code></Error>", &etag("e")), None);
        assert_eq!(with_etag(b"<CopyObjectResult>", &etag("e")), None);
    }

    #[test]
    fn a_stores_error_is_completed_and_one_that_lacks_nothing_is_left_alone() {
        let completed = |body: &str| {
            let mut document = StoreDocument::parse(body.as_bytes())?;
            document.complete_error("R1", "H1").then(|| document.to_bytes())
        };
        let text = |body: &str| String::from_utf8(completed(body).unwrap()).unwrap();
        let bare = text("<Error><Key>a&lt;b</Key><Code>NoSuchKey</Code><Message/></Error>");
        assert!(
            bare.ends_with(
                "\n<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message>\
                 <Key>a&lt;b</Key><RequestId>R1</RequestId><HostId>H1</HostId></Error>"
            ),
            "{bare}"
        );
        let own = "<Error><Code>Odd</Code><Message>Own words</Message><HostId>h</HostId></Error>";
        assert!(
            text(own).contains("<Message>Own words</Message><RequestId>R1</RequestId><HostId>h<")
        );
        assert!(text("<Error><Code>Odd</Code></Error>").contains("<Message>Odd</Message>"));
        let whole = text(own);
        assert_eq!(completed(&whole), None);
        assert_eq!(completed("<ListBucketResult/>"), None);
        assert_eq!(completed("<html>"), None);
    }

    #[test]
    fn an_etag_that_a_store_leaves_bare_is_quoted() {
        let result = |root: &str, etag: &str| format!("<{root}><ETag>{etag}</ETag></{root}>");
        let corrected = |body: &str| {
            let mut document = StoreDocument::parse(body.as_bytes())?;
            document.quote_etag().then(|| document.to_bytes())
        };
        for root in ["CompleteMultipartUploadResult", "CopyObjectResult", "CopyPartResult"] {
            let quoted = corrected(&result(root, " abc-2\n")).unwrap();
            let quoted = String::from_utf8(quoted).unwrap();
            assert!(quoted.contains("<ETag>&quot;abc-2&quot;</ETag>"), "{quoted}");
            for left in ["&quot;abc-2&quot;", "\"abc-2\"", "W/&quot;a&quot;", "", " "] {
                assert_eq!(corrected(&result(root, left)), None, "{left}");
            }
        }
        for other in [&result("ListPartsResult", "a"), "<CopyObjectResult/>", "<Error/>", ""] {
            assert_eq!(corrected(other), None, "{other}");
        }
    }
}

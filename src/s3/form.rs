//! A browser's upload form (AWS: POST Object): fields, then the file.

use bytes::Bytes;
use http::header;

use super::code::Code;
use super::error::S3Error;
use super::inadmissible::reaches_other_keys;
use super::multipart::{FIELDS_BYTES_MAX, Fault, Parts, Piece, Spelling};
use super::xml::{DECLARATION, push_element};
use crate::http1::fields::Fields;

/// The fields of a form, before its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostForm {
    fields: Vec<(String, String)>,
    file_name: String,
}

impl PostForm {
    /// The value of a field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The fields in order, names in lower case, each once.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The key to write, not yet validated.
    pub fn key(&self) -> &str {
        self.field("key").unwrap_or_default()
    }

    /// The form with the file's name in place of `${filename}`, in every field: AWS does so before
    /// it checks the policy (AWS: HTML form fields). 400 `MaxPostPreDataLengthExceededError` where
    /// the fields then exceed their limit.
    pub fn filled_in(mut self) -> Result<Self, S3Error> {
        let mut bytes = 0;
        for (name, value) in &mut self.fields {
            // Signed values stay as they were signed.
            if name != "policy" && name != "x-amz-signature" && name != "signature" {
                let grown = value.matches(FILE_NAME).count() * self.file_name.len();
                if grown > FIELDS_BYTES_MAX {
                    return Err(S3Error::new(Code::MaxPostPreDataLengthExceeded));
                }
                *value = value.replace(FILE_NAME, &self.file_name);
            }
            bytes += value.len();
        }
        if bytes > FIELDS_BYTES_MAX {
            return Err(S3Error::new(Code::MaxPostPreDataLengthExceeded));
        }
        Ok(self)
    }

    /// Checks a form that is sent on as it came to this bucket: every store must read the same in
    /// it. 400 `MalformedPOSTRequest` for a key that a store could trim or cut, or another bucket's
    /// name; 501 for a key with `${filename}`.
    pub fn check_canonical(&self, bucket: &str) -> Result<(), S3Error> {
        let key = self.key();
        if key.contains("${") {
            return Err(S3Error::not_implemented("key", Some(FROM_FILE_NAME)));
        }
        if self.field("bucket").is_some_and(|named| named != bucket) {
            return Err(ambiguous("A field \"bucket\" names the bucket that it is sent to."));
        }
        if key.trim() != key || key.contains(|c: char| c.is_control() || c == '\u{feff}') {
            return Err(ambiguous(
                "The key has no control characters, and no white space at its ends.",
            ));
        }
        Ok(())
    }
}

/// A form that is being read.
#[derive(Debug)]
pub struct FormReader {
    parts: Parts,
    fields: Vec<(String, String)>,
}

impl FormReader {
    /// Begins to read a form with this head. 400 `InvalidRequest` or `MalformedPOSTRequest` unless
    /// it has exactly one `Content-Type` with a boundary; 501 for a `Content-Encoding`, under which
    /// the bytes would be other ones than those read.
    pub fn new(head: &Fields, spelling: Spelling) -> Result<Self, S3Error> {
        if head.contains_key(header::CONTENT_ENCODING) {
            return Err(S3Error::not_implemented("Content-Encoding", Some(ENCODED)));
        }
        let mut types = head.get_all(header::CONTENT_TYPE);
        let (Some(content_type), None) = (types.next(), types.next()) else {
            return Err(S3Error::new(Code::InvalidRequest).because(ONE_CONTENT_TYPE));
        };
        let content_type = content_type.to_str().map_err(|_| refused(Fault::Malformed))?;
        let parts = Parts::new(content_type, spelling).map_err(refused)?;
        Ok(Self { parts, fields: Vec::new() })
    }

    /// Adds the next bytes of the body.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.parts.feed(bytes);
    }

    /// The fields, once the file begins; `None` before that. To be called after each
    /// [`FormReader::feed`] until it returns them.
    ///
    /// 400 with AWS's codes: `MalformedPOSTRequest`, `MaxPostPreDataLengthExceededError`,
    /// `IncorrectNumberOfFilesInPostRequest`, and `InvalidArgument` for a missing key or a repeated
    /// field (the policy might be checked with one value and the store use the other). 501 for a
    /// field whose header would be refused.
    pub fn fields(&mut self) -> Result<Option<PostForm>, S3Error> {
        while let Some(piece) = self.parts.next_piece().map_err(refused)? {
            match piece {
                Piece::Field { name, value } => self.field(&name, value)?,
                Piece::File { file_name } => {
                    let fields = std::mem::take(&mut self.fields);
                    if !fields.iter().any(|(name, _)| name == "key") {
                        return Err(S3Error::invalid_argument(KEY_MISSING, "key", ""));
                    }
                    return Ok(Some(PostForm { fields, file_name: last_component(&file_name) }));
                }
                Piece::Content(_) | Piece::FileEnd => {}
            }
        }
        Ok(None)
    }

    fn field(&mut self, name: &str, value: String) -> Result<(), S3Error> {
        let lower = name.to_ascii_lowercase();
        if let Some(why) = reaches_other_keys(&lower) {
            return Err(S3Error::not_implemented(&lower, Some(why)));
        }
        if self.fields.iter().any(|(known, _)| *known == lower) {
            return Err(S3Error::invalid_argument(REPEATED, &lower, &value));
        }
        if self.parts.spelling() == Spelling::Canonical {
            if name != lower && matches!(lower.as_str(), "key" | "file" | "bucket") {
                return Err(ambiguous("\"key\", \"file\" and \"bucket\" are in lower case."));
            }
            if value.contains(|c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t')) {
                return Err(ambiguous("A field's text has no control characters."));
            }
        }
        self.fields.push((lower, value));
        Ok(())
    }

    /// The next bytes of the file's content; `None` while there are none, and when the file has
    /// ended. Errors as for [`FormReader::fields`].
    pub fn content(&mut self) -> Result<Option<Bytes>, S3Error> {
        while let Some(piece) = self.parts.next_piece().map_err(refused)? {
            if let Piece::Content(bytes) = piece {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// The minimum and the maximum size of the file in a body of this many bytes, as far as they
    /// are known when the file begins.
    pub fn file_bytes(&self, body_bytes: u64) -> (u64, u64) {
        self.parts.file_bytes(body_bytes)
    }

    /// Checks at the end of the body that the form has ended, too. Errors as for
    /// [`FormReader::fields`].
    pub fn finish(&self) -> Result<(), S3Error> {
        self.parts.finish().map_err(refused)
    }
}

/// The document that answers a form with `success_action_status` 201. `etag` with its quotes.
pub fn post_response(location: &str, bucket: &str, key: &str, etag: &str) -> Vec<u8> {
    let mut out = format!("{DECLARATION}\n<PostResponse>");
    for (name, text) in [("Location", location), ("Bucket", bucket), ("Key", key), ("ETag", etag)] {
        push_element(&mut out, name, text);
    }
    out.push_str("</PostResponse>");
    out.into_bytes()
}

/// Some browsers send the whole path on the user's disk.
fn last_component(file_name: &str) -> String {
    file_name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

fn refused(fault: Fault) -> S3Error {
    match fault {
        Fault::Malformed => S3Error::new(Code::MalformedPostRequest),
        Fault::Ambiguous(why) => ambiguous(why),
        Fault::FieldsTooLarge => S3Error::new(Code::MaxPostPreDataLengthExceeded),
        Fault::NumberOfFiles => S3Error::new(Code::IncorrectNumberOfFilesInPostRequest),
    }
}

fn ambiguous(why: &str) -> S3Error {
    let sentence = format!("This form could be read in two ways, and is refused. {why}");
    S3Error::new(Code::MalformedPostRequest).because(sentence)
}

const FILE_NAME: &str = "${filename}";
const FROM_FILE_NAME: &str =
    "A key with ${filename} is filled in by the store, after it was guarded";
const ENCODED: &str = "A form is read as it is sent";
const ONE_CONTENT_TYPE: &str = "A form has one Content-Type header.";
const KEY_MISSING: &str = "Bucket POST must contain a field named 'key'.  If it is specified, \
     please check the order of the fields.";
const REPEATED: &str = "A form field must not be given more than once.";

#[cfg(test)]
#[path = "form_tests.rs"]
pub(crate) mod tests;

//! A browser's upload form (AWS: POST Object): fields, then the file.

use bytes::Bytes;

use super::answer::S3Error;
use super::code::Code;
use super::multipart::{Malformed, Parts};
use super::refusal::reaches_other_keys;
use super::xml::{DECLARATION, push_element};

/// A form, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostForm {
    fields: Vec<(String, String)>,
    file: Bytes,
    file_name: String,
    key_takes_file_name: bool,
}

impl PostForm {
    /// Reads a form from a body of this `Content-Type`. What comes after the file is ignored, as
    /// AWS does, but for a second file.
    ///
    /// 400 with AWS's codes: `MalformedPOSTRequest`, `MaxPostPreDataLengthExceededError`,
    /// `IncorrectNumberOfFilesInPostRequest`, and `InvalidArgument` for a missing key or a field
    /// that stands there twice (the policy might be asked of one and the store told the other).
    /// 501 for a field whose header would be refused.
    pub fn parse(content_type: &str, body: &Bytes) -> Result<Self, S3Error> {
        let mut parts = Parts::of(content_type, body).map_err(malformed)?;
        let mut fields: Vec<(String, String)> = Vec::new();
        let (file, file_name) = loop {
            let part = parts.next_part().map_err(malformed)?.ok_or(NUMBER_OF_FILES)?;
            let name = part.name.to_ascii_lowercase();
            let before_file = if name == "file" { part.content.start } else { part.content.end };
            if before_file > PRE_DATA_BYTES_MAX {
                return Err(S3Error::new(Code::MaxPostPreDataLengthExceeded));
            }
            if name == "file" {
                break (body.slice(part.content), last_component(part.file_name));
            }
            if let Some(why) = reaches_other_keys(&name) {
                return Err(S3Error::not_implemented(&name, Some(why)));
            }
            let value =
                std::str::from_utf8(&body[part.content]).map_err(|_| malformed(Malformed))?;
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(S3Error::invalid_argument(REPEATED, &name, value));
            }
            fields.push((name, value.to_owned()));
        };
        while let Some(part) = parts.next_part().map_err(malformed)? {
            if part.name.eq_ignore_ascii_case("file") {
                return Err(NUMBER_OF_FILES);
            }
        }
        let key = fields.iter_mut().find(|(name, _)| name == "key");
        let (_, key) = key.ok_or_else(|| S3Error::invalid_argument(KEY_MISSING, "key", ""))?;
        let key_takes_file_name = key.contains("${filename}");
        *key = key.replace("${filename}", &file_name);
        Ok(Self { fields, file, file_name, key_takes_file_name })
    }

    /// The value of a field before the file, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The fields before the file in order, names in lower case, `${filename}` replaced in the
    /// key.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The key to write, not yet checked to be one.
    pub fn key(&self) -> &str {
        self.field("key").unwrap_or_default()
    }

    /// Whether the key was written with `${filename}`.
    pub const fn takes_key_from_file_name(&self) -> bool {
        self.key_takes_file_name
    }

    /// The file's content.
    pub const fn file(&self) -> &Bytes {
        &self.file
    }

    /// The file's name without any path; empty when the browser gave none.
    pub fn file_name(&self) -> &str {
        &self.file_name
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

/// Some browsers give the whole path on the user's disk.
fn last_component(file_name: Option<String>) -> String {
    let name = file_name.unwrap_or_default();
    name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned()
}

const fn malformed(_: Malformed) -> S3Error {
    S3Error::new(Code::MalformedPostRequest)
}

/// AWS: "the form data and boundaries (excluding the contents of the file) cannot exceed 20K".
const PRE_DATA_BYTES_MAX: usize = 20 * 1024;
const NUMBER_OF_FILES: S3Error = S3Error::new(Code::IncorrectNumberOfFilesInPostRequest);
const KEY_MISSING: &str = "Bucket POST must contain a field named 'key'.  If it is specified, \
     please check the order of the fields.";
const REPEATED: &str = "A form field must not be given more than once.";

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=B";

    /// A part per entry; the name may bring a `filename` along.
    fn form(parts: &[(&str, &str)]) -> Result<PostForm, S3Error> {
        let part = |(name, value): &(&str, &str)| {
            format!("--B\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n")
        };
        let body = parts.iter().map(part).chain(["--B--\r\n".to_owned()]).collect::<String>();
        PostForm::parse(TYPE, &body.into())
    }

    fn code(parts: &[(&str, &str)]) -> String {
        let error = form(parts).unwrap_err();
        assert!(matches!(error.status().as_u16(), 400 | 501));
        error.code().to_owned()
    }

    #[test]
    fn a_form_gives_its_fields_its_key_and_its_file() {
        let form = form(&[
            ("\"Key\"", "up/${filename}"),
            ("ACL", "private"),
            ("x-amz-meta-a", "${filename}"),
            ("\"file\"; filename=\"C:\\dir\\my cat.png\"", "\r\n--Bytes\r\n"),
            ("submit", "Upload"),
        ])
        .unwrap();
        assert_eq!(form.key(), "up/my cat.png");
        assert_eq!(form.file_name(), "my cat.png");
        assert_eq!(form.file().as_ref(), b"\r\n--Bytes\r\n");
        assert_eq!(
            form.fields().collect::<Vec<_>>(),
            [("key", "up/my cat.png"), ("acl", "private"), ("x-amz-meta-a", "${filename}")]
        );
        assert_eq!(form.field("submit"), None);
    }

    #[test]
    fn a_file_without_a_name_replaces_filename_by_nothing() {
        let form = form(&[("key", "a${filename}"), ("file", "x")]).unwrap();
        assert_eq!((form.key(), form.file_name()), ("a", ""));
    }

    #[test]
    fn forms_that_aws_refuses_are_refused_with_its_codes() {
        let number_of_files = "IncorrectNumberOfFilesInPostRequest";
        assert_eq!(code(&[("key", "a")]), number_of_files);
        assert_eq!(code(&[("key", "a"), ("file", "1"), ("file", "2")]), number_of_files);
        assert_eq!(code(&[("file", "1"), ("key", "a")]), "InvalidArgument");
        assert_eq!(code(&[("key", "a"), ("KEY", "b"), ("file", "1")]), "InvalidArgument");
        assert_eq!(
            code(&[("x-amz-meta-snowball-auto-extract", "true"), ("file", "1")]),
            "NotImplemented"
        );
        let missing = form(&[("file", "1")]).unwrap_err();
        assert_eq!(missing.message(), KEY_MISSING);
        let malformed = PostForm::parse(TYPE, &Bytes::from_static(b"--B\r\n")).unwrap_err();
        assert_eq!(malformed.code(), "MalformedPOSTRequest");
        let unbounded = PostForm::parse("multipart/form-data", &Bytes::new()).unwrap_err();
        assert_eq!(unbounded.code(), "MalformedPOSTRequest");
    }

    #[test]
    fn what_precedes_the_file_is_at_most_20_kib_and_the_file_may_be_more() {
        let large = "x".repeat(PRE_DATA_BYTES_MAX);
        let too_large = "MaxPostPreDataLengthExceededError";
        assert!(form(&[("key", "a"), ("file", &large)]).is_ok());
        assert_eq!(code(&[("key", "a"), ("x", &large), ("file", "1")]), too_large);
        let half = &large[..PRE_DATA_BYTES_MAX / 2];
        assert_eq!(code(&[("key", "a"), ("x", half), ("y", half), ("file", "1")]), too_large);
    }

    #[test]
    fn the_answer_of_201_is_a_post_response() {
        let text = String::from_utf8(post_response("http://h/b/a", "b", "a<", "\"e\"")).unwrap();
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>http://h/b/a\
             </Location><Bucket>b</Bucket><Key>a&lt;</Key><ETag>&quot;e&quot;</ETag></PostResponse>"
        );
    }
}

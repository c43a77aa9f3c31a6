//! The document of CompleteMultipartUpload, which lists an upload's parts (AWS:
//! CompleteMultipartUpload).

use md5::{Digest, Md5};

use super::canonical::{is_like_another_value, parse_canonical, refused};
use super::code::Code;
use super::error::S3Error;
use super::etag::ETag;
use super::xml::{self, Element};

/// The parts that an object is made of: 1 to [`PARTS_MAX`], their numbers ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// 1 to [`PARTS_MAX`].
    number: u16,
    /// As in UploadPart's answer, quoted or not.
    etag: String,
    /// `ChecksumCRC32` and its like, as they were sent.
    checksums: Vec<Element>,
}

/// The most parts of an upload, and the highest number that one may have (AWS: Amazon S3 multipart
/// upload limits).
pub const PARTS_MAX: u16 = 10_000;

impl Completion {
    /// Reads the document. 400 `MalformedXML` for anything that AWS does not document, and for no
    /// parts or too many; `InvalidArgument` for a part number out of range; `InvalidPartOrder`
    /// where the numbers do not ascend.
    pub fn parse(document: &[u8]) -> Result<Self, S3Error> {
        let root = xml::parse_request(document).ok_or_else(S3Error::malformed_xml)?;
        Self::of(&root, number)
    }

    /// Reads the document of a request that the store will read itself. 400 `MalformedXML` also
    /// when it is not in the canonical spelling ([`parse_canonical`]), or contains a value that
    /// some readers take for another.
    pub fn parse_as_sent(document: &[u8]) -> Result<Self, S3Error> {
        let read = Self::of(&parse_canonical(document)?, plain_number)?;
        if read.parts.iter().any(|part| is_like_another_etag(&part.etag)) {
            return Err(refused(ETAG_LIKE_A_NUMBER));
        }
        Ok(read)
    }

    fn of(root: &Element, number: fn(&str) -> Result<u16, S3Error>) -> Result<Self, S3Error> {
        if root.name != "CompleteMultipartUpload" || !root.is_only_elements() {
            return Err(S3Error::malformed_xml());
        }
        let counted = (1..=usize::from(PARTS_MAX)).contains(&root.children.len());
        if !counted {
            return Err(S3Error::malformed_xml());
        }
        let parts: Vec<_> =
            root.children.iter().map(|child| Part::of(child, number)).collect::<Result<_, _>>()?;
        if !parts.is_sorted_by(|one, next| one.number < next.number) {
            return Err(S3Error::new(Code::InvalidPartOrder));
        }
        Ok(Self { parts })
    }

    /// The ETag that AWS gives the object: the MD5 of its parts' MD5s, and their number (AWS:
    /// Checking object integrity, multipart uploads). `None` where a part's ETag is not an MD5.
    pub fn etag(&self) -> Option<ETag> {
        let mut digest = Md5::new();
        for part in &self.parts {
            let etag = ETag::parse(part.etag.as_bytes());
            let mut md5 = [0; 16];
            hex::decode_to_slice(etag.as_bytes(), &mut md5).ok()?;
            digest.update(md5);
        }
        let of_all = hex::encode(&digest.finalize()[..]);
        Some(ETag::parse(format!("{of_all}-{}", self.parts.len()).as_bytes()))
    }

    /// Writes the document; without the parts' checksums for a store that gets no checksums.
    pub fn to_document(&self, checksums: bool) -> Vec<u8> {
        let parts = self.parts.iter().map(|part| {
            let number = Element::of_text("PartNumber", part.number.to_string());
            let etag = Element::of_text("ETag", &part.etag);
            let checksums = part.checksums.iter().filter(|_| checksums).cloned();
            let children = [number, etag].into_iter().chain(checksums).collect();
            Element { name: "Part".to_owned(), children, ..Element::default() }
        });
        let name = "CompleteMultipartUpload".to_owned();
        Element { name, children: parts.collect(), ..Element::default() }.to_document()
    }
}

impl Part {
    fn of(element: &Element, number: fn(&str) -> Result<u16, S3Error>) -> Result<Self, S3Error> {
        let (mut part_number, mut etag) = (None, None);
        let mut checksums: Vec<Element> = Vec::new();
        if element.name != "Part" || !element.is_only_elements() {
            return Err(S3Error::malformed_xml());
        }
        for child in &element.children {
            let known = match child.name.as_str() {
                _ if !child.children.is_empty() => false,
                "PartNumber" => part_number.replace(number(&child.text)?).is_none(),
                "ETag" => etag.replace(child.text.trim_ascii().to_owned()).is_none(),
                name if name.starts_with("Checksum") => {
                    let repeated = checksums.iter().any(|checksum| checksum.name == child.name);
                    checksums.push(Element::of_text(name, child.text.trim_ascii()));
                    !repeated
                }
                _ => false,
            };
            if !known {
                return Err(S3Error::malformed_xml());
            }
        }
        match (part_number, etag.filter(|etag| !etag.is_empty())) {
            (Some(number), Some(etag)) => Ok(Self { number, etag, checksums }),
            _ => Err(S3Error::malformed_xml()),
        }
    }
}

/// A part number, spelled as an int of XML Schema, within its range.
fn number(text: &str) -> Result<u16, S3Error> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(S3Error::malformed_xml());
    }
    if text.starts_with('-') || digits.bytes().all(|byte| byte == b'0') {
        return Err(S3Error::invalid_argument("PartNumber must be >= 1", "PartNumber", text));
    }
    let number = digits.parse().ok().filter(|number| *number <= PARTS_MAX);
    number.ok_or_else(|| S3Error::invalid_argument(PART_NUMBER, "PartNumber", text))
}

/// The same, in the one spelling that all readers know.
fn plain_number(text: &str) -> Result<u16, S3Error> {
    let number = number(text)?;
    if number.to_string() == text { Ok(number) } else { Err(refused(PLAIN_NUMBER)) }
}

/// As for any value, except that an MD5 may consist of digits only: a client cannot change the ETag
/// that the store gave it, and one in three million is like that.
fn is_like_another_etag(etag: &str) -> bool {
    let is_md5 = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    !is_md5 && is_like_another_value(etag)
}

/// AWS's message for a part number out of range (AWS: UploadPart).
pub(super) const PART_NUMBER: &str =
    "Part number must be an integer between 1 and 10000, inclusive";
const PLAIN_NUMBER: &str = "a part's number is written in digits alone, without a zero ahead";
const ETAG_LIKE_A_NUMBER: &str = "some stores read this ETag as a number, which is written otherwise; \
     write it in its quotes";

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(parts: &str) -> String {
        format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>")
    }

    fn part(number: &str) -> String {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>e</ETag></Part>")
    }

    fn code(document: &str) -> Option<String> {
        let refused = Completion::parse(document.as_bytes()).err();
        let as_sent = Completion::parse_as_sent(document.as_bytes()).err();
        let code = refused.map(|error| error.code().to_owned());
        assert!(code.is_none() || as_sent.is_some(), "{document}");
        code
    }

    #[test]
    fn a_complete_object_s_etag_is_made_of_its_parts_md5s() {
        let of = |etags: &[&str]| {
            let parts = etags.iter().zip(1..).map(|(etag, number): (_, u16)| {
                part(&number.to_string()).replace(">e<", &format!(">{etag}<"))
            });
            let document = complete(&parts.collect::<String>());
            Completion::parse(document.as_bytes()).unwrap().etag()
        };
        // md5sum of the parts "a" and "b", and of these two digests after each other.
        let (a, b) = ("0cc175b9c0f1b6a831c399e269772661", "92eb5ffee6ae2fec3ad71c777531578f");
        let both = ETag::parse(b"96e024ba2074fe77e8e965ba43a704be-2");
        assert_eq!(of(&[a, &format!("&quot;{b}&quot;")]), Some(both));
        for none in [&["opaque"][..], &[a, "b"], &["0cc1"]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }

    #[test]
    fn parts_are_written_anew_and_without_checksums_where_those_are_not_wanted() {
        let document = "<?xml version=\"1.0\"?><CompleteMultipartUpload xmlns=\"x\">\n\
            <Part><ETag> &quot;a&quot;</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32>\
            <PartNumber> 01</PartNumber></Part>\
            <Part><PartNumber>2</PartNumber><ETag>b&lt;<!-- c --></ETag></Part>\
            </CompleteMultipartUpload>";
        let completion = Completion::parse(document.as_bytes()).unwrap();
        let written = |checksums| String::from_utf8(completion.to_document(checksums)).unwrap();
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<CompleteMultipartUpload \
             xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
             <Part><PartNumber>1</PartNumber><ETag>&quot;a&quot;</ETag>";
        let rest = "</Part><Part><PartNumber>2</PartNumber><ETag>b&lt;</ETag></Part>\
             </CompleteMultipartUpload>";
        assert_eq!(written(false), format!("{head}{rest}"));
        let checksum = "<ChecksumCRC32>AAAAAA==</ChecksumCRC32>";
        assert_eq!(written(true), format!("{head}{checksum}{rest}"));
        assert_eq!(Completion::parse_as_sent(&completion.to_document(true)), Ok(completion));
    }

    #[test]
    fn ten_thousand_parts_with_their_checksums_fit() {
        let checksum = "A".repeat(88);
        let of = |number| {
            format!(
                "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{number:032}&quot;</ETag>\
                 <ChecksumSHA512>{checksum}</ChecksumSHA512></Part>"
            )
        };
        let all = (1..=PARTS_MAX).map(of).collect::<Vec<_>>().concat();
        let document = complete(&all);
        assert_eq!(code(&document), None);
        assert!(Completion::parse_as_sent(document.as_bytes()).is_ok());
        let more = complete(&(all + &part("10000")));
        assert_eq!(code(&more).as_deref(), Some("MalformedXML"));
    }

    #[test]
    fn a_list_of_parts_that_cannot_be_completed_is_refused_as_at_aws() {
        for (parts, expected) in [
            (part("0"), "InvalidArgument"),
            (part("-1"), "InvalidArgument"),
            (part("10001"), "InvalidArgument"),
            (part("99999999999999999999"), "InvalidArgument"),
            (part("2") + &part("1"), "InvalidPartOrder"),
            (part("1") + &part("1"), "InvalidPartOrder"),
            (String::new(), "MalformedXML"),
            (part(""), "MalformedXML"),
            (part("one"), "MalformedXML"),
            (part("1.0"), "MalformedXML"),
            (part("1") + "text", "MalformedXML"),
            (part("1") + "<Quiet>true</Quiet>", "MalformedXML"),
            ("<Part><PartNumber>1</PartNumber></Part>".to_owned(), "MalformedXML"),
            ("<Part><ETag>e</ETag></Part>".to_owned(), "MalformedXML"),
            ("<Part><PartNumber>1</PartNumber><ETag/></Part>".to_owned(), "MalformedXML"),
            ("<Part/>".to_owned(), "MalformedXML"),
            (part("1").replace("<ETag>", "<ETag>a</ETag><ETag>"), "MalformedXML"),
            (part("1").replace("<ETag>", "<Size>1</Size><ETag>"), "MalformedXML"),
            (part("1").replace(">e<", "><b>e</b><"), "MalformedXML"),
        ] {
            assert_eq!(code(&complete(&parts)).as_deref(), Some(expected), "{parts}");
        }
        for document in ["", "garbage", "<Delete/>", "<CompleteMultipartUpload><Part>", "{}"] {
            assert_eq!(code(document).as_deref(), Some("MalformedXML"), "{document}");
        }
    }

    #[test]
    fn as_sent_a_number_has_one_spelling() {
        for number in ["01", "+1", " 1"] {
            let document = complete(&part(number));
            assert_eq!(code(&document), None, "{number}");
            let refused = Completion::parse_as_sent(document.as_bytes()).unwrap_err();
            assert_eq!(refused.code(), "MalformedXML", "{number}");
        }
        assert!(Completion::parse_as_sent(complete(&part("1")).as_bytes()).is_ok());
    }

    #[test]
    fn as_sent_an_etag_is_no_number_that_is_spelled_otherwise() {
        let as_sent = |etag: &str| {
            let document = complete(&part("1").replace(">e<", &format!(">{etag}<")));
            assert_eq!(code(&document), None, "{etag}");
            Completion::parse_as_sent(document.as_bytes()).map_err(|error| error.code().to_owned())
        };
        for etag in [
            "0x10",
            "0X1F",
            "-0x10",
            "007",
            "1e3",
            "1.0",
            "+1",
            "1234567890123456",
            ".5",
            "e5",
            "1e999",
            "-1.e+5",
        ] {
            assert_eq!(as_sent(etag), Err("MalformedXML".to_owned()), "{etag}");
            assert!(as_sent(&format!("&quot;{etag}&quot;")).is_ok(), "{etag} in quotes");
        }
        let digits = "01234567890123456789012345678901";
        for etag in
            ["a1", "0", "16", "0y10", "0x", "0xg", "1e", "e", ".", "-", "1.2.3", "NaN", digits]
        {
            assert!(as_sent(etag).is_ok(), "{etag}");
        }
    }
}

//! How listings write names (AWS: ListObjectsV2, `encoding-type`).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::EncodingType;
use s3s::{S3Result, s3_error};

use super::failure::with_elements;

/// What AWS leaves as it is.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');

/// How names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    AsTheyAre,
    /// Percent-encoded, a space as `+`.
    Url,
}

impl Encoding {
    /// From the request's parameter.
    pub(super) fn of(asked: Option<&EncodingType>) -> S3Result<Self> {
        match asked.map(EncodingType::as_str) {
            None => Ok(Self::AsTheyAre),
            Some(EncodingType::URL) => Ok(Self::Url),
            Some(other) => {
                let error =
                    s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request");
                let elements = [("ArgumentName", "encoding-type"), ("ArgumentValue", other)];
                Err(with_elements(error, elements.into_iter()))
            }
        }
    }

    /// A name as it is written.
    pub(super) fn apply(self, name: &str) -> String {
        match self {
            Self::AsTheyAre => name.to_owned(),
            Self::Url => utf8_percent_encode(name, ENCODED).to_string().replace(' ', "+"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_aws_writes_them() {
        let written = |name| Encoding::Url.apply(name);
        assert_eq!(written("a/b-c_d.e*f"), "a/b-c_d.e*f");
        assert_eq!(written("a b+c"), "a+b%2Bc");
        assert_eq!(written("ä\u{1}~"), "%C3%A4%01%7E");
        assert_eq!(Encoding::AsTheyAre.apply("a b+\u{1}"), "a b+\u{1}");
    }
}

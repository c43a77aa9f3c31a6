//! Holding content that is there whole to what headers say of it: the file of a form.

use http::{HeaderMap, Method};

use super::body_error::BodyError;
use super::checksum::{Algorithm, Checksum, to_base64};
use super::payload::PayloadKind;
use super::promise::{PromisedChecksum, check_sdk_algorithm, content_md5, promised_checksum};
use crate::s3::RequestHead;

/// Checks content against `Content-MD5` and the checksum among these headers. Errors as for a body:
/// a promise that is malformed or contradicts another, or that is not kept.
pub fn check_content(headers: &HeaderMap, content: &[u8]) -> Result<(), BodyError> {
    let digest = |algorithm| {
        let mut hash = Checksum::new(algorithm);
        hash.update(content);
        hash.finish()
    };
    if let Some(expected) = content_md5(headers)? {
        let calculated = digest(Algorithm::Md5);
        if calculated != expected {
            let (expected, calculated) = (to_base64(&expected), to_base64(&calculated));
            return Err(BodyError::Md5Mismatch { expected, calculated });
        }
    }
    let head = RequestHead { method: &Method::PUT, path: "", query: "", headers };
    let checksum = promised_checksum(&head, PayloadKind::Unsigned)?;
    check_sdk_algorithm(headers, checksum.as_ref())?;
    match checksum {
        Some(PromisedChecksum::Header { algorithm, value }) if digest(algorithm) != value => {
            Err(BodyError::ChecksumMismatch(algorithm))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::sigv4::AwsAnswer;

    fn check(pairs: &[(&'static str, &str)]) -> Result<(), String> {
        let named = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = pairs.iter().map(named).collect();
        check_content(&headers, b"123456789").map_err(|error| error.code().to_owned())
    }

    #[test]
    fn content_is_what_the_headers_say() {
        const CRC32: (&str, &str) = ("x-amz-checksum-crc32", "y/Q5Jg==");
        for right in [
            &[][..],
            &[CRC32],
            &[CRC32, ("x-amz-sdk-checksum-algorithm", "CRC32")],
            &[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="), CRC32],
        ] {
            assert_eq!(check(right), Ok(()), "{right:?}");
        }
        for (wrong, code) in [
            (&[("x-amz-checksum-crc32", "AAAAAA==")][..], "BadDigest"),
            (&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")], "BadDigest"),
            (&[("content-md5", "?")], "InvalidDigest"),
            (&[("x-amz-checksum-crc32", "?")], "InvalidRequest"),
            (&[CRC32, ("x-amz-sdk-checksum-algorithm", "SHA1")], "InvalidRequest"),
            (&[CRC32, ("x-amz-checksum-crc32c", "4waSgw==")], "InvalidRequest"),
        ] {
            assert_eq!(check(wrong), Err(code.to_owned()), "{wrong:?}");
        }
    }
}

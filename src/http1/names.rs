//! The names of fields as they are read.

use http::HeaderName;
use http::header::InvalidHeaderName;

/// Reads the name of a field. Names that nearly every message has are not copied: they cost no
/// memory, and their clones nothing.
///
/// Fails where the bytes are no name.
pub fn field_name(name: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    let is_usual = |usual: &&HeaderName| name.eq_ignore_ascii_case(usual.as_str().as_bytes());
    match name.first() {
        Some(b'x' | b'X' | b'a' | b'A') => match USUAL.iter().find(is_usual) {
            Some(usual) => Ok(usual.clone()),
            None => HeaderName::from_bytes(name),
        },
        _ => HeaderName::from_bytes(name),
    }
}

/// Those that the `http` crate does not know. They begin with `x` or `a`.
static USUAL: [HeaderName; 17] = [
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("amz-sdk-request"),
    HeaderName::from_static("amz-sdk-invocation-id"),
    HeaderName::from_static("x-amz-sdk-checksum-algorithm"),
    HeaderName::from_static("x-amz-checksum-crc32"),
    HeaderName::from_static("x-amz-checksum-crc32c"),
    HeaderName::from_static("x-amz-checksum-crc64nvme"),
    HeaderName::from_static("x-amz-checksum-sha256"),
    HeaderName::from_static("x-amz-checksum-type"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-amz-trailer"),
    HeaderName::from_static("x-amz-decoded-content-length"),
    HeaderName::from_static("x-amz-user-agent"),
    HeaderName::from_static("x-amz-request-id"),
    HeaderName::from_static("x-amz-id-2"),
    HeaderName::from_static("x-amz-version-id"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_the_crate_reads_it() {
        let usual = USUAL.iter().map(|name| name.as_str().to_owned());
        let other = ["host", "x-amz-dat", "x-amz-date2", "accept", "x", "", "x-amz date", "etag"];
        for name in usual.chain(other.map(str::to_owned)) {
            for spelled in [name.clone(), name.to_ascii_uppercase()] {
                let read = field_name(spelled.as_bytes());
                assert_eq!(read.ok(), HeaderName::from_bytes(name.as_bytes()).ok(), "{spelled}");
            }
        }
    }

    #[test]
    fn every_usual_name_is_found() {
        for name in &USUAL {
            assert!(matches!(name.as_str().as_bytes()[0], b'x' | b'a'), "{name}");
        }
    }
}

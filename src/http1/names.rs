//! The names of fields as they are read.

use http::HeaderName;
use http::header::InvalidHeaderName;

use super::fields::{MARKS, mark_of};

/// Reads the name of a field. Names that nearly every message has are not copied: they cost no
/// memory, and their clones nothing.
///
/// Fails where the bytes are no name.
pub fn field_name(name: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    let usual = usize::from(PLACES[mark_of(name)]);
    match USUAL.get(usual) {
        Some(usual) if name.eq_ignore_ascii_case(usual.as_str().as_bytes()) => Ok(usual.clone()),
        _ => HeaderName::from_bytes(name),
    }
}

/// Where a name with each mark is among the usual ones; behind all of them where none has it.
const PLACES: [u8; MARKS] = {
    let mut places = [u8::MAX; MARKS];
    let mut place = 0;
    while (place as usize) < NAMES.len() {
        let mark = mark_of(NAMES[place as usize].as_bytes());
        assert!(places[mark] == u8::MAX, "two of the usual names have the same mark");
        places[mark] = place;
        place += 1;
    }
    places
};

/// Makes the names as texts and as names of fields.
macro_rules! usual {
    ($($name:literal)+) => {
        const NAMES: &[&str] = &[$($name),+];
        static USUAL: [HeaderName; NAMES.len()] = [$(HeaderName::from_static($name)),+];
    };
}

// Those that the `http` crate does not know.
usual! {
    "x-amz-date"
    "x-amz-content-sha256"
    "amz-sdk-request"
    "amz-sdk-invocation-id"
    "x-amz-sdk-checksum-algorithm"
    "x-amz-checksum-crc32"
    "x-amz-checksum-crc32c"
    "x-amz-checksum-crc64nvme"
    "x-amz-checksum-sha256"
    "x-amz-checksum-type"
    "x-amz-security-token"
    "x-amz-trailer"
    "x-amz-decoded-content-length"
    "x-amz-user-agent"
    "x-amz-request-id"
    "x-amz-id-2"
    "x-amz-version-id"
}

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
        for (place, name) in NAMES.iter().enumerate() {
            assert_eq!(
                usize::from(PLACES[mark_of(name.to_uppercase().as_bytes())]),
                place,
                "{name}"
            );
        }
    }
}

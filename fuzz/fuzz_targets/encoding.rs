//! Percent-encoding: decoding undoes encoding, and one text has one canonical spelling.
#![no_main]

use ifmatch::s3::encoding::{decode, decode_query, encode_path, encode_query};
use ifmatch_fuzz::escaped;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for spelling in [encode_path(text), encode_query(text), escaped(text)] {
        assert!(spelling.is_ascii());
        assert_eq!(decode(&spelling).as_deref(), Some(text), "{spelling}");
        assert_eq!(decode_query(&spelling).as_deref(), Some(text), "{spelling}");
    }
    if let Some(plain) = decode_query(text) {
        assert_eq!(decode_query(&text.replace('+', "%20")), Some(plain));
    }
    if let Some(plain) = decode(text) {
        assert_eq!(decode(&encode_query(&plain)), Some(plain));
    }
});

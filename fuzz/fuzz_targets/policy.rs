//! A policy's document, as it is before base64.
#![no_main]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};
use ifmatch::s3::{FormReader, PostPolicy, Spelling};
use libfuzzer_sys::fuzz_target;
use ifmatch::http1::fields::Fields;

const FORM: &str = "--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n\
     --B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nhello\r\n--B--\r\n";

fuzz_target!(|input: &[u8]| {
    let encoded = STANDARD.encode(input);
    let read = PostPolicy::parse(&encoded);
    // White space in base64 says nothing.
    let (half, rest) = encoded.split_at(encoded.len() / 2);
    assert_eq!(read, PostPolicy::parse(&format!(" {half}\r\n{rest}\t")));
    let policy = match read {
        Ok(policy) => policy,
        Err(error) => {
            assert_eq!(error.code(), "InvalidPolicyDocument");
            return;
        }
    };
    let content_type = HeaderValue::from_static("multipart/form-data; boundary=B");
    let head = Fields::from_iter([(header::CONTENT_TYPE, content_type)]);
    let mut reader = FormReader::new(&head, Spelling::Any).expect("a good head");
    reader.feed(FORM.as_bytes());
    let form = reader.fields().ok().flatten().expect("a good form");
    let allowed = policy.check(&form, "bucket", 0).is_ok();
    // The key must be covered, so a policy that does not speak of it allows nothing.
    let text = String::from_utf8_lossy(input).to_ascii_lowercase();
    assert!(!allowed || text.contains("key") || text.contains("\\u"));
    assert!(policy.check(&form, "bucket", i64::MAX).is_err());
});

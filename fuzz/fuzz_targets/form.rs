//! A browser's form and its policy. The first line of the input is the content type.
#![no_main]

use bytes::Bytes;
use ifmatch::s3::{PostForm, PostPolicy};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(content_type) = std::str::from_utf8(&input[..end]) else { return };
    let body = Bytes::copy_from_slice(&input[end + 1..]);
    let form = match PostForm::parse(content_type, &body) {
        Ok(form) => form,
        Err(error) => {
            assert!([400, 501].contains(&error.status().as_u16()));
            return;
        }
    };
    let names: Vec<&str> = form.fields().map(|(name, _)| name).collect();
    for (at, name) in names.iter().enumerate() {
        assert_eq!(*name, name.to_ascii_lowercase());
        assert!(!names[..at].contains(name), "a field stands there once");
    }
    assert!(names.contains(&"key") && !names.contains(&"file"));
    let file = form.file();
    assert!(file.is_empty() || body.windows(file.len()).any(|window| window == file));
    assert!(!form.file_name().contains(['/', '\\']));
    if let Some(Ok(policy)) = form.field("policy").map(PostPolicy::parse) {
        let _ = policy.check(&form, "bucket", 0);
        assert!(policy.check(&form, "bucket", i64::MAX).is_err(), "every policy ends");
    }
});

//! A browser's form and its policy, in pieces. The first line of the input is the content type.
#![no_main]

use bytes::Bytes;
use http::{HeaderValue, header};
use ifmatch::s3::{FormReader, PostForm, PostPolicy, S3Error, Spelling};
use ifmatch_fuzz::cut;
use libfuzzer_sys::fuzz_target;
use ifmatch::http1::fields::Fields;

fn read(
    content_type: &HeaderValue,
    pieces: &[Bytes],
    spelling: Spelling,
) -> Result<(PostForm, Vec<u8>), S3Error> {
    let head = Fields::from_iter([(header::CONTENT_TYPE, content_type.clone())]);
    let mut reader = FormReader::new(&head, spelling)?;
    let (mut form, mut file) = (None, Vec::new());
    for piece in pieces {
        reader.feed(piece);
        if form.is_none() {
            form = reader.fields()?;
        }
        while let (Some(_), Some(bytes)) = (&form, reader.content()?) {
            assert!(!bytes.is_empty());
            file.extend_from_slice(&bytes);
        }
    }
    reader.finish()?;
    Ok((form.expect("what has ended had fields"), file))
}

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(content_type) = HeaderValue::from_bytes(&input[..end]) else { return };
    let body = Bytes::copy_from_slice(&input[end + 1..]);
    let whole = [body.clone()];
    let pieces = cut(body.clone(), body.len() as u64);
    let canonical = read(&content_type, &whole, Spelling::Canonical);
    assert_eq!(canonical.is_ok(), read(&content_type, &pieces, Spelling::Canonical).is_ok());
    let any = read(&content_type, &whole, Spelling::Any);
    match (&any, read(&content_type, &pieces, Spelling::Any)) {
        (Ok(whole), Ok(cut)) => assert_eq!(*whole, cut),
        (Err(error), Err(_)) => assert!([400, 501].contains(&error.status().as_u16())),
        _ => panic!("it depends on how it is cut"),
    }
    if let Ok(canonical) = canonical {
        assert_eq!(any.as_ref().ok(), Some(&canonical), "two readings");
    }
    let Ok((form, file)) = any else { return };
    let names: Vec<&str> = form.fields().map(|(name, _)| name).collect();
    for (at, name) in names.iter().enumerate() {
        assert_eq!(*name, name.to_ascii_lowercase());
        assert!(!names[..at].contains(name), "a field stands there once");
    }
    assert!(names.contains(&"key") && !names.contains(&"file"));
    assert!(file.is_empty() || body.windows(file.len()).any(|window| window == file));
    assert!(!form.file_name().contains(['/', '\\']));
    let Ok(form) = form.filled_in() else { return };
    if let Some(Ok(policy)) = form.field("policy").map(PostPolicy::parse) {
        let _ = policy.check(&form, "bucket", 0);
        assert!(policy.check(&form, "bucket", i64::MAX).is_err(), "every policy ends");
        let size = file.len() as u64;
        assert!(policy.check_size(size, size).is_err() || policy.check_size(0, size).is_ok());
    }
});

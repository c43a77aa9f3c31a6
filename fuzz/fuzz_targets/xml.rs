//! Documents of both sides. What may go on as it was sent the lenient reader reads alike; what is
//! written can be read back; white space before a document says nothing; a batch never has more keys
//! than AWS allows.
#![no_main]

use ifmatch::s3::delete_objects::{
    DELETE_OBJECTS_MAX, DeleteOutcome, delete_result, parse_delete_objects,
};
use ifmatch::s3::documents::{
    SuccessBody, outcome_of_success_body, parse_store_error, with_etag, without_prologue,
};
use ifmatch::s3::uploads::{parse_upload_id, parse_uploads};
use ifmatch::s3::canonical::parse_canonical;
use ifmatch::s3::completion::Completion;
use ifmatch::s3::xml::{Element, parse, parse_request};
use ifmatch::s3::{Code, ETag, S3Error};
use libfuzzer_sys::fuzz_target;

/// As it is once written: text beside elements is not kept.
fn plain(mut element: Element) -> Element {
    if !element.children.is_empty() {
        element.text.clear();
    }
    element.children = element.children.into_iter().map(plain).collect();
    element
}

fuzz_target!(|input: &[u8]| {
    if let Some(root) = parse(input) {
        let written = root.to_document();
        let text = String::from_utf8(written.clone()).expect("text was written");
        // Characters that XML cannot hold at all are replaced when they are written.
        if !text.contains(char::REPLACEMENT_CHARACTER) {
            assert_eq!(parse(&written), Some(plain(root)), "{text}");
        }
    }
    // What goes on as it was sent is what everybody reads, and a document written here is spelled so.
    if let Ok(root) = parse_canonical(input) {
        assert_eq!(parse_request(input).as_ref(), Some(&root));
        assert_eq!(parse(input).map(plain), Some(root));
    }
    if let Ok(completion) = Completion::parse_as_sent(input) {
        assert_eq!(Completion::parse(input).as_ref(), Ok(&completion));
        assert_eq!(Completion::parse(&completion.to_document(true)), Ok(completion));
    }
    let kept_alive = [b" \r\n\t ".as_slice(), input].concat();
    let outcome = outcome_of_success_body(input);
    if !input.starts_with("\u{feff}".as_bytes()) {
        assert_eq!(outcome, outcome_of_success_body(&kept_alive));
    }
    assert!(input.ends_with(without_prologue(input)));
    if let Some(completed) = with_etag(input, &ETag::parse(b"a-2")) {
        let expected = SuccessBody::Result { etag: Some(ETag::parse(b"a-2")) };
        assert_eq!(outcome_of_success_body(&completed), expected);
    }
    let _ = (parse_upload_id(input), parse_uploads(input));
    let error = parse_store_error(input);
    assert_eq!(error.is_some(), matches!(outcome, SuccessBody::Error(_)));
    match parse_delete_objects(input) {
        Ok(request) => {
            assert!((1..=DELETE_OBJECTS_MAX).contains(&request.objects.len()));
            let refused = S3Error::new(Code::AccessDenied);
            let failed = request.objects.iter().map(|entry| DeleteOutcome::failed(entry, &refused));
            let answer = delete_result(request.quiet, &failed.collect::<Vec<_>>());
            let answer = parse(&answer).expect("what is answered can be read");
            assert_eq!(answer.children.len(), request.objects.len(), "errors are always listed");
        }
        Err(error) => assert_eq!(error.code(), "MalformedXML"),
    }
});

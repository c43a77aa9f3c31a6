//! Documents of both sides. What is written can be read back; white space before a document says
//! nothing; a batch never has more keys than AWS allows.
#![no_main]

use ifmatch::s3::documents::{
    DELETE_OBJECTS_MAX, DeleteOutcome, SuccessBody, delete_result, outcome_of_success_body,
    parse_delete_objects, parse_store_error,
};
use ifmatch::s3::xml::{Element, parse, push_element};
use ifmatch::s3::{Code, S3Error};
use libfuzzer_sys::fuzz_target;

/// Writes an element whose texts come before its children, as they do once read.
fn write(out: &mut String, element: &Element) {
    let mut inner = String::new();
    push_element(&mut inner, "t", &element.text);
    out.push_str(&format!("<{}>{}", element.name, &inner["<t>".len()..inner.len() - "</t>".len()]));
    for child in &element.children {
        write(out, child);
    }
    out.push_str(&format!("</{}>", element.name));
}

fuzz_target!(|input: &[u8]| {
    if let Some(root) = parse(input) {
        let mut written = String::new();
        write(&mut written, &root);
        let again = parse(written.as_bytes());
        // Characters that XML cannot hold at all are replaced when they are written.
        if !written.contains(char::REPLACEMENT_CHARACTER) {
            assert_eq!(again.as_ref(), Some(&root), "{written}");
        }
    }
    let kept_alive = [b" \r\n\t ".as_slice(), input].concat();
    let outcome = outcome_of_success_body(input);
    if !input.starts_with("\u{feff}".as_bytes()) {
        assert_eq!(outcome, outcome_of_success_body(&kept_alive));
    }
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

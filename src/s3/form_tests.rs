use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::http1::fields::Fields;

const TYPE: &str = "multipart/form-data; boundary=B";

/// A form with these fields, read.
pub(crate) fn form_of(
    fields: &[(&str, &str)],
    file_name: &str,
    content: &str,
) -> Result<(PostForm, Vec<u8>), S3Error> {
    read(Spelling::Any, TYPE, &text(fields, file_name, content), usize::MAX)
}

fn text(fields: &[(&str, &str)], file_name: &str, content: &str) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields: String = fields.iter().map(part).collect();
    format!(
        "{fields}--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{file_name}\"\
         \r\n\r\n{content}\r\n--B--\r\n"
    )
}

/// Reads a body that arrives in pieces of this size.
fn read(
    spelling: Spelling,
    content_type: &str,
    body: &str,
    piece_bytes: usize,
) -> Result<(PostForm, Vec<u8>), S3Error> {
    let mut head = Fields::new();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
    let mut reader = FormReader::new(&head, spelling)?;
    let (mut form, mut file) = (None, Vec::new());
    for piece in body.as_bytes().chunks(piece_bytes.min(body.len().max(1))) {
        reader.feed(piece);
        if form.is_none() {
            form = reader.fields()?;
        }
        if form.is_some() {
            while let Some(bytes) = reader.content()? {
                file.extend_from_slice(&bytes);
            }
        }
    }
    reader.finish()?;
    Ok((form.expect("a form that has ended has fields"), file))
}

/// The code of a form with these parts, whatever they are.
fn code(parts: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--B\r\nContent-Disposition: form-data; name={name}\r\n\r\n{value}\r\n")
    };
    let body: String = parts.iter().map(part).chain(["--B--\r\n".to_owned()]).collect();
    let Err(error) = read(Spelling::Any, TYPE, &body, usize::MAX) else { return "OK".to_owned() };
    assert!(matches!(error.status().as_u16(), 400 | 501));
    error.code().to_owned()
}

#[test]
fn a_form_gives_its_fields_its_key_and_its_file() {
    let fields = [("Key", "up/${filename}"), ("ACL", "private")];
    let path = "C:\\dir\\my cat.png";
    let (form, file) = form_of(&fields, path, "\r\n--Bytes\r\n").unwrap();
    assert_eq!((form.key(), form.file_name.as_str()), ("up/${filename}", "my cat.png"));
    assert_eq!(file, b"\r\n--Bytes\r\n");
    let fields = [("key", "up/${filename}"), ("acl", "private")];
    assert_eq!(form.fields().collect::<Vec<_>>(), fields);
    assert_eq!(form.field("submit"), None);
}

#[test]
fn the_file_s_name_is_filled_in_everywhere_but_in_what_is_signed() {
    let fields = [
        ("key", "up/${filename}"),
        ("x-amz-meta-name", "${filename}, ${filename}"),
        ("Content-Type", "image/${filename}"),
        ("success_action_redirect", "http://h/?f=${filename}"),
        ("policy", "${filename}"),
        ("x-ignore", "$filename ${Filename}"),
    ];
    let (form, _) = form_of(&fields, "/tmp/a b", "").unwrap();
    let form = form.filled_in().unwrap();
    let values = form.fields().map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(
        values,
        [
            "up/a b",
            "a b, a b",
            "image/a b",
            "http://h/?f=a b",
            "${filename}",
            "$filename ${Filename}"
        ]
    );
    // The name may be the variable itself, and nothing is filled in twice.
    let (form, _) = form_of(&[("key", "a${filename}")], "${filename}", "").unwrap();
    assert_eq!(form.filled_in().unwrap().key(), "a${filename}");
    let (form, _) = form_of(&[("key", "a${filename}")], "", "").unwrap();
    assert_eq!(form.filled_in().unwrap().key(), "a");
    let many = "${filename}".repeat(500);
    let (form, _) = form_of(&[("key", "a"), ("x", &many)], &"n".repeat(100), "").unwrap();
    assert_eq!(form.filled_in().unwrap_err().code(), "MaxPostPreDataLengthExceededError");
}

#[test]
fn forms_that_aws_refuses_are_refused_with_its_codes() {
    let number_of_files = "IncorrectNumberOfFilesInPostRequest";
    assert_eq!(code(&[("key", "a")]), number_of_files);
    assert_eq!(code(&[("key", "a"), ("file", "1"), ("file", "2")]), number_of_files);
    assert_eq!(code(&[("file", "1"), ("key", "a")]), "InvalidArgument");
    assert_eq!(code(&[("key", "a"), ("KEY", "b"), ("file", "1")]), "InvalidArgument");
    assert_eq!(code(&[("key", "a"), ("file", "1"), ("key", "b")]), "OK");
    for name in ["x-amz-meta-snowball-auto-extract", "x-amz-rename-source"] {
        assert_eq!(code(&[(name, "true"), ("file", "1")]), "NotImplemented", "{name}");
    }
    let missing = form_of(&[], "f", "").unwrap_err();
    assert_eq!((missing.code(), missing.message()), ("InvalidArgument", KEY_MISSING));
    let malformed = read(Spelling::Any, TYPE, "--B\r\n", usize::MAX).unwrap_err();
    assert_eq!(malformed.code(), "MalformedPOSTRequest");
    let unbounded = read(Spelling::Any, "multipart/form-data", "", usize::MAX).unwrap_err();
    assert_eq!(unbounded.code(), "MalformedPOSTRequest");
}

#[test]
fn all_but_the_file_is_at_most_20_kib_and_the_file_may_be_more() {
    let large = "x".repeat(FIELDS_BYTES_MAX);
    let half = &large[..FIELDS_BYTES_MAX / 2];
    let too_large = "MaxPostPreDataLengthExceededError";
    assert_eq!(code(&[("key", "a"), ("file", &large)]), "OK");
    assert_eq!(code(&[("key", "a"), ("x", &large), ("file", "1")]), too_large);
    assert_eq!(code(&[("key", "a"), ("x", half), ("y", half), ("file", "1")]), too_large);
    assert_eq!(code(&[("key", "a"), ("x", half), ("file", &large)]), "OK");
    assert_eq!(code(&[("key", "a"), ("file", "1"), ("x", &large)]), too_large);
    // What does not end is not waited for, wherever it is.
    for body in [large.clone(), format!("--B\r\n{large}"), format!("--B \t{large}")] {
        let error = read(Spelling::Any, TYPE, &body, 1000).unwrap_err();
        assert_eq!(error.status().as_u16(), 400, "{}", error.code());
    }
}

#[test]
fn how_large_the_file_can_be_is_known_when_it_begins() {
    let body = text(&[("key", "a")], "f", "12345");
    let mut head = Fields::new();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static(TYPE));
    let mut reader = FormReader::new(&head, Spelling::Any).unwrap();
    reader.feed(body.as_bytes());
    assert!(reader.fields().unwrap().is_some());
    let bytes = body.len() as u64;
    // The last line may have an end, or none.
    assert_eq!(reader.file_bytes(bytes), (0, 7));
    assert_eq!(reader.file_bytes(bytes + 1_000_000).0, bytes + 1_000_000 - 20 * 1024);
}

#[test]
fn a_form_has_one_content_type_and_no_coding() {
    let head = |pairs: &[(&'static str, &'static str)]| {
        let mut headers = Fields::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let read = FormReader::new(&headers, Spelling::Any).map_err(|e| e.status().as_u16());
        read.map(|_| ())
    };
    assert_eq!(head(&[("content-type", TYPE)]), Ok(()));
    assert_eq!(head(&[]), Err(400));
    assert_eq!(head(&[("content-type", TYPE), ("content-type", TYPE)]), Err(400));
    assert_eq!(head(&[("content-type", TYPE), ("content-encoding", "gzip")]), Err(501));
}

#[test]
fn a_form_that_goes_on_as_it_came_names_its_key_in_one_way() {
    let of = |fields: &[(&str, &str)]| {
        let body = text(fields, "f", "");
        let (form, _) = read(Spelling::Canonical, TYPE, &body, usize::MAX)?;
        form.check_canonical("buck")?;
        Ok(form.key().to_owned())
    };
    assert_eq!(
        of(&[("key", "a b/\u{fc}"), ("bucket", "buck"), ("X-Amz-Date", "d")]).unwrap(),
        "a b/\u{fc}"
    );
    assert_eq!(of(&[("key", "a"), ("policy", "e30=\r\n")]).unwrap(), "a");
    let code = |fields: &[(&str, &str)]| {
        let error: S3Error = of(fields).unwrap_err();
        error.code().to_owned()
    };
    for fields in [
        &[("Key", "a")][..],
        &[("key", "a"), ("File", "x")],
        &[("key", "a"), ("bucket", "other")],
        &[("key", "a"), ("Bucket", "buck")],
        &[("key", " a")],
        &[("key", "a\u{a0}")],
        &[("key", "a\n")],
        &[("key", "a\0")],
        &[("key", "\u{feff}a")],
        &[("key", "a"), ("acl", "a\0b")],
    ] {
        assert_eq!(code(fields), "MalformedPOSTRequest", "{fields:?}");
    }
    assert_eq!(code(&[("key", "a"), ("KEY", "b")]), "InvalidArgument");
    for key in ["${filename}", "a/${filename}", "${x}"] {
        assert_eq!(code(&[("key", key)]), "NotImplemented");
    }
}

#[test]
fn the_answer_of_201_is_a_post_response() {
    let text = String::from_utf8(post_response("http://h/b/a", "b", "a<", "\"e\"")).unwrap();
    assert_eq!(
        text,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse><Location>http://h/b/a\
         </Location><Bucket>b</Bucket><Key>a&lt;</Key><ETag>&quot;e&quot;</ETag></PostResponse>"
    );
}

proptest! {
    #[test]
    fn a_form_reads_the_same_however_it_is_cut(
        content in "[\r\n\\-Ba ]{0,80}",
        value in "[\r\n\\-Ba ]{0,20}",
        piece_bytes in 1_usize..40,
    ) {
        prop_assume!(![&content, &value].iter().any(|s| format!("\r\n{s}\r\n").contains("\r\n--B")));
        let body = text(&[("key", "k"), ("x", &value)], "f", &content);
        for spelling in [Spelling::Any, Spelling::Canonical] {
            let whole = read(spelling, TYPE, &body, usize::MAX);
            let cut = read(spelling, TYPE, &body, piece_bytes);
            prop_assert_eq!(&whole, &cut);
            if let Ok((form, file)) = whole {
                prop_assert_eq!(form.field("x"), Some(value.as_str()));
                prop_assert_eq!(&file[..], content.as_bytes());
            } else {
                let twice = [&content, &value].iter().any(|text| text.contains("--B"));
                prop_assert!(spelling == Spelling::Canonical && twice);
            }
        }
    }
}

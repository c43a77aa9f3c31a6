use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=B";

/// Each field as `name=value`, the file as `file<its name>=content`.
fn read(content_type: &str, body: &[u8], spelling: Spelling) -> Result<Vec<String>, Fault> {
    let mut parts = Parts::new(content_type, spelling)?;
    parts.feed(body);
    let mut found: Vec<String> = Vec::new();
    while let Some(piece) = parts.next_piece()? {
        match piece {
            Piece::Field { name, value } => found.push(format!("{name}={value}")),
            Piece::File { file_name } => found.push(format!("file<{file_name}>=")),
            Piece::Content(bytes) => {
                found.last_mut().unwrap().push_str(&String::from_utf8_lossy(&bytes));
            }
            Piece::FileEnd => {}
        }
    }
    parts.finish()?;
    Ok(found)
}

fn any(body: &str) -> Result<Vec<String>, Fault> {
    read(TYPE, body.as_bytes(), Spelling::Any)
}

/// A form whose only field has these headers.
fn field(headers: &str, spelling: Spelling) -> Result<Vec<String>, Fault> {
    let body = format!(
        "--B\r\n{headers}\r\n\r\nv\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; \
         filename=\"f\"\r\n\r\n\r\n--B--\r\n"
    );
    let mut found = read(TYPE, body.as_bytes(), spelling)?;
    found.pop();
    Ok(found)
}

const FILE: &str = "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.txt\"";

#[test]
fn parts_are_found_between_delimiters() {
    let body = format!(
        "preamble\r\n--B \t\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n\
         {FILE}\r\ncontent-type: x\r\n\r\n\r\n--Bx\r\n--B\r\nContent-Disposition: form-data; \
         name=b\r\n\r\n\u{fc}\r\n--B--\r\nepilogue"
    );
    assert_eq!(any(&body), Ok(vec!["a=1\r\n2".to_owned(), "file<f.txt>=\r\n--Bx".to_owned()]));
    let quoted = "multipart/form-data; charset=x; Boundary=\"B\"";
    let empty = format!("{FILE}\r\n\r\n\r\n--B--");
    let read = read(quoted, empty.as_bytes(), Spelling::Any);
    assert_eq!(read, Ok(vec!["file<f.txt>=".to_owned()]));
}

#[test]
fn names_are_read_as_browsers_and_libraries_write_them() {
    for (disposition, expected) in [
        ("form-data; name=\"a;b\"; filename=\"c=d\"", "a;b=v"),
        ("form-data; name=\"a\\\"b\"", "a\"b=v"),
        ("FORM-DATA;NAME=a", "a=v"),
        ("form-data; name=\"\u{fc}\"; filename=\"\"", "\u{fc}=v"),
    ] {
        let read = field(&format!("Content-Disposition: {disposition}"), Spelling::Any);
        assert_eq!(read, Ok(vec![expected.to_owned()]), "{disposition}");
    }
    for (parameter, expected) in [
        ("filename=\"C:\\dir\\x.txt\"", "C:\\dir\\x.txt"),
        ("filename=\"a\\\"b\"", "a\"b"),
        ("filename=\"a\\\"", "a\\"),
        ("filename=\"%22\u{fc}.txt\"", "%22\u{fc}.txt"),
        ("filename*=utf-8''%C3%BC.txt", "\u{fc}.txt"),
        ("filename=\"u.txt\"; filename*=utf-8''%C3%BC.txt", "u.txt"),
        ("x=1", ""),
    ] {
        let body = format!(
            "--B\r\nContent-Disposition: form-data; name=\"file\"; {parameter}\r\n\r\nc\r\n--B--"
        );
        assert_eq!(any(&body), Ok(vec![format!("file<{expected}>=c")]), "{parameter}");
    }
}

#[test]
fn a_field_is_text_in_utf_8() {
    let part = |more: &str| {
        field(&format!("Content-Disposition: form-data; name=a\r\n{more}"), Spelling::Any)
    };
    for header in [
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Type: text/plain; charset=\"ISO-8859-1\"\r\nContent-Transfer-Encoding: 8bit",
        "Content-Length: 1",
    ] {
        assert_eq!(part(header), Ok(vec!["a=v".to_owned()]), "{header}");
    }
    for header in ["Content-Type: text/plain; charset=utf-7", "Content-Transfer-Encoding: base64"] {
        assert!(matches!(part(header), Err(Fault::Ambiguous(_))), "{header}");
    }
    let latin_1 = "--B\r\nContent-Disposition: form-data; name=a\r\nContent-Type: text/plain; \
         charset=iso-8859-1\r\n\r\n\u{fc}\r\n--B--";
    assert!(matches!(any(latin_1), Err(Fault::Ambiguous(_))));
    let no_text = b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\n\xfc\r\n--B--";
    assert_eq!(read(TYPE, no_text, Spelling::Any), Err(Fault::Malformed));
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for disposition in [
        "form-data",
        "attachment; name=a",
        "form-data; name=\"a",
        "form-data; name=a; name=b",
        "form-data; name*=utf-8''a",
    ] {
        let read = field(&format!("Content-Disposition: {disposition}"), Spelling::Any);
        assert_eq!(read, Err(Fault::Malformed), "{disposition}");
    }
    let named = "Content-Disposition: form-data; name=a";
    for body in [
        String::new(),
        "--B".to_owned(),
        "--B\r\n".to_owned(),
        format!("--B\r\n{named}\r\n\r\nv"),
        format!("--B\r\n{named}\r\n\r\nv\r\n--B"),
        format!("--B\r\n{named}\r\nv\r\n--B--"),
        format!("--B\r\n{named}\r\n{named}\r\n\r\nv\r\n--B--"),
        format!("--B\r\nno colon\r\n{named}\r\n\r\nv\r\n--B--"),
        "--B\r\n\r\nv\r\n--B--".to_owned(),
        format!("--B\r\n{named}\r\nx:{}\r\n\r\nv\r\n--B--", "y".repeat(HEADER_BYTES_MAX)),
        format!("{FILE}\r\n\r\ncut"),
        format!("{FILE}\r\n\r\ncut\r\n--B"),
    ] {
        assert_eq!(any(&body), Err(Fault::Malformed), "{body:.80}");
    }
    assert_eq!(any("--B--"), Err(Fault::NumberOfFiles));
    let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
    for content_type in ["multipart/form-data", "multipart/form-data; boundary=", &long] {
        let read = read(content_type, b"--B--", Spelling::Any);
        assert_eq!(read, Err(Fault::Malformed), "{content_type}");
    }
}

// === the canonical spelling ===

const GOOD: &str = "--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n\
     --B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: a/b\
     \r\n\r\ncontent\r\n--B--\r\n";

fn canonical(body: &str) -> Result<Vec<String>, Fault> {
    read(TYPE, body.as_bytes(), Spelling::Canonical)
}

#[test]
fn what_browsers_and_common_libraries_send_is_canonical() {
    let found = Ok(vec!["key=k".to_owned(), "file<f>=content".to_owned()]);
    for (from, to) in [
        ("--B--\r\n", "--B--"),
        ("\r\nContent-Type: a/b", ""),
        ("a/b", "application/vnd.x+json"),
        ("a/b", "text/plain;charset=UTF-8"),
        ("a/b", "text/plain; charset=utf-8"),
        ("Content-Disposition", "content-disposition"),
        ("--B--", "--B\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nGo\r\n--B--"),
        (
            "Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\nContent-Type: a/b",
            "content-type: a/b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f\"",
        ),
    ] {
        assert_eq!(canonical(&GOOD.replace(from, to)), found, "{to}");
    }
    for boundary in ["----WebKitFormBoundaryAb0", "----formdata-undici-0123", "-_.x"] {
        let body = GOOD.replace("--B", &format!("--{boundary}"));
        let content_type = format!("multipart/form-data; boundary={boundary}");
        let read = read(&content_type, body.as_bytes(), Spelling::Canonical);
        assert_eq!(read, found, "{boundary}");
    }
}

/// All of these replacements make another form than the canonical one.
fn all_are_ambiguous(replacements: &[(&str, &str)]) {
    for (from, to) in replacements {
        let body = GOOD.replacen(from, to, if *from == "\r\n" { usize::MAX } else { 1 });
        assert_ne!(body, GOOD, "{from}");
        let read = canonical(&body);
        assert!(matches!(read, Err(Fault::Ambiguous(_))), "{to:?}: {read:?}");
    }
}

#[test]
fn every_other_spelling_of_a_field_is_ambiguous() {
    all_are_ambiguous(&[
        ("name=\"key\"", "name*=utf-8''key"),
        ("name=\"key\"", "name=\"key\"; name*=utf-8''other"),
        ("name=\"key\"", "name=\"k\\ey\""),
        ("name=\"key\"", "name=key"),
        ("name=\"key\"", "name='key'"),
        ("name=\"key\"", "name=\"\""),
        ("name=\"key\"", "name=\"k%65y\""),
        ("name=\"key\"", "name=\"key \""),
        ("name=\"key\"", "name=\"k\u{fc}\""),
        ("name=\"key\"", "name=\"_charset_\""),
        ("name=\"key\"", "NAME=\"key\""),
        ("name=\"key\"", "name=\"key\"; x=\"y\""),
        ("name=\"key\"", "name=\"key\";"),
        ("name=\"key\"", "x=\"y\"; name=\"key\""),
        ("name=\"key\"", "name=\"key\"; filename=\"x\""),
        ("name=\"key\"", "name=\"key\"; name=\"other\""),
        ("form-data; name=\"key\"", "form-data;name=\"key\""),
        ("form-data; name=\"key\"", "form-data ; name=\"key\""),
        ("form-data; name=\"key\"", "Form-Data; name=\"key\""),
        ("form-data; name=\"key\"", "form-data; \r\n name=\"key\""),
        ("Content-Disposition: ", "Content-Disposition : "),
        ("Content-Disposition: ", "Content-Disposition:"),
        ("Content-Disposition: ", "Content-Disposition:\t"),
        ("Content-Disposition: ", "X: y\r\nContent-Disposition: "),
        ("Content-Disposition: ", "Content-Length: 1\r\nContent-Disposition: "),
        ("name=\"key\"", "name=\"key\"\r\nContent-Type: text/plain"),
        ("name=\"key\"", "name=\"key\"\r\nContent-Type: text/plain; charset=utf-7"),
        ("name=\"key\"", "name=\"key\"\r\nContent-Transfer-Encoding: base64"),
        ("name=\"key\"", "name=\"key\"\r\nContent-Disposition: form-data; name=\"other\""),
        ("name=\"key\"", "name=\"key\"\nX: y"),
    ]);
}

#[test]
fn every_other_spelling_of_the_file_is_ambiguous() {
    all_are_ambiguous(&[
        ("filename=\"f\"", "filename=\"\""),
        ("filename=\"f\"", "filename=\"a\\\\b\""),
        ("filename=\"f\"", "filename=\"a;b\""),
        ("filename=\"f\"", "filename=\"a\u{0}b\""),
        ("filename=\"f\"", "filename=\"a\u{2028}b\""),
        ("filename=\"f\"", "filename*=utf-8''f"),
        ("filename=\"f\"", "filename=\"f\"; filename*=utf-8''g"),
        ("; filename=\"f\"", ""),
        ("name=\"file\"", "name=\"File\""),
        ("name=\"file\"", "name=\"upload\""),
        ("a/b", "text/plain; charset=utf-16"),
        ("a/b", "text/plain; charset=\"utf-8\""),
        ("a/b", "multipart/mixed; boundary=C"),
        ("a/b", "a"),
    ]);
    let second =
        "--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"g\"\r\n\r\n\r\n--B--";
    assert_eq!(canonical(&GOOD.replace("--B--", second)), Err(Fault::NumberOfFiles));
}

#[test]
fn every_other_spelling_of_the_lines_between_is_ambiguous() {
    all_are_ambiguous(&[
        ("content\r\n", "content\n"),
        ("content", "con--Btent"),
        ("content", "con\n--B\r\ntent"),
        ("content", "con\r\n--B\ntent"),
        ("content", "con\r\n--B x\r\ntent"),
        ("--B\r\n", "--B \r\n"),
        ("--B\r\n", "--B\n"),
        ("\r\n", "\n"),
        ("--B--\r\n", "--B--\r\n\r\n"),
        ("--B--\r\n", "--B--\r"),
        ("--B--\r\n", "--B-- "),
        ("--B--\r\n", "--B--\r\nmore"),
        ("--B--\r\n", "--B--\r\n--B--\r\n"),
        ("--B--", "--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nx\r\n--B--"),
        ("--B--", "--B\r\nContent-Disposition: form-data; name=\"Submit\"\r\n\r\nx\r\n--B--"),
    ]);
    for before in ["x\r\n", "\r\n", "\n", " "] {
        let read = canonical(&format!("{before}{GOOD}"));
        assert!(matches!(read, Err(Fault::Ambiguous(_))), "{before:?}: {read:?}");
    }
    for cut in 1..GOOD.len() - 2 {
        let read = canonical(&GOOD[..cut]);
        assert!(read.is_err(), "{cut}: {read:?}");
    }
}

#[test]
fn every_other_content_type_is_ambiguous() {
    for content_type in [
        "multipart/form-data;boundary=B",
        "multipart/form-data; boundary=\"B\"",
        "multipart/form-data; Boundary=B",
        "Multipart/Form-Data; boundary=B",
        "multipart/form-data; boundary=B; charset=utf-8",
        "multipart/form-data; boundary=B; boundary=C",
        "multipart/form-data; charset=utf-8; boundary=B",
        "multipart/form-data; boundary=B ",
        "multipart/form-data; boundary= B",
        "multipart/form-data; boundary=B'",
        "multipart/form-data; boundary=B=",
        "multipart/form-data; boundary*=B",
        "multipart/form-data, multipart/form-data; boundary=B",
    ] {
        let read = read(content_type, GOOD.as_bytes(), Spelling::Canonical);
        assert!(matches!(read, Err(Fault::Ambiguous(_))), "{content_type}: {read:?}");
    }
    let no_text = GOOD.replace("\r\n\r\nk\r\n", "\r\n\r\n?\r\n").into_bytes();
    let no_text: Vec<u8> = no_text.into_iter().map(|b| if b == b'?' { 0xfc } else { b }).collect();
    assert_eq!(read(TYPE, &no_text, Spelling::Canonical), Err(Fault::Malformed));
}

proptest! {
    #[test]
    fn content_without_the_delimiter_comes_out_as_it_went_in(
        content in "[\r\n\\-Ba ]{0,60}",
    ) {
        prop_assume!(!format!("\r\n{content}\r\n").contains("\r\n--B"));
        let body = format!("{FILE}\r\n\r\n{content}\r\n--B--");
        prop_assert_eq!(any(&body), Ok(vec![format!("file<f.txt>={content}")]));
    }

    #[test]
    fn what_is_canonical_is_read_alike_in_both_spellings(pieces in prop::collection::vec(
        prop_oneof![
            Just("--B"), Just("\r\n"), Just("--"), Just("Content-Disposition: form-data"),
            Just("; name=\"a\""), Just("; name=\"file\"; filename=\"f\""), Just("\r\n\r\n"),
            Just("\""), Just("\\"), Just(":"), Just("\u{e9}"), Just(" "), Just("\n"), Just("v"),
        ], 0..24))
    {
        let body = pieces.concat();
        let any = any(&body);
        if let Ok(found) = canonical(&body) {
            prop_assert_eq!(any, Ok(found));
        }
    }
}

use proptest::prelude::*;

use super::*;

fn judged(head: &str) -> Result<(), String> {
    let bytes = head.as_bytes();
    let code = |error: S3Error| format!("{} {}", error.status().as_u16(), error.code());
    match HeadScan::default().scan(bytes).map_err(code)? {
        Some(end) => check_head(&bytes[..end]).map(drop).map_err(code),
        None => Err("not whole".to_owned()),
    }
}

#[test]
fn ordinary_heads_pass() {
    for head in [
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "PUT /b/k HTTP/1.1\r\nhost: h\r\nCONTENT-LENGTH: 0005\r\n\r\nhello\n\0",
        "PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 9223372036854775807\r\n\r\n",
        "BREW /b/\u{e9}?q HTTP/1.1\r\nHost: h\r\nx-amz-meta-a: \u{e9}\t\r\n\r\n",
        "GET http://h/b HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\n\r\n",
    ] {
        assert_eq!(judged(head), Ok(()), "{head:?}");
    }
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    let put = |fields: &str| format!("PUT /b/k HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length:",
        "Content-Length: 9223372036854775808",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\n folded: yes",
        " Content-Length: 5",
        "Content-Length\t: 5",
        "Host: other",
        "a: b\0c",
        "a: b\nContent-Length: 5",
        "a: b\rContent-Length: 5",
        "no colon",
        ": no name",
        "a b: c",
    ] {
        assert_eq!(judged(&put(fields)), Err("400 BadRequest".to_owned()), "{fields:?}");
    }
    for coding in ["gzip, chunked", "chunked, identity", "xchunked", "identity", "\"chunked\""] {
        let fields = format!("Transfer-Encoding: {coding}");
        assert_eq!(judged(&put(&fields)), Err("501 NotImplemented".to_owned()), "{coding}");
    }
    for (head, refused) in [
        ("GET / HTTP/1.1\r\n\r\n", "400 BadRequest"),
        ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 BadRequest"),
        ("GET / HTTP/1.1\nHost: h\n\n", "400 BadRequest"),
        ("GET /a b HTTP/1.1\r\nHost: h\r\n\r\n", "400 BadRequest"),
        ("GET /\r\nHost: h\r\n\r\n", "400 BadRequest"),
        ("GET http://other/b HTTP/1.1\r\nHost: h\r\n\r\n", "400 BadRequest"),
        ("GET http://a@h/b HTTP/1.1\r\nHost: h\r\n\r\n", "400 BadRequest"),
        ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505 HttpVersionNotSupported"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HttpVersionNotSupported"),
        ("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", "405 MethodNotAllowed"),
        ("\u{16}\u{3}\u{1}\u{2}\r\n\r\n", "400 BadRequest"),
    ] {
        assert_eq!(judged(head), Err(refused.to_owned()), "{head:?}");
    }
}

#[test]
fn a_target_in_absolute_form_is_brought_into_origin_form_rfc_9112_3_2_2() {
    let brought = |line: &str, host: &str| {
        let head = format!("{line} HTTP/1.1\r\na: b\r\n{host}\r\n");
        judged(&head).unwrap();
        String::from_utf8(in_origin_form(head.as_bytes())?).ok()
    };
    for (line, brought_to) in [
        ("GET http://h:81/b/k?q=http://x/", "GET /b/k?q=http://x/"),
        ("GET HTTPS://H:81/", "GET /"),
        ("GET http://h:81?q=/", "GET /?q=/"),
        ("GET http://h:81", "GET /"),
        ("OPTIONS http://h:81", "OPTIONS *"),
        ("OPTIONS http://h:81/", "OPTIONS /"),
    ] {
        let expected = format!("{brought_to} HTTP/1.1\r\na: b\r\nHost: h:81\r\n\r\n");
        assert_eq!(brought(line, "Host: h:81\r\n"), Some(expected), "{line}");
    }
    for line in ["GET /http://h/", "GET ftp://h/", "OPTIONS *", "GET x"] {
        assert_eq!(brought(line, "Host: h\r\n"), None, "{line}");
    }
    let of_1_0 = b"GET http://h:81/k HTTP/1.0\r\na: b\r\n\r\n";
    let with_host = b"GET /k HTTP/1.0\r\nHost: h:81\r\na: b\r\n\r\n";
    assert_eq!(in_origin_form(of_1_0).as_deref(), Some(with_host.as_slice()));
}

#[test]
fn a_host_is_one_and_named_rfc_9112_3_2() {
    let with = |host: &str, target: &str| {
        judged(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
    };
    for host in ["h", "h:80", "h:", "a-b.c_d~:1", "127.0.0.1:9000", "[::1]", "[::1]:9000", "a%20b"]
    {
        assert_eq!(with(host, "/"), Ok(()), "{host}");
    }
    for host in [
        "", ":80", "h/", "h/b", "h,i", "a@h", "h:80x", "h:80:81", "[::1", "::1", "[::1]x", "[]x",
        "h i", "h?q", "h#f", "h\\i", "[h]",
    ] {
        assert_eq!(with(host, "/"), Err("400 BadRequest".to_owned()), "{host}");
    }
    for (host, target) in [("h", "http://h:80/"), ("h:80", "http://H"), ("h", "https://h:443/x")] {
        assert_eq!(with(host, target), Ok(()), "{host} {target}");
    }
    for (host, target) in [
        ("h", "http://h:443/"),
        ("h", "http://i/"),
        ("h", "http:///"),
        ("h", "http://a@h/"),
        ("a@h", "http://a@h/"),
        ("h", "http://?q"),
    ] {
        assert_eq!(with(host, target), Err("400 BadRequest".to_owned()), "{host} {target}");
    }
}

#[test]
fn a_head_says_where_its_body_ends() {
    let framing = |fields: &str| {
        check_head(format!("PUT / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes()).unwrap()
    };
    assert_eq!(framing(""), Framing::Nothing);
    assert_eq!(framing("Content-Length: 0\r\n"), Framing::Nothing);
    assert_eq!(framing("Content-Length: 007\r\n"), Framing::Length(7));
    assert_eq!(framing("Transfer-Encoding: Chunked\r\n"), Framing::Chunked);
}

#[test]
fn a_head_has_a_greatest_length_and_number_of_fields() {
    let of_length = |bytes: usize| {
        let start = "GET / HTTP/1.1\r\nHost: h\r\na: ";
        format!("{start}{}\r\n\r\n", "b".repeat(bytes - start.len() - 4))
    };
    let refused = Err("400 RequestHeaderSectionTooLarge".to_owned());
    assert_eq!(judged(&of_length(HEAD_BYTES_MAX)), Ok(()));
    assert_eq!(judged(&of_length(HEAD_BYTES_MAX + 1)), refused);
    assert_eq!(judged(&"a".repeat(HEAD_BYTES_MAX + 1)), refused);
    let of_fields =
        |count| format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
    assert_eq!(judged(&of_fields(FIELDS_MAX)), Ok(()));
    assert_eq!(judged(&of_fields(FIELDS_MAX + 1)), refused);
}

/// Where a head ends, byte by byte; `Err` where it cannot be one.
fn end_of_head(received: &[u8]) -> Result<Option<usize>, ()> {
    let (mut begun, mut line_bytes, mut previous) = (false, 0, 0);
    for (at, byte) in received.iter().copied().enumerate() {
        match (previous, byte) {
            (b'\r', b'\n') if line_bytes == 0 && begun => return Ok(Some(at + 1)),
            (b'\r', b'\n') => (begun, line_bytes) = (line_bytes > 0, 0),
            (b'\r', _) | (_, b'\n' | 0) => return Err(()),
            (_, b'\r') => {}
            _ => line_bytes += 1,
        }
        previous = byte;
    }
    Ok(None)
}

proptest! {
    #[test]
    fn any_bytes_are_scanned_as_byte_by_byte(
        pieces in prop::collection::vec("\r\n|a|bc|\r|\n|\0", 0..12),
        step in 1_usize..9,
    ) {
        let received = pieces.concat().into_bytes();
        let mut scan = HeadScan::default();
        let mut found = Ok(None);
        for end in (0..received.len()).step_by(step).chain([received.len()]) {
            found = scan.scan(&received[..end]).map_err(drop);
            if found != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(found, end_of_head(&received));
    }

    #[test]
    fn a_head_is_found_however_it_arrives(
        head in "(\r\n){0,2}[a-z /:]{1,20}\r\n([a-z: ]{1,10}\r\n){0,3}\r\n",
        rest in "[a-z\r\n\0]{0,10}",
        step in 1_usize..9,
    ) {
        let received = [head.as_bytes(), rest.as_bytes()].concat();
        let mut scan = HeadScan::default();
        let mut found = None;
        for end in (0..received.len()).step_by(step).chain([received.len()]) {
            found = scan.scan(&received[..end]).unwrap();
            if found.is_some() {
                break;
            }
        }
        prop_assert_eq!(found, Some(head.len()));
    }
}

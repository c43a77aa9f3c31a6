use super::*;

/// Reads a head that arrives in pieces of every size; the result must be the same.
fn taken(to_head: bool, head: &str) -> Result<AnswerHead, BadAnswer> {
    let in_steps = |step: usize| {
        let mut came = BytesMut::new();
        for piece in head.as_bytes().chunks(step) {
            came.extend_from_slice(piece);
            if let Some(head) = take_head(&mut came, to_head)? {
                return Ok(head);
            }
        }
        panic!("incomplete: {head:?}");
    };
    let whole = in_steps(head.len());
    for step in [1, 2, 3, 7, 50] {
        let stepped = in_steps(step);
        assert_eq!(format!("{stepped:?}"), format!("{whole:?}"), "in steps of {step}: {head:?}");
    }
    whole
}

fn framed(fields: &str) -> Result<(Option<Framing>, bool), &'static str> {
    let head = taken(false, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
    head.map(|head| (head.framing, head.persists)).map_err(|BadAnswer(why)| why)
}

#[test]
fn the_body_ends_as_rfc_9112_6_3_has_it() {
    use Framing::{Chunked, Length};
    for (fields, expected) in [
        ("Content-Length: 5\r\n", Ok((Some(Length(5)), true))),
        ("Content-Length: 0\r\n", Ok((Some(Length(0)), true))),
        ("content-length: 5\r\nContent-Length: 5\r\n", Ok((Some(Length(5)), true))),
        ("Content-Length: 5, 5\r\n", Ok((Some(Length(5)), true))),
        ("Content-Length: 5\r\nConnection: close\r\n", Ok((Some(Length(5)), false))),
        ("Transfer-Encoding: Chunked\r\n", Ok((Some(Chunked), true))),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", Ok((Some(Chunked), false))),
        ("", Ok((None, false))),
        ("Connection: keep-alive\r\n", Ok((None, false))),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Err("it has two Content-Lengths")),
        ("Content-Length: 5, 6\r\n", Err("it has two Content-Lengths")),
        ("Content-Length: +5\r\n", Err("its Content-Length is no length")),
        ("Content-Length: \r\n", Err("its Content-Length is no length")),
        ("Content-Length: 9223372036854775808\r\n", Err("its Content-Length is no length")),
        ("Transfer-Encoding: gzip, chunked\r\n", Err("its transfer coding is not chunked")),
        ("Transfer-Encoding: chunked, chunked\r\n", Err("its transfer coding is not chunked")),
        ("Transfer-Encoding: xchunked\r\n", Err("its transfer coding is not chunked")),
        ("no colon\r\n", Err("it is not HTTP/1.1")),
        ("a: b\r\n folded\r\n", Err("it is not HTTP/1.1")),
    ] {
        assert_eq!(framed(fields), expected, "{fields:?}");
    }
}

#[test]
fn the_length_is_said_once_or_not_at_all() {
    for (fields, expected) in [
        ("Content-Length: 5\r\n", vec!["5"]),
        ("Content-Length: 05, 5\r\nContent-Length: 5\r\n", vec!["5"]),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", vec![]),
        ("", vec![]),
    ] {
        let head = taken(false, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).unwrap();
        let said: Vec<_> = head.headers.get_all("content-length").collect();
        assert_eq!(said, expected, "{fields:?}");
    }
}

#[test]
fn answers_without_a_body_have_none_whatever_they_say() {
    let fields = "Content-Length: 5\r\nETag: \"e\"\r\n\r\n";
    for (to_head, status) in [
        (true, "200 OK"),
        (false, "204 No Content"),
        (false, "304 Not Modified"),
        (false, "100 Continue"),
        (false, "103 Early Hints"),
    ] {
        let head = taken(to_head, &format!("HTTP/1.1 {status}\r\n{fields}")).unwrap();
        assert_eq!((head.framing, head.persists), (Some(Framing::Nothing), true), "{status}");
        assert_eq!(head.headers["etag"], "\"e\"");
    }
}

#[test]
fn an_answer_of_http_1_0_persists_only_where_it_says_so() {
    let persists = |fields: &str| {
        taken(false, &format!("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n{fields}\r\n"))
            .unwrap()
            .persists
    };
    assert!(!persists(""));
    assert!(persists("Connection: keep-alive\r\n"));
    let chunked = taken(false, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(chunked.unwrap_err(), BadAnswer("its transfer coding is not chunked"));
}

#[test]
fn what_is_no_answer_or_has_no_end_is_refused() {
    for came in ["nonsense\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 999999 OK\r\n\r\n", "\0"] {
        assert!(take_head(&mut BytesMut::from(came), false).is_err(), "{came:?}");
    }
    let mut long =
        BytesMut::from(format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(HEAD_BYTES_MAX)).as_str());
    assert_eq!(take_head(&mut long, false).unwrap_err(), BadAnswer("its head is too long"));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(FIELDS_MAX + 1));
    let refused = take_head(&mut BytesMut::from(many.as_str()), false).unwrap_err();
    assert_eq!(refused, BadAnswer("it has too many fields"));
}

#[test]
fn what_follows_the_head_stays() {
    let mut came = BytesMut::from(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    assert_eq!(take_head(&mut came, false).unwrap().unwrap().status, 100);
    assert_eq!(take_head(&mut came, false).unwrap().unwrap().status, 200);
    assert_eq!(came, "hi");
}

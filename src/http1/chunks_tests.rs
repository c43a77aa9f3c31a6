use proptest::prelude::*;

use super::*;

/// How long the body is; or why it is none, or that it goes on.
fn length(came: &[u8]) -> Result<usize, &'static str> {
    let mut chunks = Chunks::default();
    match chunks.follow(came) {
        Err(BadChunks(why)) => Err(why),
        Ok(bytes) if chunks.is_done() => Ok(bytes),
        Ok(_) => Err("goes on"),
    }
}

#[test]
fn a_chunked_body_ends_where_it_says() {
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "00000005\r\nhello\r\n000\r\n\r\n",
        "A\r\n01234\n\r\n89\r\n3\r\n\r\n\r\r\n0\r\n\r\n",
        "5;a\r\nhello\r\n0;b=c\r\n\r\n",
        "5 ; a = \"b;\\\"c\\\\\" ;d\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\"\r\nhello\r\n0\r\n\r\n",
        "0\r\nx-amz-checksum-crc32:AAAA\r\nb: c d\t\r\ne:\r\n\r\n",
    ] {
        for rest in ["", "GET / HTTP/1.1\r\n", "\r\n"] {
            let came = format!("{body}{rest}");
            assert_eq!(length(came.as_bytes()), Ok(body.len()), "{came:?}");
        }
    }
}

#[test]
fn a_chunk_has_a_size_of_hexadecimal_digits_rfc_9112_7_1() {
    for line in ["", ";x", " 5", "+5", "-5", "0x5", "5 ", "5\t", "5_", "zz", "5h", "\"5\""] {
        assert!(length(format!("{line}\r\nhello\r\n0\r\n\r\n").as_bytes()).is_err(), "{line:?}");
        assert!(length(format!("5\r\nhello\r\n{line}\r\n\r\n").as_bytes()).is_err(), "{line:?}");
    }
    for line in ["10000000000000000", "00000000000000005", "8000000000000000", "ffffffffffffffff"] {
        let came = format!("{line}\r\nhello\r\n0\r\n\r\n");
        assert_eq!(length(came.as_bytes()), Err("the size of a chunk is too large"), "{line}");
    }
    assert_eq!(length(b"7fffffffffffffff\r\nhello"), Err("goes on"));
}

#[test]
fn a_chunk_is_as_long_as_it_says_rfc_9112_7_1() {
    for body in [
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "0\r\nhello\r\n\r\n",
    ] {
        assert!(!matches!(length(body.as_bytes()), Ok(_) | Err("goes on")), "{body:?}");
    }
}

#[test]
fn lines_end_with_cr_lf_and_hold_no_control_character_rfc_9112_2_2() {
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a\0\r\nhello\r\n0\r\n\r\n",
        "5;a\u{7f}\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "5\r\nhello\r\n0\r\n\r\r\n",
        "0\r\na: b\n\r\n",
        "0\r\na: b\0\r\n\r\n",
        "0\r\na: b\rc\r\n\r\n",
    ] {
        assert!(!matches!(length(body.as_bytes()), Ok(_) | Err("goes on")), "{body:?}");
    }
}

#[test]
fn extensions_are_names_and_values_rfc_9112_7_1_1() {
    for extension in [
        ";",
        ";;a",
        ";a;",
        ";=b",
        ";a=",
        ";a b",
        ";a=b c",
        ";a=\"b",
        ";a=\"b\"c",
        ";a=\"b\\\"",
        " a",
        "; a =\"",
        ";\u{e4}",
    ] {
        let came = format!("5{extension}\r\nhello\r\n0\r\n\r\n");
        assert_eq!(length(came.as_bytes()), Err("a chunk extension that is none"), "{extension:?}");
    }
    let quoted_end = b"5;a=\"x\r\nhello\r\n0\r\n\r\n\"\r\n";
    assert_eq!(length(quoted_end), Err("a chunk extension that is none"));
    let long = format!("5;{}\r\nhello", "a".repeat(SIZE_LINE_BYTES_MAX));
    assert_eq!(length(long.as_bytes()), Err("the line of a chunk's size is too long"));
    let many = format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(EXTENSION_BYTES_MAX / 201 + 1);
    assert_eq!(length(many.as_bytes()), Err("the chunk extensions are too long"));
}

#[test]
fn trailers_are_fields_that_may_stand_there_rfc_9112_7_1_2() {
    for trailer in ["no colon", ": no name", "a : b", " a: b", "a: b\r\n folded", "\u{e4}: b"] {
        let came = format!("0\r\n{trailer}\r\n\r\n");
        assert_eq!(length(came.as_bytes()), Err("a trailer that is no field"), "{trailer:?}");
    }
    for name in ["Content-Length", "transfer-encoding", "HOST"] {
        let came = format!("0\r\n{name}: 5\r\n\r\n");
        let refused = Err("a trailer that may stand in a head only");
        assert_eq!(length(came.as_bytes()), refused, "{name}");
    }
    let long = format!("0\r\na: {}\r\n\r\n", "b".repeat(TRAILER_BYTES_MAX));
    assert_eq!(length(long.as_bytes()), Err("the trailer fields are too long"));
}

proptest! {
    /// A body reads the same in whatever pieces it comes, and what is taken is what the grammar
    /// has: it can be written again from what was understood.
    #[test]
    fn a_body_is_found_however_it_arrives(
        pieces in proptest::collection::vec("[a-z\r\n\\x00;0-9]{1,20}", 0..5),
        extension in "(;[a-z]{1,5}(=[a-z]{1,5})?){0,2}",
        trailer in "([a-z]{1,5}: [a-z ]{0,5}\r\n){0,2}",
        rest in "[a-z\r\n\\x00]{0,10}",
        step in 1_usize..9,
    ) {
        let chunk =
            |piece: &String| format!("{:x}{extension}\r\n{piece}\r\n", piece.len());
        let chunks: String = pieces.iter().map(chunk).collect();
        let body = format!("{chunks}0{extension}\r\n{trailer}\r\n");
        let came = format!("{body}{rest}");
        let mut chunks = Chunks::default();
        let mut belongs = 0;
        for piece in came.as_bytes().chunks(step) {
            belongs += chunks.follow(piece).unwrap();
        }
        prop_assert!(chunks.is_done());
        prop_assert_eq!(belongs, body.len());
    }

    /// One byte changed: taken or refused, but the same in whatever pieces it comes.
    #[test]
    fn a_fault_is_found_however_it_arrives(
        at in 0_usize..40,
        byte in any::<u8>(),
        step in 1_usize..9,
    ) {
        let mut came = b"5;a=\"b\"\r\nhello\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n".to_vec();
        let at = at % came.len();
        came[at] = byte;
        let mut chunks = Chunks::default();
        let in_pieces = came.chunks(step).try_fold(0, |sum, piece| {
            chunks.follow(piece).map(|bytes| sum + bytes)
        });
        let mut whole = Chunks::default();
        prop_assert_eq!(in_pieces, whole.follow(&came));
    }
}

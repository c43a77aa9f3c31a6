//! A chunked body on the wire: it ends at the same place however it arrives, and what is let in is
//! what the grammar has: taken apart by its lines, it says the same.
#![no_main]

use ifmatch::http1::chunks::Chunks;
use libfuzzer_sys::fuzz_target;

/// How many bytes belong to the body, and whether it ends there; `None` for what is none.
fn followed(input: &[u8], step: usize) -> Option<(usize, bool)> {
    let mut chunks = Chunks::default();
    let mut bytes = 0;
    for piece in input.chunks(step) {
        let here = chunks.follow(piece).ok()?;
        bytes += here;
        if here < piece.len() {
            assert!(chunks.is_done());
            break;
        }
    }
    Some((bytes, chunks.is_done()))
}

/// Another reading: by lines and lengths, knowing that the grammar has been seen to.
fn end(input: &[u8]) -> usize {
    let line = |from: usize| {
        from + input[from..].windows(2).position(|pair| pair == b"\r\n").expect("a line")
    };
    let mut at = 0;
    loop {
        let line_end = line(at);
        let text = std::str::from_utf8(&input[at..line_end]).map(str::to_owned);
        let text = text.unwrap_or_else(|_| String::from_utf8_lossy(&input[at..line_end]).into());
        let digits = text.split([';', ' ', '\t']).next().expect("a size");
        let size = usize::from_str_radix(digits, 16).expect("a size in hexadecimal digits");
        at = line_end + 2;
        if size == 0 {
            break;
        }
        assert_eq!(&input[at + size..at + size + 2], b"\r\n");
        at += size + 2;
    }
    loop {
        let line_end = line(at);
        let field = &input[at..line_end];
        at = line_end + 2;
        if field.is_empty() {
            return at;
        }
        assert!(field.contains(&b':') && !field.starts_with(b" ") && !field.contains(&0));
    }
}

fuzz_target!(|input: &[u8]| {
    let whole = followed(input, input.len().max(1));
    for step in [1, 3, 64] {
        assert_eq!(whole, followed(input, step), "in steps of {step}");
    }
    if let Some((bytes, true)) = whole {
        assert_eq!(bytes, end(input));
        assert_eq!(whole, followed(&input[..bytes], input.len()), "what follows changes nothing");
    }
});

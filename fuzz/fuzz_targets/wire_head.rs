//! A request's head on the wire: found at the same place however it arrives, and what is let in has
//! one meaning only.
#![no_main]

use ifmatch::s3::S3Error;
use ifmatch::s3::wire::{HEAD_BYTES_MAX, HeadScan, check_head};
use libfuzzer_sys::fuzz_target;

fn scanned(input: &[u8], step: usize) -> Result<Option<usize>, S3Error> {
    let mut scan = HeadScan::default();
    for end in (0..input.len()).step_by(step).chain([input.len()]) {
        if let Some(found) = scan.scan(&input[..end])? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fuzz_target!(|input: &[u8]| {
    let found = scanned(input, usize::MAX);
    for step in [1, 3, 64] {
        assert_eq!(found, scanned(input, step), "in steps of {step}");
    }
    let Ok(Some(end)) = found else { return };
    assert!(end <= HEAD_BYTES_MAX);
    let head = &input[..end];
    assert!(head.ends_with(b"\r\n\r\n"));
    if check_head(head).is_err() {
        return;
    }
    let text = String::from_utf8_lossy(head);
    let lines: Vec<&str> = text.split("\r\n").skip_while(|line| line.is_empty()).collect();
    assert!(lines[0].ends_with("HTTP/1.1") || lines[0].ends_with("HTTP/1.0"));
    assert!(!text.contains('\0') && lines.iter().all(|line| !line.contains(['\r', '\n'])));
    let fields = &lines[1..lines.len() - 2];
    let count = |wanted: &str| {
        let names = fields.iter().map(|line| line.split_once(':').expect("a colon").0);
        names.filter(|name| name.eq_ignore_ascii_case(wanted)).count()
    };
    assert!(fields.iter().all(|line| !line.starts_with([' ', '\t', ':'])));
    assert!(count("host") <= 1);
    assert!(count("content-length") + count("transfer-encoding") <= 1);
});

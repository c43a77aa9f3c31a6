//! The conditions of reads and of a copy's source, against what an answer says of its object. The
//! input is a request; what it calls `etag` and `last-modified` belongs to the object.
#![no_main]

use ifmatch::s3::{Preconditions, Validators};
use ifmatch_fuzz::{NOW, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(mut request) = Request::read(input) else { return };
    let validators = Validators::of(&request.headers);
    let read = Preconditions::of_read(&request.headers, NOW);
    let copy = Preconditions::of_copy_source(&request.headers, NOW);
    let failing = read.failing(&validators);
    assert!(failing.is_none() || !read.is_empty());
    assert!(copy.failing(&validators).is_none() || !copy.is_empty());
    // Written in one spelling they ask the same.
    read.replace_in(&mut request.headers);
    let again = Preconditions::of_read(&request.headers, NOW);
    assert_eq!(again.failing(&validators), failing, "{:?}", request.headers);
    if let Some(failing) = failing {
        assert!([304, 412].contains(&failing.refusal().status().as_u16()));
    }
});

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
    let failing = read.evaluate(&validators).err();
    assert!(failing.is_none() || !read.is_empty());
    assert!(copy.evaluate(&validators).is_ok() || !copy.is_empty());
    // The store may be asked less, as it is never believed; asked more, it would refuse what holds.
    read.replace_in(&mut request.headers);
    let again = Preconditions::of_read(&request.headers, NOW);
    assert!(failing.is_some() || again.evaluate(&validators).is_ok(), "{:?}", request.headers);
    if let Some(failing) = failing {
        assert_eq!(failing.failed().status().as_u16(), 412);
    }
});

//! Bucket and key of a request: one name for every spelling, and never one that a store could take
//! for another.
#![no_main]

use ifmatch::s3::encoding::encode_path;
use ifmatch::s3::name::KEY_BYTES_MAX;
use ifmatch::s3::{DotSegments, EmptySegments, Naming, Segments, Target};
use ifmatch_fuzz::{Request, escaped};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(mut request) = Request::read(input) else { return };
    for (empty, dots) in
        [(EmptySegments::Kept, DotSegments::Refused), (EmptySegments::Refused, DotSegments::Kept)]
    {
        let segments = Segments { empty, dots };
        let naming = Naming { domains: vec!["s3.test".into(), "eu.s3.test".into()], segments };
        let Ok(target) = Target::parse(request.head(), &naming) else { continue };
        let Target::Object(name) = &target else { continue };
        let key = name.key.as_str();
        assert!(!key.is_empty() && key.len() <= KEY_BYTES_MAX);
        let dotted = key.split('/').any(|segment| segment == "." || segment == "..");
        assert!(dots == DotSegments::Kept || !dotted);
        assert!(empty == EmptySegments::Kept || !key.contains("//"));
        assert!(!name.bucket.as_str().contains(['/', '%', '\0']));
        let as_sent = request.path.clone();
        for spelling in [encode_path(key), escaped(key)] {
            request.headers.clear();
            request.path = format!("/{}/{spelling}", name.bucket);
            assert_eq!(Target::parse(request.head(), &naming).as_ref(), Ok(&target), "{spelling}");
        }
        assert_eq!(target.path(), format!("/{}/{}", name.bucket, encode_path(key)));
        request = Request::read(input).expect("it was read before");
        assert_eq!(as_sent, request.path);
    }
});

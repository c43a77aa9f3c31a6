//! Times as Signature Version 4 and HTTP write them.
#![no_main]

use ifmatch::sigv4::AmzDate;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (i64, &str)| {
    let (seconds, text) = input;
    let date = AmzDate::from_unix(seconds);
    assert_eq!(AmzDate::parse(date.as_str()), Some(date));
    assert!(date.as_str().starts_with(date.day()));
    assert_eq!(date.to_iso8601().replace(['-', ':'], ""), date.as_str());
    if let Some(parsed) = AmzDate::parse(text) {
        assert_eq!(parsed.as_str(), text);
        if parsed.unix() >= 0 {
            assert_eq!(AmzDate::from_unix(parsed.unix()), parsed);
        }
    }
    if let Some(parsed) = AmzDate::from_date_header(text) {
        assert_eq!(AmzDate::parse(parsed.as_str()), Some(parsed));
    }
});

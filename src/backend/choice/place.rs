//! The place of a request: the bucket and the key that it is about, in one spelling, whatever the
//! spelling in the request. Everything that is about one key has one place, so it goes to one node.

use crate::s3::encoding::decode;

/// The place of a request with this path, or with this whole target; `bucket` is the one in its host,
/// where the host names one.
pub fn place_of(bucket: Option<&str>, target: &str) -> String {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    // What cannot be decoded is no key's name: a store refuses it.
    let path = decode(path).unwrap_or_else(|| path.to_owned());
    match bucket {
        Some(bucket) => format!("/{bucket}{path}"),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_place_however_it_is_spelled() {
        for (bucket, target) in [
            (None, "/b/a b"),
            (None, "/b/a%20b"),
            (None, "/b/%61%20b?uploadId=x&partNumber=1"),
            (Some("b"), "/a%20b?tagging"),
        ] {
            assert_eq!(place_of(bucket, target), "/b/a b", "{bucket:?} {target}");
        }
        assert_eq!(place_of(None, "/?list"), "/");
        assert_eq!(place_of(None, "/b/%zz"), "/b/%zz");
        assert_eq!(place_of(None, "/b/a+b"), "/b/a+b");
    }
}

//! The target of a request: the service, a bucket, or an object.

use http::header::HOST;

use super::code::Code;
use super::encoding::decode;
use super::error::S3Error;
use super::head::RequestHead;
use super::name::{BucketName, ObjectKey, ObjectName, Segments};
use crate::http1::fields::Fields;

/// How requests name buckets and keys.
#[derive(Debug, Clone, Default)]
pub struct Naming {
    /// Host names under which `<bucket>.<domain>` means that bucket (virtual-host style), without
    /// port. Other hosts use path style.
    pub domains: Vec<String>,
    /// Which unusual segments keys may contain.
    pub segments: Segments,
}

/// The target of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// The service itself: `/`.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object, which need not exist.
    Object(ObjectName),
}

impl Target {
    /// Reads bucket and key from host and path, and decodes them once (AWS: Virtual hosting of
    /// buckets). 400 for an invalid path, bucket or key, or a repeated `Host`.
    pub fn parse(head: RequestHead<'_>, naming: &Naming) -> Result<Self, S3Error> {
        #[cfg(test)]
        crate::readings::count("target");
        let path = match head.path {
            "" => "",
            path => path.strip_prefix('/').ok_or_else(invalid_uri)?,
        };
        let (bucket, key) = match host_bucket(head, &naming.domains)? {
            Some(bucket) => (bucket, path),
            None if path.is_empty() => return Ok(Self::Service),
            None => {
                // Split before decoding: a `%2F` in the bucket's part then makes an invalid name,
                // and is never read as the separator, as another parser may do.
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                (decode(bucket).ok_or_else(invalid_uri)?, key)
            }
        };
        let bucket = BucketName::parse(&bucket)?;
        if key.is_empty() {
            return Ok(Self::Bucket(bucket));
        }
        let key = decode(key).ok_or_else(invalid_uri)?;
        let key = ObjectKey::parse(&key, naming.segments)?;
        Ok(Self::Object(ObjectName { bucket, key }))
    }

    /// The bucket of a request, also where its key is invalid, and whether the host names the
    /// bucket.
    pub fn bucket_named(head: RequestHead<'_>, naming: &Naming) -> Option<(BucketName, bool)> {
        if let Some(bucket) = host_bucket(head, &naming.domains).ok()? {
            return BucketName::parse(&bucket).ok().map(|bucket| (bucket, true));
        }
        let bucket = head.path.strip_prefix('/')?.split('/').next()?;
        BucketName::parse(&decode(bucket)?).ok().map(|bucket| (bucket, false))
    }

    /// The path-style path by which the store is asked for it.
    pub fn path(&self) -> String {
        match self {
            Self::Service => "/".to_owned(),
            Self::Bucket(bucket) => format!("/{bucket}"),
            Self::Object(name) => name.path(),
        }
    }

    /// The bucket, unless the target is the service.
    pub const fn bucket(&self) -> Option<&BucketName> {
        match self {
            Self::Service => None,
            Self::Bucket(bucket) => Some(bucket),
            Self::Object(object) => Some(&object.bucket),
        }
    }

    /// The object, if the target is one.
    pub const fn object(&self) -> Option<&ObjectName> {
        match self {
            Self::Service | Self::Bucket(_) => None,
            Self::Object(object) => Some(object),
        }
    }
}

/// The bucket in the host, in lower case: host names ignore case (RFC 9110 §4.2.3). The longest
/// matching domain decides; a host that equals a domain is path style. 400 for a repeated or
/// invalid `Host`.
pub fn host_bucket(head: RequestHead<'_>, domains: &[String]) -> Result<Option<String>, S3Error> {
    bucket_in_host(head.headers, domains)
}

/// The same, by the headers.
pub fn bucket_in_host(headers: &Fields, domains: &[String]) -> Result<Option<String>, S3Error> {
    let mut hosts = headers.get_all(HOST);
    let host = match (hosts.next(), hosts.next()) {
        (None, _) => return Ok(None),
        (Some(host), None) => host.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    // RFC 9112 §3.2: a request with several Host headers, or an invalid one, gets 400.
    let host =
        host.ok_or_else(|| S3Error::new(Code::InvalidRequest).because("Invalid Host header."))?;
    if domains.is_empty() {
        return Ok(None);
    }
    let host = host.trim().to_ascii_lowercase();
    let name = without_port(&host);
    // A full domain name may end in a dot.
    let name = name.strip_suffix('.').unwrap_or(name);
    let longest = domains
        .iter()
        .filter_map(|domain| {
            let rest = name.strip_suffix(domain.to_ascii_lowercase().as_str())?;
            let bucket = if rest.is_empty() { None } else { Some(rest.strip_suffix('.')?) };
            Some((domain.len(), bucket))
        })
        .max_by_key(|(length, _)| *length);
    Ok(longest.and_then(|(_, bucket)| bucket).map(str::to_owned))
}

/// The host without its `:port`. An IPv6 address keeps its brackets.
pub fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn invalid_uri() -> S3Error {
    S3Error::new(Code::InvalidUri)
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};
    use proptest::prelude::*;

    use super::*;
    use crate::s3::EmptySegments;
    use crate::s3::Query;
    use crate::s3::encoding::encode_path;

    fn parse(host: &str, path: &str, empty_segments: EmptySegments) -> Result<String, String> {
        let mut headers = Fields::new();
        if !host.is_empty() {
            headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        }
        let head =
            RequestHead { method: &Method::GET, path, query: &Query::default(), headers: &headers };
        let naming = Naming {
            domains: vec!["s3.test".to_owned(), "EU.s3.test".to_owned()],
            segments: empty_segments.into(),
        };
        match Target::parse(head, &naming) {
            Ok(Target::Service) => Ok(String::new()),
            Ok(Target::Bucket(bucket)) => Ok(format!("{bucket}|")),
            Ok(Target::Object(ObjectName { bucket, key })) => Ok(format!("{bucket}|{key}")),
            Err(error) => {
                assert_eq!(error.status().as_u16(), 400);
                Err(error.code().to_owned())
            }
        }
    }

    #[test]
    fn bucket_and_key_are_found_in_both_styles() {
        for (host, path, expected) in [
            ("s3.test", "/", ""),
            ("", "/bucket/key", "bucket|key"),
            ("s3.test", "/bucket", "bucket|"),
            ("s3.test", "/bucket/", "bucket|"),
            ("s3.test:9000", "/bucket/a/b", "bucket|a/b"),
            ("127.0.0.1:9000", "/bucket/a", "bucket|a"),
            ("[::1]:9000", "/bucket/a", "bucket|a"),
            ("buck.s3.test", "/", "buck|"),
            ("buck.s3.test", "", "buck|"),
            ("buck.S3.Test:443", "/a/b", "buck|a/b"),
            ("buck.s3.test.", "/a", "buck|a"),
            ("Buck.s3.test", "/a", "buck|a"),
            ("buck.et.s3.test", "/a", "buck.et|a"),
            // the longest domain wins, so `eu` is no bucket of the shorter one
            ("buck.eu.s3.test", "/a", "buck|a"),
            ("eu.s3.test", "/bucket/a", "bucket|a"),
            // A host that only ends in the same letters is not under the domain.
            ("bucks3.test", "/bucket/a", "bucket|a"),
            ("s3.test", "/bucket/a%2Fb", "bucket|a/b"),
            ("s3.test", "/bucket/a%252Fb", "bucket|a%2Fb"),
            ("s3.test", "/bucket/a+b%20c%C3%A9", "bucket|a+b cé"),
            ("s3.test", "/bucket//a", "bucket|/a"),
            ("s3.test", "/b%75cket/%61", "bucket|a"),
        ] {
            let found = parse(host, path, EmptySegments::Kept);
            assert_eq!(found, Ok(expected.to_owned()), "{host} {path}");
        }
    }

    #[test]
    fn names_that_could_mean_two_things_are_refused() {
        let long = format!("/bucket/{}", "%C3%A9".repeat(513));
        for (host, path, code) in [
            ("", "bucket/key", "InvalidURI"),
            ("", "*", "InvalidURI"),
            ("", "/bucket/a%2", "InvalidURI"),
            ("", "/bucket/%ff", "InvalidURI"),
            ("", "/b%zzcket/a", "InvalidURI"),
            ("", "//bucket/a", "InvalidBucketName"),
            ("", "/bucket%2Fa", "InvalidBucketName"),
            ("", "/../a", "InvalidBucketName"),
            (".s3.test", "/a", "InvalidBucketName"),
            ("", "/bucket/.", "InvalidArgument"),
            ("", "/bucket/a/../b", "InvalidArgument"),
            ("", "/bucket/a/%2e%2E/b", "InvalidArgument"),
            ("", "/bucket/a%2F..%2Fb", "InvalidArgument"),
            ("", "/bucket/a%00", "InvalidArgument"),
            ("", &long, "KeyTooLongError"),
        ] {
            let found = parse(host, path, EmptySegments::Kept);
            assert_eq!(found, Err(code.to_owned()), "{host} {path}");
        }
        for path in ["/bucket//a", "/bucket/a//b", "/bucket/a%2F/b", "/bucket/%2F"] {
            let found = parse("", path, EmptySegments::Refused);
            assert_eq!(found, Err("InvalidArgument".to_owned()), "{path}");
        }
        assert_eq!(parse("", "/bucket/a/", EmptySegments::Refused), Ok("bucket|a/".to_owned()));
    }

    #[test]
    fn two_hosts_are_one_too_many() {
        let mut headers = Fields::new();
        headers.append(HOST, HeaderValue::from_static("a.s3.test"));
        headers.append(HOST, HeaderValue::from_static("b.s3.test"));
        let head = RequestHead {
            method: &Method::GET,
            path: "/k",
            query: &Query::default(),
            headers: &headers,
        };
        let error = Target::parse(head, &Naming::default()).unwrap_err();
        assert_eq!(error.code(), "InvalidRequest");
    }

    /// Percent-encodes every byte that the mask picks, on top of those that must be.
    fn spelled(key: &str, mask: u64) -> String {
        let every = |byte: u8| format!("%{byte:02x}");
        key.char_indices()
            .map(|(i, c)| {
                if mask >> (i % 64) & 1 == 1 {
                    c.to_string().bytes().map(every).collect()
                } else {
                    encode_path(&c.to_string())
                }
            })
            .collect()
    }

    proptest! {
        #[test]
        fn two_spellings_of_a_key_are_one_key(key in "[a-z./%+ é-]{1,40}", a: u64, b: u64) {
            let of = |mask| parse("", &format!("/bucket/{}", spelled(&key, mask)),
                EmptySegments::Kept);
            prop_assert_eq!(of(a), of(b));
        }

        #[test]
        fn the_path_to_the_store_names_the_same_object(key in "\\PC{1,80}") {
            let path = format!("/bucket/{}", encode_path(&key));
            let headers = Fields::new();
            let head =
                RequestHead { method: &Method::GET, path: &path, query: &Query::default(), headers: &headers };
            if let Ok(Target::Object(name)) = Target::parse(head, &Naming::default()) {
                prop_assert_eq!(name.key.as_str(), key.as_str());
                prop_assert_eq!(name.path(), path);
            }
        }

        #[test]
        fn no_path_and_no_host_panics(host in "[ -~]{0,30}", path in "\\PC{0,60}") {
            let _ = parse(&host, &path, EmptySegments::Refused);
        }
    }
}

//! Addressing: the host and the path of a request to the store. A pure function.

use crate::config::{Addressing, Endpoint};

/// Host and path of a request to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAndPath<'a> {
    /// The bucket in the host, before the endpoint's own name.
    pub host_bucket: Option<&'a str>,
    /// The path, without the bucket where the host has it.
    pub path: &'a str,
}

/// Finds host and path for a path in path style (`/bucket/key`). In virtual-host style the host
/// contains the bucket (AWS: Virtual hosting of buckets), unless the bucket's name cannot be a
/// label of a host name: then path style is used, as SDKs do.
pub fn host_and_path(addressing: Addressing, path: &str) -> HostAndPath<'_> {
    let in_path = HostAndPath { host_bucket: None, path };
    let (Addressing::VirtualHost, Some(bucket_and_key)) = (addressing, path.strip_prefix('/'))
    else {
        return in_path;
    };
    let (bucket, _) = bucket_and_key.split_once('/').unwrap_or((bucket_and_key, ""));
    if !is_host_label(bucket) {
        return in_path;
    }
    let path = &bucket_and_key[bucket.len()..];
    HostAndPath { host_bucket: Some(bucket), path: if path.is_empty() { "/" } else { path } }
}

impl HostAndPath<'_> {
    /// The `Host` field.
    pub fn authority(&self, endpoint: &Endpoint) -> String {
        match self.host_bucket {
            Some(bucket) => format!("{bucket}.{}", endpoint.authority()),
            None => endpoint.authority(),
        }
    }

    /// The name for TLS (SNI), where it is not the endpoint's own.
    pub fn server_name(&self, endpoint: &Endpoint) -> Option<String> {
        self.host_bucket.map(|bucket| format!("{bucket}.{}", endpoint.host))
    }
}

/// RFC 1123 §2.1, in lower case: hosts ignore case, buckets do not. A name with dots would be
/// several labels, which no wildcard certificate covers.
fn is_host_label(bucket: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=LABEL_BYTES_MAX).contains(&bucket.len())
        && bucket.bytes().all(allowed)
        && !bucket.starts_with('-')
        && !bucket.ends_with('-')
}

/// RFC 1035 §2.3.4.
const LABEL_BYTES_MAX: usize = 63;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_names_the_bucket_where_it_can() {
        let endpoint = Endpoint { https: false, host: "s3.test".to_owned(), port: 9000 };
        let long = format!("/{}/k", "b".repeat(64));
        for (path, authority, path_sent) in [
            ("/", "s3.test:9000", "/"),
            ("/bucket", "bucket.s3.test:9000", "/"),
            ("/bucket/", "bucket.s3.test:9000", "/"),
            ("/bucket/a/b%20c", "bucket.s3.test:9000", "/a/b%20c"),
            ("/bucket//a", "bucket.s3.test:9000", "//a"),
            ("/b-1/k", "b-1.s3.test:9000", "/k"),
            ("/a.b/k", "s3.test:9000", "/a.b/k"),
            ("/Bucket/k", "s3.test:9000", "/Bucket/k"),
            ("/a_b/k", "s3.test:9000", "/a_b/k"),
            ("/bucket-/k", "s3.test:9000", "/bucket-/k"),
            (&long, "s3.test:9000", &long),
        ] {
            let found = host_and_path(Addressing::VirtualHost, path);
            assert_eq!((found.authority(&endpoint).as_str(), found.path), (authority, path_sent));
            assert_eq!(
                found.server_name(&endpoint).map(|name| name + ":9000").as_deref(),
                found.host_bucket.map(|_| authority)
            );
            assert_eq!(
                host_and_path(Addressing::Path, path),
                HostAndPath { host_bucket: None, path }
            );
        }
    }
}

//! Reserved names: first path segments that are not buckets, because the store serves something
//! else there on the same port (its administration, its health, other protocols). The proxy would
//! sign a request for such a path with its own credential, whatever rights the caller has.

use super::error::S3Error;
use super::name::BucketName;

/// The names, in lower case.
#[derive(Debug, Clone, Default)]
pub struct Reserved(Vec<String>);

impl Reserved {
    /// These names, whatever their case.
    pub fn new(names: &[String]) -> Self {
        Self(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// 403 `AccessDenied` when this bucket's name is reserved, in upper or lower case. The name is
    /// legal, so AWS's `InvalidBucketName` would be wrong. Checked before anything else, since the
    /// answer is the same for all callers.
    pub fn check(&self, bucket: &BucketName) -> Result<(), S3Error> {
        let name = bucket.as_str().to_ascii_lowercase();
        if !self.0.contains(&name) {
            return Ok(());
        }
        Err(S3Error::access_denied().because(RESERVED).with("BucketName", bucket.as_str()))
    }
}

const RESERVED: &str = "A store may serve its own administration under this name, so a bucket of this name \
                        cannot be used through this proxy. Its operator can remove the name from the \
                        list backend.reserved.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_name_is_no_bucket_in_any_case() {
        let reserved = Reserved::new(&["admin".to_owned(), "Moto-API".to_owned()]);
        let check = |name| reserved.check(&BucketName::parse(name).unwrap());
        for name in ["admin", "Admin", "ADMIN", "moto-api"] {
            let refused = check(name).unwrap_err();
            assert_eq!((refused.status().as_u16(), refused.code()), (403, "AccessDenied"));
        }
        for name in ["admins", "an-admin", "tables"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }
}

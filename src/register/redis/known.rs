//! A walk over the keys that the register knows: `SCAN` on each master, page by page, so that neither
//! side has to hold them all. It reads names only and changes nothing.

use std::collections::BTreeSet;

use redis::cmd;
use tokio::time::{Instant, timeout_at};

use super::RedisRegister;
use super::error::{CallError, silent};
use super::format::known_name;
use super::settings::Address;
use super::topology::no_master;
use crate::register::RegisterError;
use crate::s3::{BucketName, ObjectName};

/// How many entries Redis looks at for a page.
const LOOKED_AT: usize = 1000;

/// Where a walk over the keys of a range stands.
#[derive(Debug)]
pub struct Walk {
    bucket: BucketName,
    prefix: String,
    /// The masters that were not asked yet; `None` before the first page.
    left: Option<Vec<Address>>,
    /// The master that is asked, and where its page begins.
    at: Option<(Address, u64)>,
}

impl Walk {
    /// A walk over the keys of this bucket that begin so.
    pub fn new(bucket: &BucketName, prefix: &str) -> Self {
        Self { bucket: bucket.clone(), prefix: prefix.to_owned(), left: None, at: None }
    }
}

impl RedisRegister {
    /// The next keys of a walk, in no order; `None` at its end. A key may come twice, and one whose
    /// record begins or ends meanwhile may be left out (Redis: SCAN).
    ///
    /// # Errors
    /// The register does not answer, or another server has become a master since the walk began.
    pub async fn next_known(
        &self,
        walk: &mut Walk,
    ) -> Result<Option<BTreeSet<ObjectName>>, RegisterError> {
        let deadline = Instant::now() + self.settings.timeout;
        let Some((address, cursor)) = self.place_of(walk, deadline).await? else { return Ok(None) };
        let (next, found) = self.page_of(walk, &address, cursor, deadline).await?;
        walk.at = (next != 0).then_some((address, next));
        let (namespace, bucket) = (&self.partitions.namespace, &walk.bucket);
        let names = found.iter().filter_map(|stored| known_name(namespace, stored));
        let is_wanted = |name: &ObjectName| {
            name.bucket == *bucket && name.key.as_str().starts_with(&walk.prefix)
        };
        Ok(Some(names.filter(is_wanted).collect()))
    }

    /// The master to ask next, and where; `None` where all were asked to their end.
    async fn place_of(
        &self,
        walk: &mut Walk,
        deadline: Instant,
    ) -> Result<Option<(Address, u64)>, RegisterError> {
        if let Some(place) = walk.at.take() {
            return Ok(Some(place));
        }
        if walk.left.is_none() {
            let snapshot = self.router.masters(deadline).await?;
            if snapshot.masters.missing() > 0 {
                return Err(no_master(snapshot.masters.missing()));
            }
            walk.left = Some(snapshot.masters.each().into_keys().cloned().collect());
        }
        Ok(walk.left.as_mut().and_then(Vec::pop).map(|address| (address, 0)))
    }

    /// One page of a master: where the next one begins, 0 for none, and names of stored keys.
    async fn page_of(
        &self,
        walk: &Walk,
        address: &Address,
        cursor: u64,
        deadline: Instant,
    ) -> Result<(u64, Vec<Vec<u8>>), RegisterError> {
        let snapshot = self.router.masters(deadline).await?;
        if !snapshot.masters.each().contains_key(address) {
            return Err(RegisterError::Unreachable(format!(
                "{address} is no master any more. Begin again"
            )));
        }
        let node = self.router.node(address, &snapshot);
        let mut connection = self.connection_to(&node, &snapshot, deadline).await?;
        let mut scan = cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(walk.pattern(&self.partitions.namespace));
        scan.arg("COUNT").arg(LOOKED_AT).arg("TYPE").arg("string");
        match timeout_at(deadline, scan.query_async(&mut connection.requests)).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(error)) => Err(CallError::from(&error).into()),
            Err(_) => {
                connection.spoil();
                Err(silent(&node, "scan"))
            }
        }
    }
}

impl Walk {
    /// What the names of the stored keys look like.
    fn pattern(&self, namespace: &str) -> String {
        let range = format!("{}/{}", self.bucket, self.prefix);
        format!("{{{}:*}}{}*", literally(namespace), literally(&range))
    }
}

/// A text that a pattern takes as it is.
fn literally(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_a_prefix_as_it_is() {
        let walk = Walk::new(&BucketName::parse("bucket").unwrap(), "a*[b]?\\/ä");
        assert_eq!(walk.pattern("if"), "{if:*}bucket/a\\*\\[b\\]\\?\\\\/ä*");
    }
}

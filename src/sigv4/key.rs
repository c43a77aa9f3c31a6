//! Signing keys: derived from a secret for one day, one region and one service, so that their
//! signatures are valid nowhere else.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use ahash::HashMap;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::credential::Credential;
use super::signature::Signature;
use crate::secret::Secret;

/// The scope in which a signature is valid. Shown as `20130524/us-east-1/s3/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The day, `YYYYMMDD`.
    pub date: String,
    /// The region, such as `us-east-1`.
    pub region: String,
    /// The service; `s3` throughout this crate.
    pub service: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

/// A key that signs within one scope. `Debug` shows the scope only. The key is
/// overwritten when it is dropped (the feature `zeroize` of `hmac` and `sha2`).
#[derive(Clone)]
pub struct SigningKey {
    scope_text: String,
    mac: Hmac<Sha256>,
}

impl SigningKey {
    /// Derives the key of a scope from the secret: four HMACs (AWS: Create a signed request, step
    /// 4).
    pub fn derive(secret: &Secret, scope: &Scope) -> Self {
        let start = Zeroizing::new(format!("AWS4{}", secret.expose()));
        let step = |key: &[u8], part: &str| Zeroizing::new(hmac(&keyed(key), &[part.as_bytes()]));
        let date = step(start.as_bytes(), &scope.date);
        let region = step(&*date, &scope.region);
        let service = step(&*region, &scope.service);
        let key = step(&*service, TERMINATOR);
        Self { scope_text: scope.to_string(), mac: keyed(&*key) }
    }

    /// Signs the concatenation of the parts.
    pub fn sign(&self, parts: &[&[u8]]) -> Signature {
        Signature::new(hmac(&self.mac, parts))
    }

    /// Signs these lines, joined by LF.
    pub(super) fn sign_lines(&self, lines: &[&str; 4]) -> Signature {
        let [a, b, c, d] = lines.map(str::as_bytes);
        self.sign(&[a, b"\n", b, b"\n", c, b"\n", d])
    }

    /// The scope in the form of a string to sign.
    pub fn scope_text(&self) -> &str {
        &self.scope_text
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.scope_text)
    }
}

/// Cache of derived signing keys, shared by all threads. Its size is limited: a key depends on the
/// day and the region that a client names, so a client could otherwise fill the memory.
#[derive(Default)]
pub struct SigningKeys {
    known: RwLock<HashMap<String, Vec<Known>>>,
}

/// The secret is stored beside the key, so that after a change of the secret in the configuration
/// the old key is not used. A client that changes its secret has two for a while.
struct Known {
    secret: Secret,
    key: Arc<SigningKey>,
}

impl SigningKeys {
    /// The credential's key for S3 on this day (`YYYYMMDD`) in this region.
    pub fn key(&self, credential: &Credential, date: &str, region: &str) -> Arc<SigningKey> {
        let name = [date, region, &credential.access_key_id].join("\n");
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut of_name = known.get(&name).into_iter().flatten();
        if let Some(known) = of_name.find(|known| known.secret == credential.secret) {
            return Arc::clone(&known.key);
        }
        drop(known);
        let scope = Scope { date: date.into(), region: region.into(), service: SERVICE.into() };
        let key = Arc::new(SigningKey::derive(&credential.secret, &scope));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEYS_MAX {
            known.clear();
        }
        let of_name = known.entry(name).or_default();
        of_name.truncate(SECRETS_MAX - 1);
        of_name.insert(0, Known { secret: credential.secret.clone(), key: Arc::clone(&key) });
        key
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).len();
        write!(f, "SigningKeys({known} known)")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104)")
}

fn hmac(key: &Hmac<Sha256>, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The service's name in a scope.
pub(super) const SERVICE: &str = "s3";

/// The end of every scope.
pub(super) const TERMINATOR: &str = "aws4_request";

const KEYS_MAX: usize = 1024;

/// How many secrets of one access key are remembered.
const SECRETS_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(secret: &str) -> Credential {
        Credential {
            access_key_id: "AKIA".into(),
            secret: Secret::new(secret),
            session_token: None,
        }
    }

    #[test]
    fn the_same_key_is_derived_once() {
        let keys = SigningKeys::default();
        let first = keys.key(&credential("s"), "20130524", "us-east-1");
        assert!(Arc::ptr_eq(&first, &keys.key(&credential("s"), "20130524", "us-east-1")));
        assert!(!Arc::ptr_eq(&first, &keys.key(&credential("s"), "20130525", "us-east-1")));
        assert!(!Arc::ptr_eq(&first, &keys.key(&credential("s"), "20130524", "eu-west-1")));
        assert_eq!(first.scope_text(), "20130524/us-east-1/s3/aws4_request");
    }

    #[test]
    fn a_changed_secret_is_not_served_by_the_old_key() {
        let keys = SigningKeys::default();
        let old = keys.key(&credential("old"), "20130524", "r").sign(&[b"m"]);
        let new = keys.key(&credential("new"), "20130524", "r").sign(&[b"m"]);
        assert!(!old.matches(&new));
        let again = keys.key(&credential("new"), "20130524", "r").sign(&[b"m"]);
        assert!(new.matches(&again));
    }

    #[test]
    fn the_keys_of_two_secrets_are_remembered_and_no_more() {
        let keys = SigningKeys::default();
        let key = |secret| keys.key(&credential(secret), "20130524", "r");
        let (old, new) = (key("old"), key("new"));
        assert!(Arc::ptr_eq(&old, &key("old")) && Arc::ptr_eq(&new, &key("new")));
        key("newer");
        assert!(Arc::ptr_eq(&new, &key("new")) && !Arc::ptr_eq(&old, &key("old")));
        let known = keys.known.read().expect("no thread panicked");
        assert!(known.values().all(|of_name| of_name.len() <= SECRETS_MAX));
    }

    #[test]
    fn any_number_of_regions_is_remembered_within_bounds() {
        let keys = SigningKeys::default();
        for region in 0..=KEYS_MAX {
            keys.key(&credential("s"), "20130524", &region.to_string());
        }
        let known = keys.known.read().expect("no thread panicked").len();
        assert!((1..=KEYS_MAX).contains(&known), "{known}");
    }

    #[test]
    fn no_secret_is_printed() {
        let keys = SigningKeys::default();
        let key = keys.key(&credential("hush"), "20130524", "r");
        let shown = format!("{keys:?} {key:?} {:?}", credential("hush"));
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.starts_with("SigningKeys(1 known) SigningKey(20130524/r/s3/aws4_request)"));
    }
}

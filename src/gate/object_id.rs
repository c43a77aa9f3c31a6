//! Write ids on objects: a write may leave its id in the object's metadata, where only the store
//! can lose it. The id proves which write left an object, also where other writers go around the
//! proxies, where equal bytes hide a landing, and where the register has lost its memory.
//!
//! A copy takes its source's metadata along. So the value includes the key's own name, and an id is
//! only believed for a write that would have left one (`Expect::CarriesId`).

use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::Write;
use crate::register::WriteId;
use crate::s3::{ObjectName, Seen};

/// The metadata value that a write of this key leaves on the object. `None` where its id cannot
/// stand in a header.
pub fn id_field(name: &ObjectName, write_id: &WriteId) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{}.{}", mark(name), write_id.0)).ok()
}

/// The write id on the object that a HEAD has seen.
pub(super) fn id_carried(write: &Write<'_>, seen: &Seen) -> Option<WriteId> {
    id_in(write.name, seen.id_field.as_deref()?)
}

/// The write id in a metadata value, if the value was written for this key.
fn id_in(name: &ObjectName, id_field: &str) -> Option<WriteId> {
    let (of_key, write_id) = id_field.split_once('.')?;
    (of_key == mark(name)).then(|| WriteId(write_id.to_owned()))
}

/// A digest of the key's name, to tell keys apart; it is no secret.
fn mark(name: &ObjectName) -> String {
    hex::encode(&Sha256::digest(name.to_string())[..4])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::{BucketName, EmptySegments, ObjectKey};

    fn named(key: &str) -> ObjectName {
        ObjectName {
            bucket: BucketName::parse("bucket").unwrap(),
            key: ObjectKey::parse(key, EmptySegments::Kept).unwrap(),
        }
    }

    #[test]
    fn an_id_is_read_back_from_its_own_key_and_from_no_copy_elsewhere() {
        for id in [WriteId("iD+/0.9".to_owned()), WriteId::alone("name")] {
            let value = id_field(&named("a"), &id).unwrap();
            let text = value.to_str().unwrap();
            assert_eq!(id_in(&named("a"), text), Some(id));
            assert_eq!(id_in(&named("b"), text), None);
        }
        for forged in ["", ".", "id", "00000000.id"] {
            assert_eq!(id_in(&named("a"), forged), None, "{forged}");
        }
    }
}

//! The id of a write: by what its retries are known, and what may be written on the object.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::admitted::KeyWrite;
use super::state::Proxy;
use crate::backend::StoreRequest;
use crate::backend::headers::OBJECT_WRITE_ID;
use crate::gate::id_field;
use crate::random;
use crate::register::WriteId;
use crate::s3::{CopySource, ObjectName, Preconditions, Shape};
use crate::sigv4::CheckedBody;

/// Names a write across its retries: those whose success can be answered again from the register
/// alone. `call`: what names the call that it belongs to; a write of none stands for itself.
pub(super) fn write_id(write: &KeyWrite, call: Option<&str>, checked: &CheckedBody) -> WriteId {
    let Some(call) = write.request.origin.remembered(call) else {
        return WriteId::alone(&random::id());
    };
    let preconditions = in_words(&write.preconditions);
    let source = write.source.as_ref().and_then(CopySource::header_value);
    write_id_of(
        Some(call),
        &[
            write.request.origin.access_key_id().as_bytes(),
            write.request.operation.name().as_bytes(),
            write.name.to_string().as_bytes(),
            preconditions.as_bytes(),
            source.as_ref().map(HeaderValue::as_bytes).unwrap_or_default(),
            &checked.sha256.unwrap_or_default(),
        ],
    )
}

/// The preconditions as a text that becomes part of an id. Two versions of this proxy that work side by
/// side must write the same.
fn in_words(preconditions: &Preconditions) -> String {
    match preconditions.shape() {
        Shape::Compound => format!("{preconditions:?}"),
        shape => format!("{shape:?}"),
    }
}

/// The id of what these parts say within one invocation; a request that names none stands for
/// itself.
pub(super) fn write_id_of(invocation: Option<&str>, parts: &[&[u8]]) -> WriteId {
    let Some(invocation) = invocation else { return WriteId::alone(&random::id()) };
    let mut hash = Sha256::new();
    for part in parts.iter().chain([&invocation.as_bytes()]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    // Half of the digest is unlikely enough to meet another, and every busy key's journal holds
    // some.
    WriteId(BASE64.encode(&hash.finalize()[..16]))
}

/// Has the object carry its write's id, where objects are to. Whether it will.
pub(super) fn add_write_id(
    proxy: &Proxy,
    request: &mut StoreRequest,
    name: &ObjectName,
    write_id: &WriteId,
) -> bool {
    if !proxy.store.writes_ids() {
        return false;
    }
    id_field(name, write_id).map(|id| request.headers.insert(OBJECT_WRITE_ID, id)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::ETag;

    /// What stands in the register's journal was written by an older version of this proxy, perhaps.
    #[test]
    fn the_text_of_preconditions_in_an_id_stays_as_it_is() {
        for (preconditions, text) in [
            (Preconditions::NONE, "None"),
            (Preconditions::IF_NONE_MATCH_ANY, "IfNoneMatchAny"),
            (Preconditions::IF_MATCH_ANY, "IfMatchAny"),
            (Preconditions::if_match(ETag::parse(b"\"e\"")), "IfMatch(ETag(\"e\"))"),
            (Preconditions::if_generation_match("e.7"), "GenerationMatch(\"e.7\")"),
        ] {
            assert_eq!(in_words(&preconditions), text);
        }
    }
}

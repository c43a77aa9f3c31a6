//! The id of a write: its retries are recognised by it, and it may be left on the object.

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

/// The id of a write across its retries, for writes whose success can be answered again from the
/// register alone. `call`: the name of the call that the write belongs to; a write without one has
/// a random id.
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

/// The preconditions as a text that becomes part of an id. Different versions of this proxy that
/// run side by side must write the same text.
fn in_words(preconditions: &Preconditions) -> String {
    match preconditions.shape() {
        Shape::Compound => format!("{preconditions:?}"),
        shape => format!("{shape:?}"),
    }
}

/// The id of these parts within one invocation; a request without an invocation id gets a random
/// id.
pub(super) fn write_id_of(invocation: Option<&str>, parts: &[&[u8]]) -> WriteId {
    let Some(invocation) = invocation else { return WriteId::alone(&random::id()) };
    let mut hash = Sha256::new();
    for part in parts.iter().chain([&invocation.as_bytes()]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    // Half of the digest makes a collision unlikely enough, and the journal of every busy key holds
    // several.
    WriteId(BASE64.encode(&hash.finalize()[..16]))
}

/// Adds the write's id to the object's metadata, where that is configured. Returns whether it did.
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
    use crate::s3::conditional::EntryElements;
    use crate::s3::{Dialect, ETag};

    const COMPOUND: &str = "Preconditions { if_match: None, if_unmodified_since_s: None, \
         if_none_match: None, if_modified_since_s: None, if_match_size_bytes: Some(7), \
         if_match_last_modified_s: None, if_generation_match: None, hold_of_nothing: true }";

    /// Lines in the register's journal may come from an older version of this proxy.
    #[test]
    fn the_text_of_preconditions_in_an_id_stays_as_it_is() {
        let size = EntryElements { size: Some("7"), ..EntryElements::default() };
        let of_size = Preconditions::of_entry(size, false, Dialect::Rfc).unwrap();
        for (preconditions, text) in [
            (Preconditions::NONE, "None"),
            (Preconditions::IF_NONE_MATCH_ANY, "IfNoneMatchAny"),
            (Preconditions::IF_MATCH_ANY, "IfMatchAny"),
            (Preconditions::if_match(ETag::parse(b"\"e\"")), "IfMatch(ETag(\"e\"))"),
            (Preconditions::if_generation_match("e.7"), "GenerationMatch(\"e.7\")"),
            (of_size, COMPOUND),
        ] {
            assert_eq!(in_words(&preconditions), text);
        }
    }
}

//! Joining small pieces of a body.

use bytes::{Bytes, BytesMut};

/// Adds a piece. Small pieces are copied together, since each piece has a fixed cost and keeps the
/// buffer alive that it was cut from.
pub(super) fn gather(pieces: &mut Vec<Bytes>, piece: Bytes) {
    match pieces.pop() {
        Some(last) if last.len() < SMALL_BYTES => {
            let mut joined = last.try_into_mut().unwrap_or_else(|last| BytesMut::from(&last[..]));
            joined.extend_from_slice(&piece);
            pieces.push(joined.freeze());
        }
        last => {
            pieces.extend(last);
            pieces.push(piece);
        }
    }
}

/// A piece shorter than this is joined with the next one.
pub(super) const SMALL_BYTES: usize = 4096;

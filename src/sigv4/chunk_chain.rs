//! The chain of signatures in a body of signed chunks: each continues from the one before, and the
//! first from the head's (AWS: Transferring Payload in Multiple Chunks).

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::date::AmzDate;
use super::key::SigningKey;
use super::signature::{Hex, Signature};

/// The signature of the head, from which the first chunk's signature continues.
#[derive(Debug, Clone)]
pub struct ChunkSeed {
    /// The head's signature.
    pub signature: Signature,
    /// When the head was signed.
    pub date: AmzDate,
    /// The key that signed it.
    pub key: Arc<SigningKey>,
}

impl ChunkSeed {
    /// The expected signature of a chunk with this SHA-256 digest.
    pub fn chunk_signature(&self, chunk: &[u8; 32]) -> Signature {
        let content = [EMPTY_SHA256, Hex::of(chunk).as_str()].join("\n");
        self.sign("AWS4-HMAC-SHA256-PAYLOAD", &content)
    }

    /// The expected signature of the trailing headers; `canonical`: `name:value\n` for each.
    pub fn trailer_signature(&self, canonical: &[u8]) -> Signature {
        let digest = Hex::of(&Sha256::digest(canonical).into());
        self.sign("AWS4-HMAC-SHA256-TRAILER", digest.as_str())
    }

    fn sign(&self, algorithm: &str, content: &str) -> Signature {
        let previous = self.signature.to_hex();
        let lines =
            [algorithm, self.date.as_str(), self.key.scope_text(), previous.as_str(), content];
        self.key.sign(&[lines.join("\n").as_bytes()])
    }
}

const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

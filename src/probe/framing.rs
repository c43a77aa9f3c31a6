//! `aws-chunked` framing of a content that a probe sends (AWS: Transferring Payload in Multiple Chunks;
//! Including Trailing Headers). Pure.

use sha2::{Digest as _, Sha256};

use super::ask::{Ask, Chunks, Payload};
use crate::sigv4::ChunkSeed;

/// The hex digits of a signature.
const SIGNATURE_DIGITS: usize = 64;

impl Chunks {
    /// The value of `x-amz-content-sha256`.
    pub(super) fn announced(&self) -> &'static str {
        match (self.signed, self.trailer.is_some()) {
            (true, false) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            (true, true) => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            (false, _) => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }
    }
}

impl Ask {
    /// The content in one chunk without a signature, its end, and its trailer.
    pub(super) fn framed_unsigned(&self) -> Vec<u8> {
        let Payload::Chunks(chunks) = &self.payload else { return self.content.to_vec() };
        let mut body = Vec::new();
        if !self.content.is_empty() {
            body.extend(format!("{:x}\r\n", self.content.len()).bytes());
            body.extend_from_slice(&self.content);
            body.extend(b"\r\n");
        }
        body.extend(b"0\r\n");
        if let Some((name, value)) = &chunks.trailer {
            body.extend(format!("{name}:{value}\r\n").bytes());
        }
        body.extend(b"\r\n");
        body
    }

    /// The content in one chunk, its end, and its trailer, each signed after the one before; the first
    /// after the head.
    pub(super) fn framed_signed(&self, mut seed: ChunkSeed) -> Vec<u8> {
        let mut body = Vec::new();
        let pieces: &[&[u8]] = if self.content.is_empty() { &[b""] } else { &[&self.content, b""] };
        for piece in pieces {
            seed.signature = seed.chunk_signature(&Sha256::digest(piece).into());
            let signature = seed.signature.to_hex();
            body.extend(
                format!("{:x};chunk-signature={}\r\n", piece.len(), signature.as_str()).bytes(),
            );
            if !piece.is_empty() {
                body.extend_from_slice(piece);
                body.extend(b"\r\n");
            }
        }
        if let Payload::Chunks(Chunks { trailer: Some((name, value)), .. }) = &self.payload {
            let signature = seed.trailer_signature(format!("{name}:{value}\n").as_bytes()).to_hex();
            body.extend(format!("{name}:{value}\r\n").bytes());
            body.extend(format!("x-amz-trailer-signature:{}\r\n", signature.as_str()).bytes());
        }
        body.extend(b"\r\n");
        body
    }

    /// How long the framed content is, in bytes, which stands in the head that is signed before it.
    pub(super) fn framed_bytes(&self) -> usize {
        let Payload::Chunks(chunks) = &self.payload else { return self.content.len() };
        let unsigned = self.framed_unsigned().len();
        if !chunks.signed {
            return unsigned;
        }
        let pieces = if self.content.is_empty() { 1 } else { 2 };
        let trailer = match &chunks.trailer {
            Some(_) => "x-amz-trailer-signature:\r\n".len() + SIGNATURE_DIGITS,
            None => 0,
        };
        unsigned + pieces * (";chunk-signature=".len() + SIGNATURE_DIGITS) + trailer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::ObjectName;
    use crate::secret::Secret;
    use crate::sigv4::{AmzDate, Credential, Decoder, PayloadKind, Signature, SigningKeys};

    fn ask(content: &'static str, signed: bool, trailer: bool) -> Ask {
        let name = ObjectName::try_from("bucket/key".to_owned()).unwrap();
        let trailer = trailer.then(|| ("x-amz-checksum-crc32", "AAAAAA==".to_owned()));
        Ask { payload: Payload::Chunks(Chunks { signed, trailer }), ..Ask::put(&name, content) }
    }

    fn seed() -> ChunkSeed {
        let credential = Credential {
            access_key_id: "key".to_owned(),
            secret: Secret::new("secret"),
            session_token: None,
        };
        let date = AmzDate::from_unix(0);
        let key = SigningKeys::default().key(&credential, date.day(), "us-east-1");
        ChunkSeed { signature: Signature::new([7; 32]), date, key }
    }

    #[test]
    fn what_is_framed_is_read_again_by_the_proxy_s_own_decoder() {
        for content in ["", "some content"] {
            for (signed, trailer) in [(true, false), (true, true), (false, true)] {
                let ask = ask(content, signed, trailer);
                let body = if signed { ask.framed_signed(seed()) } else { ask.framed_unsigned() };
                assert_eq!(body.len(), ask.framed_bytes(), "{signed} {trailer}");
                let Payload::Chunks(chunks) = &ask.payload else { panic!("in chunks") };
                let kind = PayloadKind::parse(chunks.announced()).unwrap();
                let mut decoder = Decoder::new(kind, signed.then(seed), content.len() as u64);
                let mut decoded = Vec::new();
                decoder.feed(body.into(), &mut |piece| decoded.extend_from_slice(&piece)).unwrap();
                decoder.finish().unwrap();
                assert_eq!(decoded, content.as_bytes());
            }
        }
    }
}

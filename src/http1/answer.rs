//! Parser of answers on the wire, as far as their bodies are chunked: the chunked coding is checked
//! against its grammar, as in a request. The reader judges everything else.

use super::chunks::{BadChunks, Chunks};

/// A longer head is left to the reader, which refuses it.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// The largest number of fields that the reader accepts in a head.
const FIELDS_MAX: usize = 256;

/// Follows the answers to one request, including informational ones.
#[derive(Debug)]
pub struct AnswerBody {
    to_head: bool,
    at: At,
}

#[derive(Debug)]
enum At {
    /// The part of the head that has arrived.
    Head(Vec<u8>),
    Chunks(Chunks),
    /// A body that is not chunked, no body, or bytes after the end.
    Rest,
}

impl AnswerBody {
    /// At the beginning. The answer to a HEAD has no body, whatever its head says.
    pub fn new(to_head: bool) -> Self {
        Self { to_head, at: At::Head(Vec::new()) }
    }

    /// Follows the bytes that have arrived. The error for a malformed chunked body says how many
    /// bytes may be read before the fault is reported: the head is among them, since the reader has
    /// to know that there was an answer.
    pub fn follow(&mut self, all: &[u8]) -> Result<(), (usize, BadChunks)> {
        let mut came = all;
        while !came.is_empty() {
            match &mut self.at {
                At::Rest => return Ok(()),
                At::Chunks(chunks) => {
                    let good = all.len() - came.len();
                    let bytes = chunks.follow(came).map_err(|bad| (good, bad))?;
                    came = &came[bytes..];
                    if chunks.is_done() {
                        self.at = At::Rest;
                    }
                }
                At::Head(head) => {
                    let before = head.len();
                    head.extend_from_slice(came);
                    let Some((bytes, next)) = body_of(head, self.to_head) else {
                        if head.len() > HEAD_BYTES_MAX {
                            self.at = At::Rest;
                        }
                        return Ok(());
                    };
                    self.at = next;
                    came = &came[bytes.saturating_sub(before)..];
                }
            }
        }
        Ok(())
    }
}

/// The length of the head at the beginning, and what follows it; `None` while the head is
/// incomplete. The reader refuses what is not a head.
fn body_of(head: &[u8], to_head: bool) -> Option<(usize, At)> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut answer = httparse::Response::new(&mut fields);
    let bytes = match answer.parse(head) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return None,
        Err(_) => return Some((head.len(), At::Rest)),
    };
    let chunked = answer.headers.iter().any(|field| {
        let value = field.value.to_ascii_lowercase();
        field.name.eq_ignore_ascii_case("transfer-encoding")
            && value.split(|byte| *byte == b',').any(|coding| coding.trim_ascii() == b"chunked")
    });
    let next = match answer.code.unwrap_or_default() {
        // RFC 9110 §15.2: another answer follows.
        100 | 102..=199 => At::Head(Vec::new()),
        101 | 204 | 304 => At::Rest,
        _ if chunked && !to_head => At::Chunks(Chunks::default()),
        _ => At::Rest,
    };
    Some((bytes, next))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";

    /// Parses the bytes in pieces of every size; the result must be the same.
    fn followed(to_head: bool, came: &str) -> Result<(), BadChunks> {
        let in_steps = |step: usize| {
            let mut body = AnswerBody::new(to_head);
            came.as_bytes()
                .chunks(step)
                .try_for_each(|piece| body.follow(piece).map_err(|(_, bad)| bad))
        };
        let whole = in_steps(came.len());
        for step in [1, 2, 3, 7, 50] {
            assert_eq!(in_steps(step), whole, "in steps of {step}: {came:?}");
        }
        whole
    }

    #[test]
    fn a_chunked_body_is_held_to_its_grammar_and_nothing_else_is() {
        let informational = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\na: b\r\n\r\n";
        for (good, came) in [
            (true, format!("{HEAD}5\r\nhello\r\n0\r\n\r\n")),
            (true, format!("{informational}{HEAD}5\r\nhello\r\n0\r\n\r\nanything\n")),
            (false, format!("{HEAD}5\nhello\r\n0\r\n\r\n")),
            (false, format!("{informational}{HEAD}5\r\nhello\r\n;x\r\n\r\n")),
            (false, format!("{HEAD}5\r\nhello\r\n\r\n\r\n")),
            (true, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nzz\nzz".to_owned()),
            (true, "HTTP/1.1 200 OK\r\n\r\nzz\nzz".to_owned()),
            (true, "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\nzz".to_owned()),
            (true, "nonsense\n".to_owned()),
        ] {
            assert_eq!(followed(false, &came).is_ok(), good, "{came:?}");
        }
        let mut whole = AnswerBody::new(false);
        let (may_be_read, _) = whole.follow(format!("{HEAD};x\r\n").as_bytes()).unwrap_err();
        assert_eq!(may_be_read, HEAD.len());
        assert_eq!(followed(true, &format!("{HEAD}HTTP/1.1 200 OK\r\n\r\n")), Ok(()));
    }
}

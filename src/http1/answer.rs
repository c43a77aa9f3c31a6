//! An answer as it comes over the wire, followed as far as its body is chunked: the coding is held to
//! its grammar, as in a request. Everything else is its reader's to judge.

use super::chunks::{BadChunks, Chunks};

/// A head longer than this is left to its reader, who takes none.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// The most fields of a head that its reader takes.
const FIELDS_MAX: usize = 256;

/// Follows the answers to one request, informational ones included.
#[derive(Debug)]
pub struct AnswerBody {
    to_head: bool,
    at: At,
}

#[derive(Debug)]
enum At {
    /// What has come of the head.
    Head(Vec<u8>),
    Chunks(Chunks),
    /// A body that is not chunked, none, or what is behind its end.
    Rest,
}

impl AnswerBody {
    /// Nothing has come yet. The answer to a HEAD has no body, whatever it says.
    pub fn new(to_head: bool) -> Self {
        Self { to_head, at: At::Head(Vec::new()) }
    }

    /// Follows what has come. Where a body says that it is chunked, and is not, it tells how many
    /// bytes may be read before that is said: those of the head are among them, for that there was an
    /// answer has to be known.
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

/// How long the head is that stands at the beginning, and what follows it; `None` while it is not
/// whole. What is no head at all is its reader's to refuse.
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

    /// In pieces of every size, with the same end.
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

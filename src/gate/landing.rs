//! The state that a landed write has left at its key, where the store's answer does not say it. A
//! HEAD asks for it. The HEAD is believed only where what it shows can come from this write: at a
//! store that lags the HEAD may be older than the landing, and where other writers go around the
//! proxies it may show their writes.

use md5::{Digest, Md5};

use super::doubt::Copies;
use super::finding;
use super::lease::Armed;
use super::object_id::id_carried;
use super::{Gate, Write};
use crate::backend::Answer;
use crate::register::{Expect, State, Writers};
use crate::s3::conditional::X_AMZ_COPY_SOURCE_IF_MATCH;
use crate::s3::{Current, ETag, Operation};

/// What is known of a landing before the HEAD.
#[derive(Debug, Clone)]
struct Evidence {
    /// The write leaves an object.
    object: bool,
    /// The state before the write, where it is known.
    pre: Option<Current>,
    /// All writers go through the proxies.
    exclusive: bool,
    /// For a write that leaves its id on the object: whether the object seen carries that id.
    carries_id: Option<bool>,
    /// The ETag of the written bytes, at stores that compute ETags as AWS does.
    etag: Option<ETag>,
}

impl Evidence {
    /// Does the HEAD certainly show the state that this write left, even with other writers and an
    /// old HEAD?
    fn left(&self, seen: &Current) -> bool {
        let Current::Present(etag) = seen else {
            // A HEAD that sees no object proves nothing about a write that leaves an object.
            return !self.object && self.has_changed(seen);
        };
        if self.carries_id == Some(true) || self.etag.as_ref() == Some(etag) {
            return true;
        }
        // The object does not carry the id: another writer left it, or it is older.
        self.carries_id.is_none() && self.has_changed(seen)
    }

    /// Is what is seen what was written, byte for byte?
    fn is_equal(&self, seen: &Current) -> bool {
        matches!(seen, Current::Present(etag) if self.etag.as_ref() == Some(etag))
    }

    /// Is it certain that this state was not there before, and that no other writer has left it?
    fn has_changed(&self, seen: &Current) -> bool {
        self.exclusive && self.pre.as_ref().is_some_and(|pre| pre != seen)
    }
}

impl Gate {
    /// Where the answer does not say which state the write left (no ETag, or an empty one), a HEAD
    /// looks it up and the answer is completed. Where the result is not certain, the state stays
    /// Unknown and the client gets no ETag.
    pub(super) async fn looked_up(
        &self,
        armed: &Armed<'_>,
        copies: Copies,
        new: State,
        answer: &mut Answer,
    ) -> State {
        let write = armed.attempt.write;
        let object = matches!(write.expect(), Expect::SomeObject | Expect::CarriesId);
        // Where other writers go around the proxies, the record is not believed: a HEAD can then
        // only find an ETag for the answer.
        let exclusive = self.settings.terms.writers == Writers::Exclusive;
        if new != State::Unknown || !(exclusive || object) {
            return new;
        }
        let pre = armed.shown_pre();
        if let Ok(seen) = self.store.head(write.head_request()).await {
            let carries_id = write
                .carries_id
                .then(|| id_carried(write, &seen).as_ref() == Some(&write.write_id));
            let mut evidence = Evidence { object, pre, exclusive, carries_id, etag: None };
            if !evidence.left(&seen.current) {
                evidence.etag = computed_etag(write).await;
            }
            if evidence.left(&seen.current) {
                if let (true, Current::Present(etag)) = (object, &seen.current) {
                    finding::complete(answer, write.operation, etag);
                }
                // Where the store lags, the HEAD may show another copy of this write than the last.
                let alone = copies == Copies::One && evidence.carries_id.is_none();
                let known =
                    self.settings.terms.lag.is_zero() || alone || evidence.is_equal(&seen.current);
                return if known { State::from(seen.current) } else { State::Unknown };
            }
            tracing::debug!(name = %write.name, "what stands there is not certainly what was written");
        }
        if object {
            finding::without_etag(answer, write.operation);
        }
        State::Unknown
    }
}

/// The ETag that AWS would give the written object, where it can be computed: MD5 of the bytes, of
/// the parts' MD5s, or the source's own ETag. A store that shows the same ETag proves equal bytes.
/// A store that shows another one proves nothing.
async fn computed_etag(write: &Write<'_>) -> Option<ETag> {
    match write.operation {
        Operation::PutObject | Operation::PostObject => {
            let mut digest = Md5::new();
            let mut reader = write.body.reader();
            while let Some(piece) = reader.next().await.ok()? {
                digest.update(&piece);
            }
            Some(ETag::parse(hex::encode(&digest.finalize()[..]).as_bytes()))
        }
        Operation::CompleteMultipartUpload => write.etag.cloned(),
        Operation::CopyObject => {
            let pinned = write.request.headers.get(&X_AMZ_COPY_SOURCE_IF_MATCH)?;
            Some(ETag::parse(pinned.as_bytes()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn present(etag: &str) -> Current {
        Current::Present(ETag::parse(etag.as_bytes()))
    }

    /// Every combination of what is known before the HEAD and what the HEAD can show.
    #[test]
    fn only_what_the_write_can_have_left_counts() {
        const OLD: &str = "old";
        const OWN: &str = "own";
        const OTHER: &str = "other";
        let pres = [None, Some(Current::Absent), Some(present(OLD)), Some(present(OWN))];
        for pre in pres {
            for exclusive in [false, true] {
                for etag in [None, Some(ETag::parse(OWN.as_bytes()))] {
                    for carries_id in [None, Some(false), Some(true)] {
                        let evidence = Evidence {
                            object: true,
                            pre: pre.clone(),
                            exclusive,
                            carries_id,
                            etag: etag.clone(),
                        };
                        assert!(
                            !evidence.left(&Current::Absent),
                            "an object was written: {evidence:?}"
                        );
                        for seen in [OLD, OWN, OTHER] {
                            let equal_bytes = etag.is_some() && seen == OWN;
                            let new = pre.as_ref().is_some_and(|pre| *pre != present(seen));
                            let only_ours = exclusive && carries_id.is_none() && new;
                            let expected = carries_id == Some(true) || equal_bytes || only_ours;
                            assert_eq!(
                                evidence.left(&present(seen)),
                                expected,
                                "{seen} {evidence:?}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_write_that_is_not_understood_has_left_must_be_new() {
        for (pre, exclusive, seen, believed) in [
            (None, true, Current::Absent, false),
            (Some(present("a")), true, Current::Absent, true),
            (Some(present("a")), true, present("a"), false),
            (Some(present("a")), true, present("b"), true),
            (Some(present("a")), false, present("b"), false),
        ] {
            let evidence = Evidence { object: false, pre, exclusive, carries_id: None, etag: None };
            assert_eq!(evidence.left(&seen), believed, "{evidence:?} {seen:?}");
        }
    }
}

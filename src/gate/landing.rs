//! What a landed write has left at its key, where the store's answer does not say. A HEAD is asked,
//! and believed only where what it shows can be this write's: the HEAD may be older than the landing,
//! at a store that lags, and where others write it may show what they have written since.

use md5::{Digest, Md5};

use super::finding;
use super::object_id::id_carried;
use super::{Gate, Write};
use crate::backend::Answer;
use crate::register::{Expect, State, Writers};
use crate::s3::conditional::X_AMZ_COPY_SOURCE_IF_MATCH;
use crate::s3::{Current, ETag, Operation};

/// What is known of a landing before anybody looks.
#[derive(Debug, Clone)]
struct Evidence {
    /// It leaves an object.
    object: bool,
    /// What stood there before, so far as that is known.
    pre: Option<Current>,
    /// Nobody else writes.
    exclusive: bool,
    /// Of a write that leaves its id: whether what is seen carries it.
    carries_id: Option<bool>,
    /// The ETag of what it wrote, at stores that compute ETags as AWS does.
    etag: Option<ETag>,
}

impl Evidence {
    /// Is what a HEAD shows what the write has left, whoever else may write and however old the HEAD?
    fn left(&self, seen: &Current) -> bool {
        let Current::Present(etag) = seen else {
            // Of an object that was written a HEAD that sees none knows nothing.
            return !self.object && self.has_changed(seen);
        };
        if self.carries_id == Some(true) || self.etag.as_ref() == Some(etag) {
            return true;
        }
        // An id that is not there is missing: this is somebody else's, or older.
        self.carries_id.is_none() && self.has_changed(seen)
    }

    /// Is it certain that this was not there before, and that nobody else has left it?
    fn has_changed(&self, seen: &Current) -> bool {
        self.exclusive && self.pre.as_ref().is_some_and(|pre| pre != seen)
    }
}

impl Gate {
    /// A landing whose answer does not say what stands there now (no ETag, an empty one) is looked
    /// up, and the answer completed. Where that is not certain the state stays Unknown, and the
    /// client is told no ETag.
    pub(super) async fn looked_up(
        &self,
        write: &Write<'_>,
        pre: &State,
        new: State,
        answer: &mut Answer,
    ) -> State {
        let object = matches!(write.expect(), Expect::SomeObject | Expect::CarriesId);
        // Where others write, the record is not believed: nothing else to be gained by a HEAD.
        let exclusive = self.settings.terms.writers == Writers::Exclusive;
        if new != State::Unknown || !(exclusive || object) {
            return new;
        }
        if let Ok(seen) = self.store.head(write.question()).await {
            let carries_id = write
                .carries_id
                .then(|| id_carried(write, &seen).as_ref() == Some(&write.write_id));
            let pre = pre.known();
            let mut evidence = Evidence { object, pre, exclusive, carries_id, etag: None };
            if !evidence.left(&seen.current) {
                evidence.etag = computed_etag(write).await;
            }
            if evidence.left(&seen.current) {
                if let (true, Current::Present(etag)) = (object, &seen.current) {
                    finding::complete(answer, write.operation, etag);
                }
                return State::from(seen.current);
            }
            tracing::debug!(name = %write.name, "what stands there is not certainly what was written");
        }
        if object {
            finding::without_etag(answer, write.operation);
        }
        State::Unknown
    }
}

/// The ETag that AWS would give what the write has left, where it can be computed: MD5 of the bytes,
/// of the parts' MD5s, or the source's own. Proof of equal bytes where a store says the same, and no
/// proof of anything where it says something else.
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

    /// Everything that can be known beforehand, against everything that can be seen.
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

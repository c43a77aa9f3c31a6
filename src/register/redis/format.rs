//! The stored format in Redis: names of keys, forms of values. The data outlives this process and
//! is shared with other proxies, so every change here or in the `pack` lines of key.lua needs a new
//! [`FORMAT`].
//!
//! | key | type | content |
//! |---|---|---|
//! | `{<namespace>:<p>}` | string, no TTL | a partition: its epoch |
//! | `{<namespace>:<p>}<bucket>/<key>` | string, TTL `record_ttl` after the end of its lease; with uploads 7 days at least, 10 minutes where only a reader was told its generation | a key: its lease and its record |
//! | `{<namespace>:id}` | string, no TTL | the register's id, where a marker is configured |
//!
//! The partition number `p` is [`partition_of`]. A partition holds six words with a space between
//! each: the epoch's random name; when it began, and until when nothing is granted, in ms of Redis's
//! `TIME`; how many numbers of generations are reserved; the server's `master_replid` when that was
//! last seen, by which a library that does not remember the epoch knows it (prelude.lua); and, to
//! the end, [`terms_line`]: proxies of another format or with other terms are refused. Up to format
//! 4 it was a hash, which formats from 5 on leave as it is.
//!
//! A key holds these MessagePack values in a row. One that is absent is nil; those that are nil at
//! the end are left out.
//!
//! | of | values |
//! |---|---|
//! | the record | the epoch's name, state, generation, last nonce, number of journal lines, journal, when the last write landed |
//! | the lease | nonce, write id, expires, generation, pre, expect, long (the long settle time applies), tainted, quiet_until |
//! | the record, seldom there | doubt, time of the newest line that was dropped before the retry horizon, uploads, landing |
//!
//! A lease is there if it has a write id. Without a nonce it has no holder; with a generation it is
//! armed. A doubt is a list of write id, pre, expect, generation, and when it could land no more;
//! uploads are a list, oldest first, each of name, generation, pending generation, time. The landing
//! is the place for what reads of a store that lags need: a list of size, Last-Modified, version id,
//! and up to four predecessors, each of state and when it was replaced. This version writes none;
//! its steps leave one where it is, unless another state lands.
//!
//! The journal's lines, oldest first: length of the rest (4 bytes), time (a double), length of the
//! write id (4 bytes), write id, ending. These numbers are big-endian.
//!
//! Tokens and generations are stored without their epoch's name, which is the partition's: no value
//! of another epoch is ever read. For a landing the journal keeps the other headers of the answer,
//! as header lines after their length. States, expectations, conditions and endings are short
//! texts: see the functions here, and `landed` and `undetermined` in `record.lua`.

use std::time::Duration;

use crate::register::record::{JOURNAL_ENTRIES_MAX, PIN_TTL, UPLOAD_TTL, UPLOADS_MAX};
use crate::register::types::in_millis;
use crate::register::waiters::{TURN, TURN_GRANTS, WAITER_KEPT, WAITERS_MAX};
use crate::register::{EpochId, Expect, Generation, Settle, State, Terms, View, Writers};
use crate::s3::{Current, ETag, ObjectName, Preconditions, Shape};

/// The number of this format.
pub(super) const FORMAT: u32 = 5;

/// The number of partitions. More partitions spread a cluster's load better, but a survey costs
/// more.
pub(super) const PARTITIONS: u64 = 64;

/// How many numbers of generations a library reserves at once.
pub(super) const GENERATIONS: u32 = 1024;

/// How long a server that was seen to be a master is taken for one, where it lets itself be written.
/// A read-only replica, the default, refuses each step by itself.
pub(super) const SERVER_SEEN: Duration = Duration::from_millis(10);

/// The partition of a key: FNV-1a over `<bucket>/<key>`, 64 bits, its two halves folded by XOR,
/// modulo [`PARTITIONS`].
pub(super) fn partition_of(name: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hash =
        name.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    (hash ^ (hash >> 32)) % PARTITIONS
}

/// The Redis key of a partition.
pub(super) fn partition_key(namespace: &str, partition: u64) -> String {
    format!("{{{namespace}:{partition}}}")
}

/// The Redis key of the register's id.
pub(super) fn id_key(namespace: &str) -> String {
    format!("{{{namespace}:id}}")
}

/// The Redis keys of one object key.
pub(super) struct Keys {
    /// The number of the partition.
    pub number: u64,
    /// The Redis key of the partition.
    pub partition: String,
    /// The Redis key of the object key.
    pub key: String,
}

/// The Redis keys of an object key.
pub(super) fn keys_of(namespace: &str, name: &ObjectName) -> Keys {
    let name = name.to_string();
    let number = partition_of(&name);
    let partition = partition_key(namespace, number);
    let key = format!("{partition}{name}");
    Keys { number, partition, key }
}

/// What all proxies must agree on, including this format.
pub(super) fn terms_line(terms: &Terms) -> String {
    format!("format={FORMAT} {}", terms.fingerprint())
}

/// Why two such lines do not match, and what to do about it.
pub(super) fn terms_differ(theirs: &str, mine: &str) -> String {
    let (their_format, their_terms) = theirs.split_once(' ').unwrap_or((theirs, ""));
    let (my_format, my_terms) = mine.split_once(' ').unwrap_or((mine, ""));
    if their_format == my_format {
        format!(
            "it was begun with other terms ({their_terms}) than this proxy's ({my_terms}). Give \
             all proxies the same; to change them, stop all proxies and start them with another \
             register.namespace"
        )
    } else {
        format!(
            "its keys have another version ({their_format}) than this proxy's ({my_format}). Run \
             one version of ifmatch; to change it, stop all proxies and start them with another \
             register.namespace"
        )
    }
}

// === values as the functions know them ===

pub(super) fn state_text(state: &State) -> Vec<u8> {
    match state {
        State::Absent => b"A".to_vec(),
        State::Present(etag) => [b"P", etag.as_bytes()].concat(),
        State::Unknown => b"?".to_vec(),
    }
}

/// `None` when it is no state's text.
pub(super) fn state_of(text: &[u8]) -> Option<State> {
    match text {
        b"A" => Some(State::Absent),
        b"?" => Some(State::Unknown),
        // The quotes keep white space and quotes that belong to the ETag.
        [b'P', etag @ ..] => Some(State::Present(ETag::parse(&[b"\"", etag, b"\""].concat()))),
        _ => None,
    }
}

pub(super) fn current_text(current: &Current) -> Vec<u8> {
    state_text(&State::from(current.clone()))
}

pub(super) fn expect_text(expect: &Expect) -> &'static str {
    match expect {
        Expect::Absent => "A",
        Expect::SomeObject => "object",
        // An older name: a new word would be a new format.
        Expect::CarriesId => "inscribed",
        Expect::Anything => "anything",
    }
}

/// A condition as the text of the one state that satisfies it; otherwise `head`, which no record
/// satisfies, or `G` and a generation, which a record of that generation satisfies.
pub(super) fn condition_text(preconditions: &Preconditions) -> Vec<u8> {
    match preconditions.shape() {
        Shape::None => b"none".to_vec(),
        Shape::IfNoneMatchAny => b"A".to_vec(),
        Shape::IfMatch(etag) => [b"P", etag.as_bytes()].concat(),
        Shape::IfMatchAny => b"object".to_vec(),
        Shape::Compound => b"head".to_vec(),
        Shape::GenerationMatch(generation) => [b"G", generation.as_bytes()].concat(),
    }
}

/// The number of a generation of this epoch, as the functions know it; empty for none.
pub(super) fn generation_text<'a>(generation: Option<&'a Generation>, epoch: &EpochId) -> &'a str {
    let number = generation.and_then(|Generation(text)| text.strip_prefix(epoch.0.as_str()));
    number.and_then(|number| number.strip_prefix('.')).unwrap_or_default()
}

/// The journal ending of a retry that was refused with this code; empty where there is none to
/// note.
pub(super) fn refusal_text(refused: Option<&str>) -> String {
    refused.map(|code| format!("R{code}")).unwrap_or_default()
}

pub(super) fn settle_text(settle: Settle) -> &'static str {
    match settle {
        Settle::Plain => "plain",
        Settle::Long => "long",
    }
}

pub(super) fn view_text(view: View) -> &'static str {
    match view {
        View::Current => "current",
        View::SinceDoubt => "since",
        View::Older => "older",
    }
}

/// The terms as the first lines of the library. Redis takes numbers as texts at less cost.
pub(super) fn terms_in_lua(terms: &Terms) -> String {
    let ms = in_millis;
    let exclusive = terms.writers == Writers::Exclusive;
    let record_ttl = terms.record_ttl.max(terms.retry_horizon);
    let with_uploads = record_ttl.max(UPLOAD_TTL);
    let leased = terms.lease + terms.grace + terms.settle.max(terms.settle_long);
    format!(
        "local TERMS, FORMER_FORMAT = '{}', 'format={}'\n\
         local LEASE, GRACE, SETTLE, SETTLE_LONG = {}, {}, {}, {}\n\
         local QUARANTINE, LAG, SPACING = {}, {}, {}\n\
         local HORIZON, UPLOAD_TTL = {}, {}\n\
         local RECORD_TTL, RECORD_TTL_UPLOADS, PIN_TTL = '{}', '{}', '{}'\n\
         local LEASED_TTL, LEASED_TTL_UPLOADS = '{}', '{}'\n\
         local EXCLUSIVE, JOURNAL_ENTRIES_MAX, UPLOADS_MAX = {exclusive}, {JOURNAL_ENTRIES_MAX}, {UPLOADS_MAX}\n\
         local TURN, WAITER_KEPT, WAITERS_MAX, TURN_GRANTS = {}, {}, {WAITERS_MAX}, {TURN_GRANTS}\n\
         local GENERATIONS, SERVER_SEEN = {GENERATIONS}, {}\n",
        terms_line(terms),
        FORMAT - 1,
        ms(terms.lease),
        ms(terms.grace),
        ms(terms.settle),
        ms(terms.settle_long),
        ms(terms.quarantine()),
        ms(terms.lag),
        ms(terms.spacing),
        ms(terms.retry_horizon),
        ms(UPLOAD_TTL),
        ms(record_ttl),
        ms(with_uploads),
        ms(record_ttl.min(PIN_TTL)),
        ms(record_ttl.saturating_add(leased)),
        ms(with_uploads.saturating_add(leased)),
        ms(TURN),
        ms(WAITER_KEPT),
        ms(SERVER_SEEN),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_never_moves_to_another_partition() {
        // Reference values of FNV-1a: "" cbf29ce484222325, "a" af63dc4c8601ec8c,
        // "foobar" 85944171f73967e8.
        let folded = |hash: u64| (hash ^ (hash >> 32)) % 64;
        assert_eq!(partition_of(""), folded(0xcbf2_9ce4_8422_2325));
        assert_eq!(partition_of("a"), folded(0xaf63_dc4c_8601_ec8c));
        assert_eq!(partition_of("foobar"), folded(0x8594_4171_f739_67e8));
        assert_eq!([partition_of("bucket/key"), partition_of("bucket/ü")], [7, 32]);
    }

    #[test]
    fn keys_spread_over_all_partitions() {
        let mut counts = [0_u32; 64];
        for i in 0..6400 {
            let p = usize::try_from(partition_of(&format!("bucket/table/{i}.parquet"))).unwrap();
            counts[p] += 1;
        }
        assert!(counts.iter().all(|n| (50..=170).contains(n)), "{counts:?}");
    }

    #[test]
    fn every_state_comes_back_as_it_was() {
        let tags: [&[u8]; 6] = [b"", b"abc-2", b"\"\"", b"\" x \"", b"\xff\0\n", b"A"];
        for tag in tags {
            let state = State::Present(ETag::parse(&[b"\"", tag, b"\""].concat()));
            assert_eq!(state_of(&state_text(&state)), Some(state.clone()));
            assert_eq!(state_text(&state), [b"P", tag].concat());
        }
        for state in [State::Absent, State::Unknown] {
            assert_eq!(state_of(&state_text(&state)), Some(state));
        }
        assert_eq!(state_of(b""), None);
        assert_eq!(state_of(b"absent"), None);
    }

    #[test]
    fn a_refusal_says_both_sides_and_what_to_do() {
        let other = terms_differ("format=1 lease=1 grace=2", "format=1 lease=3 grace=2");
        assert!(other.contains("(lease=1 grace=2)") && other.contains("(lease=3 grace=2)"));
        let version = terms_differ("format=2 lease=1", "format=1 lease=1");
        assert!(version.contains("(format=2)") && version.contains("(format=1)"));
        for sentence in [other, version] {
            assert!(sentence.contains("another register.namespace"), "{sentence}");
        }
    }
}

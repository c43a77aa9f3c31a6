//! The stored format in Redis: names of keys, forms of values. The data outlives this process and
//! is shared with other proxies, so every change here or in the scripts' `pack` lines needs a new
//! [`FORMAT`].
//!
//! | key | type | content |
//! |---|---|---|
//! | `{<namespace>:<p>}` | hash, no TTL | a partition: its epoch, and a field for each leased key |
//! | `{<namespace>:<p>}<bucket>/<key>` | string, TTL `record_ttl`; with uploads 7 days at least, 10 minutes where only a reader was told its generation | a record |
//! | `{<namespace>:id}` | string, no TTL | the register's id, where a marker is configured |
//!
//! The partition number `p` is [`partition_of`]. Fields of a partition:
//!
//! | field | value |
//! |---|---|
//! | `replid` | the server's `master_replid` when the epoch began: another one means a new epoch |
//! | `terms` | [`terms_line`]: proxies of another format or with other terms are refused |
//! | `eid` | the epoch's random name |
//! | `since`, `quar` | when it began, and until when nothing is granted; ms of Redis's `TIME` |
//! | `n` | the last generation's number |
//! | `<bucket>/<key>` | a lease |
//! | `>` and SHA-1 of that, in hex | the processes that wait for the key |
//!
//! Lease: nine MessagePack values in a row: nonce, expires, quiet_until, tainted, write id, long
//! (the long settle time applies), generation, pre, expect. The nonce is `false` for a lease
//! without a holder. The last three are `false` until the lease is armed.
//!
//! Record: the epoch's name, the length of what follows (4 bytes), seven MessagePack values
//! (state, generation, last nonce, doubt, number of journal lines, time of the newest line that was
//! dropped before the retry horizon, uploads), and the journal. `false` stands for none; a doubt is
//! write id, pre, expect, generation; uploads are a list, oldest first, each of name, generation,
//! pending generation, time. The journal's lines, oldest first: length of
//! the rest (4 bytes), time (a double), length of the write id (4 bytes), write id, ending. All
//! numbers outside of MessagePack are big-endian. While the lease is armed and has a holder, the
//! state is not what the record says but unknown.
//!
//! Waiters: four MessagePack values: when the last waiter is forgotten, since when the first has
//! been the first, how many other processes have got the key since then, and a list, in their
//! order, each of asker and when it is forgotten. Proxies of versions that do not know waiters can
//! run beside this one, but may make waiters wait longer.
//!
//! Tokens and generations are stored without their epoch's name, which is the partition's: no value
//! of another epoch is ever read. For a landing the journal keeps the other headers of the answer,
//! as header lines after their length. States, expectations, conditions and endings are short
//! texts: see the functions here, and `landed` and `undetermined` in `record.lua`.

use crate::register::record::{JOURNAL_ENTRIES_MAX, PIN_TTL, UPLOAD_TTL, UPLOADS_MAX};
use crate::register::types::in_millis;
use crate::register::waiters::{TURN, TURN_GRANTS, WAITER_KEPT, WAITERS_MAX};
use crate::register::{EpochId, Expect, Generation, Settle, State, Terms, Writers};
use crate::s3::{Current, ETag, ObjectName, Preconditions, Shape};

/// The number of this format.
pub(super) const FORMAT: u32 = 4;

/// The number of partitions. More partitions spread a cluster's load better, but a survey costs
/// more.
pub(super) const PARTITIONS: u64 = 64;

/// How many fields of a partition's hash describe its epoch.
const EPOCH_FIELDS: u32 = 6;

/// How many fields of a partition a survey looks at. This limits its cost, and how many expired
/// leases it may set aside.
const SURVEYED_MAX: u32 = 16;

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
    /// The Redis key of the record.
    pub record: String,
}

/// The Redis keys of an object key.
pub(super) fn keys_of(namespace: &str, name: &ObjectName) -> Keys {
    keys_of_name(namespace, &name.to_string())
}

/// The same for `<bucket>/<key>`, the name of a lease's field.
pub(super) fn keys_of_name(namespace: &str, name: &str) -> Keys {
    let number = partition_of(name);
    let partition = partition_key(namespace, number);
    let record = format!("{partition}{name}");
    Keys { number, partition, record }
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

// === values as the scripts know them ===

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

/// The number of a generation of this epoch, as the scripts know it; empty for none.
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

/// The terms as the first lines of each script.
pub(super) fn terms_in_lua(terms: &Terms) -> String {
    let ms = in_millis;
    let exclusive = terms.writers == Writers::Exclusive;
    let record_ttl = terms.record_ttl.max(terms.retry_horizon);
    format!(
        "local TERMS = '{}'\n\
         local LEASE, GRACE, SETTLE, SETTLE_LONG = {}, {}, {}, {}\n\
         local QUARANTINE, HORIZON, RECORD_TTL = {}, {}, '{}'\n\
         local UPLOAD_TTL, RECORD_TTL_UPLOADS, UPLOADS_MAX = {}, '{}', {UPLOADS_MAX}\n\
         local EXCLUSIVE, JOURNAL_ENTRIES_MAX = {exclusive}, {JOURNAL_ENTRIES_MAX}\n\
         local TURN, WAITER_KEPT, WAITERS_MAX = {}, {}, {WAITERS_MAX}\n\
         local TURN_GRANTS, PIN_TTL = {TURN_GRANTS}, '{}'\n\
         local EPOCH_FIELDS, SURVEYED = {EPOCH_FIELDS}, {SURVEYED_MAX}\n",
        terms_line(terms),
        ms(terms.lease),
        ms(terms.grace),
        ms(terms.settle),
        ms(terms.settle_long),
        ms(terms.quarantine()),
        ms(terms.retry_horizon),
        ms(record_ttl),
        ms(UPLOAD_TTL),
        ms(record_ttl.max(UPLOAD_TTL)),
        ms(TURN),
        ms(WAITER_KEPT),
        ms(record_ttl.min(PIN_TTL)),
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

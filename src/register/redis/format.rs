//! The stored format in Redis: names of keys, forms of values. The data outlives this process and
//! is shared with other proxies, so every change here or in the `pack` lines of key.lua needs a new
//! [`FORMAT`].
//!
//! | key | type | content |
//! |---|---|---|
//! | `{<namespace>:<p>}` | string, no TTL | a partition: its epoch |
//! | `{<namespace>:<p>}<bucket>/<key>` | string, TTL `record_ttl` after the end of its lease; with uploads 7 days at least, 10 minutes where only a reader was told its generation | a key: its lease and its record |
//! | `{<namespace>:young}~<n>` | sorted set, all scores 0, TTL twice the lag | a shelf: the keys that were written in the stretch of time `n`, which is as long as the lag; in a cluster each partition has its own, `{<namespace>:<p>}~<n>` |
//! | the same without `<n>` | string, TTL twice the lag | there where entries of such a set were left out |
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
//!
//! An entry of the sets is `<bucket>/<key>`, NUL, and these words with a space between each: when its
//! write had landed, or could land no more, in ms; the end of its epoch's name; the object's size in bytes and its time in seconds
//! since 1970, each `-` where it is not known; what was done to the key's versions ([`written_text`]);
//! and, to the end, the state that the write left. Where one of its writes is about a version, those before it follow in the same form, each
//! after a NUL, the newest first; and `*`, if there were more.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use crate::register::record::{JOURNAL_ENTRIES_MAX, PIN_TTL, UPLOAD_TTL, UPLOADS_MAX};
use crate::register::types::in_millis;
use crate::register::waiters::{TURN, TURN_GRANTS, WAITER_KEPT, WAITERS_MAX};
use crate::register::young::YOUNG_MAX;
use crate::register::{
    EpochId, Expect, Generation, Millis, Settle, State, Terms, View, Writers, YoungKey, YoungWrite,
};
use crate::s3::listing::{Change, Description, VersionId, Written};
use crate::s3::{BucketName, Current, ETag, ObjectKey, ObjectName, Preconditions, Segments, Shape};

/// The number of this format.
pub(super) const FORMAT: u32 = 5;

/// The number of partitions. More partitions spread a cluster's load better, but a survey costs
/// more.
pub(super) const PARTITIONS: u64 = 64;

/// How many numbers of generations a library reserves at once.
pub(super) const GENERATIONS: u32 = 1024;

/// A cluster has [`PARTITIONS`] shelves of young keys. They fill evenly, so each may take more than its
/// share.
const CLUSTER_SHELVES: usize = 16;

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

/// The object about which something is stored under this name; `None` for every other name.
pub(super) fn known_name(namespace: &str, stored: &[u8]) -> Option<ObjectName> {
    let rest = std::str::from_utf8(stored).ok()?.strip_prefix('{')?.strip_prefix(namespace)?;
    let (number, name) = rest.strip_prefix(':')?.split_once('}')?;
    let (bucket, key) = name.split_once('/')?;
    let bucket = BucketName::parse(bucket).ok()?;
    let key = ObjectKey::parse(key, Segments::ANY).ok()?;
    (number.parse() == Ok(partition_of(name))).then_some(ObjectName { bucket, key })
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

/// What the store's answer says of a write, as the functions take it. Only objects of the class `STANDARD`
/// are described. The last word says what was done to the versions: `?` where that is not known, `-`
/// where the answer named none; else `+` for an object, `!` for a delete marker, `x` for what is gone,
/// and the version's id.
pub(super) fn written_text(written: &Written) -> Cow<'static, str> {
    let described = match written.description {
        Some(Description { size_bytes, modified_s, .. }) => format!("{size_bytes} {modified_s}"),
        None if written.change == Change::Unnamed => return Cow::Borrowed("- - -"),
        None if written.change == Change::Unknown => return Cow::Borrowed("- - ?"),
        None => "- -".to_owned(),
    };
    let (kind, id) = match &written.change {
        Change::Unknown => ("?", ""),
        Change::Unnamed => ("-", ""),
        Change::Put(id) => ("+", id.as_str()),
        Change::Marker(id) => ("!", id.as_str()),
        Change::Gone(id) => ("x", id.as_str()),
    };
    Cow::Owned([&described, " ", kind, id].concat())
}

fn change_of(word: &[u8]) -> Option<Change> {
    let (kind, id) = word.split_first()?;
    let id = || VersionId::parse(std::str::from_utf8(id).ok()?);
    match kind {
        b'?' if word.len() == 1 => Some(Change::Unknown),
        b'-' if word.len() == 1 => Some(Change::Unnamed),
        b'+' => id().map(Change::Put),
        b'!' => id().map(Change::Marker),
        b'x' => id().map(Change::Gone),
        _ => None,
    }
}

/// By this an entry of a young set names its epoch: the last 10 characters of its name.
pub(super) fn tag_of(epoch: &EpochId) -> &[u8] {
    let name = epoch.0.as_bytes();
    name.last_chunk::<10>().map_or(name, <[u8; 10]>::as_slice)
}

/// Reads an entry of a young set: the key of this bucket, and what was written there. What another epoch
/// than these left is taken for old. `None` for anything else.
pub(super) fn young_of(
    bucket: &BucketName,
    epochs: &HashSet<Vec<u8>>,
    entry: &[u8],
) -> Option<(String, YoungKey)> {
    let mut parts = entry.split(|byte| *byte == 0);
    let name = std::str::from_utf8(parts.next()?).ok()?;
    let key = name.strip_prefix(bucket.as_str())?.strip_prefix('/')?;
    let mut young = YoungKey::new(young_write_of(epochs, parts.next()?)?);
    for part in parts {
        if young.is_cut {
            return None;
        }
        match part {
            b"*" => young.is_cut = true,
            write => young.older.push(young_write_of(epochs, write)?),
        }
    }
    Some((key.to_owned(), young))
}

fn young_write_of(epochs: &HashSet<Vec<u8>>, write: &[u8]) -> Option<YoungWrite> {
    let mut words = write.splitn(6, |byte| *byte == b' ');
    let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse::<u64>().ok();
    let landed_at = number(words.next()?)?;
    let is_current = epochs.contains(words.next()?);
    let (size_bytes, modified_s) = (number(words.next()?), number(words.next()?));
    let description = size_bytes.zip(modified_s).map(|(size_bytes, modified_s)| Description {
        size_bytes,
        modified_s,
        is_standard: true,
    });
    let change = change_of(words.next()?)?;
    let state = state_of(words.next()?)?;
    let landed_at = Millis(if is_current { landed_at } else { 0 });
    Some(YoungWrite::new(landed_at, state, Written { description, change }))
}

/// The terms as the first lines of the library. Redis takes numbers as texts at less cost.
pub(super) fn terms_in_lua(terms: &Terms, is_cluster: bool) -> String {
    let ms = in_millis;
    let exclusive = terms.writers == Writers::Exclusive;
    let record_ttl = terms.record_ttl.max(terms.retry_horizon);
    let with_uploads = record_ttl.max(UPLOAD_TTL);
    let leased = terms.lease + terms.grace + terms.settle.max(terms.settle_long);
    let young_max = if is_cluster { YOUNG_MAX / CLUSTER_SHELVES } else { YOUNG_MAX };
    format!(
        "local TERMS, FORMER_FORMAT = '{}', 'format={}'\n\
         local LEASE, GRACE, SETTLE, SETTLE_LONG = {}, {}, {}, {}\n\
         local QUARANTINE, LAG, SPACING = {}, {}, {}\n\
         local HORIZON, UPLOAD_TTL = {}, {}\n\
         local RECORD_TTL, RECORD_TTL_UPLOADS, PIN_TTL = '{}', '{}', '{}'\n\
         local LEASED_TTL, LEASED_TTL_UPLOADS = '{}', '{}'\n\
         local EXCLUSIVE, JOURNAL_ENTRIES_MAX, UPLOADS_MAX = {exclusive}, {JOURNAL_ENTRIES_MAX}, {UPLOADS_MAX}\n\
         local TURN, WAITER_KEPT, WAITERS_MAX, TURN_GRANTS = {}, {}, {WAITERS_MAX}, {TURN_GRANTS}\n\
         local GENERATIONS, SERVER_SEEN = {GENERATIONS}, {}\n\
         local CLUSTER, PARTITIONS = {is_cluster}, {PARTITIONS}\n\
         local YOUNG_MAX, OLDER_MAX, YOUNG_TTL = {young_max}, {}, '{}'\n",
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
        YoungKey::OLDER_MAX,
        ms(terms.lag * 2),
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
    fn the_name_of_a_stored_key_comes_back_as_it_was() {
        for name in ["bucket/key", "bucket//a//../b}{", "bucket/ü \n"] {
            let (bucket, key) = name.split_once('/').unwrap();
            let key = ObjectKey::parse(key, Segments::ANY).unwrap();
            let name = ObjectName { bucket: BucketName::parse(bucket).unwrap(), key };
            let stored = keys_of("ifmatch", &name).key;
            assert_eq!(known_name("ifmatch", stored.as_bytes()), Some(name));
            assert_eq!(known_name("if", stored.as_bytes()), None);
        }
        for other in
            ["{ifmatch:7}", "{ifmatch:id}", "{ifmatch:8}bucket/key", "{ifmatch:young}~12", "x", ""]
        {
            assert_eq!(known_name("ifmatch", other.as_bytes()), None, "{other}");
        }
        assert_eq!(known_name("ifmatch", b"{ifmatch:7}bucket/\xff"), None);
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
    fn an_entry_of_a_young_set_is_read_to_its_end() {
        let bucket = BucketName::parse("bucket").unwrap();
        let epochs = HashSet::from([b"now".to_vec()]);
        let read = |entry: &[u8]| young_of(&bucket, &epochs, entry);
        let described = Some(Description { size_bytes: 5, modified_s: 9, is_standard: true });
        let id = || VersionId::parse("v=1").unwrap();
        let write = |at, state: &[u8], description, change| {
            let written = Written { description, change };
            YoungWrite::new(Millis(at), state_of(state).unwrap(), written)
        };
        let of = |last| YoungKey::new(last);
        let key = b"bucket/a/b \x01\x00";
        for (entry, young) in [
            (&b"12 now 5 9 - Pe t"[..], of(write(12, b"Pe t", described, Change::Unnamed))),
            (b"12 now - - +v=1 P", of(write(12, b"P", None, Change::Put(id())))),
            (b"12 now - - !v=1 A", of(write(12, b"A", None, Change::Marker(id())))),
            (b"12 now 5 - xv=1 ?", of(write(12, b"?", None, Change::Gone(id())))),
            (b"12 then 5 - ? ?", of(write(0, b"?", None, Change::Unknown))),
            (
                b"12 now 5 9 +v=1 Pe t\x0011 now - - ? ?\x009 then - - - A\x00*",
                YoungKey {
                    last: write(12, b"Pe t", described, Change::Put(id())),
                    older: vec![
                        write(11, b"?", None, Change::Unknown),
                        write(0, b"A", None, Change::Unnamed),
                    ],
                    is_cut: true,
                },
            ),
        ] {
            let entry = [key, entry].concat();
            assert_eq!(read(&entry), Some(("a/b \u{1}".to_owned(), young)));
        }
        for other in [
            "other/a\x0012 now - - - A",
            "bucket/a",
            "bucket/a\x0012 now - - A",
            "bucket/a\x0012 now - - + A",
            "bucket/a\x0012 now - - -x A",
            "bucket/a\x00x now - - - A",
            "bucket/a\x0012 now - - - A\x00*\x0012 now - - - A",
        ] {
            assert_eq!(read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn what_an_answer_said_comes_back_as_it_was() {
        let described = Description { size_bytes: 5, modified_s: 9, is_standard: true };
        let id = || VersionId::parse("3/L4k+x").unwrap();
        for (description, change, text) in [
            (None, Change::Unknown, "- - ?"),
            (None, Change::Unnamed, "- - -"),
            (Some(described), Change::Unnamed, "5 9 -"),
            (Some(described), Change::Unknown, "5 9 ?"),
            (Some(described), Change::Put(id()), "5 9 +3/L4k+x"),
            (None, Change::Marker(id()), "- - !3/L4k+x"),
            (None, Change::Gone(VersionId::null()), "- - xnull"),
        ] {
            let word = text.rsplit(' ').next().unwrap();
            assert_eq!(change_of(word.as_bytes()), Some(change.clone()));
            assert_eq!(written_text(&Written { description, change }), text);
        }
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

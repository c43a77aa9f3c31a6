//! How much memory a slot uses. With it the register limits its memory in bytes.

use std::mem::size_of;

use ahash::HashMap;

use crate::register::record::{Doubt, Lease, Record, Slot};
use crate::register::types::{Ending, Entry, State, Upload};
use crate::register::waiters::Waiter;
use crate::s3::ObjectName;

/// Memory of a key and its slot, bytes, without their place in the table.
pub(super) fn of_slot(name: &ObjectName, slot: &Slot) -> usize {
    let Slot { record, lease, waiters } = slot;
    // Both parts of a name are counted pointers.
    let name =
        block(2 * WORD + name.bucket.as_str().len()) + block(2 * WORD + name.key.as_str().len());
    let waiters = list(&waiters.waiting) + waiters.waiting.iter().map(of_waiter).sum::<usize>();
    name + block(size_of::<Slot>())
        + of_record(record)
        + lease.as_ref().map_or(0, of_lease)
        + waiters
}

/// Memory of a table with room for this many keys, bytes. While it grows, there are two of them.
pub(super) fn of_table(table: &HashMap<ObjectName, Box<Slot>>) -> usize {
    // At most seven of eight places are used, and each place has one byte of metadata.
    let places = (table.capacity() * 8 / 7).next_power_of_two();
    places * (size_of::<(ObjectName, Box<Slot>)>() + 1) * 3 / 2
}

fn of_record(record: &Record) -> usize {
    let Record { state, generation, last_token, doubt, journal, uploads, .. } = record;
    of_state(state)
        + generation.as_ref().map_or(0, |generation| text(&generation.0))
        + last_token.as_ref().map_or(0, |token| text(&token.0))
        + doubt.as_ref().map_or(0, of_doubt)
        + list(journal)
        + journal.iter().map(of_entry).sum::<usize>()
        + list(uploads)
        + uploads.iter().map(of_upload).sum::<usize>()
}

fn of_lease(lease: &Lease) -> usize {
    let armed =
        lease.armed.as_ref().map_or(0, |armed| of_state(&armed.pre) + text(&armed.generation.0));
    lease.token.as_ref().map_or(0, |token| text(&token.0)) + text(&lease.write_id.0) + armed
}

fn of_doubt(Doubt { write_id, armed, .. }: &Doubt) -> usize {
    let armed = of_state(&armed.pre) + text(&armed.generation.0);
    text(&write_id.0) + armed
}

fn of_entry(entry: &Entry) -> usize {
    let ending = match &entry.ending {
        Ending::Landed { state, generation, headers } => {
            of_state(state) + text(&generation.0) + block(headers.as_str().len())
        }
        Ending::Refused { code } => text(code),
        Ending::Undetermined { generation } => text(&generation.0),
    };
    text(&entry.write_id.0) + ending
}

fn of_upload(upload: &Upload) -> usize {
    let generations = [&upload.generation, &upload.pending];
    let generations = generations.into_iter().flatten().map(|generation| text(&generation.0));
    block(upload.name.as_str().len()) + generations.sum::<usize>()
}

fn of_waiter(waiter: &Waiter) -> usize {
    text(&waiter.asker.0)
}

fn of_state(state: &State) -> usize {
    match state {
        State::Present(etag) => block(2 * WORD + etag.as_bytes().len()),
        State::Absent | State::Unknown => 0,
    }
}

const WORD: usize = size_of::<usize>();

fn text(text: &String) -> usize {
    block(text.capacity())
}

fn list<T>(list: &Vec<T>) -> usize {
    block(list.capacity() * size_of::<T>())
}

/// What an allocator uses for this many bytes: it rounds up, by an eighth at most or to 16 bytes,
/// and may add a word of its own.
fn block(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { (bytes + bytes / 8 + WORD).next_multiple_of(16) }
}

//! The in-memory register's bound is one of bytes: whatever is written and read, it does not use more.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]
#![allow(clippy::print_stdout, reason = "what was measured is told with --nocapture")]

#[path = "support/steps.rs"]
#[allow(dead_code, reason = "shared with the other tests of registers, which use more of it")]
mod steps;

use ifmatch::register::memory::MemoryRegister;
use ifmatch::register::{Ask, Register, Terms, WriteId, Writers};
use ifmatch::s3::ETag;

use self::steps::{ask, commit, granted, object};

/// What the register may use, bytes.
const BOUND: u64 = 32 << 20;

fn terms() -> Terms {
    Terms { writers: Writers::Exclusive, ..Terms::default() }
}

/// What this process has in memory, bytes (Linux: proc(5), statm; pages of 4 KiB).
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// By how much this process has grown when this was done with a register, bytes.
async fn growth(before: u64, work: impl AsyncFnOnce(&MemoryRegister)) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let lock_file = directory.path().join("lock");
    std::fs::write(&lock_file, "clean\n").unwrap();
    let bound = usize::try_from(BOUND).unwrap();
    let register = MemoryRegister::open_within(&lock_file, terms(), bound).unwrap();
    work(&register).await;
    resident().saturating_sub(before)
}

async fn write(register: &MemoryRegister, key: &str, write: &str) {
    let ask = Ask { write_id: WriteId(write.to_owned()), ..ask(write) };
    let grant = granted(register, &object(key), &ask).await;
    let new =
        ifmatch::register::State::Present(ETag::parse(b"\"0123456789abcdef0123456789abcdef\""));
    commit(register, &object(key), &grant.token, new).await.unwrap();
}

/// What was freed is used again before the process grows: so each part may only be as large as the
/// bound, and an eighth for what lies between.
#[tokio::test]
async fn memory_is_bounded_in_bytes_and_reads_use_none() {
    let before = resident();
    let reads = growth(before, async |register| {
        for number in 0..40_000 {
            register.observe(&object(&format!("{number:01000}"))).await.unwrap();
        }
    });
    let reads = reads.await;
    assert!(reads < 2 << 20, "{reads} bytes for reads");
    let short = growth(before, async |register| {
        for number in 0..150_000 {
            write(register, &number.to_string(), &format!("~{number}")).await;
        }
    });
    let short = short.await;
    assert!(short > BOUND / 2, "{short} bytes only, so the bound was not reached");
    let long = growth(before, async |register| {
        for number in 0..50_000 {
            write(register, &format!("{number:01000}"), &format!("~{number}")).await;
        }
    });
    let long = long.await;
    let lines = growth(before, async |register| {
        for number in 0..150_000 {
            write(register, &(number / 32).to_string(), &format!("{number:064}")).await;
        }
    });
    let lines = lines.await;
    println!("short {short}, long {long}, lines {lines} of {BOUND} bytes");
    for (what, bytes) in [("short", short), ("long", long), ("lines", lines)] {
        assert!(bytes <= BOUND + BOUND / 8, "{what}: {bytes} bytes");
    }
}

//! The `ifmatch` program.

use std::process::ExitCode;

// With the system's allocator, a quarter of the cost of a small write is allocation
// (docs/decisions/0055-mimalloc.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ifmatch::cli::main()
}

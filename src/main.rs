//! The `ifmatch` program.

use std::process::ExitCode;

// With the system's allocator, allocation is a quarter of a small write's cost
// (docs/decisions/0055-mimalloc.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ifmatch::cli::main()
}

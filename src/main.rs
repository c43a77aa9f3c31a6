//! The `ifmatch` program.

use std::process::ExitCode;

// The allocator is a quarter of a small write's cost with the system's (DESIGN, section 9).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ifmatch::cli::main()
}

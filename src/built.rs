//! The version, commit and compiler of this build; build.rs finds out all but the version.

/// The version in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The 40 digits of the commit, with " with changes" behind them if the sources differed from it;
/// "unknown" where neither git nor a tarball told.
pub const COMMIT: &str = env!("BUILD_COMMIT");

/// What `rustc --version` says.
pub const COMPILER: &str = env!("BUILD_COMPILER");

/// What `ifmatch --version` prints behind the name of the program.
pub const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit ",
    env!("BUILD_COMMIT"),
    "\nbuilt by ",
    env!("BUILD_COMPILER"),
    ", opt-level ",
    env!("BUILD_OPT_LEVEL"),
);

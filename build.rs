//! Tells the compiler the commit, its own version and its level of optimisation, for `ifmatch --version`.
//!
//! The commit is that of the checkout when the sources were last compiled, or the one that `git
//! archive` wrote into a tarball. Nothing else of the machine enters: the same commit and compiler
//! give the same text.

use std::path::Path;
use std::process::Command;

/// `git archive` puts the commit in the place of its text (.gitattributes).
const OF_A_TARBALL: &str = "packaging/commit";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=Cargo.toml");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rerun-if-changed={OF_A_TARBALL}");
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    let commit = given().or_else(of_tarball).or_else(of_checkout);
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let compiler = said_by(Command::new(rustc).arg("--version"));
    println!("cargo::rustc-env=BUILD_COMPILER={}", compiler.as_deref().unwrap_or("unknown"));
    let optimised = std::env::var("OPT_LEVEL").unwrap_or_default();
    println!("cargo::rustc-env=BUILD_OPT_LEVEL={optimised}");
}

/// What builds without its checkout, such as an image, can name the commit.
fn given() -> Option<String> {
    std::env::var("BUILD_COMMIT").ok().filter(|commit| is_commit(commit))
}

fn of_tarball() -> Option<String> {
    let text = std::fs::read_to_string(OF_A_TARBALL).ok()?;
    Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
}

fn of_checkout() -> Option<String> {
    // Without it git would look for a repository around an unpacked tarball.
    if !Path::new(".git").exists() {
        return None;
    }
    let commit = said_by(Command::new("git").args(["rev-parse", "HEAD"]))?;
    let sources = ["status", "--porcelain", "--", "src", "build.rs", "Cargo.toml", "Cargo.lock"];
    let changed = !said_by(Command::new("git").args(sources))?.is_empty();
    Some(if changed { format!("{commit} with changes") } else { commit })
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The output of a command; `None` where it cannot be run, or fails.
fn said_by(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

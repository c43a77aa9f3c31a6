//! The command line: parses arguments and prints results. Only this module prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a terminal")]

mod check_config;
mod demo;
mod demo_lag;
mod failure;
mod health;
mod logging;
mod pages;
mod probe;
mod probe_report;
mod probe_store;
mod probe_store_report;
mod probe_work;
mod register;
mod serve;
mod settings;
mod store;
mod verbs;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use self::failure::Failure;
use crate::{built, embedded, tls};

/// Conditional writes that survive retries, on any S3.
#[derive(Debug, Parser)]
#[command(
    name = "ifmatch",
    version,
    long_version = built::LONG,
    max_term_width = 100,
    after_help = embedded::ABSENCE
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a proxy in front of an S3 store.
    Serve(serve::Serve),
    /// Play a lost update, first against a store alone, then through the proxy.
    Demo(Demo),
    /// Check the configuration and print it as it would be used.
    CheckConfig(check_config::CheckConfig),
    /// Ask a running process whether it is ready.
    Health(health::Health),
    /// Find out what the store does with conditions, with odd requests, and after writes.
    Probe(probe::Probe),
    /// Look at the register.
    #[command(subcommand)]
    Register(register::Command),
    /// Say what holds for the keys of a bucket: rules, writers, lag, versioning.
    BucketInfo(verbs::bucket_info::BucketInfo),
    /// Multipart uploads that were begun and neither completed nor aborted.
    #[command(subcommand)]
    Uploads(verbs::uploads::Command),
    /// Serve the embedded store alone, without the proxy: for trying and testing.
    Store(store::StoreArguments),
    /// Print the script by which a shell completes the commands.
    Completions(pages::Completions),
    /// Print the manual page.
    Man(pages::Man),
}

/// `ifmatch demo`
#[derive(Debug, clap::Args)]
#[command(after_help = embedded::ABSENCE)]
struct Demo {
    /// Play instead what a store does to two clients that shows what was replaced for so long.
    #[arg(long, default_value = "0s", value_parser = store::duration, value_name = "DURATION")]
    lag: std::time::Duration,
}

/// Exit code for a configuration that cannot be used; clap's own, for the same kind of mistake.
const EXIT_USAGE: u8 = 2;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    tls::install_provider();
    let ended = match Arguments::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Demo(Demo { lag }) if lag.is_zero() => demo::run(),
        Command::Demo(Demo { lag }) => demo_lag::run(lag),
        Command::CheckConfig(check) => check.run(),
        Command::Health(health) => health.run(),
        Command::Probe(probe) => probe.run(),
        Command::Register(command) => command.run(),
        Command::BucketInfo(info) => info.run(),
        Command::Uploads(command) => command.run(),
        Command::Store(store) => store.run(),
        Command::Completions(completions) => completions.run(Arguments::command()),
        Command::Man(man) => man.run(Arguments::command()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(text)) => {
            eprintln!("{text}");
            ExitCode::from(EXIT_USAGE)
        }
        Err(Failure::Run(text)) => {
            eprintln!("ifmatch: {text}");
            ExitCode::FAILURE
        }
        Err(Failure::Logged) => ExitCode::FAILURE,
    }
}

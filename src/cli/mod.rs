//! The command line: what a person types and reads. The only room that prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to a terminal")]

mod demo;
mod logging;
mod register;
mod serve;
mod store;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigErrors, Flags, Sources, json_schema, of_process};

/// Conditional writes that survive retries, on any S3.
#[derive(Debug, Parser)]
#[command(name = "ifmatch", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a proxy in front of an S3 store.
    Serve(serve::Serve),
    /// Play a lost update, first against a store alone, then through the proxy.
    Demo,
    /// Check the configuration and print it as it would be used.
    CheckConfig(CheckConfig),
    /// Look at the register.
    #[command(subcommand)]
    Register(register::Command),
    /// Serve the embedded store alone, without the proxy: for trying and testing.
    Store(store::StoreArguments),
}

/// `ifmatch check-config`
#[derive(Debug, Args)]
struct CheckConfig {
    #[command(flatten)]
    settings: Settings,
    /// As for `serve --embedded DIR`. Nothing is created in the directory.
    #[arg(long, value_name = "DIR")]
    embedded: Option<PathBuf>,
    /// Print the JSON schema of the configuration file instead, for editors.
    #[arg(long)]
    schema: bool,
}

/// Where the settings come from.
#[derive(Debug, Args)]
struct Settings {
    /// The configuration file.
    #[arg(long, short, env = "IFMATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen, such as 127.0.0.1:9000; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// The store behind, such as `http://garage:3900`.
    #[arg(long, value_name = "URL")]
    backend_url: Option<String>,
    /// The register: memory: or redis://host:port.
    #[arg(long, value_name = "URL")]
    register_url: Option<String>,
    /// How to log: text or json.
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

impl Settings {
    fn load(self, embedded: Option<PathBuf>) -> Result<Config, ConfigErrors> {
        Config::load(self.sources(embedded))
    }

    fn sources(self, embedded: Option<PathBuf>) -> Sources {
        let Self { config, listen, backend_url, register_url, log_format } = self;
        let flags = Flags { listen, backend_url, register_url, log_format, embedded };
        Sources { file: config, environment: of_process(), flags, only_look: false }
    }
}

/// Exit code for a configuration that cannot be used; clap's own, for the same kind of mistake.
const EXIT_USAGE: u8 = 2;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Serve(serve) => serve.run(),
        Command::Demo => demo::run(),
        Command::CheckConfig(check) => check.run(),
        Command::Register(command) => command.run(),
        Command::Store(store) => store.run(),
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
    }
}

/// Why a command failed, in words for its user.
#[derive(Debug)]
enum Failure {
    /// What was asked for cannot be meant.
    Usage(String),
    /// It did not work out.
    Run(String),
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Usage(errors.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<crate::server::StartError> for Failure {
    fn from(error: crate::server::StartError) -> Self {
        Self::Run(error.to_string())
    }
}

impl From<crate::register::RegisterError> for Failure {
    fn from(error: crate::register::RegisterError) -> Self {
        Self::Run(error.to_string())
    }
}

impl CheckConfig {
    fn run(self) -> Result<(), Failure> {
        if self.schema {
            print!("{}", json_schema());
            return Ok(());
        }
        let sources = Sources { only_look: true, ..self.settings.sources(self.embedded) };
        let config = Config::load(sources)?;
        print!("{}", config.describe());
        for warning in &config.warnings {
            eprintln!("warning: {warning}");
        }
        Ok(())
    }
}

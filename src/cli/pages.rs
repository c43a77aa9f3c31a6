//! `ifmatch completions` and `ifmatch man`: what shells and `man` know about the commands, made from
//! their own definitions.

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::Shell;

use super::failure::Failure;

/// `ifmatch completions`
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell that is to complete the commands.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, mut program: Command) -> Result<(), Failure> {
        let name = program.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, name, &mut script);
        Ok(io::stdout().write_all(&script)?)
    }
}

/// `ifmatch man`
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write a page for each command into this directory instead, which must exist.
    dir: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self, program: Command) -> Result<(), Failure> {
        let Some(dir) = &self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(program).render(&mut page)?;
            return Ok(io::stdout().write_all(&page)?);
        };
        clap_mangen::generate_to(program, dir)
            .map_err(|error| Failure::Run(format!("{}: {error}", dir.display())))
    }
}

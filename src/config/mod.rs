//! The configuration: a TOML file, overridden by environment variables, overridden by flags. It is
//! read at the start and at each reload. Either every setting is valid, or all faults are listed.
//!
//! `schema` and `access` have the sections as `serde` structs. `overlay` merges the layers
//! (`sources`) into one map that remembers the origin of each value, and `reading` fills the
//! sections from it, key by key. `assemble` adds secrets and derived defaults; `validate` checks
//! the whole. `changes` says what a reload puts into effect.

mod access;
mod address;
mod assemble;
mod base;
mod changes;
mod choices;
mod describe;
mod embedded;
mod faults;
mod json_schema;
mod keys;
mod overlay;
mod page;
mod reading;
mod schema;
mod secrets;
mod sources;
mod strong_headers;
mod validate;
mod values;

#[cfg(test)]
mod tests;

pub use access::{BucketPattern, Buckets, Client, Rights, Rule};
pub use address::{Endpoint, RegisterUrl};
pub use changes::{Changes, changes, effective};
pub use choices::{
    AccessLog, Addressing, Checksums, Consistency, EarlyAnswer, KeyNames, LogFormat, ProbeAtStart,
    Replicas, Require, RuleMode, SignatureV2, Signatures, Subresources, UnknownLength,
};
pub use faults::{ConfigErrors, Fault};
pub use json_schema::json_schema;
pub use page::settings_page;
pub use schema::{
    Admin, Backend, Body, Certificate, Config, EmbeddedStore, Limits, Log, Register, RegisterKind,
    Tls, Traces, UpgradeSocket,
};
pub use sources::{Flags, Sources, of_process};
pub use strong_headers::StrongHeaders;

use embedded::Directory;
use faults::Faults;
use overlay::Overlay;
use reading::Reading;

/// Whoever has forgotten the file would read only that everything in it is missing.
const NO_FILE: &str = "no file was named: write --config FILE, or set IFMATCH_CONFIG";

impl Config {
    /// Reads and validates all settings. Blocks on the file system. Creates nothing there, with one
    /// exception: `--embedded` without a client creates that client's secret at its first start
    /// (not where [`Sources::only_look`] says so).
    ///
    /// # Errors
    /// All faults, each with its path.
    pub fn load(sources: Sources) -> Result<Self, ConfigErrors> {
        let mut faults = Faults::default();
        let Some(overlay) = Overlay::read(&sources, &mut faults) else {
            return Err(faults.into_errors());
        };
        let Sources { file, environment, flags, only_look } = sources;
        let is_unnamed = file.is_none();
        let mut reading = Reading::new(overlay, environment, faults);
        let embedded = flags.embedded.map(|dir| Directory { dir, only_look });
        if let Some(directory) = &embedded {
            embedded::decide(&mut reading, directory);
        }
        let directory = embedded.as_ref().map(|directory| directory.dir.as_path());
        let mut config = assemble::config(&mut reading, directory);
        validate::all(&mut reading, &config);
        reading.overlay.refuse_unknown(&reading.variables, &mut reading.faults);
        if let Some(directory) = embedded
            && config.clients.is_empty()
            && reading.faults.is_empty()
        {
            config.clients.extend(embedded::client(&mut reading, &directory));
        }
        if is_unnamed && reading.faults.any_at(&["backend.url"]) {
            reading.faults.push(keys::FILE_FLAG, NO_FILE);
        }
        if !reading.faults.is_empty() {
            return Err(reading.faults.into_errors());
        }
        config.described = describe::describe(&mut reading, &config);
        config.derived = reading.derived.into_keys().collect();
        config.warnings = reading.warnings;
        Ok(config)
    }
}

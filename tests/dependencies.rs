//! What deny.toml says of licences, duplicate versions, banned crates and sources, checked without
//! cargo-deny: that program takes long to build, and `make test` has to work from an empty machine.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// deny.toml, as far as it is checked here. Its other tables are cargo-deny's alone.
#[derive(Debug, Deserialize)]
struct Deny {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Graph {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Entry>,
    skip: Vec<Entry>,
}

/// A crate, or a crate and the first parts of its version.
#[derive(Debug, Deserialize)]
struct Entry {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

impl Entry {
    fn is(&self, package: &Package) -> bool {
        match self.name.split_once('@') {
            None => self.name == package.name,
            Some((name, version)) => {
                name == package.name && package.version.starts_with(&format!("{version}."))
            }
        }
    }
}

/// What `cargo metadata` prints.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// The registry; none is this repository.
    source: Option<String>,
}

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn deny() -> Deny {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// All crates that are built for one of the targets, those of the tests too.
fn packages(targets: &[String]) -> Vec<Package> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--all-features", "--format-version", "1"]);
    cargo.args(targets.iter().flat_map(|target| ["--filter-platform", target]));
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    assert!(metadata.packages.len() > 100, "the packages were not read");
    metadata.packages
}

/// All that is wrong, in sentences.
fn faults(deny: &Deny, packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut versions: BTreeMap<&str, Vec<&Package>> = BTreeMap::new();
    for package in packages {
        let Package { name, version, license, source } = package;
        let license = license.as_deref().unwrap_or("none");
        if !is_allowed(license, &deny.licenses.allow) {
            faults.push(format!("{name} {version}: its licence, {license}, is not allowed"));
        }
        if source.as_ref().is_some_and(|source| source != CRATES_IO) {
            faults.push(format!("{name} {version} does not come from crates.io"));
        }
        if let Some(Entry { reason, .. }) = deny.bans.deny.iter().find(|entry| entry.is(package)) {
            faults.push(format!("{name} is banned: {reason}"));
        }
        versions.entry(name).or_default().push(package);
    }
    for (name, of_name) in &versions {
        let skipped = |package: &&&Package| deny.bans.skip.iter().any(|entry| entry.is(package));
        let left: Vec<&str> =
            of_name.iter().filter(|p| !skipped(p)).map(|p| p.version.as_str()).collect();
        if left.len() > 1 {
            faults.push(format!("{name} is there in the versions {}", left.join(", ")));
        }
    }
    for entry in &deny.bans.skip {
        let needed = versions
            .values()
            .any(|of_name| of_name.len() > 1 && of_name.iter().any(|package| entry.is(package)));
        if !needed {
            faults.push(format!("skip: {} is no duplicate any more; remove its line", entry.name));
        }
    }
    faults
}

/// Judges an SPDX expression such as `(MIT OR Apache-2.0) AND Unicode-3.0`. A `/` is an older `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let spaced = spaced.replace(" WITH ", "-WITH-");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    any_of(&mut rest, allowed) == Some(true) && rest.is_empty()
}

/// `None` where the expression is none.
fn any_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut fits = all_of(rest, allowed)?;
    while let ["OR", after @ ..] = rest {
        *rest = after;
        fits |= all_of(rest, allowed)?;
    }
    Some(fits)
}

fn all_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let mut fits = one(rest, allowed)?;
    while let ["AND", after @ ..] = rest {
        *rest = after;
        fits &= one(rest, allowed)?;
    }
    Some(fits)
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> Option<bool> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    if *first != "(" {
        return Some(allowed.contains(*first));
    }
    let fits = any_of(rest, allowed)?;
    let (last, after) = rest.split_first()?;
    *rest = after;
    (*last == ")").then_some(fits)
}

#[test]
fn every_dependency_is_one_that_deny_toml_allows() {
    let deny = deny();
    let faults = faults(&deny, &packages(&deny.graph.targets));
    assert!(faults.is_empty(), "deny.toml:\n{}", faults.join("\n"));
}

#[test]
fn what_deny_toml_forbids_is_found() {
    let deny = deny();
    let package = |name: &str, version: &str, license: &str, source: &str| Package {
        name: name.to_owned(),
        version: version.to_owned(),
        license: Some(license.to_owned()),
        source: Some(source.to_owned()),
    };
    let mut packages = packages(&deny.graph.targets);
    packages.push(package("openssl-sys", "0.9.1", "MIT", CRATES_IO));
    packages.push(package("readline", "1.0.0", "GPL-3.0-only", CRATES_IO));
    packages.push(package("elsewhere", "1.0.0", "MIT", "git+https://example.com/elsewhere"));
    packages.push(package("bytes", "0.5.0", "MIT", CRATES_IO));
    packages.retain(|package| !(package.name == "syn" && package.version.starts_with("1.")));
    let found = faults(&deny, &packages);
    let told =
        ["skip: syn@1 ", "readline 1.0.0: ", "openssl-sys is ", "elsewhere 1.0.0 ", "bytes is "];
    assert_eq!(found.len(), told.len(), "{found:?}");
    for told in told {
        assert!(found.iter().any(|fault| fault.starts_with(told)), "{told}: {found:?}");
    }
}

#[test]
fn expressions_of_licences_are_understood() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "ISC".to_owned()]);
    for good in
        ["MIT", "GPL-3.0/MIT", "A OR ISC", "MIT AND ISC", "(A OR MIT) AND ISC", "A AND B OR MIT"]
    {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "A",
        "MIT AND A",
        "(MIT OR A) AND B",
        "MIT WITH x",
        "MIT ISC",
        "(MIT",
        "MIT OR",
        "MIT)",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

//! docs/protocol.md names a test for each of its lines: they exist. What it promises, and what breaks
//! that, the README says in the same words.

use std::collections::HashSet;
use std::path::Path;

/// Adds the name of every function in the sources under this directory, and of every safeguard.
fn collect(directory: &Path, names: &mut HashSet<String>) {
    for entry in std::fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "py") {
            let text = std::fs::read_to_string(&path).expect("a source");
            for line in text.lines().map(str::trim) {
                let rest = ["fn ", "async fn ", "def "].iter().find_map(|w| line.strip_prefix(w));
                let end = |text: &str| text.find(['(', '<', ':']).unwrap_or(text.len());
                if let Some(rest) = rest {
                    names.insert(rest[..end(rest)].to_owned());
                } else if path.ends_with("model/safeguards.rs") {
                    names.insert(line[..end(line)].to_owned());
                }
            }
        }
    }
}

#[test]
fn every_test_that_the_protocol_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = HashSet::new();
    for directory in ["src", "tests"] {
        collect(&root.join(directory), &mut names);
    }
    let document = std::fs::read_to_string(root.join("docs/protocol.md")).unwrap();
    let body = document.split_once("## What breaks it").unwrap().1;
    let quoted = body.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
    let settings = ["settle", "settle_long", "margin", "grace", "lease", "failover_lag"];
    let wanted: Vec<_> = quoted.filter(is_name).filter(|word| !settings.contains(word)).collect();
    assert!(wanted.len() > 60, "the page was not read: {wanted:?}");
    let missing: Vec<_> = wanted.iter().filter(|name| !names.contains(**name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

/// The text between two marks, its lines made one.
fn between(text: &str, from: &str, to: &str) -> String {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from:?}")).1;
    let found = rest.split_once(to).unwrap_or_else(|| panic!("no {to:?} after {from:?}")).0;
    found.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_readme_promises_what_the_protocol_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let protocol = std::fs::read_to_string(root.join("docs/protocol.md")).unwrap();
    let promise = between(&readme, "**The promise.**", "**What breaks it.**");
    assert_eq!(promise, between(&protocol, "## The promise", "## What breaks it"));
    let list = between(&protocol, "## What breaks it", "## Words");
    let sentences: Vec<_> = list.split("**").skip(1).step_by(2).collect();
    assert!(sentences.len() > 5, "the list was not read: {sentences:?}");
    assert_eq!(between(&readme, "**What breaks it.**", "[docs/protocol.md]"), sentences.join(" "));
}

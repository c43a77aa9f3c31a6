//! docs/guarantees.md and docs/protocol.md name a test for each of their lines: they exist. What is
//! promised, and what breaks that, the README says in the same words. What sources cite of the pages is there, and so is what a
//! decision names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

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
    let page = |name: &str| std::fs::read_to_string(root.join("docs").join(name)).unwrap();
    let (guarantees, protocol) = (page("guarantees.md"), page("protocol.md"));
    let breaks = guarantees.split_once("## What breaks it").unwrap().1;
    let body = [breaks, protocol.split_once("## Words").unwrap().1].concat();
    let quoted = body.split('`').skip(1).step_by(2);
    let is_name = |word: &&str| word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
    let settings = [
        "settle",
        "settle_long",
        "margin",
        "grace",
        "lease",
        "failover_lag",
        "retry_horizon",
        "lag",
        "spacing",
    ];
    let wanted: Vec<_> = quoted.filter(is_name).filter(|word| !settings.contains(word)).collect();
    assert!(wanted.len() > 60, "the page was not read: {wanted:?}");
    let missing: Vec<_> = wanted.iter().filter(|name| !names.contains(**name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

/// What an operator looks for.
const TASKS: [&str; 21] = [
    "## Install it",
    "## Start it and check it",
    "## Put it in front of a store",
    "## Behind HAProxy, nginx or Envoy",
    "### HAProxy",
    "### nginx",
    "### Envoy",
    "## The register",
    "## Change settings without a restart",
    "### Rotate a secret",
    "## TLS",
    "## Upgrade without downtime",
    "## Limits",
    "## Sizing",
    "## Backup",
    "## Failure drills",
    "## Watch it",
    "### Alerts",
    "## The log",
    "## Traces",
    "## What shows it",
];

#[test]
fn the_page_for_operators_has_its_parts_and_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/operations.md")).unwrap();
    for task in TASKS {
        assert_eq!(page.lines().filter(|line| *line == task).count(), 1, "{task}");
    }
    let mut names = HashSet::new();
    for directory in ["src", "tests"] {
        collect(&root.join(directory), &mut names);
    }
    // No setting has so many words, except one.
    let is_name = |word: &&str| {
        word.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
            && (word.starts_with("test_") || word.matches('_').count() > 3)
            && !word.starts_with("ifmatch_")
            && *word != "previous_secret_access_key_file"
    };
    let is_code = |line: &&str| line.starts_with("    ");
    let prose = page.lines().filter(|line| !is_code(line)).collect::<Vec<_>>().join("\n");
    let wanted: Vec<_> = quoted(&prose).filter(is_name).collect();
    assert!(wanted.len() > 50, "the page was not read: {wanted:?}");
    let missing: Vec<_> = wanted.iter().filter(|name| !names.contains(**name)).collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
    let table = page.split_once("## What shows it").unwrap().1;
    for (letter, last) in [('T', 9), ('M', 8), ('A', 5), ('N', 7)] {
        for number in 1..=last {
            let named = format!("{letter}{number}");
            let rows = table.lines().filter(|line| {
                let first = line.split('|').nth(1).unwrap_or_default();
                first.split(',').any(|word| word.trim() == named)
            });
            assert_eq!(rows.count(), 1, "a row for {named}");
        }
    }
}

#[test]
fn each_subject_of_the_store_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = HashSet::new();
    collect(&root.join("tests/e2e"), &mut names);
    let page = std::fs::read_to_string(root.join("docs/store.md")).unwrap();
    let part = page.split_once("## What shows it").unwrap().1.split("\n## ").next().unwrap();
    let rows: Vec<_> = part.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 25, "the table was not read: {rows:?}");
    for row in rows {
        let tests: Vec<_> = quoted(row).filter(|word| word.starts_with("test_")).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        let missing: Vec<_> = tests.iter().filter(|name| !names.contains(**name)).collect();
        assert!(missing.is_empty(), "no such tests: {missing:?}");
    }
}

/// The text between two marks, its lines made one.
fn between(text: &str, from: &str, to: &str) -> String {
    let rest = text.split_once(from).unwrap_or_else(|| panic!("no {from:?}")).1;
    let found = rest.split_once(to).unwrap_or_else(|| panic!("no {to:?} after {from:?}")).0;
    found.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_readme_promises_what_the_guarantees_do() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let guarantees = std::fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let promise = between(&readme, "**The promise.**", "**What breaks it.**");
    assert_eq!(promise, between(&guarantees, "## The promise", "## What breaks it"));
    let list = guarantees.split_once("## What breaks it").unwrap().1;
    let list = list.split_whitespace().collect::<Vec<_>>().join(" ");
    let sentences: Vec<_> = list.split("**").skip(1).step_by(2).collect();
    assert!(sentences.len() > 5, "the list was not read: {sentences:?}");
    assert_eq!(
        between(&readme, "**What breaks it.**", "[docs/guarantees.md]"),
        sentences.join(" ")
    );
}

// === citations ===

/// Every text under this directory that may cite a page: sources, scripts of the register, notes.
fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        let kind = path.extension().and_then(|kind| kind.to_str());
        if path.is_dir() && !path.ends_with("node_modules") {
            sources(&path, found);
        } else if matches!(kind, Some("rs" | "py" | "lua" | "md")) {
            found.push(path);
        }
    }
}

/// What can be cited: names such as L1 and F1, anchors of docs/protocol.md, numbers of decisions.
struct Citable {
    names: HashSet<String>,
    anchors: HashSet<String>,
    decisions: HashSet<String>,
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// A letter and a number, as the invariants and the failure stories are named.
fn is_name(word: &str) -> bool {
    let number = word.strip_prefix(['L', 'F']).unwrap_or_default();
    matches!(number.len(), 1 | 2) && number.bytes().all(|b| b.is_ascii_digit())
}

fn citable(root: &Path) -> Citable {
    let page = std::fs::read_to_string(root.join("docs/protocol.md"));
    let protocol = page.expect("docs/protocol.md");
    let headings = protocol.lines().filter_map(|line| line.strip_prefix('#'));
    let mut anchors: HashSet<_> = headings.map(|h| anchor(h.trim_start_matches('#'))).collect();
    let ids = protocol.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    anchors.extend(ids.map(str::to_owned));
    let defined = protocol.split("</a>**").skip(1).filter_map(|rest| rest.split('.').next());
    let pages = std::fs::read_dir(root.join("docs/decisions")).into_iter().flatten();
    Citable {
        names: defined.filter(|name| is_name(name)).map(str::to_owned).collect(),
        anchors,
        decisions: pages
            .map(|page| {
                page.expect("a page").file_name().to_string_lossy().chars().take(4).collect()
            })
            .collect(),
    }
}

/// What follows each mark, as far as these characters go.
fn after<'a>(text: &'a str, mark: &str, is_part: fn(char) -> bool) -> Vec<&'a str> {
    let rests = text.split(mark).skip(1);
    rests.map(|rest| &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())]).collect()
}

/// Citations of what is not there, and citations in a form that no test could check.
fn bad_citations(text: &str, citable: &Citable) -> Vec<String> {
    let mut bad = Vec::new();
    // One line, so that a comment's line break does not hide a citation.
    let marks = ['/', '!', '#', '-', ' ', '\t'];
    let lines: Vec<_> = text.lines().map(|line| line.trim_start_matches(marks)).collect();
    bad.extend(lines.iter().filter(|line| is_bracketed(line)).map(|line| (*line).to_owned()));
    let text = lines.join(" ");
    for word in text.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '%') {
        if is_name(word) && !citable.names.contains(word) || word == "DESIGN" {
            bad.push(word.to_owned());
        }
    }
    let is_slug = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let cited = after(&text, "protocol.md#", is_slug).into_iter();
    bad.extend(cited.filter(|cited| !citable.anchors.contains(*cited)).map(str::to_owned));
    let cited = after(&text, "docs/decisions/", |c| c.is_ascii_digit()).into_iter();
    bad.extend(
        cited
            .filter(|number| !number.is_empty() && !citable.decisions.contains(*number))
            .map(|number| format!("docs/decisions/{number}")),
    );
    let text = text.to_lowercase();
    let words: Vec<_> =
        text.split([' ', ',', '(', ')', '"', '.']).filter(|w| !w.is_empty()).collect();
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    for pair in words.windows(2) {
        let numbered = ["law", "laws", "story", "stories", "protocol", "protocol's"];
        let old = numbered.contains(&pair[0]) && is_number(pair[1])
            || pair[0].starts_with("protocol") && pair[1] == "section"
            || *pair == ["first", "plan"];
        if old {
            bad.push(pair.join(" "));
        }
    }
    bad
}

/// A comment that begins with a number in brackets, as citations of a page once did; not a link.
fn is_bracketed(line: &str) -> bool {
    let inner = line.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    inner.is_some_and(|(number, rest)| number.parse::<u32>().is_ok() && !rest.starts_with('('))
}

#[test]
fn every_citation_names_something_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let citable = citable(root);
    assert!(citable.names.len() > 20, "the page was not read: {:?}", citable.names);
    let mut files = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
    for directory in ["src", "tests", "benches", "fuzz/fuzz_targets", "docs"] {
        sources(&root.join(directory), &mut files);
    }
    let mut bad = Vec::new();
    // This file has bad ones, below.
    for file in files.iter().filter(|file| !file.ends_with("tests/docs.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        let found = bad_citations(&text, &citable);
        bad.extend(found.into_iter().map(|citation| format!("{}: {citation}", file.display())));
    }
    assert!(bad.is_empty(), "cited, and not there:\n{}", bad.join("\n"));
}

#[test]
fn a_bad_citation_is_found() {
    let mut citable = citable(Path::new(env!("CARGO_MANIFEST_DIR")));
    citable.decisions.insert("0001".to_owned());
    for good in [
        "/// Nothing is written (L5, F3; docs/protocol.md#reclaim).",
        "// docs/protocol.md#l1, docs/decisions/0001-a-name.md, docs/decisions/README.md",
        "/foo%F0%9F RFC 9110, section 13; three laws, [`F1`], noqa: F401, list[1]",
    ] {
        assert_eq!(bad_citations(good, &citable), Vec::<String>::new(), "{good}");
    }
    for bad in [
        "// L99",
        "(F40)",
        "// docs/protocol.md#reclaiming",
        "[Reclaim](protocol.md#nowhere)",
        "// docs/decisions/9999",
        "// law 5",
        "// (protocol, 5.4)",
        "//! on a clock (protocol,\n//! section 5, story 3)",
        "// DESIGN, section 9",
        "/// [14] The refusal of a retry",
    ] {
        assert!(!bad_citations(bad, &citable).is_empty(), "{bad}");
    }
}

// === decisions, and the map ===

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_decision_has_its_parts_and_names_what_is_there() {
    const PARTS: [&str; 6] = ["Context", "Choice", "Cost", "What would change it", "Code", "Tests"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut names = HashSet::new();
    for directory in ["src", "tests"] {
        collect(&root.join(directory), &mut names);
    }
    let index = std::fs::read_to_string(root.join("docs/decisions/README.md")).unwrap();
    let listed = after(&index, "](", |c| c != ')');
    let (mut numbers, mut bad) = (HashSet::new(), Vec::new());
    for entry in std::fs::read_dir(root.join("docs/decisions")).unwrap() {
        let file = entry.unwrap();
        let name = file.file_name().to_string_lossy().into_owned();
        if name == "README.md" {
            continue;
        }
        let page = std::fs::read_to_string(file.path()).unwrap();
        let mut complain = |what: String| bad.push(format!("{name}: {what}"));
        if !numbers.insert(name[..4].to_owned())
            || !page.starts_with(&format!("# {}. ", &name[..4]))
        {
            complain("its number is another's, or not that of its title".to_owned());
        }
        if listed.iter().filter(|file| **file == name).count() != 1 {
            complain("the index does not name it once".to_owned());
        }
        let mut rest = page.as_str();
        for part in PARTS {
            match rest.split_once(&format!("**{part}.** ")) {
                Some((_, after)) => rest = after,
                None => complain(format!("no {part}, or not in its place")),
            }
        }
        let (code, tests) = page
            .split_once("**Code.**")
            .and_then(|(_, rest)| rest.split_once("**Tests.**"))
            .unwrap_or_default();
        for file in quoted(code).filter(|file| !root.join("src").join(file).is_file()) {
            complain(format!("no file {file}"));
        }
        for test in quoted(tests).filter(|test| !names.contains(*test)) {
            complain(format!("no test {test}"));
        }
    }
    assert_eq!(numbers.len(), listed.len(), "the index names what is not there");
    assert!(numbers.len() > 40, "the pages were not read: {numbers:?}");
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

#[test]
fn the_map_is_short_and_names_files_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    assert!(map.lines().count() <= 150, "what is decided goes to docs/decisions");
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    let is_file = |name: &&str| {
        Path::new(name).extension().is_some_and(|kind| kind == "rs") || name.ends_with('/')
    };
    let named: Vec<_> = quoted(&map).filter(is_file).collect();
    assert!(named.len() > 40, "the page was not read: {named:?}");
    let is_there = |name: &&&str| {
        let whole = root.join("src").join(name).is_dir() || root.join(name).is_file();
        whole || files.iter().any(|file| file.ends_with(name))
    };
    let missing: Vec<_> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "no such files: {missing:?}");
}

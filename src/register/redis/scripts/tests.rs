//! Each file of the library begins with a head that says what it is given, what it answers and which names of
//! other files it uses. The heads are compared with the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::register::Writers;

/// A script file.
struct File {
    name: String,
    text: String,
    /// The parts of its head, by their labels.
    head: BTreeMap<String, String>,
}

impl File {
    fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut head = BTreeMap::new();
        let mut label = String::new();
        for line in text.lines().map_while(|line| line.strip_prefix("--")) {
            let word = line.trim_start().split_once(':').map(|(word, _)| word);
            let rest = match word.filter(|word| LABELS.contains(word)) {
                Some(word) => {
                    label = word.to_owned();
                    line.trim_start().split_at(word.len() + 1).1
                }
                None => line,
            };
            let part: &mut String = head.entry(label.clone()).or_default();
            part.push_str(rest);
        }
        Self { name, text, head }
    }

    /// The files that this one uses, and the names that it uses of each.
    fn uses(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let uses = self.head["Uses"].trim();
        let suppliers = uses.split(';').filter(|_| uses != "nothing").map(|supplier| {
            let (file, names) = supplier.trim_end_matches(')').split_once(" (").unwrap();
            (file.trim(), names.split(',').map(str::trim).collect())
        });
        suppliers.collect()
    }
}

const LABELS: [&str; 5] = ["KEYS", "ARGV", "Returns", "Defines", "Uses"];

fn files() -> Vec<File> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/register/redis/scripts");
    let paths = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|kind| kind == "lua"))
        .map(|path| File::read(&path))
        .collect()
}

/// The words and signs of a Lua text, without comments; a string is one sign.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for line in text.lines() {
        let code = line.split("--").next().unwrap_or_default();
        let mut rest = code.trim_start();
        while let Some(first) = rest.chars().next() {
            let end = match first {
                '\'' => 2 + rest[1..].find('\'').unwrap(),
                _ if is_of_word(first) => rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()),
                '=' | '~' | '<' | '>' if rest[1..].starts_with('=') => 2,
                _ => 1,
            };
            tokens.push(&rest[..end]);
            rest = rest[end..].trim_start();
        }
    }
    tokens
}

fn is_of_word(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

/// The names that a text uses and does not define, and the names that it defines. Names are not told
/// apart by their scopes.
fn names(text: &str) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let tokens = tokens(text);
    let at = |index: usize| tokens.get(index).copied().unwrap_or_default();
    let (mut used, mut defined) = (BTreeSet::new(), BTreeSet::new());
    let mut braces = 0;
    let mut index = 0;
    while index < tokens.len() {
        let token = at(index);
        match token {
            "{" => braces += 1,
            "}" => braces -= 1,
            "local" | "for" if at(index + 1) != "function" => {
                defined.insert(at(index + 1));
                index += 1;
                while at(index + 1) == "," {
                    defined.insert(at(index + 2));
                    index += 2;
                }
            }
            "function" => {
                defined.insert(at(index + 1));
                index += 2;
                while at(index) != ")" {
                    index += 1;
                    defined.insert(at(index));
                }
            }
            _ => {
                let is_name = token.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
                let is_field = at(index.wrapping_sub(1)) == "." && at(index.wrapping_sub(2)) != ".";
                let is_field_s_name = braces > 0 && at(index + 1) == "=";
                if is_name && !is_field && !is_field_s_name && !LUA.contains(&token) {
                    used.insert(token);
                }
            }
        }
        index += 1;
    }
    (&used - &defined, defined)
}

/// Keywords of Lua, and what Redis gives every script (Redis: Lua API reference).
const LUA: [&str; 32] = [
    "and", "break", "do", "else", "elseif", "end", "false", "if", "in", "local", "nil", "not",
    "or", "repeat", "return", "then", "true", "until", "while", "ARGV", "KEYS", "cmsgpack",
    "ipairs", "math", "pairs", "redis", "select", "string", "struct", "table", "tonumber",
    "unpack",
];

fn terms() -> Terms {
    Terms {
        lease: std::time::Duration::from_secs(1),
        grace: std::time::Duration::ZERO,
        settle: std::time::Duration::ZERO,
        settle_long: std::time::Duration::ZERO,
        retry_horizon: std::time::Duration::ZERO,
        record_ttl: std::time::Duration::ZERO,
        failover_lag: std::time::Duration::ZERO,
        lag: std::time::Duration::ZERO,
        spacing: std::time::Duration::ZERO,
        writers: Writers::Exclusive,
    }
}

#[test]
fn every_file_says_what_it_is_given_and_what_it_answers() {
    let files = files();
    assert!(files.len() >= 20, "the files were not read");
    for File { name, head, .. } in &files {
        assert!(head.get("").is_some_and(|what| what.len() > 10), "{name} does not say what it is");
        for label in ["KEYS", "ARGV", "Uses"] {
            assert!(head.get(label).is_some_and(|part| !part.trim().is_empty()), "{name}: {label}");
        }
        let ends = head.contains_key("Returns") || head.contains_key("Defines");
        assert!(ends, "{name} says neither what it returns nor what it defines");
    }
}

#[test]
fn every_file_names_the_arguments_that_it_reads() {
    for File { name, text, head, .. } in files() {
        for (list, numbers) in [("KEYS", 1..3), ("ARGV", 1..20)] {
            for number in numbers {
                let read = text.contains(&format!("{list}[{number}]"));
                let named = head[list].contains(&format!("[{number}]"));
                // The prelude reads the first ones for every step.
                assert!(!read || named, "{name}: {list}[{number}] is not in the head");
            }
        }
    }
}

#[test]
fn every_file_names_what_it_uses_of_others() {
    let files = files();
    let constants = terms_in_lua(&terms(), false);
    let mut supplied: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    supplied.insert("format.rs", names(&constants).1);
    for file in &files {
        supplied.insert(&file.name, names(&file.text).1);
    }
    for file in &files {
        let uses = file.uses();
        for (supplier, names) in &uses {
            let unknown: Vec<_> = names.difference(&supplied[supplier]).collect();
            assert!(unknown.is_empty(), "{} uses {unknown:?}, not in {supplier}", file.name);
            if let Some(supplier) = files.iter().find(|other| other.name == *supplier) {
                let defines = supplier.head["Defines"].as_str();
                let said: Vec<_> = defines.split(|c| !is_of_word(c)).collect();
                let unsaid: Vec<_> = names.iter().filter(|name| !said.contains(name)).collect();
                assert!(
                    unsaid.is_empty(),
                    "{} does not say that it defines {unsaid:?}",
                    supplier.name
                );
            }
        }
        let said: BTreeSet<_> = uses.into_values().flatten().collect();
        assert_eq!(names(&file.text).0, said, "{} uses, and says that it uses", file.name);
    }
}

#[test]
fn every_file_stands_after_those_that_it_uses() {
    let files = files();
    let library = Library::new(&terms(), false, CLOCK, "");
    let place = |name: &str| {
        let file = files.iter().find(|file| file.name == name).unwrap();
        library
            .text
            .find(&without_comments(&file.text))
            .unwrap_or_else(|| panic!("{name}: not there"))
    };
    for file in &files {
        for supplier in file.uses().into_keys().filter(|supplier| *supplier != "format.rs") {
            assert!(place(supplier) < place(&file.name), "{supplier} stands after {}", file.name);
        }
    }
}

#[test]
fn another_text_is_another_library() {
    let (one, again) =
        (Library::new(&terms(), false, CLOCK, ""), Library::new(&terms(), false, CLOCK, ""));
    let other_terms = Terms { lease: std::time::Duration::from_secs(2), ..terms() };
    assert_eq!(one.text, again.text);
    for other in [
        Library::new(&other_terms, false, CLOCK, ""),
        Library::new(&terms(), false, CLOCK, "-- new\n"),
    ] {
        assert_ne!(one.commit.function, other.commit.function);
    }
}

#[test]
fn a_library_has_another_name_as_soon_as_any_of_its_text_differs() {
    let library = Library::new(&Terms::default(), false, CLOCK, "");
    let (first, _) = library.text.split_once('\n').unwrap();
    let name = first.strip_prefix("#!lua name=").unwrap();
    // The name is a digest of all that Redis is told, but the name itself.
    let nameless = library.text.replace(name, "");
    let digest = hex::encode(&Sha256::digest(&nameless)[..8]);
    assert_eq!(name, format!("ifmatch_{FORMAT}_{digest}"));
    let steps = library.text.matches("redis.register_function").count();
    assert_eq!(library.text.matches(&format!("function_name = '{name}_")).count(), steps);
}

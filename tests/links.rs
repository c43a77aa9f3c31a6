//! Links between the pages that people read lead somewhere.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test, in its helpers too")]

use std::path::{Path, PathBuf};

/// The pages that people read, by their paths.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_directory = |directory: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(directory).expect("a directory of pages");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect()
    };
    ["", "docs", "docs/decisions", "examples"]
        .map(|name| root.join(name))
        .iter()
        .filter(|directory| directory.is_dir())
        .flat_map(|directory| in_directory(directory))
        .collect()
}

/// The anchor that a heading has where pages are shown: small letters, blanks as hyphens.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
}

fn has_anchor(page: &str, wanted: &str) -> bool {
    let mut headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    page.contains(&format!("<a id=\"{wanted}\">"))
        || headings.any(|line| anchor(line.trim_start_matches('#')) == wanted)
}

#[test]
fn the_index_of_the_pages_names_each_of_them() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let index = std::fs::read_to_string(docs.join("README.md")).unwrap();
    let of_docs = pages().into_iter().filter(|page| page.parent() == Some(&docs));
    let names = of_docs.map(|page| page.file_name().unwrap().to_string_lossy().into_owned());
    let names: Vec<_> = names.filter(|name| name != "README.md").collect();
    assert!(names.len() > 8, "the pages were not found: {names:?}");
    let missing: Vec<_> =
        names.iter().filter(|name| !index.contains(&format!("]({name})"))).collect();
    assert!(missing.is_empty(), "docs/README.md does not name {missing:?}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (path, heading) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { page.clone() } else { page.parent().unwrap().join(path) };
            assert!(target.exists(), "{}: {link}", page.display());
            if !heading.is_empty() {
                let target = std::fs::read_to_string(&target).unwrap();
                assert!(has_anchor(&target, heading), "{}: {link}", page.display());
            }
            links += 1;
        }
    }
    assert!(links > 15, "the pages were not read: {links} links");
}

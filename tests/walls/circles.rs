//! Circles in a graph of files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// From a file to the files that it depends on.
pub(crate) type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The sets of files each of which depends on all others of its set.
pub(crate) fn circles(arrows: &Arrows) -> BTreeSet<BTreeSet<String>> {
    let reached: BTreeMap<_, _> =
        arrows.keys().map(|file| (file, reached_from(file, arrows))).collect();
    reached
        .iter()
        .filter(|(file, behind)| behind.contains(**file))
        .map(|(file, behind)| {
            behind.iter().filter(|other| reached[other].contains(*file)).cloned().collect()
        })
        .collect()
}

fn reached_from(file: &str, arrows: &Arrows) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = arrows[file].iter().cloned().collect();
    while let Some(file) = next.pop() {
        if !reached.contains(&file) {
            next.extend(arrows[&file].iter().cloned());
            reached.insert(file);
        }
    }
    reached
}

/// Each circle with its arrows.
pub(crate) fn in_words(circles: &BTreeSet<BTreeSet<String>>, arrows: &Arrows) -> String {
    let mut told = String::new();
    for circle in circles {
        writeln!(told, "{} files", circle.len()).unwrap();
        for file in circle {
            let within: Vec<_> = arrows[file].intersection(circle).cloned().collect();
            writeln!(told, "  {file} -> {}", within.join(", ")).unwrap();
        }
    }
    told
}

#[test]
fn a_circle_is_found_and_a_diamond_is_none() {
    let graph = |arrows: &[(&str, &[&str])]| -> Arrows {
        arrows
            .iter()
            .map(|(from, to)| ((*from).to_owned(), to.iter().map(|&to| to.to_owned()).collect()))
            .collect()
    };
    let diamond = graph(&[("a", &["b", "c"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])]);
    assert!(circles(&diamond).is_empty());
    let circle = graph(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]);
    let expected: BTreeSet<_> = ["b", "c"].map(str::to_owned).into();
    assert_eq!(circles(&circle), [expected].into());
}

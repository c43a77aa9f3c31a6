//! What the configuration says of a store beside what was seen of it. Pure.

use std::fmt;

use super::conditions;
use super::finding::{Finding, Level};
use super::setting::Setting;
use crate::config::{Backend, Checksums, Subresources};
use crate::s3::{DotSegments, EmptySegments, Subresource};

/// Where the configuration trusts the store with more than was seen of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contradiction {
    /// What is configured, and what was seen: a sentence without its full stop.
    pub sentence: String,
    /// What to write instead, and where; a sentence's end.
    pub remedy: String,
}

impl Contradiction {
    /// What is configured, what was seen, and the line to write in `[backend]` instead.
    pub fn of_backend(sentence: impl Into<String>, line: &str) -> Self {
        Self { sentence: sentence.into(), remedy: format!("write {line} in [backend]") }
    }
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.sentence, self.remedy)
    }
}

/// Whether the configuration trusts the store with more than was seen of it; it may trust it with less.
pub fn contradiction(backend: &Backend, seen: Setting) -> Option<Contradiction> {
    let sentence = match seen {
        Setting::EmptySegments(EmptySegments::Refused)
            if backend.empty_segments == EmptySegments::Kept =>
        {
            "backend.empty_segments is \"keep\", and the store does not keep keys such as a//b and a/b \
             apart"
                .to_owned()
        }
        Setting::DotSegments(DotSegments::Refused) if backend.dot_segments == DotSegments::Kept => {
            "backend.dot_segments is \"keep\", and the store does not keep keys such as a/../b and b \
             apart"
                .to_owned()
        }
        Setting::Checksums(Checksums::Drop) if backend.checksums == Checksums::Send => {
            "backend.checksums is \"send\", and the store refuses some of them".to_owned()
        }
        Setting::Subresources(understood) => {
            let Subresources::Named(named) = backend.subresources else { return None };
            // Of the others no answer proves anything.
            let provable = |known: &Subresource| known.proofs().is_some();
            let all = Subresource::ALL.into_iter().filter(|known| named.has(*known));
            let (unseen, kept): (Vec<_>, Vec<_>) =
                all.partition(|known| provable(known) && !understood.has(*known));
            if unseen.is_empty() {
                return None;
            }
            let names: Vec<_> = unseen.into_iter().map(Subresource::name).collect();
            let sentence = format!(
                "backend.subresources has {}, and the store was not seen to understand that",
                names.join(", ")
            );
            let line = Setting::Subresources(kept.into_iter().collect()).line();
            return Some(Contradiction::of_backend(sentence, &line));
        }
        _ => return None,
    };
    Some(Contradiction::of_backend(sentence, &seen.line()))
}

/// Where the store, which a rule makes the judge of conditions, does not judge them.
pub fn native(row: &Finding) -> Option<Contradiction> {
    let is_broken = row.group == conditions::GROUP && row.level == Level::Bad;
    is_broken.then(|| Contradiction {
        sentence: format!(
            "a [[rule]] has mode = \"pass\", and the store does not honour {} ({})",
            row.name, row.text
        ),
        remedy: "write mode = \"guard\" there".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::Understood;

    #[test]
    fn only_what_the_store_is_trusted_with_is_contradicted() {
        let backend = Backend::default();
        let said = |seen| contradiction(&backend, seen).map(|said| said.to_string());
        let folds = said(Setting::EmptySegments(EmptySegments::Refused)).unwrap();
        assert!(
            folds.ends_with("apart: write empty_segments = \"refuse\" in [backend]"),
            "{folds}"
        );
        assert_eq!(said(Setting::EmptySegments(EmptySegments::Kept)), None);
        let dots = Setting::DotSegments(DotSegments::Refused);
        assert_eq!(said(dots), None, "they are refused already");
        assert!(said(Setting::Checksums(Checksums::Drop)).is_some());
        let nothing = Setting::Subresources(Understood::NONE);
        assert_eq!(said(nothing), None, "each is seen by the proxy itself");
        let careful = Backend {
            empty_segments: EmptySegments::Refused,
            checksums: Checksums::Drop,
            ..Backend::default()
        };
        let seen =
            [Setting::EmptySegments(EmptySegments::Refused), Setting::Checksums(Checksums::Drop)];
        for seen in seen {
            assert_eq!(contradiction(&careful, seen), None);
        }
    }

    #[test]
    fn a_store_that_ignores_conditions_is_no_judge_of_them() {
        let row = |level| Finding {
            group: conditions::GROUP,
            name: "put, If-None-Match: *".to_owned(),
            text: "present: IGNORED".to_owned(),
            level,
            cases: Vec::new(),
            setting: None,
        };
        let said = native(&row(Level::Bad)).unwrap().to_string();
        assert!(
            said.ends_with(
                "not honour put, If-None-Match: * (present: IGNORED): write mode = \"guard\" there"
            ),
            "{said}"
        );
        for level in [Level::Good, Level::Safe, Level::Unknown] {
            assert_eq!(native(&row(level)), None, "nothing is lost");
        }
    }

    #[test]
    fn a_subresource_is_named_that_was_not_seen() {
        let named = Understood::NONE.with(Subresource::Acl).with(Subresource::Restore);
        let backend = Backend { subresources: Subresources::Named(named), ..Backend::default() };
        let seen = |known| Setting::Subresources(Understood::NONE.with(known));
        assert_eq!(contradiction(&backend, seen(Subresource::Acl)), None);
        let said = contradiction(&backend, seen(Subresource::Tagging)).unwrap();
        assert!(said.sentence.starts_with("backend.subresources has acl, "), "{said}");
        assert_eq!(said.remedy, "write subresources = [\"restore\"] in [backend]");
    }
}

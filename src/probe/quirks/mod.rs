//! What a store does with requests that stores differ in: forms of bodies, names of keys, subresources,
//! listings, and what its answers say.
//!
//! - [`judged`]: what an answer means. Pure.
//! - [`bodies`], [`keys`], [`subresources`], [`listings`], [`answers`]: what is asked.

pub mod answers;
pub mod bodies;
mod judged;
pub mod keys;
pub mod listings;
pub mod subresources;

use super::finding::{CaseFinding, Finding, Level};
use super::talk::{Talk, Where};
use super::trouble::Trouble;
use crate::s3::ObjectName;

/// A verdict, the answer that it rests on, and how good it is.
type Judged = (String, String, Level);

/// A place, and the number by which its keys are told from those of others.
#[derive(Debug, Clone, Copy)]
pub struct Quirks<'a> {
    at: Where<'a>,
    number: usize,
}

impl<'a> Quirks<'a> {
    /// At this place, whose number is for the names of its objects.
    pub fn new(at: Where<'a>, number: usize) -> Self {
        Self { at, number }
    }

    /// A key of this place, whatever the configuration allows.
    fn name(&self, key: &str) -> Result<ObjectName, Trouble> {
        self.at.scratch.any_name(&format!("{}/{key}", self.number))
    }
}

/// What was found in one case. Told to stop, nothing; every other trouble is what was found.
fn found(
    case: &str,
    talk: &Talk<'_>,
    judged: Result<Judged, Trouble>,
) -> Result<CaseFinding, Trouble> {
    let (verdict, answer, level) = match judged {
        Ok(judged) => judged,
        Err(Trouble::Stopped) => return Err(Trouble::Stopped),
        Err(trouble) => (trouble.shown().to_owned(), trouble.to_string(), Level::Unknown),
    };
    let (case, commands) = (case.to_owned(), talk.script.lines().to_vec());
    Ok(CaseFinding { case, verdict, answer, level, commands })
}

/// A row of one case.
fn row(
    group: &'static str,
    name: &str,
    talk: &Talk<'_>,
    judged: Result<Judged, Trouble>,
) -> Result<Finding, Trouble> {
    Ok(Finding::single(group, name, found(name, talk, judged)?))
}

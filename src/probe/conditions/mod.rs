//! What becomes of conditions on writes: each is tried where it holds and where it does not, and after
//! each answer the key is read, as an answer may say one thing and the store do another.
//!
//! - [`case`]: what is tried. Pure.
//! - [`verdict`]: what became of it. Pure.
//! - [`race`]: many writers at once.

pub mod case;
pub mod race;
pub mod verdict;

use bytes::Bytes;
use http::Method;

use super::ask::Ask;
use super::finding::{CaseFinding, Finding, Level};
use super::talk::{Standing, Talk, Where, completion};
use super::trouble::Trouble;
use crate::s3::ObjectName;
use crate::s3::xml::push_element;
use case::{Case, Form, Named, Operation};
use md5::{Digest as _, Md5};
use verdict::{Said, Verdict, judge};

/// What stands at a key before, in this order, and what a condition guards.
const FIRST: &[u8] = b"ifmatch probe: first";
const SECOND: &[u8] = b"ifmatch probe: second";
const NEW: &[u8] = b"ifmatch probe: new";

/// How often a case is tried on a key of its own while the answer does not say what became of it.
const TRIES: usize = 5;

/// The name of the group.
pub const GROUP: &str = "conditions";

/// Tries all conditions at a place.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    at: Where<'a>,
    /// The number of the place, as different places use different keys.
    number: usize,
}

impl<'a> Conditions<'a> {
    /// At this place, whose number is for the names of its objects.
    pub fn new(at: Where<'a>, number: usize) -> Self {
        Self { at, number }
    }

    /// How many rows there are.
    pub fn rows() -> usize {
        Operation::ALL.iter().map(|operation| operation.forms().len()).sum()
    }

    /// Tries one form of condition of an operation.
    ///
    /// # Errors
    /// It was told to stop, or there is no such bucket. Every other trouble is what was found.
    pub async fn row(&self, operation: Operation, form: Form) -> Result<Finding, Trouble> {
        let mut cases = Vec::new();
        for case in Case::all(operation, form) {
            cases.push(self.case(case).await?);
        }
        Ok(Finding::of_cases(GROUP, format!("{}, {}", operation.name(), form.name()), cases))
    }

    async fn case(&self, case: Case) -> Result<CaseFinding, Trouble> {
        let mut tries = 1;
        loop {
            let found = self.tried(case, tries).await?;
            if found.level != Level::Unknown || tries == TRIES {
                return Ok(found);
            }
            tries += 1;
        }
    }

    async fn tried(&self, case: Case, tries: usize) -> Result<CaseFinding, Trouble> {
        let name = format!(
            "{}/{}-{}-{}-{tries}",
            self.number,
            case.operation.name().replace(' ', "-"),
            case.form.slug(),
            case.name()
        );
        let name = self.at.scratch.name(&name)?;
        let mut talk = Talk::new(self.at);
        let judged = self.judged(&mut talk, case, &name).await;
        let commands = talk.script.lines().to_vec();
        let (verdict, answer, level) = match judged {
            Ok((verdict, said)) => {
                let level = verdict.level(case.form.is_refused_by_aws());
                (verdict.shown(&said), said.shown(), level)
            }
            Err(stopped @ (Trouble::Stopped | Trouble::NoBucket(_))) => return Err(stopped),
            Err(trouble) => (trouble.shown().to_owned(), trouble.to_string(), Level::Unknown),
        };
        Ok(CaseFinding { case: case.name().to_owned(), verdict, answer, level, commands })
    }

    async fn judged(
        &self,
        talk: &mut Talk<'_>,
        case: Case,
        name: &ObjectName,
    ) -> Result<(Verdict, Said), Trouble> {
        let mut etag = absent_etag();
        if case.object {
            let old = talk.put(name, FIRST, "OLD").await?;
            let current = talk.put(name, SECOND, "NOW").await?;
            etag = if case.named == Named::Current { current } else { old };
        }
        let said = self.asked(talk, case, name, &case.form.value(&etag)).await?;
        let before = if case.object { shows(SECOND) } else { Standing::Nothing };
        let after = match case.operation {
            Operation::Delete | Operation::BatchDelete => Standing::Nothing,
            Operation::Put | Operation::PresignedPut | Operation::Complete | Operation::Copy => {
                shows(NEW)
            }
        };
        let standing = talk.standing(name).await?;
        let changed = if before == after { None } else { Some(standing == after) };
        Ok((judge(case.holds(), &said, changed), said))
    }

    async fn asked(
        &self,
        talk: &mut Talk<'_>,
        case: Case,
        name: &ObjectName,
        value: &str,
    ) -> Result<Said, Trouble> {
        let header = case.form.header();
        Ok(match case.operation {
            Operation::Put | Operation::PresignedPut => {
                let presigned = case.operation == Operation::PresignedPut;
                let put = Ask { presigned, ..Ask::put(name, NEW) }.header(header, value);
                Said::by_status(&talk.change(&put, name).await?)
            }
            Operation::Complete => {
                let id = talk.begin(name).await?;
                let part = talk.part(name, &id, Bytes::from_static(NEW)).await?;
                let complete = Ask::new(Method::POST, name)
                    .parameter("uploadId", &id)
                    .content(completion(&part))
                    .header(header, value);
                let said = Said::by_document(&talk.change(&complete, name).await?);
                if said.status == 200 {
                    self.at.scratch.completed(&id);
                }
                said
            }
            Operation::Copy => {
                let source = self.at.scratch.name(&format!("{}/source", self.number))?;
                talk.put(&source, NEW, "SOURCE").await?;
                let copy = Ask::new(Method::PUT, name)
                    .header("x-amz-copy-source", source.path())
                    .header(header, value);
                Said::by_document(&talk.change(&copy, name).await?)
            }
            Operation::Delete => {
                let delete = Ask::new(Method::DELETE, name).header(header, value);
                Said::by_status(&talk.change(&delete, name).await?)
            }
            Operation::BatchDelete => {
                let delete = batch(name, Some(value));
                Said::by_entry(&talk.change(&delete, name).await?)
            }
        })
    }
}

/// A DeleteObjects of one key, with the digest that AWS demands.
pub(super) fn batch(name: &ObjectName, etag: Option<&str>) -> Ask {
    batch_without_md5(name, etag).with_md5()
}

/// The same without the digest.
pub(super) fn batch_without_md5(name: &ObjectName, etag: Option<&str>) -> Ask {
    let mut key = String::new();
    push_element(&mut key, "Key", name.key.as_str());
    let etag = etag.map(|etag| format!("<ETag>{etag}</ETag>")).unwrap_or_default();
    Ask::at(Method::POST, format!("/{}", name.bucket))
        .parameter("delete", "")
        .header("content-type", "application/xml")
        .content(format!("<Delete><Object>{key}{etag}</Object></Delete>"))
}

/// An ETag in the usual form that no object of a probe has.
fn absent_etag() -> String {
    format!("\"{}\"", hex::encode(Md5::digest(b"ifmatch probe: nothing")))
}

fn shows(content: &'static [u8]) -> Standing {
    Standing::Object(Bytes::from_static(content))
}

//! All that is found out of one place.

use bytes::Bytes;
use http::Method;

use super::ask::Ask;
use super::conditions::Conditions;
use super::conditions::case::Operation;
use super::conditions::race::{Kind, Race};
use super::finding::{Finding, Level};
use super::quirks::Quirks;
use super::talk::{Talk, Where};
use super::trouble::Trouble;

/// How much is asked.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// How many rounds writers race.
    pub rounds: usize,
    /// First segments of paths that are not buckets, as they are configured.
    pub reserved: &'a [String],
}

/// Finds out all of the place with this number. `done` is told of each step.
///
/// # Errors
/// The place cannot be written to, or it was told to stop.
pub async fn survey(
    at: Where<'_>,
    number: usize,
    plan: Plan<'_>,
    done: impl Fn(),
) -> Result<Vec<Finding>, Trouble> {
    can_be_written(at, number).await?;
    let mut all = Vec::new();
    let conditions = Conditions::new(at, number);
    let quirks = Quirks::new(at, number);
    for operation in Operation::ALL {
        for form in operation.forms() {
            all.push(conditions.row(operation, *form).await?);
            done();
        }
    }
    let race = Race::new(at, std::slice::from_ref(at.site), number, plan.rounds);
    for kind in Kind::ALL {
        if honours(&all, kind) {
            all.push(race.row(kind).await?);
        }
        done();
    }
    all.extend(quirks.bodies().await?);
    done();
    all.extend(quirks.keys().await?);
    done();
    all.extend(quirks.subresources().await?);
    done();
    all.extend(quirks.listings().await?);
    done();
    all.extend(quirks.answers(plan.reserved).await?);
    done();
    Ok(all)
}

/// Lets writers race who are spread over the nodes of one store: nodes that are atomic, each alone, do not
/// make an atomic store. `found`: what each node has shown.
///
/// # Errors
/// It was told to stop.
pub async fn survey_all(
    race: Race<'_>,
    found: &[&[Finding]],
    done: impl Fn(),
) -> Result<Vec<Finding>, Trouble> {
    let mut all = Vec::new();
    for kind in Kind::ALL {
        if found.iter().all(|rows| honours(rows, kind)) {
            all.push(race.row(kind).await?);
        }
        done();
    }
    Ok(all)
}

/// How many steps that takes.
pub const STEPS_OF_ALL: usize = Kind::ALL.len();

/// Whether the condition was honoured for one writer; where it is not, many show nothing more.
fn honours(rows: &[Finding], kind: Kind) -> bool {
    rows.iter().any(|row| {
        row.group == super::conditions::GROUP && row.name == kind.name() && row.level == Level::Good
    })
}

/// The parts of the quirks.
const PARTS: usize = 5;

/// How many steps a place takes.
pub fn steps() -> usize {
    Conditions::rows() + Kind::ALL.len() + PARTS
}

/// Writes, reads and deletes an object: without that, nothing else makes sense.
pub(super) async fn can_be_written(at: Where<'_>, number: usize) -> Result<(), Trouble> {
    let name = at.scratch.name(&format!("{number}/first"))?;
    let mut talk = Talk::new(at);
    talk.prepare(&Ask::put(&name, Bytes::from_static(b"ifmatch probe")), &name).await?;
    talk.standing(&name).await?;
    talk.prepare(&Ask::new(Method::DELETE, &name), &name).await.map(drop)
}

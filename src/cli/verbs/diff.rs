//! `ifmatch register diff` and `fsck`: the register's records beside what the store shows, and records
//! mended.

use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::forms::{Believed, Shown, current_text, printable, state_text};
use super::items::{Items, Progress};
use super::target::Range;
use super::{Failure, open_both};
use crate::audit::finding::{ListingFault, Tally};
use crate::audit::{Auditor, Belief, Known, Look, Mended, Trouble, Views};
use crate::cli::settings::Settings;
use crate::config::Config;
use crate::s3::ObjectName;
use crate::server::confirm_register;

/// How many keys are compared at the same time.
const AT_ONCE: usize = 16;

/// `ifmatch register diff`
#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    #[command(flatten)]
    settings: Settings,
    /// The bucket, and what the keys begin with.
    #[arg(value_name = "BUCKET[/PREFIX]")]
    range: String,
    /// Print one JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

/// `ifmatch register fsck`
#[derive(Debug, Args)]
pub(in crate::cli) struct Fsck {
    #[command(flatten)]
    diff: Diff,
    /// Mend the records that the store contradicts. Never changes the store.
    #[arg(long)]
    fix: bool,
}

impl Diff {
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        run(self, false).await
    }
}

impl Fsck {
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        run(self.diff, self.fix).await
    }
}

async fn run(diff: Diff, fix: bool) -> Result<(), Failure> {
    let range = Range::parse(&diff.range)?;
    let config = diff.settings.load(None)?;
    let comparison = Comparison::open(&config, &range, fix).await?;
    let items = Items::begin(diff.json, &range, "differences")?;
    let tally = comparison.run(Known::all(&range.bucket, &range.prefix), items).await?;
    if tally.is_clean() { Ok(()) } else { Err(Failure::Run(verdict(&tally))) }
}

/// Why the command fails.
fn verdict(tally: &Tally) -> String {
    match (tally.left(), tally.unanswered) {
        (0, unanswered) => format!("keys about which the store gave no answer: {unanswered}"),
        (left, 0) => format!("differences between the register and the store: {left}"),
        (left, unanswered) => format!(
            "differences between the register and the store: {left}; keys about which the store gave \
             no answer: {unanswered}"
        ),
    }
}

/// A comparison of many keys.
struct Comparison {
    auditor: Auditor,
    fix: bool,
}

/// A key that is worth a line, as JSON has it.
#[derive(Debug, Serialize)]
struct Difference<'a> {
    key: &'a str,
    register: Option<Believed>,
    store: Option<Shown>,
    finding: Option<Belief>,
    listing: Option<ListingFault>,
    young: bool,
    /// What the record says now, where it was mended.
    mended: Option<String>,
    /// Why it was not mended, or not compared.
    why: Option<String>,
}

impl Comparison {
    async fn open(config: &Config, range: &Range, fix: bool) -> Result<Self, Failure> {
        let auditor = open_both(config).await?;
        auditor.needs_bucket(&range.bucket).await?;
        if fix {
            confirm_register(config).await?;
        }
        Ok(Self { auditor, fix })
    }

    async fn run(&self, mut known: Known, mut items: Items) -> Result<Tally, Failure> {
        let (mut tally, progress) = (Tally::default(), Progress::begin());
        while let Some(page) = self.auditor.next_keys(&mut known).await? {
            let comparing = page.into_iter().map(|name| self.compared(name));
            let mut compared = stream::iter(comparing).buffer_unordered(AT_ONCE);
            while let Some(compared) = compared.next().await {
                let (name, looked, mended) = compared?;
                tally.add(looked.as_ref().ok().map(|look| look.finding));
                tally.mended += u64::from(matches!(mended, Some(Mended::Now(_))));
                if is_worth_a_line(&looked) {
                    let line = line(&name, &looked, mended.as_ref());
                    items.add(&line, &document(&name, &looked, mended.as_ref()))?;
                }
            }
            items.flush()?;
            progress.tell(tally.keys);
        }
        progress.end();
        items.end(&tally.to_string(), &tally)?;
        Ok(tally)
    }

    /// What both say of a key, or why the store does not say it; and what became of its record.
    async fn compared(
        &self,
        name: ObjectName,
    ) -> Result<(ObjectName, Result<Look, String>, Option<Mended>), Failure> {
        let look = match self.auditor.compare(&name, Views::HeadAndListing).await {
            Ok(look) => look,
            Err(Trouble::Store(_, why)) => return Ok((name, Err(why), None)),
            Err(other) => return Err(other.into()),
        };
        let finding = look.finding;
        let is_to_mend = self.fix && finding.is_failure() && finding.belief.is_contradicted();
        let mended = if is_to_mend { Some(self.auditor.mend(&name).await?) } else { None };
        Ok((name, Ok(look), mended))
    }
}

/// A difference, a doubt, or no answer.
fn is_worth_a_line(looked: &Result<Look, String>) -> bool {
    looked
        .as_ref()
        .map_or(true, |look| look.finding.is_difference() || look.finding.belief == Belief::InDoubt)
}

/// What was found, the key, both states, and what was done, with tabs between them.
fn line(name: &ObjectName, looked: &Result<Look, String>, mended: Option<&Mended>) -> String {
    let key = printable(name.key.as_str());
    let look = match looked {
        Ok(look) => look,
        Err(why) => return format!("not compared\t{key}\t{}", printable(why)),
    };
    let (believed, shown) = (state_text(&look.observed.state), current_text(&look.seen.current));
    let done = match mended {
        None => String::new(),
        Some(Mended::Now(state)) => format!("\tmended: {}", state_text(state)),
        Some(Mended::Left(why)) => format!("\tnot mended: {}", printable(why)),
    };
    format!("{}\t{key}\tregister: {believed}\tstore: {shown}{done}", look.finding)
}

fn document<'a>(
    name: &'a ObjectName,
    looked: &Result<Look, String>,
    mended: Option<&Mended>,
) -> Difference<'a> {
    let look = looked.as_ref().ok();
    let (mended, left) = match mended {
        Some(Mended::Now(state)) => (Some(state_text(state)), None),
        Some(Mended::Left(why)) => (None, Some(why.clone())),
        None => (None, None),
    };
    Difference {
        key: name.key.as_str(),
        register: look.map(|look| Believed::from(&look.observed)),
        store: look.map(|look| Shown::from(&look.seen)),
        finding: look.map(|look| look.finding.belief),
        listing: look.and_then(|look| look.finding.listing),
        young: look.is_some_and(|look| look.finding.is_young),
        mended,
        why: looked.as_ref().err().cloned().or(left),
    }
}

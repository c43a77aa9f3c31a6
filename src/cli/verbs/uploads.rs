//! `ifmatch uploads`: multipart uploads that were begun and neither completed nor aborted.

use std::io::{IsTerminal as _, stdin};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Failure;
use super::forms::{printable, rounded};
use super::items::{Items, text_of};
use super::target::Range;
use crate::audit::uploads::{Unfinished, Uploads};
use crate::cli::settings::Settings;
use crate::cli::store::duration;
use crate::register::types::in_millis;
use crate::server::open_store;

/// `ifmatch uploads …`
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List them with their ages.
    List(List),
    /// Abort those that are older than --older. Their parts are lost.
    Abort(Abort),
    /// Exit with 0 if there are exactly so many, and else with 1.
    Expect(Expect),
}

/// Which uploads.
#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    settings: Settings,
    /// The bucket, and what the keys begin with.
    #[arg(value_name = "BUCKET[/PREFIX]")]
    range: String,
}

/// `ifmatch uploads list`
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    which: Which,
    /// Only those that were begun longer ago than this, such as 2d.
    #[arg(long, default_value = "0s", value_parser = age, value_name = "DURATION")]
    older: Duration,
    /// Print one JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

/// `ifmatch uploads abort`
#[derive(Debug, Args)]
pub(in crate::cli) struct Abort {
    #[command(flatten)]
    which: Which,
    /// Those that were begun longer ago than this, such as 2d.
    #[arg(long, value_parser = age, value_name = "DURATION")]
    older: Duration,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Print one JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

/// `ifmatch uploads expect`
#[derive(Debug, Args)]
pub(in crate::cli) struct Expect {
    #[command(flatten)]
    which: Which,
    /// How many there should be.
    count: u64,
    /// Count only those that were begun longer ago than this, such as 2d.
    #[arg(long, default_value = "0s", value_parser = age, value_name = "DURATION")]
    older: Duration,
    /// Print one JSON document instead of a line.
    #[arg(long)]
    json: bool,
}

/// How many there are and should be, as JSON has it.
#[derive(Debug, Serialize)]
struct Count {
    uploads: u64,
    expected: u64,
}

/// An upload, as JSON has it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    key: &'a str,
    upload_id: &'a str,
    age_ms: Option<u64>,
    /// Whether it was aborted just now; null where nothing was to be aborted.
    aborted: Option<bool>,
}

/// How many there were.
#[derive(Debug, Serialize)]
struct Summary {
    uploads: u64,
    aborted: u64,
    failed: u64,
}

/// A duration, also in days.
fn age(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days)) => Ok(Duration::from_hours(u64::from(days) * 24)),
        Some(Err(_)) => Err("write it as 90m, 12h or 2d".to_owned()),
        None => duration(text),
    }
}

impl Command {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let (which, older, plan) = match self {
            Self::List(List { which, older, json }) => (which, older, Plan::List { json }),
            Self::Abort(Abort { which, older, yes, json }) => {
                (which, older, Plan::Abort { yes, json })
            }
            Self::Expect(Expect { which, count, older, json }) => {
                (which, older, Plan::Expect { count, json })
            }
        };
        tokio::runtime::Runtime::new()?.block_on(which.run(older, plan))
    }
}

/// What is done with them.
#[derive(Debug, Clone, Copy)]
enum Plan {
    List { json: bool },
    Abort { yes: bool, json: bool },
    Expect { count: u64, json: bool },
}

impl Which {
    async fn run(self, older: Duration, plan: Plan) -> Result<(), Failure> {
        let range = Range::parse(&self.range)?;
        if let Plan::Abort { yes: false, .. } = plan
            && !stdin().is_terminal()
        {
            return Err(Failure::Usage(
                "nobody can be asked, as standard input is no terminal: give --yes".to_owned(),
            ));
        }
        let config = self.settings.load(None)?;
        let store = open_store(&config).await?;
        let mut walk = Uploads::of(&store, &range.bucket, &range.prefix).await?;
        match plan {
            Plan::List { json } => {
                listed(&mut walk, older, Items::begin(json, &range, NAME)?).await
            }
            Plan::Expect { count, json } => expected(counted(&mut walk, older).await?, count, json),
            Plan::Abort { yes, json } => {
                if !yes && !is_agreed(counted(&mut walk, older).await?, older)? {
                    return Err(Failure::Run("nothing was aborted".to_owned()));
                }
                let mut walk = Uploads::of(&store, &range.bucket, &range.prefix).await?;
                aborted(&mut walk, older, Items::begin(json, &range, NAME)?).await
            }
        }
    }
}

const NAME: &str = "uploads";

async fn counted(walk: &mut Uploads<'_>, older: Duration) -> Result<u64, Failure> {
    let mut count = 0;
    while let Some(page) = walk.next_page().await? {
        let found = page.iter().filter(|upload| upload.is_older(older)).count();
        count += u64::try_from(found).unwrap_or(u64::MAX);
    }
    Ok(count)
}

fn expected(found: u64, count: u64, json: bool) -> Result<(), Failure> {
    if json {
        println!("{}", text_of(&Count { uploads: found, expected: count })?);
    } else {
        println!("{found} uploads");
    }
    if found == count {
        return Ok(());
    }
    Err(Failure::Run(format!("unfinished uploads: {found}, and {count} were expected")))
}

async fn listed(walk: &mut Uploads<'_>, older: Duration, mut items: Items) -> Result<(), Failure> {
    let mut uploads = 0;
    while let Some(page) = walk.next_page().await? {
        for upload in page.iter().filter(|upload| upload.is_older(older)) {
            items.add(&line(upload), &document(upload, None))?;
            uploads += 1;
        }
        items.flush()?;
    }
    items.end(&format!("{uploads} uploads"), &Summary { uploads, aborted: 0, failed: 0 })
}

async fn aborted(walk: &mut Uploads<'_>, older: Duration, mut items: Items) -> Result<(), Failure> {
    let (mut uploads, mut aborted, mut failed) = (0, 0, 0);
    while let Some(page) = walk.next_page().await? {
        for upload in page.iter().filter(|upload| upload.is_older(older)) {
            let (what, done) = match walk.abort(upload).await {
                Ok(true) => ("aborted".to_owned(), Some(true)),
                Ok(false) => ("gone already".to_owned(), Some(false)),
                Err(trouble) => {
                    failed += 1;
                    (format!("not aborted: {}", printable(&trouble.to_string())), Some(false))
                }
            };
            uploads += 1;
            aborted += u64::from(done == Some(true));
            items.add(&format!("{}\t{what}", line(upload)), &document(upload, done))?;
            items.flush()?;
        }
    }
    items.end(&format!("{aborted} of {uploads} aborted"), &Summary { uploads, aborted, failed })?;
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::Run(format!("uploads that were not aborted: {failed}")))
}

/// Asks at the terminal.
fn is_agreed(count: u64, older: Duration) -> Result<bool, Failure> {
    if count == 0 {
        return Ok(true);
    }
    eprint!("abort {count} uploads that are older than {}? [y/N] ", rounded(older));
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Age, key and id, with tabs between them.
fn line(upload: &Unfinished) -> String {
    let age = upload.age.map_or_else(|| "-".to_owned(), rounded);
    [age, printable(&upload.key), printable(&upload.upload_id)].join("\t")
}

fn document(upload: &Unfinished, aborted: Option<bool>) -> Document<'_> {
    let Unfinished { key, upload_id, age } = upload;
    Document { key, upload_id, age_ms: age.map(in_millis), aborted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_may_be_in_days() {
        assert_eq!(age("2d"), Ok(Duration::from_hours(48)));
        assert_eq!(age("12h"), Ok(Duration::from_hours(12)));
        for wrong in ["d", "-1d", "1.5d", "2 weeks", ""] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}

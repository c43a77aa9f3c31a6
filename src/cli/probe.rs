//! `ifmatch probe`: measures what the configured store does, without the configured register.

use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::probe_report::Report;
use super::probe_store::{Asking, Through};
use super::probe_work::{Progress, removed, until_told};
use super::settings::Settings;
use super::store;
use crate::config::Config;
use crate::probe::consistency::{self, Findings, Plan};
use crate::probe::{Node, Scratch, Trouble};
use crate::s3::BucketName;

/// `ifmatch probe`
#[derive(Debug, Args)]
pub(super) struct Probe {
    #[command(flatten)]
    settings: Settings,
    /// The bucket to write scratch objects into. They are deleted at the end.
    bucket: String,
    /// Measure only for how long GET, HEAD and LIST show what stood there before a write.
    #[arg(long)]
    consistency: bool,
    /// What the keys of the scratch objects begin with; a random part follows.
    #[arg(long, default_value = ".ifmatch-probe/")]
    prefix: String,
    /// How many rounds writers race for a key [default: 3]. With --consistency: how many keys are
    /// created, overwritten and deleted at each node of the store [default: 20].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rounds: Option<u32>,
    /// With --consistency: how long to wait until a read shows a write, such as 30s.
    #[arg(long, default_value = "30s", value_parser = patience, value_name = "DURATION")]
    patience: Duration,
    /// Ask a proxy that serves, as the first configured client, and not one that is started for this.
    #[arg(long, value_name = "URL", conflicts_with = "consistency")]
    proxy: Option<String>,
    /// Ask the store alone.
    #[arg(long, conflicts_with_all = ["consistency", "proxy"])]
    alone: bool,
    /// Print one JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// How many keys --consistency writes at each node, and how many rounds writers race.
const ROUNDS_OF_READS: u32 = 20;
const ROUNDS_OF_RACES: u32 = 3;

fn patience(text: &str) -> Result<Duration, String> {
    let patience = store::duration(text)?;
    if patience.is_zero() { Err("must be longer than 0s".to_owned()) } else { Ok(patience) }
}

impl Probe {
    pub(super) fn run(self) -> Result<(), Failure> {
        let bucket = BucketName::parse(&self.bucket).map_err(|error| {
            Failure::Usage(format!("{:?} is no bucket's name: {}", self.bucket, error.message()))
        })?;
        let config = self.settings.load(None)?;
        let scratch = Scratch::new(bucket, &self.prefix, config.backend.segments())?;
        // One thread: then a read finds the connection of the one before.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        if !self.consistency {
            let through = match self.proxy {
                _ if self.alone => Through::Nothing,
                Some(url) => Through::Serving(url),
                None => Through::Started,
            };
            let rounds = self.rounds.unwrap_or(ROUNDS_OF_RACES) as usize;
            let asking = Asking { config: &config, scratch: &scratch, rounds };
            return runtime.block_on(asking.probe(through, self.json));
        }
        let rounds = self.rounds.unwrap_or(ROUNDS_OF_READS);
        let plan = Plan { rounds, patience: self.patience };
        runtime.block_on(Asked { config: &config, scratch: &scratch, plan }.probe(self.json))
    }
}

/// What is asked for.
struct Asked<'a> {
    config: &'a Config,
    scratch: &'a Scratch,
    plan: Plan,
}

impl Asked<'_> {
    async fn probe(&self, json: bool) -> Result<(), Failure> {
        let nodes = Node::all(self.config).await?;
        eprintln!("scratch objects: {}", self.scratch.shown());
        let measured = self.measured(&nodes).await;
        let removed = removed(self.scratch, self.scratch.remove(&nodes)).await?;
        let report = Report::new(self.config, self.scratch, self.plan, &measured?, removed);
        if json {
            println!("{}", report.json().map_err(|error| Failure::Run(error.to_string()))?);
        } else {
            print!("{}", report.text());
        }
        report.verdict().map_err(Failure::Run)
    }

    async fn measured(&self, nodes: &[Node]) -> Result<Findings, Trouble> {
        let stop = CancellationToken::new();
        let probe = consistency::Probe::new(nodes, self.scratch, self.plan, &stop);
        let progress = Progress::new(probe.keys(), "keys");
        until_told(&stop, probe.measure(|done| progress.show(done))).await
    }
}

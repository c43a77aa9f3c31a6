//! `ifmatch probe`: asks each node of the store, and a proxy before it, and prints what was found.

use std::cell::Cell;

use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::probe_store_report::{Column, Place, Report};
use super::probe_work::{Progress, removed, until_told};
use crate::config::{Client, Config, Endpoint};
use crate::probe::conditions::race::Race;
use crate::probe::survey::{self, Plan, survey, survey_all};
use crate::probe::talk::{TRIES, Where};
use crate::probe::{Node, Scratch, Site, Trouble};
use crate::random;
use crate::secret::Secret;
use crate::server::beside::Beside;
use crate::sigv4::Credential;

/// The proxy that is asked, too.
pub(super) enum Through {
    /// None.
    Nothing,
    /// One in this process, with a register of its own.
    Started,
    /// One that serves at this URL.
    Serving(String),
}

/// What is asked for.
pub(super) struct Asking<'a> {
    pub(super) config: &'a Config,
    pub(super) scratch: &'a Scratch,
    pub(super) rounds: usize,
}

impl Asking<'_> {
    pub(super) async fn probe(&self, through: Through, json: bool) -> Result<(), Failure> {
        let nodes = Node::all(self.config).await?;
        let mut sites = Site::nodes(self.config).await?;
        // It serves for as long as it is kept.
        let (_proxy, site) = self.proxy(through).await?;
        let stores = sites.len();
        sites.extend(site);
        eprintln!("scratch objects: {}", self.scratch.shown());
        let columns = self.columns(&sites, stores).await;
        let removed = removed(self.scratch, self.scratch.remove_all(&nodes)).await?;
        let report = Report::new(self.config, self.scratch, columns?, removed);
        if json {
            println!("{}", report.json().map_err(|error| Failure::Run(error.to_string()))?);
        } else {
            print!("{}", report.text());
        }
        report.verdict().map_err(Failure::Run)
    }

    fn at<'b>(&'b self, site: &'b Site, stop: &'b CancellationToken) -> Where<'b> {
        let lag = self.config.register.terms.lag;
        Where { site, scratch: self.scratch, stop, lag, tries: TRIES }
    }

    /// What was found of each place, one after the other: they share the store.
    async fn columns(&self, sites: &[Site], stores: usize) -> Result<Vec<Column>, Trouble> {
        let stop = CancellationToken::new();
        let of_all = if stores > 1 { survey::STEPS_OF_ALL } else { 0 };
        let progress = Progress::new(survey::steps() * sites.len() + of_all, "steps");
        let done = Cell::new(0);
        let plan = Plan { rounds: self.rounds, reserved: &self.config.backend.reserved };
        let asking = async {
            let count = || {
                done.set(done.get() + 1);
                progress.show(done.get());
            };
            let (nodes, proxies) = sites.split_at(stores);
            let mut columns: Vec<Column> = Vec::new();
            for (node, number) in nodes.iter().zip(1..) {
                let findings = survey(self.at(node, &stop), number, plan, count).await?;
                columns.push(Column::of(node, Place::Node, findings));
            }
            if let [first, _, ..] = nodes {
                let found: Vec<_> = columns.iter().map(|it| it.findings.as_slice()).collect();
                let race = Race::new(self.at(first, &stop), nodes, sites.len() + 1, self.rounds);
                let findings = survey_all(race, &found, count).await?;
                columns.push(Column::of(first, Place::AllNodes, findings));
            }
            for (proxy, number) in proxies.iter().zip(stores + 1..) {
                let findings = survey(self.at(proxy, &stop), number, plan, count).await?;
                columns.push(Column::of(proxy, Place::Proxy, findings));
            }
            Ok(columns)
        };
        until_told(&stop, asking).await
    }

    async fn proxy(&self, through: Through) -> Result<(Option<Beside>, Option<Site>), Failure> {
        let (beside, endpoint, client) = match through {
            Through::Nothing => return Ok((None, None)),
            Through::Started => {
                let client = Client {
                    access_key_id: "probe".to_owned(),
                    secret_access_key: Secret::new(random::id()),
                    ..Client::default()
                };
                let proxy = Beside::start(self.config, client.clone())?;
                let (host, port) = (proxy.address.ip().to_string(), proxy.address.port());
                (Some(proxy), Endpoint { https: false, host, port }, client)
            }
            Through::Serving(url) => {
                let endpoint = Endpoint::try_from(url)
                    .map_err(|why| Failure::Usage(format!("--proxy: {why}")))?;
                let client = self.config.clients.first().cloned().ok_or_else(|| {
                    Failure::Usage("--proxy: no [[client]] is configured to ask as".to_owned())
                })?;
                (None, endpoint, client)
            }
        };
        let credential = Credential {
            access_key_id: client.access_key_id,
            secret: client.secret_access_key,
            session_token: client.session_token,
        };
        let site = Site::proxy(self.config, endpoint, credential).await?;
        Ok((beside, Some(site)))
    }
}

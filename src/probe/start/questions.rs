//! What is asked of one node: only that with which the configuration trusts it.

use futures_util::future::try_join;
use http::{HeaderName, Method};

use super::outcome::{Answered, Found};
use crate::backend::headers::OBJECT_WRITE_ID;
use crate::config::{Addressing, Backend, Checksums, Config, RuleMode, Subresources};
use crate::probe::advice::Contradiction;
use crate::probe::ask::Ask;
use crate::probe::conditions::Conditions;
use crate::probe::conditions::case::{Form, Operation};
use crate::probe::finding::Finding;
use crate::probe::quirks::{Quirks, bodies};
use crate::probe::site::Site;
use crate::probe::survey::can_be_written;
use crate::probe::talk::{Talk, Where};
use crate::probe::trouble::Trouble;
use crate::s3::{DotSegments, EmptySegments, ObjectName, Subresource};

/// The questions to one node.
pub(super) struct Questions<'a> {
    at: Where<'a>,
    config: &'a Config,
    number: usize,
}

impl<'a> Questions<'a> {
    /// To the node with this number, which is in the names of its objects.
    pub(super) fn new(at: Where<'a>, config: &'a Config, number: usize) -> Self {
        Self { at, config, number }
    }

    /// Asks all of them.
    ///
    /// # Errors
    /// The node cannot be written to, or it was told to stop.
    pub(super) async fn asked(self) -> Result<Found, Trouble> {
        if let Err(trouble) = can_be_written(self.at, self.number).await {
            return match trouble {
                Trouble::Stopped => Err(Trouble::Stopped),
                trouble => self.not_written(trouble).await,
            };
        }
        let (keys, bodies, subresources, passed, ids, paths) = tokio::join!(
            self.keys(),
            self.bodies(),
            self.subresources(),
            self.passed(),
            self.write_ids(),
            self.paths(),
        );
        let mut all = Found { is_written: true, ..Found::default() };
        for rows in [keys?, bodies?, subresources?, passed?] {
            all.rows(&self.config.backend, &rows);
        }
        for answered in [ids, paths] {
            all.note(answered)?;
        }
        Ok(all)
    }

    /// What `empty_segments` and `dot_segments` are about.
    async fn keys(&self) -> Result<Vec<Finding>, Trouble> {
        let (quirks, backend) = (self.quirks(), &self.config.backend);
        let mut all = Vec::new();
        if backend.empty_segments == EmptySegments::Kept {
            all.push(quirks.empty_segments().await?);
        }
        if backend.dot_segments == DotSegments::Kept {
            all.extend(quirks.dot_segments().await?);
        }
        Ok(all)
    }

    /// What `checksums` is about.
    async fn bodies(&self) -> Result<Vec<Finding>, Trouble> {
        match self.config.backend.checksums {
            Checksums::Send => self.quirks().checksums(&[bodies::RIGHT]).await,
            Checksums::Drop => Ok(Vec::new()),
        }
    }

    /// What `subresources` is about; those that the proxy sees by itself are not asked for.
    async fn subresources(&self) -> Result<Vec<Finding>, Trouble> {
        let Subresources::Named(named) = self.config.backend.subresources else {
            return Ok(Vec::new());
        };
        let is_asked = |known: &Subresource| named.has(*known) && known.proofs().is_some();
        self.quirks().of(Subresource::ALL.into_iter().filter(is_asked)).await
    }

    /// Whether the store is the judge that rules with `mode = "pass"` make it.
    async fn passed(&self) -> Result<Vec<Finding>, Trouble> {
        if !self.config.rules.iter().any(|rule| rule.mode == RuleMode::Pass) {
            return Ok(Vec::new());
        }
        let conditions = Conditions::new(self.at, self.number);
        let row = |form| conditions.row(Operation::Put, form);
        let (one, other) = try_join(row(Form::NoneMatchAny), row(Form::MatchQuoted)).await?;
        Ok(vec![one, other])
    }

    /// What `write_ids` is about.
    async fn write_ids(&self) -> Answered {
        if !self.config.backend.write_ids {
            return Ok(None);
        }
        let (mut talk, name) = (Talk::new(self.at), self.name("write-id")?);
        let put = Ask::put(&name, CONTENT).header(WRITE_ID.as_str(), ID);
        talk.prepare(&put, &name).await?;
        talk.lag_is_over().await;
        let head = talk.read(&Ask::new(Method::HEAD, &name), &name).await?;
        let is_kept = head.headers.get(&WRITE_ID).is_some_and(|id| id == ID);
        Ok((!is_kept).then(|| {
            Contradiction::of_backend(
                "backend.write_ids is true, and the store does not show the metadata that it was given",
                "write_ids = false",
            )
        }))
    }

    /// What `reserved` is about: names that are taken from it.
    async fn paths(&self) -> Answered {
        let reserved = &self.config.backend.reserved;
        let known = Backend::default().reserved;
        let open: Vec<_> = known.into_iter().filter(|name| !reserved.contains(name)).collect();
        let served = self.quirks().not_buckets(&mut Talk::new(self.at), &open).await?;
        let served: Vec<_> = served.into_iter().map(|(name, _)| name).collect();
        if served.is_empty() {
            return Ok(None);
        }
        let all: Vec<_> =
            reserved.iter().chain(&served).map(|name| format!("\"{name}\"")).collect();
        let sentence = format!(
            "backend.reserved leaves out {}, and the store serves something else than a bucket there",
            served.join(", ")
        );
        let line = format!("reserved = [{}]", all.join(", "));
        Ok(Some(Contradiction::of_backend(sentence, &line)))
    }

    /// Why the node was not written to as it is configured: because of a setting, or another trouble.
    async fn not_written(&self, trouble: Trouble) -> Result<Found, Trouble> {
        let backend = &self.config.backend;
        let mut all = Vec::new();
        if !backend.strong_headers.is_empty() {
            let without =
                Backend { strong_headers: Backend::default().strong_headers, ..backend.clone() };
            all.push((
                without,
                "backend.strong_headers is set, and the store refuses a write with them",
                "strong_headers = []",
            ));
        }
        if backend.addressing == Addressing::VirtualHost {
            let by_path = Backend { addressing: Addressing::Path, ..backend.clone() };
            all.push((
                by_path,
                "backend.addressing is \"virtual-host\", and the store does not take the \
                 bucket from the host",
                "addressing = \"path\"",
            ));
        }
        for (changed, sentence, line) in all {
            let endpoint = self.at.site.endpoint().clone();
            let mut config = self.config.clone();
            config.backend = changed;
            let site = Site::node(&config, endpoint).await?;
            if can_be_written(Where { site: &site, ..self.at }, self.number).await.is_ok() {
                let contradictions = vec![Contradiction::of_backend(sentence, line)];
                return Ok(Found { contradictions, ..Found::default() });
            }
        }
        Err(trouble)
    }

    fn quirks(&self) -> Quirks<'a> {
        Quirks::new(self.at, self.number)
    }

    fn name(&self, key: &str) -> Result<ObjectName, Trouble> {
        self.at.scratch.any_name(&format!("{}/{key}", self.number))
    }
}

static WRITE_ID: HeaderName = OBJECT_WRITE_ID;
const ID: &str = "ifmatch-probe";

const CONTENT: &[u8] = b"ifmatch probe: at the start";

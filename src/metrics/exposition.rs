//! The exposition: names, units and help texts of all metrics, and what is scraped, in one of
//! three formats. A metric has its unit in its name, and a counter
//! `_total` (Prometheus: Metric and label naming).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::Metrics;
use super::families::Families;
use super::format::Format;
use super::label::Label as _;
use super::levels::{InFlight, Levels, NodeLevel, RegisterLevels};
use super::process::Process;
use super::tls::{self, Expiry};
use crate::protobuf::Message;

/// The build that runs.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The version in `Cargo.toml`.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
    /// The compiler.
    pub rustc: &'static str,
}

/// What is exposed.
#[derive(Debug, Clone)]
pub struct Exposed {
    /// The cells.
    pub metrics: Arc<Metrics>,
    /// The levels.
    pub levels: Arc<dyn Levels>,
    /// The certificates in use.
    pub certificates: Vec<Expiry>,
    /// The process's own numbers, where the system tells them.
    pub process: Option<Process>,
    /// The build.
    pub build: Build,
}

impl Exposed {
    /// All metrics at this moment, in this format.
    ///
    /// # Errors
    /// Never in practice: writing to memory does not fail.
    pub fn written(&self, format: Format) -> Result<Vec<u8>, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(OfProcess(self.process)));
        let ours = registry.sub_registry_with_prefix("ifmatch");
        let Build { version, commit, rustc } = self.build;
        let build = vec![("version", version), ("commit", commit), ("rustc", rustc)];
        ours.register("build", "The build that runs", Info::new(build));
        ours.register_collector(Box::new(self.clone()));
        let mut text = String::with_capacity(64 << 10);
        match format {
            Format::Prometheus => prometheus_text::encode(&mut text, &registry)?,
            Format::OpenMetrics => text::encode(&mut text, &registry)?,
            Format::Protobuf => return self.messages(),
        }
        Ok(text.into_bytes())
    }

    fn messages(&self) -> Result<Vec<u8>, fmt::Error> {
        let mut all = Message::default();
        OfProcess(self.process).each(&mut Families::Messages(&mut all, ""))?;
        let Build { version, commit, rustc } = self.build;
        // What is `info` elsewhere is a gauge here.
        let build = [("version", version), ("commit", commit), ("rustc", rustc)];
        let mut ours = Families::Messages(&mut all, PREFIX);
        ours.gauges("build_info", None, "The build that runs.", std::iter::once((build, 1_i64)))?;
        self.each(&mut ours)?;
        Ok(all.into_bytes())
    }

    fn each(&self, out: &mut Families<'_>) -> fmt::Result {
        requests(out, &self.metrics)?;
        gate(out, &self.metrics)?;
        register(out, &self.metrics, self.levels.register())?;
        backend(out, &self.metrics)?;
        nodes(out, &self.levels.nodes())?;
        tls::expose(out, &self.metrics.tls, &self.certificates)?;
        levels(out, &*self.levels)
    }
}

/// What the names of our own metrics begin with.
const PREFIX: &str = "ifmatch_";

impl Collector for Exposed {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.each(&mut Families::Text(encoder))
    }
}

#[rustfmt::skip] // One metric, one paragraph.
fn requests(out: &mut Families<'_>, of: &Metrics) -> fmt::Result {
    out.counters("requests", None,
        "Requests that were answered, by operation and outcome, as in the log.",
        of.requests.each())?;
    out.histograms("request_duration",
        "Time from a request's head to the end of its answer.",
        of.request_duration.each())?;
    out.counter("request", Some(&Unit::Bytes),
        "Bytes of request bodies that were read from clients.",
        &of.request_bytes)?;
    out.counter("response", Some(&Unit::Bytes),
        "Bytes of answers' bodies that were sent to clients.",
        &of.response_bytes)?;
    out.counters("refusals", None,
        "Answers with status 400 or more, by what refused the request and by their code.",
        of.refusals.each())?;
    out.counters("rejected_heads", None,
        "Connections that ended because no request could be read from them, by reason.",
        of.rejected_heads.each())?;
    out.counters("trace_spans", None,
        "Spans of traces, by what became of them. Only a build with traces counts any.",
        of.trace_spans.each())?;
    out.gauge("config_last_reload_success_timestamp", Some(&Unit::Seconds),
        "When the configuration in effect was loaded, in seconds since 1970.",
        of.config_loaded_s.get())
}

#[rustfmt::skip]
fn gate(out: &mut Families<'_>, of: &Metrics) -> fmt::Result {
    out.counters("conditions", None,
        "Conditions of writes that were judged, by header and verdict.",
        of.conditions.each())?;
    out.histogram("gate_wait",
        "How long guarded writes waited for their key's lease.",
        &of.gate_wait)?;
    out.gauge("gate_waiting", None,
        "Guarded writes that wait for their key's lease.",
        of.gate_waiting.get())?;
    out.histogram("lease_held",
        "How long guarded writes held their key's lease, until their answer was known.",
        &of.lease_held)?;
    out.gauge("leases", None,
        "Leases that this process holds.",
        of.leases.get())?;
    out.gauge("doubts", None,
        "Writes of this process whose outcome is not known yet, with a client that waits.",
        of.doubts.get())?;
    out.counters("doubts_settled", None,
        "Writes whose outcome was not known for a while, by what became of them.",
        of.doubts_settled.each())?;
    out.counter("replays", None,
        "Writes that were recognised as retries and answered with their earlier success.",
        &of.replays)?;
    out.counters("alarms", None,
        "Log lines that begin with ALARM, by kind. Each kind has a page in docs/operations.md.",
        of.alarms.each())
}

#[rustfmt::skip]
fn register(out: &mut Families<'_>, of: &Metrics, levels: RegisterLevels) -> fmt::Result {
    out.histograms("register_step",
        "How long steps of the register took, by step and result.",
        of.register_step.each())?;
    out.counters("register_failures", None,
        "Steps of the register that failed, by reason.",
        of.register_failures.each())?;
    out.counter("register_reconnects", None,
        "Connections to Redis that were opened in place of one that had failed.",
        &of.register_reconnects)?;
    out.gauge("register_clock_jump", Some(&Unit::Seconds),
        "The greatest jump of a clock of Redis that was seen.",
        millis(of.register_clock_jump_ms.get()))?;
    out.gauge("register_up", None,
        "1 if the last survey found the register fit for use, otherwise 0.",
        i64::from(levels.usable))?;
    out.gauge("quarantine", Some(&Unit::Seconds),
        "For how long the register grants no lease, as of its last survey.",
        levels.quarantine.as_secs_f64())?;
    out.gauge("register_leases", None,
        "Leases of all proxies that are held or block a key, as of the register's last survey.",
        levels.leases)?;
    if let Some(age) = levels.epoch_age {
        out.gauge("epoch_age", Some(&Unit::Seconds),
            "The age of the youngest epoch of the register that this process has seen.",
            age.as_secs_f64())?;
    }
    Ok(())
}

#[rustfmt::skip]
fn backend(out: &mut Families<'_>, of: &Metrics) -> fmt::Result {
    out.histograms("backend_request",
        "How long requests to the store took: reads and streams until the head of the answer.",
        of.backend_request.each())?;
    out.counters("backend_connecting", None,
        "How requests to the store came to their connection.",
        of.backend_connecting.each())?;
    out.gauge("backend_connections_in_use", None,
        "Connections to the store on which a request is under way.",
        of.backend_in_use.get())?;
    out.counter("backend_resends", None,
        "Requests that were sent to the store again because a pooled connection was dead.",
        &of.backend_resends)?;
    out.counters("store_stale_heads", None,
        "HEADs that contradicted the record of a write of a short time ago, by what they showed.",
        of.store_stale_heads.each())?;
    out.counters("guarded_reads", None,
        "Reads of keys whose rule is consistency = guarded, by how they ended.",
        of.guarded_reads.each())?;
    out.counters("guarded_listings", None,
        "Pages of listings with keys whose rule is consistency = guarded, by what was answered.",
        of.guarded_listings.each())?;
    out.histogram("store_lag",
        "How long ago a write had landed that a HEAD did not show.",
        &of.store_lag)?;
    out.gauge("backend_contradictions", None,
        "Settings with which the store is trusted, and which it contradicted when this process started.",
        of.backend_contradictions.get())?;
    out.gauge("backend_up", None,
        "1 if the last request reached the store, otherwise 0.",
        of.backend_up.get())
}

/// Those of nodes that are checked: there are as many as are configured.
#[rustfmt::skip]
fn nodes(out: &mut Families<'_>, nodes: &[NodeLevel]) -> fmt::Result {
    if nodes.is_empty() {
        return Ok(());
    }
    let each = || nodes.iter().map(|level| ([("node", level.node.as_str())], level));
    out.gauges("backend_node_up", None,
        "1 if the node of the store gets requests, 0 if it was taken out.",
        each().map(|(label, level)| (label, u64::from(level.up))))?;
    out.counters("backend_node_requests", None,
        "Requests that were sent to the node of the store, without checks.",
        each().map(|(label, level)| (label, level.requests)))?;
    out.counters("backend_node_changes", None,
        "How often the node of the store was taken out or came back.",
        each().map(|(label, level)| (label, level.changes)))
}

#[rustfmt::skip]
fn levels(out: &mut Families<'_>, of: &dyn Levels) -> fmt::Result {
    let each = InFlight::ALL.iter();
    let each: Vec<_> =
        each.map(|kind| ([(InFlight::NAME, kind.as_str())], of.in_flight(*kind))).collect();
    let (memory, spool) = (of.body_memory(), of.spool());
    out.gauges("in_flight", None,
        "What is under way, by kind.",
        each.iter().map(|(label, level)| (*label, level.now)))?;
    out.gauges("in_flight_limit", None,
        "How much of each kind may be under way, where there is a limit.",
        each.iter().filter_map(|(label, level)| Some((*label, level.limit?))))?;
    out.gauge("body_memory", Some(&Unit::Bytes),
        "Memory that holds request bodies.",
        memory.now)?;
    let listings = of.listing_memory();
    out.gauge("listing_memory", Some(&Unit::Bytes),
        "Memory that pages of guarded listings take.",
        listings.now)?;
    out.gauge("spool", Some(&Unit::Bytes),
        "Disk that holds request bodies.",
        spool.now)?;
    if let Some(limit) = memory.limit {
        out.gauge("body_memory_limit", Some(&Unit::Bytes), "The setting body.memory.", limit)?;
    }
    if let Some(limit) = listings.limit {
        out.gauge("listing_memory_limit", Some(&Unit::Bytes), "The setting limits.listing_memory.", limit)?;
    }
    if let Some(limit) = spool.limit {
        out.gauge("spool_limit", Some(&Unit::Bytes), "The setting body.spool.", limit)?;
    }
    Ok(())
}

/// The process's own numbers.
#[derive(Debug)]
struct OfProcess(Option<Process>);

impl Collector for OfProcess {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.each(&mut Families::Text(encoder))
    }
}

impl OfProcess {
    #[rustfmt::skip]
    fn each(&self, out: &mut Families<'_>) -> fmt::Result {
        let Some(Process { stat, open_fds, max_fds }) = self.0 else { return Ok(()) };
        out.seconds("process_cpu",
            "Time of all threads on a processor.",
            stat.cpu)?;
        out.gauge("process_resident_memory", Some(&Unit::Bytes),
            "Memory that is in RAM.",
            stat.resident_bytes)?;
        out.gauge("process_virtual_memory", Some(&Unit::Bytes),
            "Address space.",
            stat.virtual_bytes)?;
        out.gauge("process_start_time", Some(&Unit::Seconds),
            "When the process began, in seconds since 1970.",
            stat.started.as_secs_f64())?;
        out.gauge("process_threads", None, "Threads.", stat.threads)?;
        out.gauge("process_open_fds", None, "Open file descriptors.", open_fds)?;
        out.gauge("process_max_fds", None, "File descriptors that the process may have.", max_fds)
    }
}

fn millis(millis: i64) -> f64 {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;

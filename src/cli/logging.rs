//! Logging: log lines go to standard error, as text or JSON; those about requests may have a file of
//! their own. A reload changes the filter and the file. As JSON, panics are lines of it too.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tracing::Metadata;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::Directive;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use super::failure::Failure;
use crate::admin::SetLogLevel;
use crate::config::{AccessLog, Config, Fault, Log, LogFormat};
use crate::reload::{Prepared, Reconfigure};
use crate::seldom::Seldom;

/// Of the lines about the life of the process, which are written whatever `log.level` says: where it
/// listens, that it does not write yet, why it ended.
pub(super) const LIFE: &str = "ifmatch::life";

/// Starts logging.
pub(super) fn begin(log: &Log) -> Result<Logging, Failure> {
    let filter = filter(log).map_err(|error| Failure::Usage(format!("log.level: {error}")))?;
    let file = opened(&log.access)
        .map_err(|(path, error)| Failure::Run(format!("log.access: {path}: {error}")))?;
    let writer = Writer(Arc::new(ArcSwapOption::new(file)));
    let escapes = io::stderr().is_terminal() && !matches!(log.access, AccessLog::File(_));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer.clone())
        .log_internal_errors(false)
        .with_ansi(escapes)
        .with_target(false);
    let (begun, set_filter): (_, SetFilter) = match log.format {
        LogFormat::Text => {
            let subscriber = subscriber.with_filter_reloading();
            let handle = subscriber.reload_handle();
            (subscriber.finish().try_init(), Box::new(move |filter| handle.reload(filter)))
        }
        LogFormat::Json => {
            let subscriber = subscriber.json().flatten_event(true).with_filter_reloading();
            let handle = subscriber.reload_handle();
            (subscriber.finish().try_init(), Box::new(move |filter| handle.reload(filter)))
        }
    };
    begun.map_err(|error| Failure::Run(error.to_string()))?;
    if log.format == LogFormat::Json {
        // The standard library's own hook writes lines of text.
        panic::set_hook(Box::new(log_panic));
    }
    let access = Mutex::new(log.access.clone());
    Ok(Logging(Arc::new(Running { set_filter, writer, access })))
}

/// Writes what a panic says as one line.
fn log_panic(info: &PanicHookInfo<'_>) {
    let said = info.payload_as_str().unwrap_or("it says nothing");
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    // Only where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    let asked_for = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = asked_for.then(|| tracing::field::display(backtrace));
    tracing::error!(target: LIFE, at, thread, backtrace, "panic: {said}");
}

/// The running log, as a part of the process that can be reconfigured.
pub(super) struct Logging(Arc<Running>);

struct Running {
    set_filter: SetFilter,
    writer: Writer,
    access: Mutex<AccessLog>,
}

impl Logging {
    /// Changes the level until the next reload.
    pub(super) fn set_level(&self) -> SetLogLevel {
        let running = Arc::clone(&self.0);
        Box::new(move |level| {
            let access = running.access.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let log = Log { level: level.to_owned(), access, ..Log::default() };
            let filter = filter(&log).map_err(|error| format!("log.level: {error}"))?;
            (running.set_filter)(filter).map_err(|error| error.to_string())
        })
    }
}

type SetFilter = Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>;

#[async_trait]
impl Reconfigure for Logging {
    async fn prepare(&self, config: &Config) -> Result<Prepared, Fault> {
        let fault = |path: &str, message| Fault { path: path.to_owned(), message };
        let filter = filter(&config.log).map_err(|error| fault("log.level", error.to_string()))?;
        let access = config.log.access.clone();
        let file = opened(&access)
            .map_err(|(path, error)| fault("log.access", format!("{path}: {error}")))?;
        let running = Arc::clone(&self.0);
        Ok(Box::new(move || {
            if let Err(error) = (running.set_filter)(filter) {
                tracing::error!(%error, "log.level has not changed");
            }
            running.writer.0.store(file);
            *running.access.lock().unwrap_or_else(PoisonError::into_inner) = access;
        }))
    }

    /// Another program may have renamed the file, to begin a new one.
    fn reopen_files(&self) {
        let access = self.0.access.lock().unwrap_or_else(PoisonError::into_inner);
        match opened(&access) {
            Ok(file) => self.0.writer.0.store(file),
            Err((path, error)) => {
                tracing::error!(path, %error, "log.access was not opened again; lines go to the file before");
            }
        }
    }
}

/// Which events are logged. `log.access` alone decides about the lines of requests.
fn filter(log: &Log) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    let requests = if log.access == AccessLog::Off { "off" } else { "info" };
    let requests = format!("{}={requests}", AccessLog::TARGET);
    Ok(EnvFilter::try_new(&log.level)?
        // Pingora logs much about its own start, and about connections that broke or were used by
        // another request; the embedded store logs each request that it refuses. The proxy writes
        // its own line for each request.
        .add_directive(directive("pingora_core=off"))
        .add_directive(directive("s3s=off"))
        .add_directive(directive(&format!("{LIFE}=info")))
        .add_directive(directive(&requests)))
}

fn directive(text: &str) -> Directive {
    text.parse().expect("a directive written here")
}

/// The file for the lines of requests, if they have one; otherwise its path, and why it cannot be
/// opened. Lines are added at its end.
fn opened(access: &AccessLog) -> Result<Option<Arc<File>>, (String, io::Error)> {
    let AccessLog::File(path) = access else { return Ok(None) };
    let shown = |path: &Path| path.display().to_string();
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.map(|file| Some(Arc::new(file))).map_err(|error| (shown(path), error))
}

/// Writes events to standard error, and those about requests to their file, if there is one.
#[derive(Clone)]
struct Writer(Arc<ArcSwapOption<File>>);

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Place;

    fn make_writer(&'a self) -> Place {
        Place::Stderr(io::stderr())
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Place {
        match self.0.load_full() {
            Some(file) if event.target() == AccessLog::TARGET => Place::File(file),
            _ => self.make_writer(),
        }
    }
}

/// The place of one line.
enum Place {
    Stderr(io::Stderr),
    File(Arc<File>),
}

impl Write for Place {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stderr(stderr) => stderr.write(line),
            Self::File(file) => {
                let written = (&**file).write(line);
                if let Err(error) = &written
                    && let Some(left_out) = LINE_LOST.due()
                {
                    tracing::error!(%error, left_out, "a line of log.access was lost");
                }
                written
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

static LINE_LOST: Seldom = Seldom::new();

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_one_line_of_json() {
        let kept = Kept::default();
        let written = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || written.clone())
            .json()
            .flatten_event(true)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let before = panic::take_hook();
            panic::set_hook(Box::new(log_panic));
            let caught = panic::catch_unwind(|| panic!("two\nlines"));
            panic::set_hook(before);
            caught.unwrap_err();
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "panic: two\nlines");
        assert_eq!(line["level"], "ERROR");
        assert!(line["at"].as_str().unwrap().starts_with("src/cli/logging.rs:"), "{line}");
    }
}

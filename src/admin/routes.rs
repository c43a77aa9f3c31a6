//! The answers to admitted requests.

use std::pin::Pin;

use http::{Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use serde_json::json;
use tokio::time::Instant;

use super::answer::{Answer, answer, json, refused, text};
use super::health::{Facts, checks, is_ready};
use super::request::{Guard, Readiness, Route, admit};
use super::status::gather;
use super::{Admin, health, page, process};
use crate::config::Changes;
use crate::metrics::exposition::Exposed;
use crate::metrics::format::Format;
use crate::metrics::levels::NodeLevel;
use crate::metrics::tls::Expiry;
use crate::tls::InUse;

/// The longest body that is read, in bytes: the directives of a log.
const BODY_BYTES_MAX: usize = 4096;

impl Admin {
    /// Answers a request that came to an address of this machine alone, or to another one.
    pub(super) async fn respond(&self, request: Request<Incoming>, loopback: bool) -> Answer {
        let (head, body) = request.into_parts();
        let route = match admit(&head, Guard { loopback, token: self.token.as_ref() }) {
            Ok(route) => route,
            Err(refusal) => return refused(refusal),
        };
        match route {
            Route::Livez => text(StatusCode::OK, "ok\n"),
            Route::Readyz(wanted) => self.readiness(wanted).await,
            Route::Metrics => {
                let accept = head.headers.get(http::header::ACCEPT);
                let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
                self.exposition(Format::accepted(accept)).await
            }
            Route::Page { names } => page::answer(&gather::status(self, names).await),
            Route::SignIn => page::lead_to(),
            Route::Status { names } => json(&gather::status(self, names).await),
            Route::Config => text(StatusCode::OK, self.commands.reloader.description().await),
            Route::Reload => self.reload().await,
            Route::LogLevel => self.log_level(body).await,
            Route::Drain => {
                tracing::info!("an operator asked this process to stop");
                self.life.ask_to_stop();
                text(StatusCode::ACCEPTED, "stopping: requests under way are finished\n")
            }
        }
    }

    async fn readiness(&self, wanted: Readiness) -> Answer {
        let register = self.standing.quarantine(Instant::now());
        let facts = Facts {
            phase: self.life.phase(),
            register: register.map_err(|error| error.to_string()),
            nodes: any_up(&self.levels.nodes()),
            store: if wanted.store { Some(self.store.result().await) } else { None },
        };
        let checks = checks(&facts, wanted.writes);
        let ready = is_ready(&checks);
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        text(status, health::text(&checks, wanted.verbose))
    }

    async fn exposition(&self, format: Format) -> Answer {
        // Reads files, which no runtime thread should wait for.
        let process = tokio::task::spawn_blocking(process::read).await.ok().flatten();
        let exposed = Exposed {
            metrics: self.metrics.clone(),
            levels: self.levels.clone(),
            certificates: self.certificates.certificates().iter().map(expiry).collect(),
            process,
            build: self.build,
        };
        match exposed.written(format) {
            Ok(body) => answer(StatusCode::OK, format.content_type(), body),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n")
            }
        }
    }

    async fn reload(&self) -> Answer {
        match self.commands.reloader.reload_and_tell().await {
            Ok(Changes { applied, needs_restart }) => {
                json(&json!({ "applied": applied, "needs_restart": needs_restart }))
            }
            Err(faults) => text(StatusCode::UNPROCESSABLE_ENTITY, format!("{faults}\n")),
        }
    }

    async fn log_level(&self, body: Incoming) -> Answer {
        let Some(directives) = read(body).await else {
            let sentence = "The body is the new level, such as info or info,ifmatch=debug.\n";
            return text(StatusCode::BAD_REQUEST, sentence);
        };
        match (self.commands.set_log_level)(directives.trim()) {
            Ok(()) => {
                tracing::warn!(
                    directives = directives.trim(),
                    "an operator changed the level of the log"
                );
                text(StatusCode::OK, format!("log.level is now {}\n", directives.trim()))
            }
            Err(why) => text(StatusCode::BAD_REQUEST, format!("{why}\n")),
        }
    }
}

fn any_up(nodes: &[NodeLevel]) -> Option<bool> {
    (!nodes.is_empty()).then(|| nodes.iter().any(|node| node.up))
}

fn expiry(InUse { used_for, certificate }: &InUse) -> Expiry {
    let file = certificate.file.display().to_string();
    Expiry { used_for: *used_for, file, not_after_s: certificate.not_after }
}

/// A short body of text, to its end; `None` for any other.
async fn read(mut body: Incoming) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(piece) = frame.ok()?.into_data() else { continue };
        bytes.extend_from_slice(&piece);
        if bytes.len() > BODY_BYTES_MAX {
            return None;
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.trim().is_empty())
}

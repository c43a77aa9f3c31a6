//! What a request to the admin listener asks for, and whether its sender may have it. Pure.
//!
//! Health checks are open to everybody who reaches the port: they name no bucket, key or client. On
//! a loopback address the rest may be read without a token by programs on this machine, but not by
//! a web page in a browser there: its name would be in `Host` (DNS rebinding). What changes
//! something needs the token everywhere.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, Method, StatusCode};
use subtle::ConstantTimeEq as _;

use crate::secret::Secret;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    /// Does the process turn?
    Livez,
    /// Should it get requests?
    Readyz(Readiness),
    Metrics,
    /// The status page. `names`: names of keys may be shown.
    Page {
        names: bool,
    },
    /// Asks a browser for the token, and leads to the page.
    SignIn,
    /// The status as JSON.
    Status {
        names: bool,
    },
    Config,
    LogLevel,
    Reload,
    Drain,
}

/// What must work for the process to be ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Readiness {
    /// Writes too.
    pub(super) writes: bool,
    /// The store too.
    pub(super) store: bool,
    /// The answer names each check.
    pub(super) verbose: bool,
}

/// Why there is no answer: a status and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) sentence: &'static str,
    /// Whether a browser is to ask its user for the token.
    pub(super) asks: bool,
}

const NOT_FOUND: Refusal = Refusal {
    status: StatusCode::NOT_FOUND,
    sentence: "There is nothing here. See /, /livez, /readyz, /metrics, /status.json and /config.",
    asks: false,
};
const METHOD: Refusal = Refusal {
    status: StatusCode::METHOD_NOT_ALLOWED,
    sentence: "What reads is asked with GET, and what changes something with POST.",
    asks: false,
};
const QUERY: Refusal = Refusal {
    status: StatusCode::BAD_REQUEST,
    sentence: "The query is not understood. /readyz knows writes=1, store=1 and verbose.",
    asks: false,
};
const NAME: Refusal = Refusal {
    status: StatusCode::MISDIRECTED_REQUEST,
    sentence: "Without a token this port is asked by its address or as localhost, not by a name.",
    asks: false,
};
const TOKEN: Refusal = Refusal {
    status: StatusCode::UNAUTHORIZED,
    sentence: "This needs the token of admin.token_file: Authorization: Bearer TOKEN.",
    asks: false,
};
const NO_TOKEN: Refusal = Refusal {
    status: StatusCode::FORBIDDEN,
    sentence: "This needs a token, and admin.token_file is not set.",
    asks: false,
};

/// What the listener requires of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard<'a> {
    /// The address that the request came to is one of this machine alone.
    pub(super) loopback: bool,
    pub(super) token: Option<&'a Secret>,
}

/// The route of a request that may have its answer.
pub(super) fn admit(head: &http::request::Parts, guard: Guard<'_>) -> Result<Route, Refusal> {
    let route = route(head.uri.path(), head.uri.query().unwrap_or_default())?;
    let is_health = matches!(route, Route::Livez | Route::Readyz(_));
    let changes = matches!(route, Route::LogLevel | Route::Reload | Route::Drain);
    let allowed = if changes {
        head.method == Method::POST
    } else {
        matches!(head.method, Method::GET | Method::HEAD)
    };
    if !allowed {
        return Err(METHOD);
    }
    if is_health || guard.is_told(&head.headers, !changes) {
        return Ok(route.told());
    }
    let is_page = matches!(route, Route::Page { .. } | Route::SignIn);
    if changes || !guard.loopback || route == Route::SignIn {
        let token = Refusal { asks: is_page, ..TOKEN };
        return Err(if guard.token.is_some() { token } else { NO_TOKEN });
    }
    if is_address(&head.headers) { Ok(route) } else { Err(NAME) }
}

impl Route {
    /// The same, asked by somebody who knows the token.
    fn told(self) -> Self {
        match self {
            Self::Page { .. } => Self::Page { names: true },
            Self::Status { .. } => Self::Status { names: true },
            other => other,
        }
    }
}

fn route(path: &str, query: &str) -> Result<Route, Refusal> {
    let route = match path {
        "/livez" | "/healthz" => Route::Livez,
        "/readyz" => return Ok(Route::Readyz(readiness(query)?)),
        "/metrics" => Route::Metrics,
        "/" | "/status" => Route::Page { names: false },
        "/sign-in" => Route::SignIn,
        "/status.json" => Route::Status { names: false },
        "/config" => Route::Config,
        "/log-level" => Route::LogLevel,
        "/reload" => Route::Reload,
        "/drain" => Route::Drain,
        _ => return Err(NOT_FOUND),
    };
    Ok(route)
}

/// A misspelt check would always pass, so every part of the query must be known.
fn readiness(query: &str) -> Result<Readiness, Refusal> {
    let mut readiness = Readiness::default();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, "1"));
        let on = match value {
            "1" | "true" | "" => true,
            "0" | "false" => false,
            _ => return Err(QUERY),
        };
        match name {
            "writes" => readiness.writes = on,
            "store" => readiness.store = on,
            "verbose" => readiness.verbose = on,
            _ => return Err(QUERY),
        }
    }
    Ok(readiness)
}

impl Guard<'_> {
    /// Does the request carry the token? The comparison takes the same time wherever they differ.
    ///
    /// A browser can only send it as a password, under any name (RFC 7617). It sends that along with
    /// whatever another site's page makes it ask here, so what changes something is not to be had
    /// with it.
    fn is_told(&self, headers: &HeaderMap, by_password: bool) -> bool {
        let (Some(token), Some(sent)) = (self.token, headers.get(AUTHORIZATION)) else {
            return false;
        };
        // RFC 7235 §2.1: the scheme's case does not matter.
        let after = |scheme: &[u8]| {
            let (found, rest) = sent.as_bytes().split_at_checked(scheme.len())?;
            found.eq_ignore_ascii_case(scheme).then_some(rest)
        };
        let is_token = |sent: &[u8]| bool::from(sent.ct_eq(token.expose().as_bytes()));
        if let Some(sent) = after(b"bearer ") {
            return is_token(sent);
        }
        let decoded = after(b"basic ").filter(|_| by_password).map(|sent| BASE64.decode(sent));
        let Some(Ok(pair)) = decoded else { return false };
        let password = pair.splitn(2, |byte| *byte == b':').nth(1);
        password.is_some_and(is_token)
    }
}

/// Is the host an address or `localhost`? A page of another site would bring that site's name.
fn is_address(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next())
    else {
        return false;
    };
    // `[::1]:9001`, `127.0.0.1:9001`, `localhost`
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;

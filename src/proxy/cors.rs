//! CORS headers for the answers that are written here: a web page of another origin sees of them
//! what the store would have allowed (Fetch: CORS protocol; AWS: Using cross-origin resource
//! sharing).
//!
//! The policy belongs to the bucket and is public: the store tells it in answer to any preflight,
//! which is not signed. So the proxy asks with a preflight, for the bucket and never for a key, at
//! most once in [`FRESH`] for each bucket, origin and method, and only when an answer needs it. A
//! request without an `Origin` costs nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::backend::HttpStore;
use crate::http1::fields::Fields;
use crate::s3::BucketName;

/// How long the store's policy is used before it is asked for again.
const FRESH: Duration = Duration::from_secs(30);

/// How long the store is not asked again after it gave no policy. Until then the last policy is
/// used.
const PAUSE: Duration = Duration::from_secs(3);

/// How long an answer to a client waits for the store's policy.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many policies are cached.
const ENTRIES_MAX: usize = 1024;

/// How many policies are asked for at once: once for authenticated callers and once for the others,
/// which could name any number of origins.
const QUESTIONS: usize = 16;
const QUESTIONS_OF_STRANGERS: usize = 4;

/// Longer than any real origin.
const ORIGIN_BYTES_MAX: usize = 512;

/// The cached policies of the store.
#[derive(Debug)]
pub struct Policies {
    store: Arc<HttpStore>,
    entries: Mutex<HashMap<Case, Arc<Entry>>>,
    known: Semaphore,
    strangers: Semaphore,
}

/// The case that a policy is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Case {
    bucket: String,
    origin: HeaderValue,
    method: Method,
}

/// One policy. It is locked while it is asked for, so that it is asked for once.
#[derive(Debug, Default)]
struct Entry(AsyncMutex<Policy>);

#[derive(Debug, Default)]
struct Policy {
    /// The headers for the answers; empty where the origin may see nothing.
    headers: Fields,
    /// When the store is to be asked again; `None` before the first question.
    again: Option<Instant>,
}

impl Policy {
    fn is_fresh(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| now < again)
    }
}

impl Policies {
    /// The policies of this store.
    pub fn new(store: Arc<HttpStore>) -> Self {
        Self {
            store,
            entries: Mutex::default(),
            known: Semaphore::new(QUESTIONS),
            strangers: Semaphore::new(QUESTIONS_OF_STRANGERS),
        }
    }

    /// The headers of an answer; none where the policy is not known in time.
    async fn headers(&self, case: &Case, stranger: bool) -> Fields {
        let until = Instant::now() + PATIENCE;
        let Some(entry) = self.entry(case, stranger) else { return Fields::new() };
        let Ok(mut policy) = timeout_at(until, entry.0.lock()).await else {
            return Fields::new();
        };
        if !policy.is_fresh(Instant::now()) {
            let room = if stranger { &self.strangers } else { &self.known };
            let asked = async {
                let _room = room.acquire().await.ok()?;
                self.ask(case).await
            };
            let pause = match timeout_at(until, asked).await.ok().flatten() {
                Some(headers) => {
                    policy.headers = headers;
                    FRESH
                }
                None => PAUSE,
            };
            policy.again = Some(Instant::now() + pause);
        }
        policy.headers.clone()
    }

    /// Finds or adds a policy. A caller that is not authenticated evicts no policy.
    fn entry(&self, case: &Case, stranger: bool) -> Option<Arc<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(case) {
            return Some(Arc::clone(entry));
        }
        if entries.len() >= ENTRIES_MAX {
            let now = Instant::now();
            // A locked policy is being asked for.
            entries.retain(|_, entry| entry.0.try_lock().is_ok_and(|policy| policy.is_fresh(now)));
        }
        if entries.len() >= ENTRIES_MAX {
            let any = entries.keys().next().filter(|_| !stranger).cloned()?;
            entries.remove(&any);
        }
        Some(Arc::clone(entries.entry(case.clone()).or_default()))
    }

    /// Asks the store; `None` where it does not answer, or answers with an error of its own.
    async fn ask(&self, case: &Case) -> Option<Fields> {
        let method = HeaderValue::from_str(case.method.as_str()).ok()?;
        let question = Fields::from_iter([
            (header::ORIGIN, case.origin.clone()),
            (header::ACCESS_CONTROL_REQUEST_METHOD, method),
        ]);
        let opened = self.store.preflight(&format!("/{}", case.bucket), question).await;
        let opened =
            opened.inspect_err(|why| tracing::debug!(why, "a CORS policy was not told")).ok()?;
        let (status, headers) = (opened.status, opened.headers.clone());
        self.store.dismiss(opened).await;
        let unable = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        (!unable).then(|| policy(status, &headers, &case.origin))
    }
}

/// The headers for an answer, by the store's answer to a preflight. None unless that allows the
/// origin.
fn policy(status: StatusCode, preflight: &Fields, origin: &HeaderValue) -> Fields {
    let allowed = preflight.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    let allows = allowed.is_some_and(|allowed| allowed == origin || allowed == "*");
    if !status.is_success() || !allows {
        return Fields::new();
    }
    let mut headers: Fields = OF_POLICY
        .into_iter()
        .filter_map(|name| Some((name.clone(), preflight.get(name)?.clone())))
        .collect();
    // Fetch: an answer that depends on the origin must not be cached for other origins.
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers
}

const OF_POLICY: [HeaderName; 5] = [
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// The case of one request, and the cache to ask.
#[derive(Debug)]
pub(super) struct Asking {
    policies: Arc<Policies>,
    case: Case,
}

impl Asking {
    /// For a request for something in this bucket; `None` where no page asks, or where it is a
    /// preflight itself.
    pub(super) fn of(
        policies: &Arc<Policies>,
        bucket: &BucketName,
        method: &Method,
        headers: &Fields,
    ) -> Option<Self> {
        let mut origins = headers.get_all(header::ORIGIN);
        let origin = origins.next().filter(|origin| origin.len() <= ORIGIN_BYTES_MAX)?;
        let readable = origin.to_str().is_ok_and(|origin| !origin.is_empty());
        if origins.next().is_some() || !readable || *method == Method::OPTIONS {
            return None;
        }
        let case =
            Case { bucket: bucket.to_string(), origin: origin.clone(), method: method.clone() };
        Some(Self { policies: Arc::clone(policies), case })
    }

    /// Lets the web page see this answer, if the store would: adds the headers that the store has
    /// not set itself. A `stranger` is not authenticated.
    pub(super) async fn allow(&self, headers: &mut Fields, stranger: bool) {
        if headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        for (name, value) in &self.policies.headers(&self.case, stranger).await {
            if *name == header::VARY {
                headers.append(name, value.clone());
            } else {
                headers.insert(name, value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> Fields {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), value.parse::<HeaderValue>().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_a_preflight_allows_an_answer_carries_and_nothing_else() {
        let origin = HeaderValue::from_static("http://page.test");
        let told = headers(&[
            ("access-control-allow-origin", "http://page.test"),
            ("access-control-allow-headers", "if-none-match"),
            ("access-control-allow-methods", "PUT"),
            ("access-control-expose-headers", "ETag"),
            ("content-type", "text/plain"),
            ("vary", "Origin, Access-Control-Request-Headers"),
        ]);
        let carried = headers(&[
            ("access-control-allow-methods", "PUT"),
            ("access-control-allow-origin", "http://page.test"),
            ("access-control-expose-headers", "ETag"),
            ("vary", "Origin"),
        ]);
        assert_eq!(policy(StatusCode::OK, &told, &origin), carried);
        assert_eq!(policy(StatusCode::NO_CONTENT, &told, &origin), carried);
        let any = headers(&[("access-control-allow-origin", "*")]);
        assert_eq!(policy(StatusCode::OK, &any, &origin)["access-control-allow-origin"], "*");
        for (status, told) in [
            (StatusCode::FORBIDDEN, &told),
            (StatusCode::NOT_IMPLEMENTED, &told),
            (StatusCode::OK, &headers(&[("access-control-allow-origin", "http://other.test")])),
            (StatusCode::OK, &headers(&[("access-control-allow-methods", "PUT")])),
        ] {
            assert!(policy(status, told, &origin).is_empty(), "{status} {told:?}");
        }
    }
}

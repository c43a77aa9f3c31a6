//! A look at the store at start: which subresources of objects it understands, and whether the
//! proxy's credential has more power than a proxy needs. It only sends harmless GETs and HEADs, and
//! the proxy serves whatever their outcome.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::HttpStore;
use crate::config::Subresources;
use crate::s3::subresource::{Described, SubresourceAnswer, is_understood};
use crate::s3::{ETag, ObjectName, Operation, Subresource, Understood, listing};

/// The subresources that the store is taken to understand.
#[derive(Debug, Clone)]
pub struct Understanding(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The understood subresources, as bits.
    understood: AtomicU8,
    /// Nothing more needs to be found out: the setting lists them, or every question was answered.
    settled: AtomicBool,
    /// An object that exists whenever a proxy runs.
    marker: Option<ObjectName>,
    last_look: Mutex<Option<Instant>>,
}

/// How long one look may take, with all its requests.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two looks while nothing was found out.
const PAUSE: Duration = Duration::from_mins(1);

impl Understanding {
    /// By the configuration: a written list counts; with "seen", no subresource is understood
    /// before an answer shows it.
    pub fn new(configured: Subresources, marker: Option<ObjectName>) -> Self {
        let (understood, settled) = match configured {
            Subresources::Seen => (Understood::NONE, false),
            Subresources::Named(understood) => (understood, true),
        };
        Self(Arc::new(Inner {
            understood: AtomicU8::new(understood.bits()),
            settled: AtomicBool::new(settled),
            marker,
            last_look: Mutex::new(None),
        }))
    }

    /// The subresources understood, as far as is known.
    pub fn understood(&self) -> Understood {
        Understood::from_bits(self.0.understood.load(Ordering::Relaxed))
    }

    /// Looks once, now. Logs the result in one line; never fails.
    pub async fn look(&self, store: &HttpStore) {
        self.0.may_look_after(Duration::ZERO);
        if self.0.settled.load(Ordering::Relaxed) {
            return;
        }
        match timeout(PATIENCE, self.0.seen(store)).await {
            Ok(Ok(Some(understood))) => {
                self.0.understood.store(understood.bits(), Ordering::Relaxed);
                self.0.settled.store(true, Ordering::Relaxed);
                let names = understood.names().collect::<Vec<_>>().join(", ");
                tracing::info!(
                    understood = names,
                    "the store was seen to understand these subresources of objects; all others are \
                     taken for writes of the object (backend.subresources)"
                );
            }
            Ok(Ok(None)) => tracing::info!(
                "the store holds no object yet, so it is not known which subresources it understands: \
                 until then a request with a subresource counts as a write of its object \
                 (backend.subresources)"
            ),
            Ok(Err(why)) => tracing::warn!(why, "{NOT_SEEN}"),
            Err(_) => tracing::warn!(why = "it took too long", "{NOT_SEEN}"),
        }
    }

    /// Looks again in the background where nothing is known yet and an operation needs it; at most
    /// once a minute.
    pub fn look_if_due(&self, store: &Arc<HttpStore>, operation: Operation) {
        let matters = operation.subresource().is_some_and(|asked| asked.proofs().is_some());
        if !matters || self.0.settled.load(Ordering::Relaxed) {
            return;
        }
        if !self.0.may_look_after(PAUSE) {
            return;
        }
        let (understanding, store) = (self.clone(), Arc::clone(store));
        tokio::spawn(async move { understanding.look(&store).await });
    }
}

const NOT_SEEN: &str = "which subresources the store understands could not be seen; until it can be, \
                        all are taken for writes of the object (backend.subresources)";

impl Inner {
    /// Whether the last look was more than `pause` ago; then a new one begins.
    fn may_look_after(&self, pause: Duration) -> bool {
        let mut last_look = self.last_look.lock().unwrap_or_else(PoisonError::into_inner);
        let may = last_look.is_none_or(|last| last.elapsed() >= pause);
        if may {
            *last_look = Some(Instant::now());
        }
        may
    }

    /// What the store's answers about one object prove; `None` where there is no object.
    async fn seen(&self, store: &HttpStore) -> Result<Option<Understood>, String> {
        let Some((name, object)) = self.an_object(store).await? else { return Ok(None) };
        let provable = Subresource::ALL.into_iter().filter(|known| known.proofs().is_some());
        let questions = provable.map(|subresource| proves(store, &name, &object, subresource));
        let answers: Result<Vec<Option<Subresource>>, String> =
            join_all(questions).await.into_iter().collect();
        Ok(Some(answers?.into_iter().flatten().collect()))
    }

    /// An object that exists: the marker, or the first that a bucket lists.
    async fn an_object(
        &self,
        store: &HttpStore,
    ) -> Result<Option<(ObjectName, Described)>, String> {
        if let Some(marker) = &self.marker
            && let Some(found) = store.described(marker).await?
        {
            return Ok(Some((marker.clone(), found)));
        }
        let buckets = store.read("/", &[]).await?;
        for bucket in listing::buckets(&buckets.body).into_iter().take(BUCKETS_MAX) {
            let first = [("list-type", "2"), ("max-keys", "1")];
            let page = store.read(&format!("/{bucket}"), &first).await?;
            let Some(name) = listing::first_object(&bucket, &page.body) else { continue };
            if let Some(found) = store.described(&name).await? {
                return Ok(Some((name, found)));
            }
        }
        Ok(None)
    }
}

/// How many buckets are searched for an object.
const BUCKETS_MAX: usize = 20;

async fn proves(
    store: &HttpStore,
    name: &ObjectName,
    object: &Described,
    subresource: Subresource,
) -> Result<Option<Subresource>, String> {
    let answer = store.read_short(&name.path(), &[(subresource.name(), "")]).await?;
    let etag = answer.headers.get(http::header::ETAG).map(|etag| ETag::parse(etag.as_bytes()));
    let status = answer.status.as_u16();
    let answer = SubresourceAnswer { status, etag: etag.as_ref(), body: &answer.body };
    Ok(is_understood(subresource, object, answer).then_some(subresource))
}

/// Warns where the proxy's credential may administrate the store: if the proxy is attacked, or its
/// credential is lost, that power is lost with it. Says nothing where nothing is known.
pub async fn warn_of_power(store: &HttpStore) {
    let asked = ADMINISTRATIONS.map(|(path, query)| async move {
        let answer = store.read(path, query).await.ok()?;
        administrates(answer.status.as_u16(), &answer.body).then_some(path)
    });
    let Ok(answers) = timeout(PATIENCE, join_all(asked)).await else { return };
    let open: Vec<&str> = answers.into_iter().flatten().collect();
    if !open.is_empty() {
        tracing::warn!(
            answered = open.join(", "),
            "the credential in [backend] may administrate the store: it needs to read and write \
             buckets and objects, and nothing else; give this proxy a user of its own"
        );
    }
}

/// Requests that only an administrator may send: Ceph's, MinIO's, RustFS's.
const ADMINISTRATIONS: [(&str, &[(&str, &str)]); 6] = [
    ("/admin/info", &[]),
    ("/admin/user", &[("list", ""), ("max-entries", "1")]),
    ("/admin/metadata/user", &[("max-entries", "1")]),
    ("/admin/bucket", &[("max-entries", "1")]),
    ("/minio/admin/v3/info", &[]),
    ("/rustfs/admin/v3/info", &[]),
];

/// Whether this is the answer of an administration interface: a document in JSON. For a store
/// without one, the path names an object, which hardly exists.
fn administrates(status: u16, body: &[u8]) -> bool {
    status == 200 && matches!(body.trim_ascii(), [b'{', .., b'}'] | [b'[', .., b']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_is_known_by_an_answer_in_json() {
        assert!(administrates(200, b"{\"info\":{}}") && administrates(200, b" [\"a\"]\n"));
        for (status, body) in
            [(403, &b"{\"Code\":\"AccessDenied\"}"[..]), (200, b""), (200, b"<x/>"), (404, b"{}")]
        {
            assert!(!administrates(status, body));
        }
    }

    #[test]
    fn what_is_written_is_not_looked_for() {
        let named = Understood::NONE.with(Subresource::Restore);
        assert_eq!(Understanding::new(Subresources::Named(named), None).understood(), named);
        let seen = Understanding::new(Subresources::Seen, None);
        assert_eq!(seen.understood(), Understood::NONE);
    }
}

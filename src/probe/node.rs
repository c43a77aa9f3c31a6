//! One node of the store, asked on its own: the requests that probes send.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode, header};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::site::said;
use super::trouble::Trouble;
use crate::audit::{self, uploads::Uploads};
use crate::backend::{
    Answer, Exchange, HeadError, HeadRequest, HttpStore, Sending, Signing, Store as _, StoreRequest,
};
use crate::body::Body;
use crate::config::{Backend, Config, Endpoint};
use crate::http1::fields::Fields;
use crate::s3::documents::parse_store_error;
use crate::s3::encoding::{encode_path, encode_query};
use crate::s3::{BucketName, Current, ETag, ObjectName, listing};

/// How often a write is sent at most, and how long the first pause between is; each is twice as long as
/// the one before. Sent again it writes the same.
const TRIES: usize = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A node of the store.
#[derive(Debug)]
pub struct Node {
    name: String,
    store: HttpStore,
    write_timeout: Duration,
}

/// What a read shows of an object: as much as this kind of read tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The whole content.
    pub content: Option<Bytes>,
    /// The ETag.
    pub etag: Option<ETag>,
    /// The size.
    pub size_bytes: Option<u64>,
}

/// The answer to a write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changed {
    /// The object's new ETag, where the answer has one.
    pub etag: Option<ETag>,
    /// The version that the write left, or the delete marker, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// Whether it was sent more than once, so that it may have landed more than once.
    pub repeated: bool,
}

impl Node {
    /// The nodes of the configured store, each a store of one node. Each was asked whether it accepts
    /// the credential.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub async fn all(config: &Config) -> Result<Vec<Self>, Trouble> {
        let mut all = Vec::new();
        for endpoint in config.backend.nodes() {
            all.push(Self::of(config, endpoint).await?);
        }
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// It cannot be used.
    pub async fn of(config: &Config, endpoint: Endpoint) -> Result<Self, Trouble> {
        let node = Self::open(config, endpoint).await?;
        let probed = node.store.probe().await;
        probed.map_err(|why| Trouble::Unusable(node.name.clone(), why))?;
        Ok(node)
    }

    async fn open(config: &Config, endpoint: Endpoint) -> Result<Self, Trouble> {
        let name = endpoint.to_string();
        // It is the only one, so that there is nothing to choose by checks, and no other clock.
        let backend = Backend {
            url: endpoint,
            urls: Vec::new(),
            health_interval: Duration::ZERO,
            clock_skew: Duration::ZERO,
            ..config.backend.clone()
        };
        let settle = config.register.terms.settle;
        let store = HttpStore::new(&backend, settle, Arc::default(), Arc::default()).await;
        match store {
            Ok(store) => Ok(Self { name, store, write_timeout: backend.write_timeout }),
            Err(error) => Err(Trouble::Unusable(name, error.to_string())),
        }
    }

    /// Its URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Writes an object.
    ///
    /// # Errors
    /// The store refuses it, or does not answer.
    pub async fn put(&self, name: &ObjectName, content: &'static [u8]) -> Result<Changed, Trouble> {
        let request = StoreRequest {
            signing: Signing::Anew,
            method: Method::PUT,
            path: name.path(),
            query: Vec::new(),
            headers: Fields::new(),
            sha256: Some(Sha256::digest(content).into()),
        };
        self.change("PUT", name, &request, &Body::from(Bytes::from_static(content))).await
    }

    /// Deletes an object, or one version of it.
    ///
    /// # Errors
    /// As above.
    pub async fn delete(
        &self,
        name: &ObjectName,
        version_id: Option<&str>,
    ) -> Result<Changed, Trouble> {
        let version = version_id.map(|id| ("versionId".to_owned(), encode_query(id)));
        let request = StoreRequest {
            signing: Signing::Anew,
            method: Method::DELETE,
            path: name.path(),
            query: version.into_iter().collect(),
            headers: Fields::new(),
            sha256: Some(Sha256::digest([]).into()),
        };
        self.change("DELETE", name, &request, &Body::empty()).await
    }

    /// Aborts an upload; one that the store does not know is gone already.
    ///
    /// # Errors
    /// As above.
    pub async fn abort(&self, name: &ObjectName, upload_id: &str) -> Result<(), Trouble> {
        let request = StoreRequest {
            signing: Signing::Anew,
            method: Method::DELETE,
            path: name.path(),
            query: vec![("uploadId".to_owned(), encode_query(upload_id))],
            headers: Fields::new(),
            sha256: Some(Sha256::digest([]).into()),
        };
        match self.change("ABORT", name, &request, &Body::empty()).await {
            Err(Trouble::Refused { answer, .. }) if answer.starts_with("404") => Ok(()),
            aborted => aborted.map(drop),
        }
    }

    /// Reads a document of the store about a bucket.
    ///
    /// # Errors
    /// There is no answer; a sentence says why.
    pub async fn read(
        &self,
        bucket: &BucketName,
        query: &[(&str, &str)],
    ) -> Result<Answer, String> {
        self.store.read(&format!("/{}", encode_path(bucket.as_str())), query).await
    }

    /// The keys and ids of the unfinished uploads of keys that begin so.
    ///
    /// # Errors
    /// The store does not list them; a sentence says why.
    pub async fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
    ) -> Result<Vec<(String, String)>, String> {
        let mut all = Vec::new();
        let mut pages = match Uploads::of(&self.store, bucket, prefix).await {
            Ok(pages) => pages,
            // Where there is no bucket there is nothing in it.
            Err(audit::Trouble::NoBucket(_)) => return Ok(all),
            Err(trouble) => return Err(trouble.to_string()),
        };
        while let Some(page) = pages.next_page().await.map_err(|trouble| trouble.to_string())? {
            all.extend(page.into_iter().map(|each| (each.key, each.upload_id)));
        }
        Ok(all)
    }

    async fn change(
        &self,
        asked: &'static str,
        name: &ObjectName,
        request: &StoreRequest,
        body: &Body,
    ) -> Result<Changed, Trouble> {
        let (mut pause, mut tries) = (FIRST_PAUSE, 1);
        loop {
            let deadline = Instant::now() + self.write_timeout;
            // On a pooled connection it could not be known whether the node has read it.
            let sending = Sending { fresh: true, ..Sending::new(body, deadline) };
            let why = match self.store.exchange(request, sending).await {
                Exchange::Answered(answer) if answer.status.is_success() => {
                    return Ok(changed(&answer, tries > 1));
                }
                Exchange::Answered(answer) if answer.status.is_server_error() => said(&answer),
                Exchange::Answered(answer) => return Err(refused(asked, name, &answer)),
                Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => why,
            };
            if tries == TRIES {
                return Err(no_answer(asked, name, why));
            }
            sleep(pause).await;
            (pause, tries) = (pause * 2, tries + 1);
        }
    }

    /// What a GET shows; `None` where it shows no object.
    ///
    /// # Errors
    /// The store refuses it, or does not answer.
    pub async fn get(&self, name: &ObjectName) -> Result<Option<Shown>, Trouble> {
        let answer = self.store.read(&name.path(), &[]).await;
        let answer = answer.map_err(|why| no_answer("GET", name, why))?;
        if answer.status == StatusCode::NOT_FOUND && !lacks_bucket(&answer) {
            return Ok(None);
        }
        let answer = fit("GET", name, answer)?;
        Ok(Some(Shown { content: Some(answer.body), ..Shown::default() }))
    }

    /// What a HEAD shows, as the proxy sends it to judge conditions.
    ///
    /// # Errors
    /// As above.
    pub async fn head(&self, name: &ObjectName) -> Result<Option<Shown>, Trouble> {
        let headers = Fields::new();
        let request = HeadRequest { name, version_id: None, headers: &headers };
        let seen = self.store.head(request).await.map_err(|error| match error {
            HeadError::Unavailable(why) => no_answer("HEAD", name, why),
            HeadError::Refused(status) => Trouble::Refused {
                asked: "HEAD",
                object: name.to_string(),
                answer: status.to_string(),
            },
        })?;
        Ok(match seen.current {
            Current::Present(etag) => {
                Some(Shown { etag: Some(etag), size_bytes: seen.size_bytes, content: None })
            }
            Current::Absent => None,
        })
    }

    /// What a listing of exactly this key shows.
    ///
    /// # Errors
    /// As above.
    pub async fn list(&self, name: &ObjectName) -> Result<Option<Shown>, Trouble> {
        let path = format!("/{}", encode_path(name.bucket.as_str()));
        let prefix = encode_query(name.key.as_str());
        let answer = self.store.read(&path, &[("list-type", "2"), ("prefix", &prefix)]).await;
        let answer = answer.map_err(|why| no_answer("LIST", name, why))?;
        let answer = fit("LIST", name, answer)?;
        let size = listing::size_of(&name.key, &answer.body)
            .ok_or_else(|| no_answer("LIST", name, "its answer is no listing".to_owned()))?;
        Ok(size.map(|size| Shown { size_bytes: Some(size), ..Shown::default() }))
    }
}

/// What the first of these nodes says that does this; otherwise why the last did not, or `nobody`.
pub(super) async fn somewhere<'a, T, E>(
    nodes: &'a [Node],
    nobody: E,
    ask: impl AsyncFn(&'a Node) -> Result<T, E>,
) -> Result<T, E> {
    let mut last = nobody;
    for node in nodes {
        match ask(node).await {
            Ok(done) => return Ok(done),
            Err(why) => last = why,
        }
    }
    Err(last)
}

fn changed(answer: &Answer, repeated: bool) -> Changed {
    let etag = answer.headers.get(header::ETAG).map(|etag| ETag::parse(etag.as_bytes()));
    let version = answer.headers.get("x-amz-version-id").and_then(|id| id.to_str().ok());
    Changed { etag, version_id: version.map(str::to_owned), repeated }
}

/// An answer with content.
fn fit(asked: &'static str, name: &ObjectName, answer: Answer) -> Result<Answer, Trouble> {
    match answer.status {
        StatusCode::OK => Ok(answer),
        status if status.is_server_error() => Err(no_answer(asked, name, said(&answer))),
        _ => Err(refused(asked, name, &answer)),
    }
}

fn refused(asked: &'static str, name: &ObjectName, answer: &Answer) -> Trouble {
    if lacks_bucket(answer) {
        return Trouble::NoBucket(name.bucket.to_string());
    }
    Trouble::Refused { asked, object: name.to_string(), answer: said(answer) }
}

fn no_answer(asked: &'static str, name: &ObjectName, why: String) -> Trouble {
    Trouble::NoAnswer { asked, object: name.to_string(), why }
}

fn lacks_bucket(answer: &Answer) -> bool {
    parse_store_error(&answer.body).is_some_and(|error| error.code == "NoSuchBucket")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: Fields::new(), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn what_the_store_says_becomes_a_sentence() {
        let name = ObjectName::try_from("bucket/a/b".to_owned()).unwrap();
        let denied = answer(403, "<Error><Code>AccessDenied</Code><Message>No.</Message></Error>");
        assert_eq!(
            fit("LIST", &name, denied).unwrap_err().to_string(),
            "the store refuses LIST of bucket/a/b: 403 AccessDenied: No. The credential in \
             [backend] needs to write, read, delete and list objects there"
        );
        let lost = answer(404, "<Error><Code>NoSuchBucket</Code></Error>");
        let lost = fit("GET", &name, lost).unwrap_err().to_string();
        assert_eq!(lost, "the store has no bucket \"bucket\"");
        let busy = fit("GET", &name, answer(503, "busy")).unwrap_err().to_string();
        assert!(busy.ends_with("to GET of bucket/a/b: 503 Service Unavailable"), "{busy}");
        assert!(fit("GET", &name, answer(200, "")).is_ok());
    }
}

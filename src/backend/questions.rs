//! Questions to the store: whole answers to requests that change nothing, asked by the proxy itself.
//! The store as the gate needs it.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use tokio::time::Instant;

use super::headers::OBJECT_WRITE_ID;
use super::http_store::HttpStore;
use super::opened::Opened;
use super::{
    Answer, EMPTY_SHA256, Exchange, HeadError, HeadRequest, Sending, Signing, Store, StoreRequest,
};
use crate::body::Body;
use crate::http1::fields::Fields;
use crate::s3::conditional::last_modified_s;
use crate::s3::documents::parse_store_error;
use crate::s3::encoding::{encode_path, encode_query};
use crate::s3::subresource::Described;
use crate::s3::uploads::{ListedUpload, parse_uploads};
use crate::s3::{Current, ETag, ObjectName, Seen, Validators};

impl HttpStore {
    /// The validators of an object, or of one version of it; `None` when it does not exist.
    /// `headers` are those that a HEAD of it needs.
    pub async fn look(
        &self,
        name: &ObjectName,
        version_id: Option<&str>,
        mut headers: Fields,
    ) -> Result<Option<Validators>, HeadError> {
        self.ask_strongly(&mut headers);
        let version = version_id.map(|id| ("versionId".to_owned(), encode_query(id)));
        let query = version.into_iter().collect();
        let answer = answered(self.question(Method::HEAD, name.path(), query, headers).await)?;
        match answer.status {
            StatusCode::OK => Ok(Some(Validators::of(&answer.headers))),
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_server_error() => {
                Err(HeadError::Unavailable(format!("it answered a HEAD with {status}")))
            }
            status => Err(HeadError::Refused(status)),
        }
    }

    /// Reads a document of the store, up to a few MiB. The error is a sentence that says why the
    /// store gave no answer; a refusal is an answer.
    pub async fn read(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, String> {
        let opened = self.open_document(path, query).await?;
        self.collect(opened).await
    }

    /// The same, but without a long body: that may be an object's content.
    pub async fn read_short(&self, path: &str, query: &[(&str, &str)]) -> Result<Answer, String> {
        let opened = self.open_document(path, query).await?;
        if opened.is_long() {
            let (status, headers) = (opened.status, opened.headers.clone());
            self.dismiss(opened).await;
            return Ok(Answer { status, headers, body: Bytes::new() });
        }
        self.collect(opened).await
    }

    async fn open_document(&self, path: &str, query: &[(&str, &str)]) -> Result<Opened, String> {
        let query = query.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self.open(&question(Method::GET, path.to_owned(), query, Fields::new())).await
    }

    /// The ETag and the length of an object by a HEAD; `None` when there is no such object.
    pub async fn described(&self, name: &ObjectName) -> Result<Option<Described>, String> {
        let asked = self.question(Method::HEAD, name.path(), Vec::new(), Fields::new()).await;
        let answer = answered(asked).map_err(|error| error.to_string())?;
        let etag = answer.headers.get(header::ETAG).map(|etag| ETag::parse(etag.as_bytes()));
        let described = Described { etag, size_bytes: size_bytes(&answer.headers) };
        Ok((answer.status == StatusCode::OK).then_some(described))
    }

    /// Asks a question about its own path.
    async fn question(
        &self,
        method: Method,
        path: String,
        query: Vec<(String, String)>,
        headers: Fields,
    ) -> Exchange {
        let request = question(method, path, query, headers);
        self.asked(&request.path, &request).await
    }

    /// Asks a question about this place.
    async fn asked(&self, place: &str, request: &StoreRequest) -> Exchange {
        let body = Body::empty();
        let sending = Sending::new(&body, Instant::now() + self.backend.read_timeout);
        // The request that asks may be one of many at once, and most of them ask nothing.
        Box::pin(self.ask(place, request, sending)).await
    }
}

/// A request that changes nothing, without a body.
pub(super) fn question(
    method: Method,
    path: String,
    query: Vec<(String, String)>,
    headers: Fields,
) -> StoreRequest {
    let (signing, sha256) = (Signing::Anew, Some(EMPTY_SHA256));
    StoreRequest { signing, method, path, query, headers, sha256 }
}

#[async_trait]
impl Store for HttpStore {
    async fn exchange(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange {
        self.send(&self.strong(request), sending).await
    }

    async fn head(&self, request: HeadRequest<'_>) -> Result<Seen, HeadError> {
        let HeadRequest { name, version_id, headers } = request;
        let version = version_id.map(|id| ("versionId".to_owned(), encode_query(id)));
        let query = version.into_iter().collect();
        let mut headers = headers.clone();
        self.ask_strongly(&mut headers);
        let asked = self.question(Method::HEAD, name.path(), query, headers).await;
        let answer = answered(asked)?;
        match answer.status {
            StatusCode::OK => {
                let etag = answer.headers.get(header::ETAG).ok_or_else(|| {
                    HeadError::Unavailable("its answer to a HEAD has no ETag".to_owned())
                })?;
                Ok(Seen {
                    current: Current::Present(ETag::parse(etag.as_bytes())),
                    last_modified_s: last_modified_s(&answer.headers),
                    size_bytes: size_bytes(&answer.headers),
                    generation: None,
                    id_field: id_field(&answer.headers),
                })
            }
            // Also a delete marker (AWS: HeadObject).
            StatusCode::NOT_FOUND => Ok(Seen::ABSENT),
            status if status.is_server_error() => {
                Err(HeadError::Unavailable(format!("it answered a HEAD with {status}")))
            }
            status => Err(HeadError::Refused(status)),
        }
    }

    async fn has_bucket(&self, bucket: &str) -> Result<bool, HeadError> {
        let path = format!("/{}", encode_path(bucket));
        let asked = self.question(Method::HEAD, path, Vec::new(), Fields::new()).await;
        match answered(asked)?.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_server_error() => Err(HeadError::Unavailable(status.to_string())),
            _ => Ok(true),
        }
    }

    async fn has_upload(&self, name: &ObjectName, upload_id: &str) -> Result<bool, HeadError> {
        let query = vec![
            ("max-parts".to_owned(), "1".to_owned()),
            ("uploadId".to_owned(), encode_query(upload_id)),
        ];
        let asked = self.question(Method::GET, name.path(), query, Fields::new()).await;
        let answer = answered(asked)?;
        let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
        // The second code is Ceph's.
        Ok(answer.status != StatusCode::NOT_FOUND
            || !matches!(code.as_str(), "NoSuchUpload" | "NoSuchKey"))
    }

    async fn initiated_s(
        &self,
        name: &ObjectName,
        upload_id: &str,
    ) -> Result<Option<i64>, HeadError> {
        let path = format!("/{}", encode_path(name.bucket.as_str()));
        let mut after: Option<(String, String)> = None;
        for _ in 0..UPLOAD_PAGES_MAX {
            let mut query = vec![
                ("uploads".to_owned(), String::new()),
                ("prefix".to_owned(), encode_query(name.key.as_str())),
            ];
            if let Some((key, upload_id)) = &after {
                query.push(("key-marker".to_owned(), encode_query(key)));
                query.push(("upload-id-marker".to_owned(), encode_query(upload_id)));
            }
            // About the key, so it is asked at the node of the key.
            let listing = question(Method::GET, path.clone(), query, Fields::new());
            let asked = self.asked(&name.path(), &listing).await;
            let answer = answered(asked)?;
            match answer.status {
                StatusCode::OK => {}
                status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                    return Err(HeadError::Unavailable(format!("it answered a listing {status}")));
                }
                _ => return Ok(None),
            }
            let Some(page) = parse_uploads(&answer.body) else { return Ok(None) };
            let same = |upload: &&ListedUpload| {
                upload.upload_id == upload_id && upload.key == name.key.as_str()
            };
            if let Some(upload) = page.uploads.iter().find(same) {
                return Ok(upload.initiated_s);
            }
            if page.next.is_none() || page.next == after {
                return Ok(None);
            }
            after = page.next;
        }
        Ok(None)
    }
}

/// How many pages of a listing of uploads are read at most: each has 1,000 uploads of one key.
const UPLOAD_PAGES_MAX: usize = 10;

fn answered(exchange: Exchange) -> Result<Answer, HeadError> {
    match exchange {
        Exchange::Answered(answer) => Ok(answer),
        Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
            Err(HeadError::Unavailable(why))
        }
    }
}

fn id_field(headers: &Fields) -> Option<Box<str>> {
    headers.get(OBJECT_WRITE_ID).and_then(|value| value.to_str().ok()).map(Into::into)
}

fn size_bytes(headers: &Fields) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

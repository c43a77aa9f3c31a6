//! Where a probe asks: one node of the store, or a proxy before it. Requests are sent once, and their
//! answers are returned as they are.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, header};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::ask::{Ask, Payload};
use super::script::{Script, function};
use super::trouble::Trouble;
use crate::backend::{Answer, Exchange, HttpStore, Sending, Signing, Store as _, StoreRequest};
use crate::body::Body;
use crate::clock;
use crate::config::{Addressing, Backend, Checksums, Config, Endpoint};
use crate::http1::fields::Fields;
use crate::s3::documents::parse_store_error;
use crate::sigv4::{
    AmzDate, ChunkSeed, Credential, Outgoing, Signature, SigningKeys, UNSIGNED_PAYLOAD, presign,
    sign,
};

/// For how many seconds a presigned URL is valid: longer than a request takes.
const PRESIGNED_S: u32 = 300;

/// A place that answers requests.
#[derive(Debug)]
pub struct Site {
    name: String,
    store: HttpStore,
    backend: Backend,
    credential: Credential,
    keys: SigningKeys,
}

impl Site {
    /// The nodes of the configured store, each on its own. Each was asked whether it accepts the
    /// credential.
    ///
    /// # Errors
    /// One of them cannot be used.
    pub async fn nodes(config: &Config) -> Result<Vec<Self>, Trouble> {
        let mut all = Vec::new();
        for endpoint in config.backend.nodes() {
            all.push(Self::node(config, endpoint).await?);
        }
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// It cannot be used.
    pub async fn node(config: &Config, endpoint: Endpoint) -> Result<Self, Trouble> {
        let name = endpoint.to_string();
        let backend = Backend { url: endpoint, ..config.backend.clone() };
        Self::open(name, backend, config.register.terms.settle).await
    }

    /// A proxy at this endpoint, with the credential of one of its clients, and its region.
    ///
    /// # Errors
    /// It cannot be used.
    pub async fn proxy(
        config: &Config,
        endpoint: Endpoint,
        credential: Credential,
    ) -> Result<Self, Trouble> {
        let Credential { access_key_id, secret, session_token } = credential;
        let backend = Backend {
            url: endpoint,
            access_key_id,
            secret_access_key: secret,
            session_token,
            region: config.region.clone().unwrap_or_else(|| config.backend.region.clone()),
            addressing: Addressing::Path,
            strong_headers: Backend::default().strong_headers,
            client_cert_file: None,
            client_key_file: None,
            ..config.backend.clone()
        };
        Self::open("ifmatch".to_owned(), backend, config.register.terms.settle).await
    }

    async fn open(name: String, backend: Backend, settle: Duration) -> Result<Self, Trouble> {
        // It is the only one, so that there is nothing to choose by checks, and no other clock. What
        // the proxy would not send is sent here: the answers decide whether that was right.
        let backend = Backend {
            urls: Vec::new(),
            health_interval: Duration::ZERO,
            clock_skew: Duration::ZERO,
            checksums: Checksums::Send,
            ..backend
        };
        let store = HttpStore::new(&backend, settle, Arc::default(), Arc::default()).await;
        let store = store.map_err(|error| Trouble::Unusable(name.clone(), error.to_string()))?;
        store.probe().await.map_err(|why| Trouble::Unusable(name.clone(), why))?;
        let credential = Credential {
            access_key_id: backend.access_key_id.clone(),
            secret: backend.secret_access_key.clone(),
            session_token: backend.session_token.clone(),
        };
        Ok(Self { name, store, backend, credential, keys: SigningKeys::default() })
    }

    /// Its URL; `ifmatch` for a proxy.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A script of requests to it, without lines.
    pub fn script(&self) -> Script {
        Script::new(&self.backend.url, self.backend.addressing)
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.backend.url
    }

    /// The shell function that the lines of such a script call.
    pub fn function(&self) -> String {
        function(&self.backend.region, self.credential.session_token.is_some())
    }

    /// Sends a request on a connection of its own, so that no connection of an earlier one can be at
    /// fault, and reads the whole answer.
    ///
    /// # Errors
    /// There is none; a sentence says why. What was sent may land yet.
    pub async fn ask(&self, ask: &Ask) -> Result<Answer, String> {
        self.send(ask, true).await
    }

    /// The same on a connection that is open, if there is one: for requests that are to arrive at the
    /// same time.
    ///
    /// # Errors
    /// As above.
    pub async fn ask_at_once(&self, ask: &Ask) -> Result<Answer, String> {
        self.send(ask, false).await
    }

    async fn send(&self, ask: &Ask, fresh: bool) -> Result<Answer, String> {
        let (request, content) = self.composed(ask)?;
        let body = Body::from(content);
        let deadline = Instant::now() + self.backend.write_timeout;
        let sending = Sending { fresh, ..Sending::new(&body, deadline) };
        match self.store.exchange(&request, sending).await {
            Exchange::Answered(answer) => Ok(answer),
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => Err(why),
        }
    }

    fn composed(&self, ask: &Ask) -> Result<(StoreRequest, Bytes), String> {
        let mut headers = Fields::new();
        for (name, value) in &ask.headers {
            let value = HeaderValue::from_str(value).map_err(|error| format!("{name}: {error}"))?;
            headers.append(*name, value);
        }
        let is_usual = matches!(ask.payload, Payload::Digest | Payload::Unsigned);
        if is_usual && ask.clock_ahead_s == 0 && !ask.in_host && !ask.presigned {
            let digest = ask.payload == Payload::Digest;
            let request = StoreRequest {
                signing: Signing::Anew,
                method: ask.method.clone(),
                path: ask.path.clone(),
                query: ask.query.clone(),
                headers,
                sha256: digest.then(|| Sha256::digest(&ask.content).into()),
            };
            return Ok((request, ask.content.clone()));
        }
        self.signed_here(ask, headers)
    }

    /// A request in a form that the proxy never sends.
    fn signed_here(&self, ask: &Ask, mut headers: Fields) -> Result<(StoreRequest, Bytes), String> {
        let said = |error: &dyn std::fmt::Display| format!("it cannot be signed: {error}");
        let addressed = ask.addressed(self.backend.addressing);
        let (host, path) = (addressed.authority(&self.backend.url), addressed.path);
        headers.insert(header::HOST, HeaderValue::try_from(host).map_err(|error| said(&error))?);
        let digest = crate::sigv4::Hex::of(&Sha256::digest(&ask.content).into());
        let payload = match &ask.payload {
            Payload::Digest => digest.as_str(),
            Payload::Unsigned => UNSIGNED_PAYLOAD,
            Payload::Chunks(chunks) => {
                let decoded = HeaderValue::from(ask.content.len());
                headers.insert("x-amz-decoded-content-length", decoded);
                headers.insert("content-encoding", HeaderValue::from_static("aws-chunked"));
                if let Some((name, _)) = &chunks.trailer {
                    headers.insert("x-amz-trailer", HeaderValue::from_static(name));
                }
                chunks.announced()
            }
        };
        let query: Vec<_> = ask.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let outgoing = Outgoing { method: &ask.method, path, query: &query, payload };
        let now = clock::unix_seconds() + ask.clock_ahead_s;
        let (region, keys) = (&self.backend.region, &self.keys);
        let mut asked = ask.clone();
        if ask.presigned {
            let until = (now, PRESIGNED_S);
            let added = presign(&outgoing, &headers, &self.credential, region, keys, until);
            asked.query.extend(added.map_err(|error| said(&error))?);
        } else {
            sign(&outgoing, &mut headers, &self.credential, region, keys, now)
                .map_err(|error| said(&error))?;
        }
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(ask.framed_bytes()));
        let body = match &ask.payload {
            Payload::Digest | Payload::Unsigned => ask.content.clone(),
            Payload::Chunks(chunks) if chunks.signed => {
                let signature = signature(&headers).ok_or_else(|| said(&"it has no signature"))?;
                let date = AmzDate::from_unix(now);
                let key = self.keys.key(&self.credential, date.day(), region);
                ask.framed_signed(ChunkSeed { signature, date, key }).into()
            }
            Payload::Chunks(_) => ask.framed_unsigned().into(),
        };
        let request = StoreRequest {
            signing: Signing::AsSent { signs_trace: false },
            method: ask.method.clone(),
            path: asked.target(path),
            query: Vec::new(),
            headers,
            sha256: None,
        };
        Ok((request, body))
    }
}

/// The signature of a head.
fn signature(headers: &Fields) -> Option<Signature> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Signature::from_hex(authorization.rsplit_once("Signature=")?.1)
}

/// The status of an answer, and the error in its document.
pub(super) fn said(answer: &Answer) -> String {
    let status = answer.status;
    match parse_store_error(&answer.body) {
        Some(error) => {
            let said = format!("{} {}: {}", status.as_u16(), error.code, error.message);
            said.trim_end_matches(['.', ':', ' ']).to_owned()
        }
        None => status.to_string(),
    }
}

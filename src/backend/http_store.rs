//! The store over HTTP: signs requests with the proxy's credential, and sends each to a node.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Method;
use tokio::time::{Instant, sleep};

use super::choice::place::place_of;
use super::composing::{Composer, Composing, Signer, preflight, says_no_length};
use super::connection::Composed;
use super::nodes::{NONE_UP, Node, Nodes};
use super::opened::{Opened, Unopened};
use super::spans;
use super::upload::Upload;
use super::{Answer, Exchange, Sending, Signing, StoreRequest};
use crate::config::{Addressing, Backend, Checksums, Endpoint};
use crate::http1::fields::Fields;
use crate::metrics::Metrics;
use crate::metrics::levels::NodeLevel;
use crate::metrics::tls::CertificateUse;
use crate::s3::copy_source::X_AMZ_COPY_SOURCE;
use crate::s3::target::bucket_in_host;
use crate::sigv4::SigningKeys;
use crate::tls::{CertificateInfo, FileFault, Reload};
use crate::traces::Span;

/// The node of the store that is asked first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedFirst {
    /// The one with the least under way.
    LeastBusy,
    /// The one that gets the writes of the request's key: it shows them before the others do.
    NodeOfItsKey,
}

/// An S3 store, with the proxy's own credential.
#[derive(Debug)]
pub struct HttpStore {
    pub(super) nodes: Arc<Nodes>,
    pub(super) backend: Backend,
    /// The domains under which the host of a request that is sent as it came names a bucket.
    pub(super) domains: Vec<String>,
    pub(super) signer: Arc<ArcSwap<Signer>>,
    pub(super) keys: Arc<SigningKeys>,
}

/// Connections that are open end with the request on them.
impl Reload for HttpStore {
    fn used_for(&self) -> CertificateUse {
        CertificateUse::Store
    }

    fn reload(&self) -> Result<bool, FileFault> {
        let mut changed = false;
        for node in self.nodes.all() {
            changed |= node.connections.reload_tls()?;
        }
        Ok(changed)
    }

    /// The same certificate is shown to each node.
    fn certificates(&self) -> Vec<CertificateInfo> {
        let first = self.nodes.all().first();
        first.map(|node| node.connections.certificates()).unwrap_or_default()
    }
}

impl HttpStore {
    /// A store as configured. Fails when its only node's name has no address.
    /// `settle`: how long a plain write may land after its last byte.
    pub async fn new(
        backend: &Backend,
        settle: Duration,
        keys: Arc<SigningKeys>,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        Ok(Self {
            nodes: Arc::new(Nodes::new(backend, settle, &metrics).await?),
            signer: Arc::new(ArcSwap::from_pointee(Signer::of(backend))),
            keys,
            backend: backend.clone(),
            domains: Vec::new(),
        })
    }

    /// The same store under a new configuration. Its nodes, its connections and the credential
    /// stay; [`Self::sign_with`] changes the credential.
    #[must_use]
    pub fn with_settings(&self, backend: &Backend, domains: &[String]) -> Self {
        let Backend { checksums, write_ids, clock_skew, .. } = *backend;
        let strong_headers = backend.strong_headers.clone();
        Self {
            nodes: Arc::clone(&self.nodes),
            backend: Backend {
                clock_skew,
                checksums,
                write_ids,
                strong_headers,
                ..self.backend.clone()
            },
            domains: domains.to_vec(),
            signer: Arc::clone(&self.signer),
            keys: Arc::clone(&self.keys),
        }
    }

    /// The same store over connections of its own, for another runtime, with this addressing. Its
    /// requests are not counted.
    #[must_use]
    pub fn apart(&self, addressing: Addressing) -> Self {
        Self {
            nodes: Arc::new(self.nodes.apart()),
            backend: Backend { addressing, ..self.backend.clone() },
            domains: self.domains.clone(),
            signer: Arc::clone(&self.signer),
            keys: Arc::clone(&self.keys),
        }
    }

    /// From now on every request is signed with this credential, for this region: also the later
    /// requests of a write that began before. The store may refuse the earlier credential soon.
    pub fn sign_with(&self, backend: &Backend) {
        self.signer.store(Arc::new(Signer::of(backend)));
    }

    /// Composes and signs a request for the node at this endpoint; `length` is its body's, where it
    /// has one.
    pub(super) fn compose(
        &self,
        request: &StoreRequest,
        length: Option<u64>,
        endpoint: &Endpoint,
    ) -> Result<Composed, Composing> {
        let composer = Composer {
            addressing: self.backend.addressing,
            drops_checksums: self.drops_checksums(),
            signer: &self.signer.load(),
            keys: &self.keys,
        };
        composer.compose(request, length, endpoint)
    }

    /// Begins the span of a request to this node, and composes the request under it.
    fn composed_under_span(
        &self,
        request: &StoreRequest,
        length: Option<u64>,
        node: &Node,
    ) -> (Span, Result<Composed, Composing>) {
        let span = spans::span(&request.method, &node.endpoint);
        let head = self.compose(request, length, &node.endpoint);
        let head = head.map(|head| head.traced(&span, request.signing));
        (span, head)
    }

    /// Adds the headers by which this store is asked to be consistent.
    pub fn ask_strongly(&self, headers: &mut Fields) {
        for (name, value) in self.backend.strong_headers.iter() {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// The request with those headers, where there are any.
    pub(super) fn strong<'a>(&self, request: &'a StoreRequest) -> Cow<'a, StoreRequest> {
        if self.backend.strong_headers.is_empty() || request.signing != Signing::Anew {
            return Cow::Borrowed(request);
        }
        let mut request = request.clone();
        self.ask_strongly(&mut request.headers);
        Cow::Owned(request)
    }

    /// Whether objects carry the id of the write that left them.
    pub fn writes_ids(&self) -> bool {
        self.backend.write_ids
    }

    /// Whether clients' checksums are not sent to the store.
    pub fn drops_checksums(&self) -> bool {
        self.backend.checksums == Checksums::Drop
    }

    /// The nodes that are checked, for those who look at the process.
    pub fn node_levels(&self) -> Vec<NodeLevel> {
        let checked = self.nodes.all().iter().filter(|node| node.standing.is_checked());
        checked.map(|node| node.standing.level()).collect()
    }

    /// What a request is about, however it is spelled.
    fn place(&self, request: &StoreRequest) -> String {
        let bucket = match request.signing {
            Signing::Anew => None,
            // One that cannot be read was refused at admission.
            Signing::AsSent { .. } => {
                bucket_in_host(&request.headers, &self.domains).ok().flatten()
            }
        };
        place_of(bucket.as_deref(), &request.path)
    }

    /// The order in which the nodes are asked to do this.
    fn order(&self, request: &StoreRequest) -> Cow<'static, [usize]> {
        self.nodes.order(|| self.place(request))
    }

    /// Sends a read of a client, whose answer is passed on as it comes: to the node with the least
    /// under way, and to the others where that gives no answer.
    pub async fn open(&self, request: &StoreRequest) -> Result<Opened, String> {
        self.open_by(AskedFirst::LeastBusy, request).await
    }

    /// The same; which node is asked first is the caller's choice. The others follow where that gives no
    /// answer.
    pub async fn open_by(
        &self,
        first: AskedFirst,
        request: &StoreRequest,
    ) -> Result<Opened, String> {
        let compose = |endpoint: &_| self.compose(request, None, endpoint);
        let order = match first {
            AskedFirst::LeastBusy => None,
            AskedFirst::NodeOfItsKey => Some(self.order(request)),
        };
        let about = (&request.method, request.signing);
        Box::pin(self.open_somewhere(about, order.as_deref(), compose)).await
    }

    /// Sends a browser's preflight, unsigned: the sender is not authenticated.
    pub async fn preflight(&self, path: &str, headers: Fields) -> Result<Opened, String> {
        let compose =
            |endpoint: &_| preflight(self.backend.addressing, path, headers.clone(), endpoint);
        Box::pin(self.open_somewhere((&Method::OPTIONS, Signing::Anew), None, compose)).await
    }

    async fn open_somewhere(
        &self,
        (method, signing): (&Method, Signing),
        order: Option<&[usize]>,
        compose: impl Fn(&Endpoint) -> Result<Composed, Composing>,
    ) -> Result<Opened, String> {
        let (mut tried, mut why) = (Vec::new(), NONE_UP.to_owned());
        let next = |tried: &[usize]| match order {
            Some(order) => self.nodes.next_of(order, tried),
            None => self.nodes.least_busy(tried),
        };
        while let Some(node) = next(&tried) {
            let mut span = spans::span(method, &node.endpoint);
            let head = compose(&node.endpoint).map(|head| head.traced(&span, signing));
            match node.open(head.map_err(|error| error.to_string())?).await {
                Ok(opened) => {
                    spans::answered(&mut span, opened.status);
                    return Ok(opened);
                }
                Err(unopened) => why = unopened.why(),
            }
            span.fail(&why);
            tried.push(node.number);
        }
        Err(why)
    }

    /// Sends a request without a body that changes something, but no object's content: once, since
    /// only a read may be sent twice. To the next node of its place where none could be connected to.
    pub async fn open_once(&self, request: &StoreRequest) -> Result<Opened, String> {
        let (opened, mut span) = self.offer(request, Some(0), Node::open_once).await?;
        spans::answered(&mut span, opened.status);
        Ok(opened)
    }

    /// Sends the head of a request whose body follows in pieces; `length_bytes` is the body's, where it
    /// has one. The parts of one upload go to one node, as do the writes of their key: a part that is
    /// sent again replaces the first one. The error is a sentence.
    pub async fn begin_streamed(
        &self,
        request: &StoreRequest,
        length_bytes: Option<u64>,
    ) -> Result<Upload, String> {
        let (upload, span) = self.offer(request, length_bytes, Node::begin).await?;
        Ok(upload.under(span))
    }

    /// Composes a request that changes something, and has it sent: to the next node of its place where
    /// none could be connected to. Returns its span too. The error is a sentence.
    async fn offer<T>(
        &self,
        request: &StoreRequest,
        length: Option<u64>,
        send: impl AsyncFn(&Node, Composed) -> Result<T, Unopened>,
    ) -> Result<(T, Span), String> {
        let order = self.order(request);
        let (mut tried, mut why) = (Vec::new(), NONE_UP.to_owned());
        while let Some(node) = self.next_to_send(&order, &tried) {
            let (mut span, head) = self.composed_under_span(request, length, node);
            let failed = match send(node, head.map_err(|error| error.to_string())?).await {
                Ok(sent) => return Ok((sent, span)),
                Err(failed) => failed,
            };
            let is_sent = matches!(failed, Unopened::Lost(_));
            why = failed.why();
            span.fail(&why);
            if is_sent {
                break;
            }
            tried.push(node.number);
        }
        Err(why)
    }

    /// The node that gets a request which changes something: the first of its place that is up, and
    /// one more where not a byte could be sent to that one.
    fn next_to_send(&self, order: &[usize], tried: &[usize]) -> Option<&Node> {
        if tried.len() < SENT_TO_MAX { self.nodes.next_of(order, tried) } else { None }
    }

    /// Sends a request that changes something, with its whole body, and reads the whole answer.
    pub(super) async fn send(&self, request: &StoreRequest, sending: Sending<'_>) -> Exchange {
        let length =
            (!says_no_length(&request.method, sending.body)).then(|| sending.body.length_bytes());
        let order = self.order(request);
        let (mut tried, mut why) = (Vec::new(), NONE_UP.to_owned());
        while let Some(node) = self.next_to_send(&order, &tried) {
            let pause = self.pause_around(node, &order);
            // The clock need not be asked about the first attempt: who sends has asked it.
            let may_be_late = !pause.is_zero() || !tried.is_empty();
            if may_be_late && Instant::now() + pause > sending.deadline {
                return Exchange::NotSent("no time is left for backend.clock_skew".to_owned());
            }
            wait(pause).await;
            let (mut span, head) = self.composed_under_span(request, length, node);
            let head = match head {
                Ok(head) => head,
                Err(error) => return Exchange::NotSent(error.to_string()),
            };
            let exchange = if is_long(request) {
                node.exchange(head, sending).await
            } else {
                node.exchange_while_up(head, sending).await
            };
            spans::exchanged(&mut span, &exchange);
            span.end();
            match exchange {
                Exchange::NotSent(said) => why = said,
                sent => {
                    wait(pause).await;
                    return sent;
                }
            }
            tried.push(node.number);
        }
        Exchange::NotSent(why)
    }

    /// How long nothing else may be written at a place before and after a write that does not go to
    /// the first node of its place. The nodes' clocks may differ by so much, and a store that orders
    /// writes by them must find this write between the others, whichever nodes those went to
    /// (docs/decisions/0079-a-node-changes-while-a-doubt-stands.md).
    fn pause_around(&self, node: &Node, order: &[usize]) -> Duration {
        let is_first = order.first() == Some(&node.number);
        if is_first { Duration::ZERO } else { self.backend.clock_skew }
    }

    /// Asks a question about a place, at the node that gets its writes: until that is taken out, or
    /// does not answer.
    pub(super) async fn ask(
        &self,
        place: &str,
        request: &StoreRequest,
        sending: Sending<'_>,
    ) -> Exchange {
        let order = self.nodes.order(|| place_of(None, place));
        let (mut tried, mut failed) = (Vec::new(), Exchange::NotSent(NONE_UP.to_owned()));
        while let Some(node) = self.nodes.next_of(&order, &tried) {
            failed = match self.ask_at(node, request, sending).await {
                answered @ Exchange::Answered(_) => return answered,
                failed => failed,
            };
            tried.push(node.number);
        }
        failed
    }

    /// Asks this node.
    pub(super) async fn ask_at(
        &self,
        node: &Node,
        request: &StoreRequest,
        sending: Sending<'_>,
    ) -> Exchange {
        let length =
            (!says_no_length(&request.method, sending.body)).then(|| sending.body.length_bytes());
        let (mut span, head) = self.composed_under_span(request, length, node);
        match head {
            Ok(head) => {
                let exchange = node.ask(head, sending).await;
                spans::exchanged(&mut span, &exchange);
                exchange
            }
            Err(error) => Exchange::NotSent(error.to_string()),
        }
    }

    /// Reads a short answer to its end. Fails where it breaks off, with a sentence.
    pub async fn collect(&self, opened: Opened) -> Result<Answer, String> {
        opened.collect().await
    }

    /// Drops an answer whose body is not needed.
    pub async fn dismiss(&self, opened: Opened) {
        opened.dismiss().await;
    }

    /// Puts the connection of an answer that was read to its end back into the pool.
    pub fn finished(&self, opened: Opened) {
        opened.finish();
    }

    /// The names or addresses of the store's nodes.
    pub fn host_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.all().iter().map(|node| node.endpoint.host.as_str())
    }
}

/// Whether a store may work on it for minutes: a complete, or a copy.
fn is_long(request: &StoreRequest) -> bool {
    request.method == Method::POST || request.headers.contains_key(X_AMZ_COPY_SOURCE)
}

/// Most requests do not wait, and do not ask a clock for that.
async fn wait(pause: Duration) {
    if !pause.is_zero() {
        sleep(pause).await;
    }
}

/// How many nodes a request that changes something is offered to.
const SENT_TO_MAX: usize = 2;

//! The nodes of the store: the connections to each, and which of them gets a request. What is about
//! one key goes to one node while that node is up; reads of clients go where the least is under way
//! (docs/decisions/0078-the-node-of-a-key.md). Where the store has one URL, there is one node.

pub(super) mod standing;

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use super::choice::health::{Sign, Thresholds};
use super::choice::order::{least_busy, order_of};
use super::connection::{Composed, ConnectFault, Connections, NoConnection};
use super::opened::{Opened, Unopened};
use super::pool::Pool;
use super::upload::Upload;
use super::{Exchange, Sending};
use crate::config::{Backend, Endpoint};
use crate::metrics::Metrics;
use standing::Standing;

/// All nodes; at least one.
#[derive(Debug)]
pub(super) struct Nodes {
    all: Vec<Node>,
    /// How many reads were sent to some node, so that equals take turns.
    turn: AtomicUsize,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its place among all.
    pub(super) number: usize,
    pub(super) endpoint: Endpoint,
    pub(super) connections: Connections,
    pub(super) standing: Arc<Standing>,
}

/// Why a request is not sent anywhere.
pub(super) const NONE_UP: &str = "no node of the store is up";

impl Nodes {
    /// As configured; their names are resolved. Fails where TLS cannot be used, and where the only
    /// node's name has no address.
    pub(super) async fn new(
        backend: &Backend,
        settle: Duration,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Self> {
        let (endpoints, pool) = (backend.nodes(), Pool::new(backend.connections));
        let checked = backend.is_checked();
        let Backend { health_down_after: down_after, health_up_after: up_after, .. } = *backend;
        let thresholds = checked.then_some(Thresholds { down_after, up_after });
        let several = endpoints.len() > 1;
        let opened = endpoints.iter().enumerate().map(|(number, endpoint)| {
            let (pool, metrics) = (pool.clone(), Arc::clone(metrics));
            async move {
                let at = (endpoint, several);
                let connections = Connections::new(at, backend, pool, settle, metrics).await?;
                let standing = Arc::new(Standing::new(endpoint.to_string(), thresholds));
                Ok::<_, io::Error>(Node {
                    number,
                    endpoint: endpoint.clone(),
                    connections,
                    standing,
                })
            }
        });
        let all = join_all(opened).await.into_iter().collect::<io::Result<Vec<_>>>()?;
        Ok(Self { all, turn: AtomicUsize::new(0) })
    }

    /// The same nodes, over connections of another runtime, which are not counted, and hardly kept.
    pub(super) fn apart(&self) -> Self {
        let pool = Pool::new(1);
        let all = self.all.iter().map(|node| Node {
            number: node.number,
            endpoint: node.endpoint.clone(),
            connections: node.connections.apart(pool.clone()),
            standing: Arc::clone(&node.standing),
        });
        Self { all: all.collect(), turn: AtomicUsize::new(0) }
    }

    pub(super) fn all(&self) -> &[Node] {
        &self.all
    }

    /// Whether there are several.
    pub(super) fn are_several(&self) -> bool {
        self.all.len() > 1
    }

    /// Whether any node gets requests.
    pub(super) fn is_any_up(&self) -> bool {
        self.all.iter().any(|node| node.standing.is_up())
    }

    /// The order in which the nodes are asked for a place.
    pub(super) fn order(&self, place: impl FnOnce() -> String) -> Cow<'static, [usize]> {
        if !self.are_several() {
            return Cow::Borrowed(&[0]);
        }
        Cow::Owned(order_of(&place(), self.all.iter().map(|node| node.standing.name())))
    }

    /// The first node in this order that is up and was not tried.
    pub(super) fn next_of(&self, order: &[usize], tried: &[usize]) -> Option<&Node> {
        let mut nodes = order.iter().filter_map(|number| self.all.get(*number));
        nodes.find(|node| node.is_usable(tried))
    }

    /// The node for a read: one that is up and was not tried, with the least under way.
    pub(super) fn least_busy(&self, tried: &[usize]) -> Option<&Node> {
        let usable = self.all.iter().filter(|node| node.is_usable(tried));
        let loads = usable.map(|node| (node.number, node.standing.load()));
        self.all.get(least_busy(loads, self.turn.fetch_add(1, Ordering::Relaxed))?)
    }
}

impl Node {
    fn is_usable(&self, tried: &[usize]) -> bool {
        !tried.contains(&self.number) && self.standing.is_up()
    }

    /// Notes that no connection could be opened.
    pub(super) async fn not_reached(&self, none: &NoConnection) {
        if none.fault == ConnectFault::Node {
            self.standing.note(Sign::Dead, &none.why);
        }
        // A node that is checked has its name looked up again by the next check: a resolver that does
        // not answer would hold up the request that another node can answer.
        if !self.standing.is_checked() {
            self.connections.resolve_again(true).await;
        }
    }

    /// Sends a request with its body and reads the whole answer.
    pub(super) async fn exchange(&self, composed: Composed, sending: Sending<'_>) -> Exchange {
        let _under_way = self.standing.begin();
        match self.connections.exchange(composed, sending).await {
            Ok(exchange) => exchange,
            Err(none) => {
                self.not_reached(&none).await;
                Exchange::NotSent(none.why)
            }
        }
    }

    /// The same, given up when the node is taken out: it would be waited for, and its key be blocked,
    /// until the request's deadline. For the caller that is a connection that broke.
    pub(super) async fn exchange_while_up(
        &self,
        composed: Composed,
        sending: Sending<'_>,
    ) -> Exchange {
        tokio::select! {
            biased;
            answered = self.exchange(composed, sending) => answered,
            () = self.standing.goes_down() => Exchange::Lost(TAKEN_OUT.to_owned()),
        }
    }

    /// Asks a question, on a fresh connection too where a pooled one was dead: it changes nothing. It
    /// is given up when the node is taken out.
    pub(super) async fn ask(&self, composed: Composed, sending: Sending<'_>) -> Exchange {
        match self.exchange_while_up(composed.clone(), sending).await {
            Exchange::DeadPooled(..) => {
                self.exchange_while_up(composed, Sending { fresh: true, ..sending }).await
            }
            answered => answered,
        }
    }

    /// Sends a read whose answer is passed on as it comes. Its content is not waited for when the node
    /// is taken out.
    pub(super) async fn open(&self, composed: Composed) -> Result<Opened, Unopened> {
        let under_way = self.standing.begin();
        let opened = tokio::select! {
            biased;
            opened = self.opened(composed) => opened,
            () = self.standing.goes_down() => Err(Unopened::Lost(TAKEN_OUT.to_owned())),
        };
        self.noted(opened).await.map(|opened| opened.at_node(under_way))
    }

    /// The answer to a read. That of a node which may be taken out is returned once its content has
    /// begun: until then nothing was passed on, and another node can be asked.
    async fn opened(&self, composed: Composed) -> Result<Opened, Unopened> {
        let opened = self.connections.open(composed).await?;
        if !self.standing.is_checked() {
            return Ok(opened);
        }
        opened.with_content().await.map_err(Unopened::Lost)
    }

    /// The same for a request that changes something: once, and whatever becomes of the node.
    pub(super) async fn open_once(&self, composed: Composed) -> Result<Opened, Unopened> {
        let under_way = self.standing.begin();
        let opened = self.connections.open_once(composed).await;
        self.noted(opened).await.map(|opened| opened.at_node(under_way))
    }

    /// Sends the head of a request whose body follows in pieces.
    pub(super) async fn begin(&self, composed: Composed) -> Result<Upload, Unopened> {
        self.noted(self.connections.begin(composed, self.standing.begin()).await).await
    }

    /// Notes it where no connection could be opened.
    async fn noted<T>(&self, opened: Result<T, Unopened>) -> Result<T, Unopened> {
        if let Err(Unopened::NotSent(none)) = &opened {
            self.not_reached(none).await;
        }
        opened
    }
}

const TAKEN_OUT: &str = "its node was taken out";

#[cfg(test)]
mod tests;

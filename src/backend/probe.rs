//! A first look at the nodes of the store, before the first client comes: whether they can be reached,
//! and accept the proxy's credential.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use http::{Method, header};
use tokio::time::Instant;

use super::composing::Signer;
use super::http_store::HttpStore;
use super::nodes::Node;
use super::questions::question;
use super::{Answer, Exchange, Sending};
use crate::body::Body;
use crate::config::Backend;
use crate::http1::fields::Fields;
use crate::s3::documents::parse_store_error;

/// Why a node cannot be used; a sentence.
#[derive(Debug)]
enum Unfit {
    /// It gave no answer. It may later.
    Unreachable(String),
    /// Its answer shows that the configuration is wrong.
    Wrong(String),
}

impl HttpStore {
    /// Sends a request to each node.
    ///
    /// # Errors
    /// A sentence: no node can be reached, or one of them cannot be used as configured.
    pub async fn probe(&self) -> Result<(), String> {
        self.unreachable().await.map(drop)
    }

    /// The same before the first client comes: nodes that cannot be reached are taken out.
    ///
    /// # Errors
    /// As above.
    pub async fn begin(&self) -> Result<(), String> {
        for (node, why) in self.unreachable().await? {
            node.standing.take_out(&why);
        }
        Ok(())
    }

    /// The nodes that cannot be reached, and why, where others can be.
    async fn unreachable(&self) -> Result<Vec<(&Node, String)>, String> {
        let (nodes, patience) = (self.nodes.all(), self.patience());
        let asked = join_all(nodes.iter().map(|node| self.probe_node(node, patience))).await;
        let (mut reached, mut unreachable) = (false, Vec::new());
        for (node, found) in nodes.iter().zip(asked) {
            match found {
                Ok(()) => reached = true,
                Err(Unfit::Wrong(why)) => return Err(self.of_node(node, why)),
                Err(Unfit::Unreachable(why)) => unreachable.push((node, why)),
            }
        }
        if reached {
            return Ok(unreachable);
        }
        let all = unreachable.into_iter().map(|(node, why)| self.of_node(node, why));
        let all = all.collect::<Vec<_>>().join("; ");
        Err(format!("{all}. Check backend.url and that the store is running"))
    }

    /// Tries another credential with a request of its own, over a connection of its own; nothing is
    /// asked where it is the one in use. The error is a sentence.
    pub async fn try_credential(&self, backend: &Backend) -> Result<(), String> {
        let signer = Signer::of(backend);
        if signer == **self.signer.load() {
            return Ok(());
        }
        let signer = Arc::new(ArcSwap::from_pointee(signer));
        let store = Self { signer, ..self.apart(self.backend.addressing) };
        store.probe().await
    }

    /// How long a node may take to answer. One that stands still among others must not hold up the
    /// start.
    fn patience(&self) -> Duration {
        if self.nodes.are_several() {
            self.backend.health_timeout
        } else {
            self.backend.read_timeout
        }
    }

    fn of_node(&self, node: &Node, why: String) -> String {
        if self.nodes.are_several() { format!("{}: {why}", node.endpoint) } else { why }
    }

    async fn probe_node(&self, node: &Node, patience: Duration) -> Result<(), Unfit> {
        let request = question(Method::GET, "/".to_owned(), Vec::new(), Fields::new());
        let body = Body::empty();
        // A node may go on to answer at a connection, and accept no other.
        let sending = Sending { fresh: true, ..Sending::new(&body, Instant::now() + patience) };
        match self.ask_at(node, &request, sending).await {
            Exchange::Answered(answer) => judge(&answer).map_err(Unfit::Wrong),
            Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why) => {
                Err(Unfit::Unreachable(why))
            }
        }
    }
}

/// The error is a sentence that says what is configured wrongly.
fn judge(answer: &Answer) -> Result<(), String> {
    if answer.status.is_redirection() {
        let to = answer.headers.get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
        return Err(format!("it redirects{to}: name the store that answers itself"));
    }
    // A store may refuse to list its buckets (AccessDenied) and still accept the credential.
    let code = parse_store_error(&answer.body).map(|error| error.code).unwrap_or_default();
    match code.as_str() {
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AuthorizationHeaderMalformed"
        | "InvalidToken"
        | "ExpiredToken" => Err(format!(
            "it refuses our credential with {code}. Check backend.access_key_id, its secret, its \
             session token and backend.region"
        )),
        _ => Ok(()),
    }
}

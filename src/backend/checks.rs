//! Checks of the nodes, in the background: each is asked at regular times, and its name is resolved
//! again. The checks use connections of their own, which belong to the runtime that uses them.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Method, StatusCode};
use tokio::time::{Instant, sleep, sleep_until};

use super::choice::health::Sign;
use super::connection::ConnectFault;
use super::http_store::HttpStore;
use super::nodes::Node;
use super::questions::question;
use super::{Exchange, Sending};
use crate::body::Body;
use crate::config::Backend;
use crate::http1::fields::Fields;
use crate::s3::encoding::encode_path;

/// While no node is up, they are checked at least so often: each second is one without a store.
const PAUSE_WITHOUT_ANY: Duration = Duration::from_secs(1);

impl HttpStore {
    /// Checks the nodes and resolves their names for as long as the process lives. For a store made by
    /// [`HttpStore::apart`] of the one that serves.
    pub async fn watch(self) {
        let checked = self.nodes.all().iter().filter(|node| node.standing.is_checked());
        let checks = join_all(checked.map(|node| self.keep_checking(node)));
        let resolved = join_all(self.nodes.all().iter().map(|node| self.keep_resolving(node)));
        tokio::join!(checks, resolved);
    }

    async fn keep_checking(&self, node: &Node) {
        let pause = || pause(self.backend.health_interval, self.nodes.is_any_up());
        let mut next = Instant::now() + pause();
        loop {
            sleep_until(next).await;
            next = Instant::now() + pause();
            let Backend { health_timeout, health_bucket, .. } = &self.backend;
            match self.check(node, health_bucket.as_deref(), *health_timeout).await {
                Ok(()) => node.standing.note(Sign::Alive, "it answers its checks"),
                Err(why) => {
                    node.standing.note(Sign::Dead, &why);
                    node.connections.resolve_again(true).await;
                }
            }
        }
    }

    async fn keep_resolving(&self, node: &Node) {
        loop {
            sleep(self.backend.resolve_interval).await;
            node.connections.resolve_again(false).await;
        }
    }

    /// A signed HEAD of the bucket, or else of the store itself. The error is a sentence.
    async fn check(
        &self,
        node: &Node,
        bucket: Option<&str>,
        patience: Duration,
    ) -> Result<(), String> {
        let path = format!("/{}", bucket.map(encode_path).unwrap_or_default());
        let request = question(Method::HEAD, path, Vec::new(), Fields::new());
        let head = self.compose(&request, None, &node.endpoint);
        let head = head.map_err(|error| error.to_string())?;
        let body = Body::empty();
        // A node may go on to answer at a connection, and accept no other.
        let sending = Sending { fresh: true, ..Sending::new(&body, Instant::now() + patience) };
        match node.connections.exchange(head, sending).await {
            Ok(Exchange::Answered(answer)) if is_alive(answer.status) => Ok(()),
            Ok(Exchange::Answered(answer)) => Err(format!("it answered a check {}", answer.status)),
            Ok(Exchange::NotSent(why) | Exchange::DeadPooled(_, why) | Exchange::Lost(why)) => {
                Err(why)
            }
            // This says nothing about the node.
            Err(none) if none.fault == ConnectFault::Process => Ok(()),
            Err(none) => Err(none.why),
        }
    }
}

/// Any answer of a node is one, also a refusal: it says that the node works. 501 is about the
/// request.
fn is_alive(status: StatusCode) -> bool {
    !status.is_server_error() || status == StatusCode::NOT_IMPLEMENTED
}

fn pause(interval: Duration, any_up: bool) -> Duration {
    if any_up { interval } else { interval.min(PAUSE_WITHOUT_ANY) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_refuses_is_alive_and_one_that_fails_is_not() {
        let alive = |status| is_alive(StatusCode::from_u16(status).unwrap());
        assert!([200, 301, 403, 404, 405, 501].into_iter().all(alive));
        assert!(![500, 502, 503, 504].into_iter().any(alive));
    }

    #[test]
    fn without_any_node_checks_come_sooner() {
        let (long, short) = (Duration::from_secs(5), Duration::from_millis(200));
        assert_eq!(pause(long, true), long);
        assert_eq!(pause(long, false), PAUSE_WITHOUT_ANY);
        assert_eq!(pause(short, false), short);
    }
}

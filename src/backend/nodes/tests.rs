//! A store of several nodes, each a server that answers everything with 200.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use crate::backend::conversation::CONTENT_WAIT;
use crate::backend::nodes::NONE_UP;
use crate::backend::questions::question;
use crate::backend::{Exchange, HeadRequest, HttpStore, Sending, Store, StoreRequest};
use crate::body::Body;
use crate::config::{Backend, Endpoint};
use crate::http1::fields::Fields;
use crate::metrics::levels::NodeLevel;
use crate::s3::ObjectName;
use crate::secret::Secret;

fn endpoint(port: u16) -> Endpoint {
    Endpoint { https: false, host: "127.0.0.1".to_owned(), port }
}

/// A node, and how many requests it has answered.
async fn node() -> (Endpoint, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = endpoint(listener.local_addr().unwrap().port());
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&count)));
        }
    });
    (endpoint, answered)
}

async fn answer(mut stream: TcpStream, count: Arc<AtomicUsize>) {
    let mut read = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        read.push(byte);
        if read.ends_with(b"\r\n\r\n") {
            read.clear();
            count.fetch_add(1, Ordering::Relaxed);
            let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n";
            stream.write_all(ok).await.unwrap();
        }
    }
}

/// A port at which nothing listens.
async fn nobody() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    endpoint(listener.local_addr().unwrap().port())
}

async fn store(urls: Vec<Endpoint>, clock_skew: Duration) -> HttpStore {
    let backend = Backend {
        urls,
        access_key_id: "key".to_owned(),
        secret_access_key: Secret::new("secret".to_owned()),
        health_interval: Duration::from_mins(1),
        clock_skew,
        connections: 4,
        ..Backend::default()
    };
    let settle = Duration::from_secs(10);
    HttpStore::new(&backend, settle, Arc::default(), Arc::default()).await.unwrap()
}

fn name(number: usize) -> ObjectName {
    ObjectName::try_from(format!("bucket/key {number}")).unwrap()
}

async fn put(store: &HttpStore, name: &ObjectName) -> Exchange {
    let request: StoreRequest = question(Method::PUT, name.path(), Vec::new(), Fields::new());
    let body = Body::empty();
    store.exchange(&request, Sending::new(&body, Instant::now() + Duration::from_secs(5))).await
}

fn is_up(level: &NodeLevel) -> bool {
    level.up
}

#[tokio::test]
async fn the_writes_of_a_key_and_the_heads_that_judge_them_go_to_one_node() {
    let ((one, at_one), (two, at_two)) = (node().await, node().await);
    let store = store(vec![one, two], Duration::ZERO).await;
    let counts = || [at_one.load(Ordering::Relaxed), at_two.load(Ordering::Relaxed)];
    let headers = Fields::new();
    for number in 0..20 {
        let (name, before) = (name(number), counts());
        let asked = HeadRequest { name: &name, version_id: None, headers: &headers };
        store.head(asked).await.unwrap();
        let answered = put(&store, &name).await;
        assert!(matches!(answered, Exchange::Answered(_)), "{answered:?}");
        let after = counts();
        let more = [after[0] - before[0], after[1] - before[1]];
        assert!(more == [2, 0] || more == [0, 2], "{name}: {more:?}");
    }
    assert!(counts().iter().all(|count| *count >= 8), "each has a share: {:?}", counts());
}

#[tokio::test]
async fn what_could_not_be_sent_goes_to_the_next_node_and_the_dead_one_is_taken_out() {
    let ((one, answered), two) = (node().await, nobody().await);
    let store = store(vec![one, two], Duration::ZERO).await;
    for number in 0..20 {
        let exchange = put(&store, &name(number)).await;
        assert!(matches!(exchange, Exchange::Answered(_)), "{exchange:?}");
        let read = question(Method::GET, name(number).path(), Vec::new(), Fields::new());
        store.open(&read).await.unwrap().dismiss().await;
    }
    assert_eq!(answered.load(Ordering::Relaxed), 40);
    let levels = store.node_levels();
    assert_eq!(levels.iter().map(is_up).collect::<Vec<_>>(), [true, false]);
    assert_eq!(levels[1].requests, 3, "three connections that failed were enough");
}

#[tokio::test]
async fn a_read_is_asked_elsewhere_where_its_node_stands_still_before_the_content() {
    let still = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = endpoint(still.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (mut stream, _) = still.accept().await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: \"e\"\r\n\r\n";
        stream.write_all(head).await.unwrap();
        // Neither the content nor the end of the connection comes.
        std::future::pending::<()>().await;
    });
    let (two, answered) = node().await;
    let store = store(vec![one, two], Duration::ZERO).await;
    let read = question(Method::GET, name(0).path(), Vec::new(), Fields::new());
    let [still, other] = store.nodes.all() else { panic!("two nodes") };
    let busy = other.standing.begin();
    let mut opening = pin!(store.open(&read));
    let early = timeout(2 * CONTENT_WAIT, &mut opening).await;
    assert!(early.is_err(), "a head alone is no answer of a node that may be taken out: {early:?}");
    drop(busy);
    still.standing.take_out("it stands still");
    let opened = opening.await.unwrap();
    assert_eq!((opened.is_read(), answered.load(Ordering::Relaxed)), (true, 1));
}

#[tokio::test]
async fn a_write_that_does_not_go_to_the_first_node_of_its_key_stands_apart_from_others() {
    let skew = Duration::from_millis(40);
    let ((one, _), two) = (node().await, nobody().await);
    let store = store(vec![one, two], skew).await;
    let mut apart = 0;
    for number in 0..8 {
        let began = Instant::now();
        put(&store, &name(number)).await;
        apart += usize::from(began.elapsed() >= 2 * skew);
    }
    let order = |number| store.nodes.order(|| format!("/bucket/key {number}"))[0];
    assert_eq!(apart, (0..8).filter(|number| order(*number) == 1).count());
}

#[tokio::test]
async fn without_any_node_nothing_is_sent() {
    let store = store(vec![nobody().await, nobody().await], Duration::ZERO).await;
    for number in 0..6 {
        let exchange = put(&store, &name(number)).await;
        assert!(matches!(exchange, Exchange::NotSent(_)), "{exchange:?}");
    }
    assert!(!store.node_levels().iter().any(is_up));
    let Exchange::NotSent(why) = put(&store, &name(0)).await else { panic!("nothing is up") };
    assert_eq!(why, NONE_UP);
}

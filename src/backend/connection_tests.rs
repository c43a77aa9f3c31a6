//! Against a server that says, byte for byte, what the test tells it to.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::backend::Answer;
use crate::backend::opened::Unopened;
use crate::backend::upload::{Early, Sent};
use crate::body::Body;
use crate::http1::fields::Fields;

/// What a connection of the server does: read so many bytes of each request, then say this.
struct Turn {
    reads: usize,
    says: &'static str,
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: \"e\"\r\n\r\nhi";

/// Serves one connection after the other; each takes its turns and is closed.
async fn server(connections: Vec<Vec<Turn>>) -> (Connections, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        for turns in connections {
            let (mut stream, _) = listener.accept().await.unwrap();
            for turn in turns {
                read(&mut stream, turn.reads).await;
                stream.write_all(turn.says.as_bytes()).await.unwrap();
            }
        }
    });
    let backend = Backend {
        url: Endpoint { https: false, host: "127.0.0.1".to_owned(), port },
        connect_timeout: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
        connections: 4,
        ..Backend::default()
    };
    let (settle, at) = (Duration::from_secs(10), (&backend.url, false));
    let connections = Connections::new(at, &backend, Pool::new(4), settle, Arc::default());
    (connections.await.unwrap(), task)
}

/// Connections to this listener, which the test serves itself.
async fn to(listener: &TcpListener) -> Connections {
    let (mut connections, _task) = server(vec![]).await;
    connections.endpoint.port = listener.local_addr().unwrap().port();
    connections.resolve_again(false).await;
    connections
}

async fn read(stream: &mut TcpStream, bytes: usize) {
    let mut sink = vec![0; bytes];
    stream.read_exact(&mut sink).await.unwrap();
}

fn request(method: &Method, length: usize) -> Composed {
    let mut headers = Fields::new();
    headers.insert("host", HeaderValue::from_static("h"));
    headers.insert("content-length", length.into());
    let head = Request::new(method.clone(), "/b/k", headers).unwrap();
    Composed { head, server_name: None }
}

/// How long such a request's head is on the wire.
fn head_bytes(method: &Method, length: usize) -> usize {
    request(method, length).head.to_bytes().len()
}

fn small() -> (Body, usize) {
    (Body::from(Bytes::from_static(b"body")), head_bytes(&Method::PUT, 4) + 4)
}

async fn put(connections: &Connections, body: &Body) -> Exchange {
    let length = usize::try_from(body.length_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(5);
    sent(connections, request(&Method::PUT, length), Sending::new(body, deadline)).await
}

async fn sent(connections: &Connections, head: Composed, sending: Sending<'_>) -> Exchange {
    let exchange = connections.exchange(head, sending).await;
    exchange.unwrap_or_else(|none| Exchange::NotSent(none.why))
}

fn answered(exchange: Exchange) -> Answer {
    match exchange {
        Exchange::Answered(answer) => answer,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_whole_exchange() {
    let (body, reads) = small();
    let turn = || Turn { reads, says: OK };
    let (connections, task) = server(vec![vec![turn(), turn()]]).await;
    for _ in 0..2 {
        let answer = answered(put(&connections, &body).await);
        assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (200, b"hi".as_slice()));
        assert_eq!(answer.headers["etag"], "\"e\"");
    }
    task.await.unwrap();
}

#[tokio::test]
async fn informational_answers_are_passed_over_and_chunks_joined() {
    let (body, reads) = small();
    let says = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                \r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
    let (connections, _task) = server(vec![vec![Turn { reads, says }]]).await;
    let answer = answered(put(&connections, &body).await);
    assert_eq!(answer.body.as_ref(), b"abc");
    assert!(!answer.headers.contains_key("transfer-encoding"));
}

#[tokio::test]
async fn an_answer_that_is_not_chunked_as_it_says_is_an_answer_all_the_same() {
    let (body, reads) = small();
    let says = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n";
    // On a connection that was used before, too: the write was applied, and is not sent again.
    let turns = vec![Turn { reads, says: OK }, Turn { reads, says }];
    let (connections, _task) = server(vec![turns]).await;
    answered(put(&connections, &body).await);
    let second = put(&connections, &body).await;
    assert!(matches!(second, Exchange::Lost(_)), "{second:?}");
}

#[tokio::test]
async fn a_pooled_connection_that_is_closed_without_an_answer_is_told_apart() {
    let (body, reads) = small();
    // The second request is read, and then the connection closed.
    let turns = vec![Turn { reads, says: OK }, Turn { reads, says: "" }];
    let (connections, _task) = server(vec![turns]).await;
    answered(put(&connections, &body).await);
    let second = put(&connections, &body).await;
    assert!(matches!(second, Exchange::DeadPooled(..)), "{second:?}");
}

#[tokio::test]
async fn a_fresh_connection_that_is_closed_may_have_carried_the_write() {
    let (body, reads) = small();
    for says in ["", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", "HTTP/1.1 200"] {
        let (connections, _task) = server(vec![vec![Turn { reads, says }]]).await;
        let exchange = put(&connections, &body).await;
        assert!(matches!(exchange, Exchange::Lost(_)), "{says:?}: {exchange:?}");
    }
}

#[tokio::test]
async fn an_early_refusal_of_a_large_body_is_heard_and_its_connection_is_not_used_again() {
    let body = Body::from(Bytes::from(vec![0; 8 << 20]));
    let reads = head_bytes(&Method::PUT, 8 << 20);
    let says = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let (small_body, small_reads) = small();
    let (connections, _task) =
        server(vec![vec![Turn { reads, says }], vec![Turn { reads: small_reads, says: OK }]]).await;
    assert_eq!(answered(put(&connections, &body).await).status.as_u16(), 403);
    assert_eq!(answered(put(&connections, &small_body).await).status.as_u16(), 200);
}

#[tokio::test]
async fn a_success_before_the_request_was_read_is_not_believed() {
    let body = Body::from(Bytes::from(vec![0; 8 << 20]));
    let reads = head_bytes(&Method::PUT, 8 << 20);
    let (connections, _task) = server(vec![vec![Turn { reads, says: OK }]]).await;
    let exchange = put(&connections, &body).await;
    assert!(matches!(exchange, Exchange::Lost(_)), "{exchange:?}");
}

#[tokio::test]
async fn a_head_s_answer_has_a_length_and_no_body() {
    let says = "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nETag: \"e\"\r\n\r\n";
    let reads = head_bytes(&Method::HEAD, 0);
    let turns = vec![Turn { reads, says }, Turn { reads, says }];
    let (connections, _task) = server(vec![turns]).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    for _ in 0..2 {
        let head = request(&Method::HEAD, 0);
        let answer = sent(&connections, head, Sending::new(&Body::empty(), deadline)).await;
        assert_eq!(answered(answer).headers["content-length"], "5000");
    }
}

#[tokio::test]
async fn a_store_that_is_not_there_was_sent_nothing() {
    let (connections, task) = server(vec![]).await;
    task.await.unwrap();
    let exchange = put(&connections, &small().0).await;
    assert!(matches!(exchange, Exchange::NotSent(_)), "{exchange:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_lost() {
    let (body, reads) = small();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connections = to(&listener).await;
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream, reads).await;
        // Held until the other side gives up.
        let _ = stream.read(&mut [0]).await;
    });
    let deadline = Instant::now() + Duration::from_millis(50);
    let sending = Sending::new(&body, deadline);
    let exchange = sent(&connections, request(&Method::PUT, 4), sending).await;
    assert!(matches!(exchange, Exchange::Lost(_)), "{exchange:?}");
    silent.await.unwrap();
}

#[tokio::test]
async fn a_question_is_asked_again_where_a_pooled_connection_was_dead() {
    let reads = head_bytes(&Method::GET, 0);
    let (connections, _task) = server(vec![
        vec![Turn { reads, says: OK }, Turn { reads, says: "" }],
        vec![Turn { reads, says: OK }],
    ])
    .await;
    for _ in 0..2 {
        let mut opened = connections.open(request(&Method::GET, 0)).await.unwrap();
        let mut whole = Vec::new();
        while let Some(piece) = opened.next().await.unwrap() {
            whole.extend_from_slice(&piece);
        }
        assert_eq!(whole, b"hi");
        opened.finish();
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_before_its_content_is_none() {
    let reads = head_bytes(&Method::GET, 0);
    for says in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n",
    ] {
        let (connections, _task) = server(vec![vec![Turn { reads, says }]]).await;
        let opened = connections.open(request(&Method::GET, 0)).await;
        assert!(matches!(opened, Err(Unopened::Lost(_))), "{says}");
    }
}

#[tokio::test]
async fn an_answer_is_there_though_its_content_is_late() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connections = to(&listener).await;
    let (told, waits) = tokio::sync::oneshot::channel();
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read(&mut stream, head_bytes(&Method::GET, 0)).await;
        let (head, content) = OK.split_at(OK.len() - 2);
        stream.write_all(head.as_bytes()).await.unwrap();
        waits.await.unwrap();
        stream.write_all(content.as_bytes()).await.unwrap();
    };
    let asked = async {
        let mut opened = connections.open(request(&Method::GET, 0)).await.unwrap();
        assert!(!opened.has_content());
        told.send(()).unwrap();
        assert_eq!(opened.next().await.unwrap().as_deref(), Some(&b"hi"[..]));
        assert_eq!(opened.next().await, Ok(None));
    };
    Box::pin(async { tokio::join!(served, asked) }).await;
}

#[tokio::test]
async fn a_short_answer_that_is_not_needed_leaves_its_connection_in_order() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    for (method, says) in [
        (Method::GET, OK),
        (Method::GET, chunked),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 999999999\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n"),
    ] {
        let reads = head_bytes(&method, 0);
        // Two turns of one connection: there is no other.
        let turns = vec![Turn { reads, says }, Turn { reads, says: OK }];
        let (connections, task) = server(vec![turns]).await;
        for _ in 0..2 {
            let opened = connections.open(request(&method, 0)).await.unwrap();
            opened.dismiss().await;
        }
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_long_or_broken_answer_that_is_not_needed_is_broken_off() {
    let reads = head_bytes(&Method::GET, 0);
    for says in [
        "HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\nhi",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connections = to(&listener).await;
        let served = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            read(&mut stream, reads).await;
            stream.write_all(says.as_bytes()).await.unwrap();
            // Comes to an end only when the other side ends the connection.
            stream.read(&mut [0]).await.unwrap_or(0)
        };
        let dismissed = async {
            let opened = connections.open(request(&Method::GET, 0)).await.unwrap();
            opened.dismiss().await;
        };
        let both = Box::pin(async { tokio::join!(served, dismissed).0 });
        assert_eq!(timeout(Duration::from_secs(5), both).await.unwrap(), 0, "{says}");
    }
}

#[tokio::test]
async fn a_connection_that_is_given_up_takes_back_what_was_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connections = to(&listener).await;
    let body = Body::from(Bytes::from(vec![0; 64 << 20]));
    let deadline = Instant::now() + Duration::from_millis(100);
    let head = request(&Method::PUT, 64 << 20);
    let sending = sent(&connections, head, Sending::new(&body, deadline));
    let (exchange, accepted) = tokio::join!(sending, listener.accept());
    assert!(matches!(exchange, Exchange::Lost(_)), "{exchange:?}");
    // A close in the usual way would be an end of stream after all that the kernel held.
    let mut sink = Vec::new();
    let read = accepted.unwrap().0.read_to_end(&mut sink).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_connection_whose_end_of_the_answer_is_unclear_is_not_used_again() {
    let (body, reads) = small();
    for says in [
        // More than the answer, until the end of the connection, with two framings, or closed.
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 204 No Content\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        // Each connection is closed after its answer: a second request on it would be lost.
        let turns = || vec![Turn { reads, says }];
        let (connections, task) = server(vec![turns(), turns()]).await;
        for _ in 0..2 {
            let answer = answered(put(&connections, &body).await);
            let expected: &[u8] = if answer.status == StatusCode::NO_CONTENT { b"" } else { b"hi" };
            assert_eq!(answer.body.as_ref(), expected, "{says:?}");
        }
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_write_waits_for_its_answer_until_its_deadline_and_no_timeout_makes_it_dead() {
    let (body, reads) = small();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut connections = to(&listener).await;
    connections.timeouts.read = Duration::from_millis(20);
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        for works in [Duration::ZERO, Duration::from_millis(100)] {
            read(&mut stream, reads).await;
            tokio::time::sleep(works).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    };
    let asked = async {
        answered(put(&connections, &body).await);
        // On a connection that was used before: a second copy would be sent if it were taken for dead.
        answered(put(&connections, &body).await);
    };
    Box::pin(async { tokio::join!(served, asked) }).await;
}

/// Sends these pieces as the body of a request with these headers; what the server gets of it.
async fn uploaded(fields: &[(&'static str, &str)], pieces: &[&'static str]) -> (String, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connections = to(&listener).await;
    let mut composed = request(&Method::PUT, 0);
    composed.head.headers.remove("content-length");
    for (name, value) in fields {
        composed.head.headers.insert(*name, value.parse().unwrap());
    }
    let end = *pieces.last().unwrap();
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut came = Vec::new();
        while !String::from_utf8_lossy(&came).contains(end) || !came.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut came).await.unwrap() > 0, "{}", came.escape_ascii());
            if fields[0].0 == "content-length" && String::from_utf8_lossy(&came).ends_with(end) {
                break;
            }
        }
        let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        stream.write_all(format!("{go_on}{OK}").as_bytes()).await.unwrap();
        let text = String::from_utf8(came).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    };
    let metrics = Metrics::default();
    let sent = async {
        let mut upload = connections.begin(composed, metrics.doubts.hold()).await.unwrap();
        for piece in pieces {
            assert_eq!(upload.send(&Bytes::from(*piece)).await, Ok(Sent::Yes));
        }
        upload.end().await.unwrap().status.as_u16()
    };
    Box::pin(async { tokio::join!(served, sent) }).await
}

#[tokio::test]
async fn a_streamed_body_is_framed_as_its_head_says() {
    let pieces = ["0\r\n\r\nPUT /b/other HTTP/1.1\r\n\r\n", "", "end"];
    let whole = pieces.concat();
    let length = whole.len().to_string();
    assert_eq!(uploaded(&[("content-length", &length)], &pieces).await, (whole, 200));
    let (chunked, status) = uploaded(&[("transfer-encoding", "chunked")], &pieces).await;
    assert_eq!(status, 200);
    let expected = format!("{:x}\r\n{}\r\n3\r\nend\r\n0\r\n\r\n", pieces[0].len(), pieces[0]);
    assert_eq!(chunked, expected);
}

#[tokio::test]
async fn a_store_that_answers_before_the_end_of_a_streamed_body_has_not_taken_it() {
    for (says, expected) in
        [(OK, None), ("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", Some(403))]
    {
        let says = format!("HTTP/1.1 100 Continue\r\n\r\n{says}").leak();
        let mut composed = request(&Method::PUT, 100);
        let reads = composed.head.to_bytes().len();
        composed.head.headers.insert("expect", HeaderValue::from_static("100-continue"));
        let (connections, _task) = server(vec![vec![Turn { reads, says }]]).await;
        let metrics = Metrics::default();
        let mut upload = connections.begin(composed, metrics.doubts.hold()).await.unwrap();
        assert_eq!(upload.early().await, Early::GoOn);
        assert_eq!(upload.early().await, Early::Answered);
        let answered = upload.answered().await;
        assert_eq!(answered.ok().map(|opened| opened.status.as_u16()), expected, "{says:?}");
    }
}

#[tokio::test]
async fn a_request_is_whole_with_the_last_byte_that_its_head_announces() {
    for bytes in [0, 3] {
        let composed = request(&Method::PUT, bytes);
        let reads = composed.head.to_bytes().len() + bytes;
        let (connections, _task) = server(vec![vec![Turn { reads, says: OK }]]).await;
        let metrics = Metrics::default();
        let mut upload = connections.begin(composed, metrics.doubts.hold()).await.unwrap();
        let body = Bytes::from(vec![b'b'; bytes]);
        assert_eq!(upload.send(&body).await, Ok(Sent::Yes));
        // The store is faster than whoever says that the body has ended.
        assert_eq!(upload.early().await, Early::Answered);
        assert_eq!(upload.answered().await.unwrap().status, StatusCode::OK, "{bytes}");
    }
}

#[tokio::test]
async fn no_more_of_a_body_is_sent_than_its_head_announces() {
    let (connections, _task) = server(vec![vec![Turn { reads: 1 << 20, says: OK }]]).await;
    let metrics = Metrics::default();
    let composed = request(&Method::PUT, 3);
    let mut upload = connections.begin(composed, metrics.doubts.hold()).await.unwrap();
    assert_eq!(upload.send(&Bytes::from_static(b"ab")).await, Ok(Sent::Yes));
    assert!(upload.send(&Bytes::from_static(b"cd")).await.is_err());
}

#[tokio::test]
async fn what_is_no_answer_leaves_the_write_in_doubt() {
    let (body, reads) = small();
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(40).leak();
    for says in [
        "nonsense\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhi",
        endless,
    ] {
        // On a connection that was used before, too: something was answered.
        let turns = vec![Turn { reads, says: OK }, Turn { reads, says }];
        let (connections, _task) = server(vec![turns]).await;
        answered(put(&connections, &body).await);
        let second = put(&connections, &body).await;
        assert!(matches!(second, Exchange::Lost(_)), "{says:?}: {second:?}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_read_as_at_once() {
    let (body, reads) = small();
    let says = "HTTP/1.1 103 Early Hints\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                \r\n1;x=y\r\na\r\n2\r\nbc\r\n0\r\nt: u\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connections = to(&listener).await;
    let served = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        for _ in 0..2 {
            read(&mut stream, reads).await;
            for byte in says.as_bytes() {
                stream.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
    };
    let asked = async {
        for _ in 0..2 {
            assert_eq!(answered(put(&connections, &body).await).body.as_ref(), b"abc");
        }
    };
    Box::pin(async { tokio::join!(served, asked) }).await;
}

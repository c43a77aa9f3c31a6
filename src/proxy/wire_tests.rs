//! A client's connection, with bytes that arrive in pieces of every size.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{DuplexStream, duplex};
use tokio_util::task::TaskTracker;

use super::*;

const LEAST: LeastRate = LeastRate { bytes_per_s: 1, grace: Duration::from_secs(5) };

fn wire() -> (Wire, DuplexStream) {
    let (client, server) = duplex(1 << 20);
    (Wire::new(Box::new(server), TaskTracker::new().token(), LEAST.grace), client)
}

/// What is read of a body that arrives in pieces of this size, and what stays behind it.
async fn read(framing: Framing, came: &[u8], step: usize) -> (Result<Vec<u8>, Broken>, Vec<u8>) {
    let (mut wire, mut client) = wire();
    let sent = async {
        for piece in came.chunks(step) {
            client.write_all(piece).await.unwrap();
            yield_now().await;
        }
        drop(client);
    };
    let read = async {
        wire.begin(framing, LEAST);
        let mut content = Vec::new();
        loop {
            match wire.next_piece().await {
                Ok(Some(piece)) => content.extend_from_slice(&piece),
                Ok(None) => break Ok(content),
                Err(broken) => break Err(broken),
            }
        }
    };
    let ((), content) = tokio::join!(sent, read);
    while content.is_ok() && wire.more().await {}
    (content, wire.ahead().to_vec())
}

#[tokio::test]
async fn a_body_ends_where_its_head_says_and_what_follows_stays() {
    let chunked = "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nt: u\r\n\r\n";
    for (framing, body, content) in [
        (Framing::Nothing, "", ""),
        (Framing::Length(6), "hello!", "hello!"),
        (Framing::Chunked, chunked, "hello!"),
        (Framing::Chunked, "0\r\n\r\n", ""),
    ] {
        for behind in ["", "GET / HTTP/1.1\r\n\r\n"] {
            let came = format!("{body}{behind}");
            for step in [1, 2, 3, 7, 100] {
                let (found, stayed) = read(framing, came.as_bytes(), step).await;
                assert_eq!(found.as_deref(), Ok(content.as_bytes()), "{came:?} in steps of {step}");
                assert_eq!(stayed, behind.as_bytes(), "{came:?} in steps of {step}");
            }
        }
    }
}

#[tokio::test]
async fn others_have_their_turn_between_the_pieces_of_a_long_body() {
    const BYTES: usize = 1 << 20;
    let (mut wire, mut client) = wire();
    client.write_all(&vec![0; BYTES]).await.unwrap();
    wire.begin(Framing::Length(BYTES as u64), LEAST);
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let others = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Relaxed);
            yield_now().await;
        }
    });
    let mut pieces = 0;
    while wire.next_piece().await.unwrap().is_some() {
        pieces += 1;
    }
    others.abort();
    let turns = turns.load(Relaxed);
    assert!(turns >= pieces && pieces > 1, "{turns} turns of others, {pieces} pieces");
}

#[tokio::test]
async fn a_body_that_is_none_says_why() {
    for step in [1, 100] {
        let cut = read(Framing::Length(6), b"hello", step).await.0;
        assert_eq!(cut, Err(Broken::CutShort));
        let cut = read(Framing::Chunked, b"5\r\nhello\r\n", step).await.0;
        assert_eq!(cut, Err(Broken::CutShort));
        let malformed = read(Framing::Chunked, b"5\nhello\r\n0\r\n\r\n", step).await.0;
        assert!(matches!(malformed, Err(Broken::Chunks(_))), "{malformed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_or_trickles_is_given_up() {
    let (mut wire, mut client) = wire();
    wire.begin(Framing::Length(100), LEAST);
    assert_eq!(wire.next_piece().await, Err(Broken::Silent));
    // What is broken stays broken.
    client.write_all(&[0; 100]).await.unwrap();
    assert_eq!(wire.next_piece().await, Err(Broken::Silent));

    let (mut wire, mut client) = self::wire();
    wire.begin(Framing::Length(100), LEAST);
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_secs(3)).await;
            if client.write_all(b"x").await.is_err() {
                return;
            }
        }
    };
    let read = async {
        loop {
            if let Err(broken) = wire.next_piece().await {
                drop(wire);
                return broken;
            }
        }
    };
    let ((), broken) = Box::pin(async { tokio::join!(trickle, read) }).await;
    assert_eq!(broken, Broken::Slow(TooSlow));
}

#[tokio::test]
async fn a_wait_for_a_piece_may_be_given_up() {
    let (mut wire, mut client) = wire();
    wire.begin(Framing::Chunked, LEAST);
    client.write_all(b"5\r\nhe").await.unwrap();
    assert_eq!(wire.next_piece().await, Ok(Some(Bytes::from_static(b"he"))));
    for rest in ["l", "lo", "\r\n0\r", "\n\r\n"] {
        tokio::select! {
            biased;
            piece = wire.next_piece() => panic!("{piece:?}"),
            () = std::future::ready(()) => {}
        }
        client.write_all(rest.as_bytes()).await.unwrap();
        if rest.starts_with('l') {
            assert_eq!(wire.next_piece().await, Ok(Some(Bytes::from(rest))));
        }
    }
    assert_eq!(wire.next_piece().await, Ok(None));
    assert!(wire.is_read());
}

#[tokio::test]
async fn what_is_written_arrives_in_order() {
    let (mut wire, mut client) = wire();
    let content = vec![7; 100_000];
    for content in [&content[..], b"", b"small"] {
        let framed = Framed { before: b"before", content, behind: b"behind" };
        wire.write(framed).await.unwrap();
        let mut came = vec![0; 12 + content.len()];
        client.read_exact(&mut came).await.unwrap();
        assert_eq!(came, [b"before", content, b"behind"].concat());
    }
}

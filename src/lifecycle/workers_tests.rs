use std::net::Ipv4Addr;
use std::thread::{self, ThreadId};

use pingora::protocols::Stream as Connection;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};

use super::*;

/// Tells which thread serves a connection, and serves it for ever.
struct Told(mpsc::UnboundedSender<ThreadId>);

#[async_trait]
impl ServerApp for Told {
    async fn process_new(
        self: &Arc<Self>,
        _connection: Connection,
        _: &ShutdownWatch,
    ) -> Option<Connection> {
        self.0.send(thread::current().id()).unwrap();
        std::future::pending().await
    }
}

/// A thread with a runtime, for as long as the sender lives.
fn worker() -> (ThreadId, Arc<Handle>, oneshot::Sender<()>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let (handle, (lives, ended)) = (Arc::new(runtime.handle().clone()), oneshot::channel());
    let thread = thread::spawn(move || runtime.block_on(ended));
    (thread.thread().id(), handle, lives)
}

#[tokio::test]
async fn a_connection_goes_to_the_worker_with_the_fewest_and_stays_there() {
    let [(first, one, _lives), (second, other, _lives_too)] = [worker(), worker()];
    let socket = ListeningSocket::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    socket.listen().unwrap();
    let address = socket.address();
    let (told, mut served) = mpsc::unbounded_channel();
    let (ends, shutdown) = watch::channel(false);
    let busy = [Arc::clone(&one), Arc::clone(&one)];
    let accepting = accept_all(socket, Arc::new(Told(told)), vec![one, other], shutdown);
    let accepting = tokio::spawn(accepting);
    let mut clients = Vec::new();
    let mut threads = Vec::new();
    for _ in 0..4 {
        clients.push(TcpStream::connect(address).await.unwrap());
        threads.push(served.recv().await.unwrap());
    }
    assert_eq!(threads, [second, second, first, second], "the first had two before");
    drop(busy);
    clients.push(TcpStream::connect(address).await.unwrap());
    assert_eq!(served.recv().await, Some(first));
    ends.send_replace(true);
    accepting.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the socket is closed");
}

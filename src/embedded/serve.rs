//! The store behind HTTP on a port of its own. `s3s` speaks the protocol of S3.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT};
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::{Body, HttpError, HttpResponse};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};

use super::answers::corrected;
use super::chaos::Chaos;
use super::entry::Entry;
use super::parts::{EmbeddedError, EmbeddedStore, Options};
use super::store::Store;
use crate::sigv4::Credential;

/// Why this build has no store: `None`, since it has one.
pub const ABSENCE: Option<&str> = None;

/// Serves the store in `dir`, which is created if missing. Only one process can serve a directory at
/// a time. The credential is the only one that the store knows; a session token is ignored.
///
/// Serves until `shutdown` resolves, then lets requests under way finish for 5 s.
pub async fn serve(
    dir: PathBuf,
    credential: &Credential,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<EmbeddedStore, EmbeddedError> {
    let chaos = Arc::new(Chaos::new(options.misbehaviour));
    let opened = spawn_blocking({
        let (dir, chaos) = (dir.clone(), Arc::clone(&chaos));
        move || Store::open(&dir, options, chaos)
    });
    let store = opened.await.map_err(|error| error.to_string()).flatten();
    let store = store.map_err(|reason| EmbeddedError::Directory { dir, reason })?;
    let service = Served { entry: Entry::new(store, credential, options), chaos };
    let listen = options.listen;
    let listener = TcpListener::bind(listen)
        .await
        .and_then(|listener| Ok((listener.local_addr()?, listener)))
        .map_err(|source| EmbeddedError::Listen { listen, source });
    let (addr, listener) = listener?;
    let task = tokio::spawn(accept(listener, service, shutdown));
    Ok(EmbeddedStore { addr, task })
}

/// How long requests under way may take after the stop signal.
const DRAIN: Duration = Duration::from_secs(5);

/// What answers a request.
#[derive(Clone)]
struct Served {
    entry: Entry,
    chaos: Arc<Chaos>,
}

async fn accept(
    listener: TcpListener,
    service: Served,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // Ended connections are removed, so that the set contains only open ones.
            Some(_) = connections.join_next() => continue,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(
                    TokioIo::new(stream),
                    service.clone(),
                    stopping.clone(),
                ));
            }
            Err(error) => {
                // Probably no file descriptor is left: other connections must end first.
                tracing::warn!(%error, "the embedded store cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("the embedded store gives up requests that did not end");
    }
}

async fn connection(
    stream: TokioIo<tokio::net::TcpStream>,
    service: Served,
    mut stopping: watch::Receiver<bool>,
) {
    let server = Builder::new(TokioExecutor::new());
    let service = service_fn(move |request| to_its_end(service.clone(), request));
    let mut serving = std::pin::pin!(server.serve_connection(stream, service));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = async { drop(stopping.wait_for(|stop| *stop).await) } => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the embedded store broke");
    }
}

/// Answers a request, and finishes it even if its connection ends: a client that gives up finds
/// either all of its write or nothing, as it would at AWS.
async fn to_its_end(served: Served, request: Request<Incoming>) -> Result<HttpResponse, HttpError> {
    let Served { entry, chaos } = served;
    // The answer comes without a `100 Continue`, as there is no body to wait for (RFC 9110 §10.1.1).
    // botocore takes the next answer on the connection for that 100, and waits.
    let is_last = request.headers().contains_key(EXPECT)
        && request.headers().get(CONTENT_LENGTH).is_none_or(|length| length == "0");
    let answer = async move { chaos.serve(&entry, request.map(Body::from)).await };
    match tokio::spawn(answer).await {
        Ok(answered) => answered.map(corrected).map(|mut answer| {
            if is_last {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            answer
        }),
        Err(ended) => Err(HttpError::new(Box::new(ended))),
    }
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;

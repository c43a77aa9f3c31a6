//! The store: `s3s-fs` behind HTTP on a port of its own.
//!
//! `s3s-fs` judges the conditions of PutObject and CompleteMultipartUpload itself, with a race
//! between the check and the write, and ignores those of copies, deletes and reads. `rules` refuses
//! the requests that it would answer wrongly.

mod files;
mod rules;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{HttpError, HttpResponse};
use s3s_fs::FileSystem;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::parts::{EmbeddedError, EmbeddedStore, Options};
use crate::sigv4::Credential;
use files::Files;
use rules::Rules;

/// Why this build has no store: `None`, since it has one.
pub const ABSENCE: Option<&str> = None;

/// Serves the store in `dir`, which is created if missing; each bucket is a directory in it. Files
/// whose names begin with a dot are not buckets and cannot be reached. Only one process may serve a
/// directory at a time, which the caller must ensure: `s3s-fs` names its temporary files by a
/// counter. The credential is the only one that the store knows; a session token is ignored.
///
/// Serves until `shutdown` resolves, then lets requests under way finish for 5 s.
pub async fn serve(
    dir: PathBuf,
    credential: &Credential,
    options: Options,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<EmbeddedStore, EmbeddedError> {
    let service = service(&dir, credential, options)
        .map_err(|reason| EmbeddedError::Directory { dir, reason })?;
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

fn service(dir: &Path, credential: &Credential, options: Options) -> Result<S3Service, String> {
    let dir = fs::create_dir_all(dir).and_then(|()| dir.canonicalize());
    let dir = dir.map_err(|error| error.to_string())?;
    let files = FileSystem::new(&dir).map_err(|error| format!("{error:?}"))?;
    let mut builder = S3ServiceBuilder::new(files);
    let (access_key_id, secret) = (credential.access_key_id.as_str(), credential.secret.expose());
    builder.set_auth(SimpleAuth::from_single(access_key_id, secret));
    let ignore_conditions = options.ignore_conditions;
    builder.set_access(Rules { files: Files::new(dir), ignore_conditions });
    Ok(builder.build())
}

async fn accept(
    listener: TcpListener,
    service: S3Service,
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
    service: S3Service,
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

/// Answers a request, and finishes it even if its connection ends: `s3s-fs` writes an object's
/// bytes before its ETag, and a stop between the two would leave the new bytes with the old ETag.
async fn to_its_end(
    service: S3Service,
    request: Request<Incoming>,
) -> Result<HttpResponse, HttpError> {
    match tokio::spawn(Service::call(&service, request)).await {
        Ok(answered) => answered,
        Err(ended) => Err(HttpError::new(Box::new(ended))),
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

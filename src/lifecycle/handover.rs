//! The handover of the listening sockets from one process to its successor, over a Unix socket. No
//! connection is refused meanwhile.
//!
//! ```text
//! successor                       process that serves
//!     | ---------- HandOver ----------> |
//!     | <--- Socket + descriptors ----- |
//!     |   starts, accepts connections   |
//!     | ---------- Serving -----------> |
//!     | <--------- Leaving ------------ |   drains and ends
//! ```
//!
//! If a successor fails before it serves, nothing changes. (Pingora has its own handover, by a
//! signal: there the old process stops in any case, at a fixed time, whether or not a new one
//! serves.)

use std::fs::{DirBuilder, Permissions};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixListener;
use tokio::time::timeout;

use super::listener::ListeningSocket;
use crate::config::UpgradeSocket;

/// The messages of the handshake, in their order. The number in the first two is the version of the
/// handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message {
    /// The successor asks for the listening sockets.
    HandOver,
    /// The descriptors of the sockets come with this message.
    Socket,
    /// The successor accepts connections.
    Serving,
    /// The predecessor drains and ends.
    Leaving,
}

impl Message {
    const fn bytes(self) -> &'static [u8] {
        match self {
            Self::HandOver => b"ifmatch: hand over 1\n",
            Self::Socket => b"ifmatch: here 1\n",
            Self::Serving => b"serving\n",
            Self::Leaving => b"leaving\n",
        }
    }

    /// Whether this message was received.
    fn check(self, received: &[u8]) -> io::Result<()> {
        if received == self.bytes() { Ok(()) } else { Err(unexpected()) }
    }
}

fn unexpected() -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        "unexpected handshake message: not an ifmatch process, or an incompatible version",
    )
}

/// Timeout for one handshake message that the other side only has to send.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the socket was not taken over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The register or the store of this process cannot be shared with the running process.
    #[error(
        "--upgrade needs a register in Redis and a store of its own: {0} lives and ends with its \
         process. Stop the running process and start this one without --upgrade"
    )]
    InProcess(&'static str),
    /// Port 0 does not identify the running process.
    #[error("--upgrade needs upgrade_socket to be set where the port to listen on is 0")]
    NoSocket,
    /// No process answers.
    #[error(
        "no process hands over its listening socket at {0}: {1}. It must run as the same user, with \
         the same upgrade_socket (see ifmatch check-config), and with a register in Redis. Where none \
         runs yet, leave out --upgrade"
    )]
    NoProcess(PathBuf, io::Error),
    /// The other process does not follow the handshake.
    #[error(
        "the process at {0} does not hand over its listening socket: {1}. It may be stopping, or be \
         handing over to another process already; it goes on as it was. Try again, or stop it and \
         start this one without --upgrade"
    )]
    Refused(PathBuf, io::Error),
    /// The other process listens at another address.
    #[error(
        "the running process listens on {}, and this one is to listen on {}. Keep one of these \
         addresses in listen or tls.listen; the running process goes on as it was",
        listed(there),
        listed(here)
    )]
    Elsewhere {
        /// The addresses of the running process.
        there: Vec<SocketAddr>,
        /// The addresses configured here.
        here: Vec<SocketAddr>,
    },
}

fn listed(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl HandoverError {
    /// Whether no process listens at the upgrade socket, in contrast to one that gives a wrong
    /// answer.
    pub(crate) fn no_process_waits(&self) -> bool {
        let none = [ErrorKind::NotFound, ErrorKind::ConnectionRefused];
        matches!(self, Self::NoProcess(_, error) if none.contains(&error.kind()))
    }
}

/// The side of the running process: waits for its successor.
#[derive(Debug)]
pub(crate) struct HandoverServer {
    listener: UnixListener,
    path: PathBuf,
    sockets: Vec<OwnedFd>,
}

impl HandoverServer {
    /// Listens at the upgrade socket from now on. Must be called within a runtime.
    pub(super) fn open(at: &UpgradeSocket, sockets: Vec<OwnedFd>) -> io::Result<Self> {
        let path = at.path.clone();
        if let Some(directory) = path.parent() {
            make_private(directory, at.written)?;
        }
        remove_abandoned(&path)?;
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(Self { listener, path, sockets })
    }

    /// Returns when a successor serves.
    pub(super) async fn completed(self) {
        loop {
            let mut stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "no process can take over at present");
                    // Probably no file descriptor is left: connections must end first.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid()).unwrap_or_default();
            match self.hand_over(&mut stream, pid).await {
                Ok(true) => {
                    tracing::info!(pid, "another process has taken over");
                    // The successor waits at the same path from now on.
                    drop(self);
                    let _ = timeout(PATIENCE, stream.write_all(Message::Leaving.bytes())).await;
                    return;
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(pid, %error, "the listening sockets were not taken over");
                }
            }
        }
    }

    /// Whether the successor serves. A process that never asked for the socket is not a successor.
    async fn hand_over(&self, stream: &mut tokio::net::UnixStream, pid: i32) -> io::Result<bool> {
        if !may_take_part(stream.peer_cred()?.uid()) {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "another user asks for it"));
        }
        let mut asked = [0; Message::HandOver.bytes().len()];
        match timeout(PATIENCE, stream.read_exact(&mut asked)).await? {
            Ok(_) => Message::HandOver.check(&asked)?,
            Err(_) => return Ok(false),
        }
        tracing::info!(pid, "another process is about to take over");
        let sending = stream.async_io(Interest::WRITABLE, || {
            send_with(stream.as_fd(), Message::Socket, &self.sockets)
        });
        timeout(PATIENCE, sending).await??;
        // The successor checks the store and the register now, which may take a while.
        let mut said = [0; Message::Serving.bytes().len()];
        match stream.read_exact(&mut said).await {
            Ok(_) => Message::Serving.check(&said).map(|()| true),
            Err(_) => Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the other process ended before it served; this one goes on",
            )),
        }
    }
}

impl Drop for HandoverServer {
    fn drop(&mut self) {
        // The next process replaces a socket file that is left behind.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The side of the successor, from its request until it serves.
#[derive(Debug)]
pub(crate) struct HandoverClient {
    stream: UnixStream,
}

impl HandoverClient {
    /// Asks the running process for its listening sockets, and keeps those for the addresses in
    /// `listen`: at least one. Until [`Self::confirm`] that process goes on unchanged.
    pub(crate) fn claim(
        path: &Path,
        listen: &[SocketAddr],
    ) -> Result<(Vec<ListeningSocket>, Self), HandoverError> {
        let no_process = |error| HandoverError::NoProcess(path.to_owned(), error);
        let stream = UnixStream::connect(path).map_err(no_process)?;
        let peer = sockopt::socket_peercred(&stream).map_err(|error| no_process(error.into()))?;
        if !may_take_part(peer.uid.as_raw()) {
            let owner = io::Error::new(ErrorKind::PermissionDenied, "it belongs to another user");
            return Err(no_process(owner));
        }
        let all: Vec<_> = Self::received(&stream)
            .and_then(|all| all.into_iter().map(ListeningSocket::inherited).collect())
            .map_err(|error| HandoverError::Refused(path.to_owned(), error))?;
        let there = all.iter().map(ListeningSocket::address).collect();
        let is_kept = |socket: &ListeningSocket| listen.iter().any(|here| socket.is_for(*here));
        let kept: Vec<_> = all.into_iter().filter(is_kept).collect();
        if kept.is_empty() {
            return Err(HandoverError::Elsewhere { there, here: listen.to_vec() });
        }
        Ok((kept, Self { stream }))
    }

    fn received(mut stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(Message::HandOver.bytes())?;
        receive_with(stream.as_fd(), Message::Socket).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => {
                io::Error::new(ErrorKind::TimedOut, "it does not answer in time")
            }
            _ => error,
        })
    }

    /// Tells the predecessor that this process serves, and waits for its confirmation that it
    /// leaves. Blocks.
    pub(super) fn confirm(mut self) {
        let mut said = [0; Message::Leaving.bytes().len()];
        let sent = self.stream.write_all(Message::Serving.bytes());
        match sent.and_then(|()| self.stream.read_exact(&mut said)) {
            Ok(()) => tracing::info!("taken over: the process before this one finishes and ends"),
            // The predecessor has ended by itself, or it hangs; then both processes may serve.
            Err(error) => {
                tracing::warn!(%error, "the process before this one does not confirm that it leaves");
            }
        }
    }
}

/// Whether a process belongs to this user or to root.
fn may_take_part(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// As many as the configuration allows.
const SOCKETS_MAX: usize = 32;

fn send_with(stream: BorrowedFd<'_>, message: Message, sockets: &[OwnedFd]) -> io::Result<()> {
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&sockets));
    let sent =
        sendmsg(stream, &[IoSlice::new(message.bytes())], &mut control, SendFlags::NOSIGNAL)?;
    if sent == message.bytes().len() { Ok(()) } else { Err(ErrorKind::WriteZero.into()) }
}

fn receive_with(stream: BorrowedFd<'_>, message: Message) -> io::Result<Vec<OwnedFd>> {
    let mut said = vec![0; message.bytes().len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut said)], &mut control, flags)?;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    if received.bytes == 0 {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "it has closed the connection"));
    }
    message.check(&said[..received.bytes])?;
    if sockets.is_empty() { Err(unexpected()) } else { Ok(sockets) }
}

/// Creates a directory that only this user can read. Unless its name was configured, another user
/// could have created it before: then its owner and mode are checked.
fn make_private(directory: &Path, chosen: bool) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if chosen {
        return Ok(());
    }
    let found = std::fs::symlink_metadata(directory)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw();
    if !found.is_dir() || !ours || found.mode() & 0o077 != 0 {
        let why = format!("{} is not a directory of this user alone", directory.display());
        return Err(io::Error::new(ErrorKind::PermissionDenied, why));
    }
    Ok(())
}

/// Removes the socket file of a process that has ended; one at which a process answers stays.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file, not a socket"));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process waits there")),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "handover_tests.rs"]
mod tests;

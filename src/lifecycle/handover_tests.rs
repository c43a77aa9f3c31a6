use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_blocking};

use super::*;

const ANY: &str = "127.0.0.1:0";

/// A running process, as far as this module needs one.
struct Running {
    address: SocketAddr,
    path: PathBuf,
    completed: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

fn running() -> Running {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("private").join("socket");
    let socket = ListeningSocket::bind(ANY.parse().unwrap()).unwrap();
    socket.listen().unwrap();
    let address = socket.address();
    let at = UpgradeSocket { path: path.clone(), written: false };
    let server = HandoverServer::open(&at, vec![socket.shared().unwrap()]).unwrap();
    let completed = tokio::spawn(server.completed());
    Running { address, path, completed, _directory: directory }
}

async fn claim(
    running: &Running,
    listen: SocketAddr,
) -> Result<(ListeningSocket, HandoverClient), HandoverError> {
    let path = running.path.clone();
    let claimed = spawn_blocking(move || HandoverClient::claim(&path, &[listen])).await.unwrap();
    claimed.map(|(mut sockets, client)| (sockets.remove(0), client))
}

#[tokio::test]
async fn a_successor_accepts_at_the_same_socket_and_the_first_one_leaves_when_it_serves() {
    let running = running();
    let (socket, client) = claim(&running, running.address).await.unwrap();
    assert!(!running.completed.is_finished());
    let inherited = TcpListener::from_std(socket.into_std()).unwrap();
    let _client = TcpStream::connect(running.address).await.unwrap();
    inherited.accept().await.unwrap();
    spawn_blocking(|| client.confirm()).await.unwrap();
    running.completed.await.unwrap();
    assert!(!running.path.exists());
}

#[tokio::test]
async fn all_sockets_are_handed_over_and_those_of_other_addresses_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let at = UpgradeSocket { path: directory.path().join("socket"), written: true };
    let sockets: Vec<_> = std::iter::repeat_with(|| ListeningSocket::bind(ANY.parse().unwrap()))
        .take(SOCKETS_MAX)
        .collect::<Result<_, _>>()
        .unwrap();
    let shared = sockets.iter().map(ListeningSocket::shared).collect::<Result<_, _>>().unwrap();
    tokio::spawn(HandoverServer::open(&at, shared).unwrap().completed());
    let mut listen: Vec<_> = sockets.iter().map(ListeningSocket::address).collect();
    let dropped = listen.remove(1);
    let kept = listen.clone();
    let claimed = spawn_blocking(move || HandoverClient::claim(&at.path, &listen)).await.unwrap();
    let (claimed, _client) = claimed.unwrap();
    let addresses: Vec<_> = claimed.iter().map(ListeningSocket::address).collect();
    assert_eq!(addresses, kept);
    assert!(!addresses.contains(&dropped));
}

#[tokio::test]
async fn a_successor_that_ends_before_it_serves_changes_nothing() {
    let running = running();
    drop(claim(&running, running.address).await.unwrap());
    // Another process only checks whether one answers.
    drop(UnixStream::connect(&running.path).unwrap());
    let (_socket, client) = claim(&running, ANY.parse().unwrap()).await.unwrap();
    assert!(!running.completed.is_finished());
    spawn_blocking(|| client.confirm()).await.unwrap();
    running.completed.await.unwrap();
}

#[tokio::test]
async fn an_address_that_is_not_the_running_one_s_is_refused() {
    let running = running();
    let mut other = running.address;
    other.set_port(running.address.port() ^ 1);
    let refused = claim(&running, other).await.unwrap_err();
    assert!(refused.to_string().contains("goes on as it was"), "{refused}");
    other = "0.0.0.0:0".parse().unwrap();
    assert!(matches!(
        claim(&running, other).await,
        Err(HandoverError::Elsewhere { there, .. }) if there == [running.address]
    ));
    assert!(!running.completed.is_finished());
}

#[tokio::test]
async fn only_this_user_reaches_it() {
    let running = running();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&running.path), 0o600);
    assert_eq!(mode(running.path.parent().unwrap()), 0o700);
    let open = running.path.parent().unwrap().with_file_name("open");
    std::fs::create_dir(&open).unwrap();
    std::fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
    let socket = || vec![ListeningSocket::bind(ANY.parse().unwrap()).unwrap().shared().unwrap()];
    let derived = UpgradeSocket { path: open.join("socket"), written: false };
    let refused = HandoverServer::open(&derived, socket()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    // The directory of a configured path is the operator's own.
    HandoverServer::open(&UpgradeSocket { written: true, ..derived }, socket()).unwrap();
    let new = UpgradeSocket { path: open.with_file_name("new").join("socket"), written: true };
    HandoverServer::open(&new, socket()).unwrap();
    assert_eq!(mode(new.path.parent().unwrap()), 0o700);
}

#[tokio::test]
async fn what_a_killed_process_left_is_replaced_and_what_a_living_one_holds_is_not() {
    let running = running();
    let mut at = UpgradeSocket { path: running.path.clone(), written: true };
    let socket = || vec![ListeningSocket::bind(ANY.parse().unwrap()).unwrap().shared().unwrap()];
    assert_eq!(HandoverServer::open(&at, socket()).unwrap_err().kind(), ErrorKind::AddrInUse);
    at.path = running.path.with_file_name("left");
    drop(std::os::unix::net::UnixListener::bind(&at.path).unwrap());
    let none = HandoverError::NoProcess(PathBuf::new(), ErrorKind::NotFound.into()).to_string();
    assert!(none.contains("leave out --upgrade"), "{none}");
    assert!(matches!(
        HandoverClient::claim(&at.path, &[running.address]),
        Err(HandoverError::NoProcess(..))
    ));
    HandoverServer::open(&at, socket()).unwrap();
    let file = at.path.with_file_name("file");
    std::fs::write(&file, "kept").unwrap();
    assert!(
        HandoverServer::open(&UpgradeSocket { path: file.clone(), written: true }, socket())
            .is_err()
    );
    assert_eq!(std::fs::read(file).unwrap(), b"kept");
}

//! How servers of the tests are reached: plainly, or by TLS alone. The test itself always has a plain port, to
//! look and to meddle.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use ifmatch::register::redis::RedisTls;
use ifmatch::tls::ClientFiles;

use crate::redis_server::{RedisServer, free_port};

/// What the register speaks with the servers, and the servers with each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Wire {
    /// Redis's own protocol.
    Plain,
    /// The same within TLS, with a certificate on both sides.
    Tls,
}

impl Wire {
    /// The register's settings of TLS.
    pub(crate) fn tls(self) -> Option<RedisTls> {
        (self == Self::Tls).then(|| tls("authority", Some("client")))
    }

    /// Has `start` start a server with these options more. Returns it with the port at which the register
    /// and other servers reach it.
    pub(crate) async fn started(
        self,
        start: impl AsyncFnOnce(Vec<String>) -> RedisServer,
    ) -> (RedisServer, u16) {
        match self {
            Self::Plain => {
                let server = start(Vec::new()).await;
                let port = server.port();
                (server, port)
            }
            Self::Tls => {
                let port = free_port();
                let mut options = options("server", "yes", port);
                options.extend(["--tls-replication".to_owned(), "yes".to_owned()]);
                (start(options).await, port)
            }
        }
    }
}

/// A file of tests/data/tls.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls").join(name)
}

/// The options of a Redis with this certificate on a port for TLS.
pub(crate) fn options(certificate: &str, clients: &str, tls_port: u16) -> Vec<String> {
    let key = if certificate == "client" { "client.key" } else { "server.key" };
    let words = [
        ("--tls-port", tls_port.to_string()),
        ("--tls-cert-file", file(&format!("{certificate}.pem")).display().to_string()),
        ("--tls-key-file", file(key).display().to_string()),
        ("--tls-ca-cert-file", file("authority.pem").display().to_string()),
        ("--tls-auth-clients", clients.to_owned()),
    ];
    words.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect()
}

/// A Redis with a plain port, for the test, and a port for TLS.
pub(crate) async fn server(certificate: &str, clients: &str) -> (RedisServer, u16) {
    let tls_port = Cell::new(0);
    let server = RedisServer::start_with(|port, directory| {
        tls_port.set(free_port());
        let (port, directory) = (port.to_string(), directory.display().to_string());
        let plain = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir", &directory];
        let plain = plain.iter().map(|word| (*word).to_owned());
        plain.chain(options(certificate, clients, tls_port.get())).collect()
    })
    .await;
    (server, tls_port.get())
}

/// Trusts this authority, and shows this certificate.
pub(crate) fn tls(authority: &str, shown: Option<&str>) -> RedisTls {
    let files = ClientFiles {
        ca_file: Some(file(&format!("{authority}.pem"))),
        cert_file: shown.map(|name| file(&format!("{name}.pem"))),
        key_file: shown.map(|_| file("client.key")),
    };
    RedisTls { files, server_name: None }
}

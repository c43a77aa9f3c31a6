//! `ifmatch health`: asks a running process whether it is ready, for containers without `curl`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::settings::Settings;

/// How long each part of the conversation may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// More than any answer to a health check has.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// `ifmatch health`
#[derive(Debug, Args)]
pub(super) struct Health {
    #[command(flatten)]
    settings: Settings,
    /// Whether writes work too: fails also while the register cannot be used, or grants no lease yet.
    #[arg(long)]
    writes: bool,
    /// The admin listener, such as `http://127.0.0.1:9001`; by default that of the configuration.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

impl Health {
    pub(super) fn run(self) -> Result<(), Failure> {
        let authority = match &self.url {
            Some(url) => authority(url)?.to_owned(),
            None => reachable(self.settings.load(None)?.admin.listen)?.to_string(),
        };
        let target = if self.writes { "/readyz?verbose&writes=1" } else { "/readyz?verbose" };
        let answer = ask(&authority, target)
            .map_err(|error| Failure::Run(format!("no answer from http://{authority}: {error}")))?;
        let (status, text) = read(&answer).ok_or_else(|| {
            Failure::Run(format!("http://{authority} does not answer as an admin listener does"))
        })?;
        if status == 200 {
            print!("{text}");
            return Ok(());
        }
        Err(Failure::Run(format!("not ready ({status})\n{}", text.trim_end())))
    }
}

/// `host:port` of a plain URL without a path.
fn authority(url: &str) -> Result<&str, Failure> {
    let rest = url.strip_prefix("http://").map(|rest| rest.trim_end_matches('/'));
    rest.filter(|rest| !rest.is_empty() && !rest.contains('/')).ok_or_else(|| {
        Failure::Usage(format!("--url {url}: not a URL such as http://127.0.0.1:9001"))
    })
}

/// An address at which this machine reaches its own listener.
fn reachable(listen: Option<SocketAddr>) -> Result<SocketAddr, Failure> {
    let Some(mut listen) = listen.filter(|listen| listen.port() != 0) else {
        let why = "admin.listen is not set, or has port 0; set it, or give --url";
        return Err(Failure::Usage(why.to_owned()));
    };
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    Ok(listen)
}

fn ask(authority: &str, target: &str) -> std::io::Result<Vec<u8>> {
    let with_port =
        if authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
    let address = with_port.to_socket_addrs()?.next();
    let address = address.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

/// The status of an answer, and its body, which ends with the connection.
fn read(answer: &[u8]) -> Option<(u16, String)> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(bytes) = head.parse(answer).ok()? else { return None };
    Some((head.code?, String::from_utf8_lossy(answer.get(bytes..)?).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_this_machine() {
        for (listen, reached) in [
            ("0.0.0.0:9001", "127.0.0.1:9001"),
            ("[::]:9001", "[::1]:9001"),
            ("10.0.0.5:9001", "10.0.0.5:9001"),
        ] {
            let listen = Some(listen.parse().unwrap());
            assert_eq!(reachable(listen).unwrap().to_string(), reached);
        }
        assert!(matches!(reachable(None), Err(Failure::Usage(_))));
        assert!(matches!(reachable(Some("0.0.0.0:0".parse().unwrap())), Err(Failure::Usage(_))));
    }

    #[test]
    fn a_url_has_a_host_and_a_port_and_nothing_else() {
        assert_eq!(authority("http://localhost:9001/").unwrap(), "localhost:9001");
        for wrong in ["localhost:9001", "https://localhost", "http://", "http://a/livez"] {
            assert!(matches!(authority(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn the_status_and_the_text_of_an_answer_are_read() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 3\r\n\r\nno\n";
        assert_eq!(read(answer), Some((503, "no\n".to_owned())));
        assert_eq!(read(b"HTTP/1.1 200"), None);
        assert_eq!(read(b"SSH-2.0-x\r\n"), None);
    }
}

//! The code map of ARCHITECTURE.md, as rules.

use std::collections::BTreeSet;
use std::path::Path;

/// A row of the code map.
#[derive(Debug)]
pub(crate) struct Room {
    places: Vec<String>,
    unknown: Vec<String>,
}

/// What a word of the column "does not know" forbids: names that begin so.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "IO",
        &[
            "tokio",
            "tokio_util",
            "hyper",
            "hyper_util",
            "pingora",
            "redis",
            "rustix",
            "tempfile",
            "std::fs",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::ToSocketAddrs",
            "std::os",
            "std::process",
            "std::env",
            "std::thread",
        ],
    ),
    (
        "time",
        &[
            "tokio::time",
            "crate::clock",
            "std::time::Instant::now",
            "std::time::SystemTime::now",
            "time::OffsetDateTime::now_utc",
        ],
    ),
    ("Pingora", &["pingora"]),
    ("Redis", &["redis", "crate::register::redis"]),
    ("S3", &["crate::s3", "crate::sigv4", "s3s"]),
    ("HTTP", &["http", "httparse", "hyper", "pingora", "crate::http1"]),
    (
        "sockets",
        &["tokio::net", "std::net::TcpStream", "std::net::TcpListener", "std::os::unix::net"],
    ),
    ("the gate", &["crate::gate"]),
    ("the proxy", &["crate::proxy"]),
    ("the store", &["crate::backend"]),
    ("the register", &["crate::register"]),
    ("the register's steps", &["crate::register::steps", "crate::register::record"]),
];

/// The rows of the table under "Code map".
pub(crate) fn rooms() -> Vec<Room> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, after) = page.split_once("## Code map").unwrap();
    let (table, _) = after.split_once("\n## ").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let rooms: Vec<_> = rows.map(room).collect();
    assert!(rooms.len() > 10, "the table was not read");
    rooms
}

fn room(row: &str) -> Room {
    let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [places, _, unknown] = cells[..] else { panic!("three columns: {row}") };
    let mut paths: Vec<String> = vec![];
    for place in places.split(", ").map(|place| place.trim_matches('`')) {
        // `register/types.rs`, `steps.rs`: the second stands beside the first.
        let beside = paths.last().and_then(|path| path.rsplit_once('/')).map(|(room, _)| room);
        let path = match beside {
            Some(room) if !place.contains('/') => format!("{room}/{place}"),
            _ => format!("src/{place}"),
        };
        paths.push(path);
    }
    let unknown: Vec<_> = unknown
        .split(", which ")
        .next()
        .unwrap()
        .split(", ")
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    for word in &unknown {
        assert!(FORBIDDEN.iter().any(|(known, _)| known == word), "no rule for {word:?}");
    }
    Room { places: paths, unknown }
}

impl Room {
    /// Files, and directories that end with `/`.
    pub(crate) fn places(&self) -> impl Iterator<Item = String> {
        self.places.iter().cloned()
    }

    /// Whether a file stands in this room.
    pub(crate) fn holds(&self, path: &str) -> bool {
        self.places.iter().any(|place| is_in(path, place))
    }

    /// The words of the map that forbid a name.
    pub(crate) fn forbids(&self, name: &[String]) -> BTreeSet<&'static str> {
        FORBIDDEN
            .iter()
            .filter(|(word, _)| self.unknown.iter().any(|unknown| unknown == word))
            .filter(|(_, names)| names.iter().any(|forbidden| begins(name, forbidden)))
            .map(|(word, _)| *word)
            .collect()
    }
}

/// Whether a file is the place or within it.
pub(crate) fn is_in(path: &str, place: &str) -> bool {
    path == place || place.ends_with('/') && path.starts_with(place)
}

fn begins(name: &[String], with: &str) -> bool {
    let with: Vec<_> = with.split("::").collect();
    name.len() >= with.len() && name.iter().zip(&with).all(|(part, wanted)| part == wanted)
}

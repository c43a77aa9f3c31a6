//! Addresses: that of this proxy, the URL of the store, and the URL of the register.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error as _, Unexpected};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::register::redis::{Address, SentinelTopology, Topology, uri_host};
use crate::s3::encoding;
use crate::secret::Secret;

/// The form of the listen addresses: one, or a list.
pub(super) struct Listen;

impl Listen {
    pub(super) fn deserialize<'de, D>(from: D) -> Result<Vec<SocketAddr>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let written = toml::Value::deserialize(from)?;
        let address = |written: &toml::Value| written.as_str().and_then(|text| text.parse().ok());
        let all = match &written {
            toml::Value::Array(list) => list.iter().map(address).collect(),
            one => address(one).map(|address| vec![address]),
        };
        all.ok_or_else(|| {
            let expected = "an address and a port such as \"0.0.0.0:9000\" or \"[::1]:9000\", or a \
                            list of them";
            D::Error::invalid_value(Unexpected::Other("value"), &expected)
        })
    }

    pub(super) fn serialize<S: Serializer>(
        listen: &[SocketAddr],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match listen {
            [one] => to.collect_str(one),
            all => to.collect_seq(all.iter().map(ToString::to_string)),
        }
    }
}

impl JsonSchema for Listen {
    fn schema_name() -> Cow<'static, str> {
        "Listen".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "string" });
        let list = json_schema!({ "type": "array", "items": { "type": "string" } });
        json_schema!({ "anyOf": [one, list] })
    }
}

/// The form of one optional address.
pub(super) struct OneAddress;

impl OneAddress {
    pub(super) fn deserialize<'de, D>(from: D) -> Result<Option<SocketAddr>, D::Error>
    where
        D: Deserializer<'de>,
    {
        let written = toml::Value::deserialize(from)?;
        written.as_str().and_then(|text| text.parse().ok()).map(Some).ok_or_else(|| {
            let expected = "an address and a port such as \"127.0.0.1:9001\" or \"[::1]:9001\"";
            D::Error::invalid_value(Unexpected::Other("value"), &expected)
        })
    }

    #[allow(clippy::ref_option, reason = "the form that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        address.serialize(to)
    }
}

impl JsonSchema for OneAddress {
    fn schema_name() -> Cow<'static, str> {
        "OneAddress".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Scheme, host and port of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    /// TLS or not.
    pub https: bool,
    /// Name or address in lower case; an IPv6 address without brackets.
    pub host: String,
    /// The port, that of the scheme when none was written.
    pub port: u16,
}

impl Default for Endpoint {
    /// The address of a store in this process, whose port is not known yet.
    fn default() -> Self {
        Self { https: false, host: "127.0.0.1".to_owned(), port: 0 }
    }
}

impl Endpoint {
    /// `host:port` as a Host field has it: without the port that the scheme implies (RFC 9110
    /// §4.2), IPv6 in brackets.
    pub fn authority(&self) -> String {
        let implied = if self.https { 443 } else { 80 };
        let host = uri_host(&self.host);
        if self.port == implied { host.into_owned() } else { self.address() }
    }

    /// `host:port`, IPv6 in brackets.
    pub fn address(&self) -> String {
        format!("{}:{}", uri_host(&self.host), self.port)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl TryFrom<String> for Endpoint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", ""));
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(BACKEND_FORM.to_owned()),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            return Err("has a path or a query; write scheme, host and port only".to_owned());
        }
        if authority.contains('@') {
            return Err("holds a credential; it belongs into keys of its own, as \
                        backend.access_key_id and backend.secret_access_key_file"
                .to_owned());
        }
        let at = address(authority, if https { 443 } else { 80 });
        let Address { host, port } = at.ok_or_else(|| BACKEND_FORM.to_owned())?;
        Ok(Self { https, host, port })
    }
}

/// The register's URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum RegisterUrl {
    /// `memory:`.
    Memory,
    /// `redis://[user[:password]@]host[:port][/database]`, or with more hosts
    /// `redis+sentinel://…/master[/database]` or `redis+cluster://…`; with TLS `rediss://` and so on.
    Redis {
        /// Which servers the register is on.
        topology: Topology,
        /// Whether all of them, and Sentinels, are reached by TLS.
        tls: bool,
        /// The database number.
        database: u32,
        /// The ACL user.
        username: Option<String>,
        /// The password, where the URL has one.
        password: Option<Secret>,
    },
}

impl TryFrom<String> for RegisterUrl {
    type Error = String;

    /// No error quotes the text: it may hold a password.
    fn try_from(text: String) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", ""));
        let scheme = scheme.to_ascii_lowercase();
        let (tls, kind) = match scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (false, scheme.strip_prefix("redis").unwrap_or("no Redis")),
        };
        let (read, form) = match kind {
            "" => (redis_url(rest, tls, one_redis), REGISTER_FORM),
            "+sentinel" => (redis_url(rest, tls, sentinels), SENTINEL_FORM),
            "+cluster" => (redis_url(rest, tls, cluster), CLUSTER_FORM),
            _ => (None, REGISTER_FORM),
        };
        read.ok_or_else(|| form.to_owned())
    }
}

impl From<RegisterUrl> for String {
    /// The password becomes `***`.
    fn from(url: RegisterUrl) -> Self {
        let RegisterUrl::Redis { topology, tls, database, username, password } = url else {
            return "memory:".to_owned();
        };
        let user = username.as_deref().map(encoding::encode_query).unwrap_or_default();
        let user = match (user.is_empty(), password) {
            (_, Some(masked)) => format!("{user}:{masked}@"),
            (false, None) => format!("{user}@"),
            (true, None) => Self::new(),
        };
        topology_url(&topology, tls, &user, database)
    }
}

/// The URL of these servers, with `user` before the `@`.
pub(super) fn topology_url(topology: &Topology, tls: bool, user: &str, database: u32) -> String {
    let scheme = if tls { "rediss" } else { "redis" };
    let listed = |all: &[Address]| all.iter().map(Address::to_string).collect::<Vec<_>>().join(",");
    match topology {
        Topology::Single { address, .. } => format!("{scheme}://{user}{address}/{database}"),
        Topology::Sentinels(SentinelTopology { sentinels, master, .. }) => {
            format!("{scheme}+sentinel://{user}{}/{master}/{database}", listed(sentinels))
        }
        Topology::Cluster(seeds) => format!("{scheme}+cluster://{user}{}", listed(seeds)),
    }
}

/// `topology` parses the hosts, and the path without its first slash, into the servers and the
/// database number.
fn redis_url(
    rest: &str,
    tls: bool,
    topology: impl FnOnce(&str, &str) -> Option<(Topology, u32)>,
) -> Option<RegisterUrl> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (username, password) = user.split_once(':').unwrap_or((user, ""));
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let (topology, database) = topology(hosts, path)?;
    Some(RegisterUrl::Redis {
        topology,
        tls,
        database,
        username: some(encoding::decode(username)?),
        password: some(encoding::decode(password)?).map(Secret::new),
    })
}

fn one_redis(host: &str, path: &str) -> Option<(Topology, u32)> {
    let topology = Topology::Single { address: address(host, 6379)?, never_promoted: false };
    Some((topology, database(path)?))
}

fn sentinels(hosts: &str, path: &str) -> Option<(Topology, u32)> {
    let (master, number) = path.split_once('/').unwrap_or((path, ""));
    let master = encoding::decode(master)?;
    // As in Sentinel's own source (sentinel.c): letters, digits, and these three.
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if master.is_empty() || !master.chars().all(allowed) {
        return None;
    }
    let sentinels = addresses(hosts, 26379)?;
    let topology = SentinelTopology { sentinels, master, username: None, password: None };
    Some((Topology::Sentinels(topology), database(number)?))
}

/// A cluster has one database, 0.
fn cluster(hosts: &str, path: &str) -> Option<(Topology, u32)> {
    let seeds = addresses(hosts, 6379)?;
    matches!(path, "" | "0").then_some((Topology::Cluster(seeds), 0))
}

fn database(number: &str) -> Option<u32> {
    if number.is_empty() { Some(0) } else { number.parse().ok() }
}

/// Parses a list of different hosts, separated by commas.
fn addresses(hosts: &str, port_implied: u16) -> Option<Vec<Address>> {
    let mut all: Vec<Address> = Vec::new();
    for host in hosts.split(',') {
        let host = address(host, port_implied)?;
        if all.contains(&host) {
            return None;
        }
        all.push(host);
    }
    Some(all)
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; the host comes in lower case and without
/// brackets. `None` when it is neither a name nor an address.
fn address(authority: &str, port_implied: u16) -> Option<Address> {
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
        (address, port)
    } else {
        let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        if !is_host_name(name) {
            return None;
        }
        (name, port)
    };
    let port = match port {
        "" => port_implied,
        port => port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?,
    };
    Some(Address { host: host.to_ascii_lowercase(), port })
}

/// Whether this is a name or an IPv4 address; `_` is allowed, since container networks use it.
pub(super) fn is_host_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.split('.').all(|label| !label.is_empty() && label.chars().all(allowed))
}

/// Whether the store's endpoint is the proxy's own listen address. Only the name `localhost` is
/// recognised; other names are not looked up.
pub(super) fn is_loop(endpoint: &Endpoint, listen: SocketAddr) -> bool {
    if endpoint.port != listen.port() {
        return false;
    }
    let any = listen.ip().is_unspecified();
    match endpoint.host.parse::<IpAddr>() {
        Ok(ip) => ip == listen.ip() || (any && (ip.is_loopback() || ip.is_unspecified())),
        Err(_) => endpoint.host == "localhost" && (any || listen.ip().is_loopback()),
    }
}

const BACKEND_FORM: &str = "is not of the form \"http://host:port\" or \"https://host\"";
const SENTINEL_FORM: &str = "is not of the form \"redis+sentinel://host:26379,host:26379,host:26379/\
                             master/0\", each Sentinel once (characters such as @ and / in a \
                             password are written %40 and %2F)";
const CLUSTER_FORM: &str = "is not of the form \"redis+cluster://host:6379,host:6379\", each server \
                            once, without a database: a cluster has but one (characters such as @ \
                            and / in a password are written %40 and %2F)";
const REGISTER_FORM: &str = "is not of the form \"memory:\", \"redis://host:port/0\" or \
                             \"rediss://host:port/0\" \
                             (characters such as @ and / in a password are written %40 and %2F)";

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Result<Endpoint, String> {
        Endpoint::try_from(text.to_owned())
    }

    fn register(text: &str) -> Result<RegisterUrl, String> {
        RegisterUrl::try_from(text.to_owned())
    }

    #[test]
    fn a_store_is_scheme_host_and_port() {
        for (text, shown) in [
            ("http://10.0.0.5:3900", "http://10.0.0.5:3900"),
            ("HTTPS://S3.Example.COM/", "https://s3.example.com"),
            ("https://s3.example.com:443", "https://s3.example.com"),
            ("https://s3.example.com:80", "https://s3.example.com:80"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("http://minio_1", "http://minio_1"),
        ] {
            assert_eq!(endpoint(text).unwrap().to_string(), shown, "{text}");
        }
        for wrong in [
            "10.0.0.5:3900",
            "ftp://a",
            "http://",
            "http://a:b",
            "http://a:0",
            "http://a:65536",
            "http://a/b",
            "http://a?x",
            "http://k:s@a",
            "http://a..b",
            "http://[::1",
            "http://::1",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_register_is_memory_or_redis_and_its_password_is_never_shown() {
        for (text, shown) in [
            ("memory:", "memory:"),
            ("redis://r", "redis://r:6379/0"),
            ("redis://r:7000/3", "redis://r:7000/3"),
            ("redis://:hunter2@r", "redis://:***@r:6379/0"),
            ("redis://joe:hunter2%40@[::1]:1", "redis://joe:***@[::1]:1/0"),
            ("redis://joe@r/1", "redis://joe@r:6379/1"),
            ("redis+sentinel://s/m", "redis+sentinel://s:26379/m/0"),
            (
                "redis+sentinel://:hunter2@S1:1,[::1],s3/my-master/2",
                "redis+sentinel://:***@s1:1,[::1]:26379,s3:26379/my-master/2",
            ),
            ("redis+cluster://a,b:7000", "redis+cluster://a:6379,b:7000"),
            ("redis+cluster://joe:hunter2@a/0", "redis+cluster://joe:***@a:6379"),
            ("REDISS://:hunter2@r", "rediss://:***@r:6379/0"),
            ("rediss+sentinel://s/m", "rediss+sentinel://s:26379/m/0"),
            ("rediss+cluster://a", "rediss+cluster://a:6379"),
        ] {
            assert_eq!(String::from(register(text).unwrap()), shown, "{text}");
        }
        let RegisterUrl::Redis { password, username, .. } =
            register("redis://j%20:a%40b@r").unwrap()
        else {
            panic!("that is a Redis");
        };
        assert_eq!(username.as_deref(), Some("j "));
        assert_eq!(password.as_ref().map(Secret::expose), Some("a@b"));
        for wrong in [
            "memory",
            "redis:",
            "redis://",
            "redis://:hunter2@/0",
            "redis://joe:hunter2@r/x",
            "redis://joe:hunter2%@r",
            "redisss://:hunter2@r",
            "+cluster://:hunter2@r",
            "unix:/hunter2",
            "redis://a,b",
            "redis+sentinel://:hunter2@s",
            "redis+sentinel://s/",
            "redis+sentinel://s//0",
            "redis+sentinel://s/a%20b",
            "redis+sentinel://s/m/x",
            "redis+sentinel://s,/m",
            "redis+sentinel://s,S:26379/m",
            "redis+cluster://:hunter2@a/1",
            "redis+cluster://a,a:6379",
            "redis+cluster://",
            "rediss+cluster://:hunter2@a/1",
        ] {
            let error = register(wrong).unwrap_err();
            assert!(!error.contains("hunter2"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_loop_is_seen_where_no_name_needs_looking_up() {
        for (url, listen, expected) in [
            ("http://127.0.0.1:9000", "127.0.0.1:9000", true),
            ("http://localhost:9000", "127.0.0.1:9000", true),
            ("http://localhost:9000", "[::]:9000", true),
            ("http://127.0.0.1:9000", "0.0.0.0:9000", true),
            ("http://127.0.0.1:9001", "0.0.0.0:9000", false),
            ("http://10.0.0.5:9000", "0.0.0.0:9000", false),
            ("http://10.0.0.5:9000", "10.0.0.5:9000", true),
            ("http://localhost:9000", "10.0.0.5:9000", false),
        ] {
            let is = is_loop(&endpoint(url).unwrap(), listen.parse().unwrap());
            assert_eq!(is, expected, "{url} {listen}");
        }
    }
}

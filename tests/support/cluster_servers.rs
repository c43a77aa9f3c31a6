//! A real Redis Cluster of the test's own.

use std::collections::BTreeMap;
use std::net::TcpListener;

use futures_util::future::join_all;
use redis::Value;
use redis::aio::MultiplexedConnection;

use crate::redis_server::RedisServer;
use crate::steps::{tell, until};
use crate::wire::Wire;

/// Its servers: the masters, with a third of the slots each, then their replicas.
pub(crate) struct ClusterServers {
    pub(crate) servers: Vec<RedisServer>,
    /// Where the register and the other servers reach each.
    pub(crate) ports: Vec<u16>,
    pub(crate) ids: Vec<String>,
}

impl ClusterServers {
    /// Three masters, and a replica of each of the first so many. Waits until all are well.
    pub(crate) async fn start(replicas: usize, node_timeout: &str, wire: Wire) -> Self {
        let servers = join_all((0..3 + replicas).map(|_| server(node_timeout, wire))).await;
        Self::formed(servers, replicas).await
    }

    /// Makes a cluster of servers.
    async fn formed(servers: Vec<Server>, replicas: usize) -> Self {
        let buses: Vec<_> = servers.iter().map(|server| server.bus).collect();
        let ports: Vec<_> = servers.iter().map(|server| server.port).collect();
        let servers: Vec<_> = servers.into_iter().map(|server| server.redis).collect();
        let mut connections = join_all(servers.iter().map(RedisServer::connection)).await;
        let mut ids = Vec::new();
        for (number, connection) in connections.iter_mut().enumerate() {
            let id = tell(connection, "CLUSTER MYID").await;
            ids.push(redis::from_redis_value::<String>(id).unwrap());
            tell(connection, &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1)).await;
            if let Some((first, last)) = [(0, 5460), (5461, 10922), (10923, 16383)].get(number) {
                tell(connection, &format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            }
            let met = format!("CLUSTER MEET 127.0.0.1 {} {}", servers[0].port(), buses[0]);
            tell(connection, &met).await;
        }
        let cluster = Self { servers, ports, ids };
        for number in 0..replicas {
            let connection = &mut connections[3 + number];
            until("a replica knows its master", async || {
                let mut words = redis::cmd("CLUSTER");
                words.arg("REPLICATE").arg(&cluster.ids[number]);
                words.query_async::<Value>(connection).await.is_ok()
            })
            .await;
        }
        for connection in &mut connections {
            until("all know each other", async || {
                let state = cluster_info(connection).await;
                state["cluster_state"] == "ok"
                    && state["cluster_known_nodes"] == cluster.servers.len().to_string()
            })
            .await;
        }
        for master in &mut connections[..replicas] {
            until("its replica is there", async || {
                let info: String =
                    redis::cmd("INFO").arg("replication").query_async(master).await.unwrap();
                info.contains("state=online")
            })
            .await;
        }
        // What they say of each other is what the others say.
        for connection in &mut connections {
            until("everybody knows the replicas", async || {
                let nodes: String =
                    redis::cmd("CLUSTER").arg("NODES").query_async(connection).await.unwrap();
                nodes.matches("slave").count() == replicas
            })
            .await;
        }
        cluster
    }

    /// Moves a slot with all its keys, as `redis-cli --cluster reshard` does. `between` is called
    /// when the slot is marked as moving, and again when its keys have moved.
    pub(crate) async fn move_slot(
        &self,
        slot: u16,
        from: usize,
        to: usize,
        mut between: impl AsyncFnMut(&str),
    ) {
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let (mut source, mut at_target) = (source.connection().await, target.connection().await);
        let importing = format!("CLUSTER SETSLOT {slot} IMPORTING {}", self.ids[from]);
        tell(&mut at_target, &importing).await;
        tell(&mut source, &format!("CLUSTER SETSLOT {slot} MIGRATING {}", self.ids[to])).await;
        between("marked").await;
        let keys: Vec<Vec<u8>> = redis::cmd("CLUSTER")
            .arg("GETKEYSINSLOT")
            .arg(slot)
            .arg(1000)
            .query_async(&mut source)
            .await
            .unwrap();
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(self.ports[to]).arg("").arg(0).arg(5000).arg("KEYS").arg(keys);
        let _: Value = migrate.query_async(&mut source).await.unwrap();
        between("moved").await;
        let owner = format!("CLUSTER SETSLOT {slot} NODE {}", self.ids[to]);
        tell(&mut at_target, &owner).await;
        tell(&mut source, &owner).await;
        for (number, other) in self.servers.iter().enumerate().take(3) {
            if number != from && number != to {
                tell(&mut other.connection().await, &owner).await;
            }
        }
    }
}

/// A server that is ready to be part of a cluster.
pub(crate) struct Server {
    pub(crate) redis: RedisServer,
    /// Where the register and the other servers reach it.
    pub(crate) port: u16,
    bus: u16,
}

pub(crate) async fn server(node_timeout: &str, wire: Wire) -> Server {
    // Its own choice would be 10,000 ports higher, where there may be none.
    let bus = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let start = async |mut more: Vec<String>| {
        if wire == Wire::Tls {
            more.extend(["--tls-cluster".to_owned(), "yes".to_owned()]);
        }
        let options = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            node_timeout,
            "--cluster-port",
            &bus.to_string(),
        ];
        let more: Vec<_> = more.iter().map(String::as_str).collect();
        RedisServer::start(&[&options, more.as_slice()].concat()).await
    };
    let (redis, port) = wire.started(start).await;
    Server { redis, port, bus }
}

async fn cluster_info(connection: &mut MultiplexedConnection) -> BTreeMap<String, String> {
    let info: String = redis::cmd("CLUSTER").arg("INFO").query_async(connection).await.unwrap();
    let fields = info.lines().filter_map(|line| line.trim_end().split_once(':'));
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

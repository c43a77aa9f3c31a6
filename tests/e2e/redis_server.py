"""A real Redis on free ports, which a test may stop, kill and start again: one server, a master
with replicas and Sentinels, or a cluster."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import Callable

import redis

from certificates import Signed
from processes import NotReady, Process, free_ports
from relay import Relay

DATABASES = 512
BINARY = os.environ.get("IFMATCH_TEST_REDIS_SERVER", "redis-server")
"""Another server that is to do as well, such as Valkey's."""
NODE_TIMEOUT = 1.0
"""Seconds after which a master of a cluster that says nothing is replaced."""
SENTINEL_PATIENCE = 0.5
"""Seconds after which Sentinels give a master up that says nothing."""
READY = 20


def until(what: str, happens: Callable[[], bool], timeout: float = READY) -> None:
    """Polls for a fact that is not announced. A server that cannot be asked now may be later."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if happens():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


class RedisServer:
    kind = "standalone"
    lag = 0.0
    """Seconds for which a replaced master may go on granting."""

    def __init__(self, directory: Path, appendonly: bool = False, options: tuple[str, ...] = ()):
        self.directory = directory
        self.appendonly = appendonly
        self.options = options
        self.process: Process | None = None
        self._unused = itertools.count()
        directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(5):
            self.port = free_ports(1)[0]
            try:
                self.start()
                return
            except NotReady:
                if attempt == 4:
                    raise

    def start(self) -> None:
        """Starts it, again on the same port when it ran before."""
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if self.appendonly else []
        self.process = Process(
            f"redis-{self.port}",
            [BINARY, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", str(self.directory), "--databases", str(DATABASES),
             "--maxmemory-policy", "noeviction", *keep, *self.options],
        )
        self.process.wait_for_line("Ready to accept connections", 10)

    def new_database(self) -> str:
        """The URL of an unused database: a register of its own."""
        return f"redis://127.0.0.1:{self.port}/{next(self._unused)}"

    def relayed(self, url: str) -> tuple[list[Relay], str]:
        """Relays to where a proxy that is given `url` goes first, and the URL of the relays."""
        address, _, database = url.rpartition("/")
        relay = Relay(address)
        return [relay], relay.url.replace("http:", "redis:") + f"/{database}"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def flush_all(self) -> None:
        self.client().flushall()

    def role(self) -> str:
        return self.client().info("replication")["role"]

    def kill9(self) -> None:
        self.process.kill9()

    def stop(self) -> None:
        self.process.stop()


class TlsRedis(RedisServer):
    """One that is reached by TLS too, at a port of its own. The test itself uses the plain one."""

    def __init__(self, directory: Path, signed: Signed, authority: Path, clients: str = "yes"):
        """`clients`: "yes" asks them for a certificate of the authority, "no" for none."""
        self.tls_port: int | None = None
        self._tls = {"tls-cert-file": signed.cert, "tls-key-file": signed.key,
                     "tls-ca-cert-file": authority, "tls-auth-clients": clients}
        super().__init__(directory)

    def start(self) -> None:
        port = self.tls_port or free_ports(1)[0]
        words = (("--" + name, str(value)) for name, value in self._tls.items())
        self.options = ("--tls-port", str(port), *itertools.chain(*words))
        super().start()
        self.tls_port = port

    def replace(self, signed: Signed, authority: Path) -> None:
        """Connections from now on get this certificate, and show one of this authority."""
        self.client().config_set("tls-ca-cert-file", str(authority))
        self.client().execute_command("CONFIG", "SET", "tls-cert-file", str(signed.cert),
                                      "tls-key-file", str(signed.key))

    def new_database(self) -> str:
        plain = super().new_database()
        return plain.replace("redis:", "rediss:").replace(f":{self.port}/", f":{self.tls_port}/")


class SentinelSet:
    """A master, two replicas of it, and three Sentinels."""

    kind = "sentinel"
    lag = 0.0
    """As the proxies have it by themselves: half of a lease."""

    def __init__(self, directory: Path):
        # A replica is to be there at once.
        options = ("--repl-diskless-sync-delay", "0")
        self.servers = [RedisServer(directory / f"redis-{number}", options=options)
                        for number in range(3)]
        for replica in self.servers[1:]:
            replica.client().replicaof("127.0.0.1", self.servers[0].port)
        until("two replicas are there", self._has_replicas)
        self._unused = itertools.count()
        self.ports: list[int] = []
        self.sentinels = [self._sentinel(directory / f"sentinel-{number}")
                          for number in range(3)]
        for port in self.ports:
            until("a Sentinel knows all of them", lambda port=port: self._knows_all(port))

    def _sentinel(self, directory: Path) -> Process:
        directory.mkdir(parents=True)
        file = directory / "sentinel.conf"
        for attempt in range(5):
            port = free_ports(1)[0]
            file.write_text(f"""port {port}
bind 127.0.0.1
dir {directory}
sentinel monitor main 127.0.0.1 {self.servers[0].port} 2
sentinel down-after-milliseconds main {round(SENTINEL_PATIENCE * 1000)}
sentinel failover-timeout main 2000
""")
            process = Process(f"sentinel-{port}", [BINARY, str(file), "--sentinel"])
            try:
                process.wait_for_line("monitor master main", 10)
            except NotReady:
                if attempt == 4:
                    raise
                continue
            self.ports.append(port)
            return process
        raise AssertionError("not reached")

    def _knows_all(self, port: int) -> bool:
        told = self.sentinel_client(port).sentinel_master("main")
        return (told["num-slaves"], told["num-other-sentinels"]) == (2, 2)

    def _has_replicas(self) -> bool:
        return self._online() == 2

    def _online(self) -> int:
        """How many could take the master's place."""
        info = self.master().client().info("replication")
        return sum(info.get(f"slave{number}", {}).get("state") == "online" for number in (0, 1))

    @staticmethod
    def sentinel_client(port: int) -> redis.Redis:
        return redis.Redis(port=port, decode_responses=True, socket_timeout=5)

    def named(self) -> int:
        """The port that most Sentinels name."""
        said = [self.sentinel_client(port).sentinel_get_master_addr_by_name("main")[1]
                for port in self.ports]
        return max(said, key=said.count)

    def master(self) -> RedisServer:
        if not hasattr(self, "sentinels"):
            return self.servers[0]
        port = self.named()
        return next(server for server in self.servers if server.port == port)

    def settle(self) -> None:
        """Waits until the master has a replica that can take its place."""
        until("there is a master with a replica", lambda: self._online() >= 1, 60)

    def fail_over(self) -> None:
        """Has the master replaced at once. It lives, and takes itself for one for a while."""
        before = self.named()

        def accepted() -> bool:
            self.sentinel_client(self.ports[0]).execute_command("SENTINEL", "FAILOVER", "main")
            return True

        until("a failover is begun", accepted)
        until("there is another master", lambda: self.named() != before)

    def new_database(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/main/{next(self._unused)}"

    def relayed(self, url: str) -> tuple[list[Relay], str]:
        """Before the Sentinels: whom they name a proxy reaches by itself."""
        relays = [Relay(f"redis://127.0.0.1:{port}") for port in self.ports]
        hosts = ",".join(relay.url.removeprefix("http://") for relay in relays)
        return relays, f"redis+sentinel://{hosts}/{url.split('/', 3)[3]}"

    def flush_all(self) -> None:
        self.master().flush_all()

    def stop(self) -> None:
        for process in self.sentinels:
            process.stop()
        for server in self.servers:
            server.stop()


class RedisCluster:
    """Three masters, and a replica of each."""

    kind = "cluster"
    lag = NODE_TIMEOUT
    """On top of half of a lease."""

    def __init__(self, directory: Path):
        self.servers: list[RedisServer] = []
        buses = []
        for number in range(6):
            # Its own choice would be 10,000 ports higher, where there may be none.
            buses.append(free_ports(1)[0])
            self.servers.append(RedisServer(directory / f"redis-{number}", options=(
                "--cluster-enabled", "yes", "--cluster-port", str(buses[-1]),
                "--cluster-node-timeout", str(round(NODE_TIMEOUT * 1000)),
                "--repl-diskless-sync-delay", "0")))
        clients = [server.client() for server in self.servers]
        self.ids = [client.execute_command("CLUSTER", "MYID").decode() for client in clients]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.servers[0].port, buses[0])
        thirds = (0, 5461, 10923, 16384)
        for number in range(3):
            clients[number].execute_command("CLUSTER", "ADDSLOTSRANGE", thirds[number],
                                            thirds[number + 1] - 1)
        for number in range(3):
            def replicates(number=number) -> bool:
                clients[3 + number].execute_command("CLUSTER", "REPLICATE", self.ids[number])
                return True
            until("a replica knows its master", replicates)
        self.settle()

    def nodes(self, seen_by: int = 0) -> dict[str, tuple[list[str], str, str]]:
        """By id: flags, the master's id, the slots."""
        found = {}
        told = self.servers[seen_by].client().cluster("nodes")
        for node in told.values():
            found[node["node_id"]] = (node["flags"].split(","), node["master_id"],
                                      node["slots"])
        return found

    def is_settled(self) -> bool:
        """Everybody sees three masters, each with a replica that could take its place."""
        for number, server in enumerate(self.servers):
            nodes = self.nodes(number)
            flags = [flags for flags, _, _ in nodes.values()]
            followed = {master for flags, master, _ in nodes.values() if "slave" in flags}
            well = all(not {"fail", "fail?", "handshake", "noaddr"} & set(each) for each in flags)
            if not (well and len(nodes) == 6 and len(followed) == 3):
                return False
            info = server.client().info("replication")
            if info["role"] == "slave" and info["master_link_status"] != "up":
                return False
            if server.client().cluster("info")["cluster_state"] != "ok":
                return False
        return True

    def settle(self) -> None:
        until("the cluster is well", self.is_settled, 60)

    def owner(self, slot: int) -> tuple[RedisServer, RedisServer]:
        """The master of this slot, and its replica."""
        nodes = self.nodes()
        master = next(id for id, (flags, _, slots) in nodes.items() if "master" in flags
                      and any(int(first) <= slot <= int(last or first)
                              for first, last in map(_ends, slots)))
        replica = next(id for id, (_, of, _) in nodes.items() if of == master)
        return self.servers[self.ids.index(master)], self.servers[self.ids.index(replica)]

    def fail_over(self, master: RedisServer) -> None:
        """Has its replica take its place, in agreement."""
        id = self.ids[self.servers.index(master)]
        replica = next(other for other, (_, of, _) in self.nodes().items() if of == id)
        replica = self.servers[self.ids.index(replica)]
        replica.client().execute_command("CLUSTER", "FAILOVER")
        until("the replica is the master", lambda: replica.role() == "master")

    def masters(self) -> list[RedisServer]:
        return [server for server in self.servers if server.role() == "master"]

    def move_slot(self, slot: int, between: Callable[[], None] = lambda: None) -> None:
        """Moves a slot and its keys to another master, as `redis-cli --cluster reshard` does.
        `between` is called when half of it is done."""
        source = self.owner(slot)[0]
        target = next(server for server in self.masters() if server is not source)
        ids = {server: self.ids[self.servers.index(server)] for server in (source, target)}
        set_slot = ("CLUSTER", "SETSLOT", slot)
        target.client().execute_command(*set_slot, "IMPORTING", ids[source])
        source.client().execute_command(*set_slot, "MIGRATING", ids[target])
        while True:
            keys = source.client().execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)
            if not keys:
                break
            source.client().execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000,
                                            "KEYS", *keys)
        between()
        for server in (target, source):
            server.client().execute_command(*set_slot, "NODE", ids[target])

    def new_database(self) -> str:
        """There is one database only: no other test may use it any more."""
        self.flush_all()
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in self.servers)
        return f"redis+cluster://{hosts}"

    def relayed(self, url: str) -> tuple[list[Relay], str]:
        """None: the cluster says where its servers are."""
        return [], url

    def flush_all(self) -> None:
        for master in self.masters():
            master.flush_all()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()


def _ends(slots: str | list[str]) -> tuple[str, str]:
    """The first and the last of a range such as 1-5, or of a single slot."""
    if isinstance(slots, list):
        return slots[0], slots[-1]
    first, _, last = slots.partition("-")
    return first, last

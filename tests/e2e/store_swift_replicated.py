"""OpenStack Swift with three replicas of objects and of listings, each on a node of its own that a test can hold back:
what is written meanwhile is acknowledged by the others, and the node shows what stood there before, once it is back.
Nothing replicates: only another write brings a node up to date."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from processes import Process, wait_for_port
from relay import Relay
from store_swift import (PROXY_CONF, STORAGE_CONF, SWIFT_CONF, build_ring, directory_with_xattrs, swift_environment,
                         user_name)
from stores import SECRET, Store, on_free_ports

REPLICAS = 3
# A node that was held back is asked again at once. A write is answered when all nodes have answered that are there.
PROXY_MORE = """
error_suppression_limit = 1000000
conn_timeout = 0.5
post_quorum_timeout = 5
"""


@dataclass
class ReplicatedSwift:
    """The store, and the relays in front of the two servers of each node."""

    store: Store
    nodes: list[list[Relay]]

    @contextmanager
    def held_back(self, number: int) -> Iterator[None]:
        """Meanwhile nothing reaches this node."""
        for relay in self.nodes[number]:
            relay.refuse()
            relay.cut()
        try:
            yield
        finally:
            for relay in self.nodes[number]:
                relay.listen()

    def stop(self) -> None:
        self.store.stop()
        for relay in sum(self.nodes, []):
            relay.close()


def replicated_swift(directory: Path) -> ReplicatedSwift:
    """Swift with s3api: three nodes, each with a server of objects and one of listings."""
    nodes: list[list[Relay]] = []

    def start(wanted: Path, ports: list[int], processes: list[Process]) -> Store:
        for relay in sum(nodes, []):
            relay.close()
        nodes.clear()
        return _start(wanted, ports, processes, nodes)

    return ReplicatedSwift(on_free_ports(3 + 2 * REPLICAS, directory, start), nodes)


def _start(wanted: Path, ports: list[int], processes: list[Process], nodes: list[list[Relay]]) -> Store:
    base = directory_with_xattrs(wanted)
    proxy, account, cache, *storage = ports
    etc, devices, run = base / "etc", base / "srv", base / "run"
    names = [f"d{number}" for number in range(1, REPLICAS + 1)]
    for each in (etc, run, *(devices / name for name in names)):
        each.mkdir(parents=True)
    env = swift_environment(etc)
    common = {"user": user_name(), "etc": etc, "devices": devices, "log": run / "no-syslog"}
    (etc / "swift.conf").write_text(SWIFT_CONF)
    settings = PROXY_CONF.format(port=proxy, cache=cache, secret=SECRET, **common)
    app = "use = egg:swift#proxy\n"
    assert app in settings
    (etc / "proxy-server.conf").write_text(settings.replace(app, app + PROXY_MORE.lstrip()))

    def launch(program: str, *arguments: str) -> None:
        processes.append(Process(program, [program, *arguments], env=env, cwd=etc))

    def configured(kind: str, port: int, number: int) -> str:
        name = f"{kind}-server-{number}.conf"
        (etc / name).write_text(STORAGE_CONF.format(kind=kind, port=port, **common))
        return name

    build_ring(etc, "account", [(account, names[0])], env)
    launch("swift-account-server", configured("account", account, 1))
    relays = {}
    for kind, of_kind in (("container", storage[:REPLICAS]), ("object", storage[REPLICAS:])):
        relays[kind] = [Relay(f"http://127.0.0.1:{port}") for port in of_kind]
        ring = [(int(relay.url.rpartition(":")[2]), name) for relay, name in zip(relays[kind], names)]
        build_ring(etc, kind, ring, env)
        for number, port in enumerate(of_kind, 1):
            launch(f"swift-{kind}-server", configured(kind, port, number))
    nodes.extend(list(pair) for pair in zip(relays["container"], relays["object"]))
    launch("memcached", "-u", common["user"], "-l", "127.0.0.1", "-p", str(cache), "-U", "0", "-m", "32")
    launch("swift-proxy-server", "proxy-server.conf")
    for port in ports:
        wait_for_port(port, processes)
    return Store("swift-replicated", f"http://127.0.0.1:{proxy}", "testkey:testkey", SECRET, processes)

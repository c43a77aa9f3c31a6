"""Where a name leads, and what a node of the store is asked: the names of the store's nodes are looked up again, in
a /etc/hosts that the test changes; and a health check may ask for a bucket."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from proxies import Proxy, Settings
from redis_server import until
from scripted import Request, ScriptedStore
from stores import Store

NAME = "node.test"


class Hosts:
    """A /etc/hosts for one process, in a mount namespace of its own."""

    def __init__(self, file: Path):
        self._file = file
        self.leads_to("127.0.0.1")

    def leads_to(self, *addresses: str) -> None:
        # Written in its place: a new file would not be the one that is mounted.
        self._file.write_text("127.0.0.1 localhost\n"
                              + "".join(f"{address} {NAME}\n" for address in addresses))

    @property
    def within(self) -> tuple[str, ...]:
        return ("unshare", "--mount", "sh", "-c",
                f'mount --bind {self._file} /etc/hosts && exec "$@"', "sh")


@pytest.fixture
def two_places():
    """Two stores at one port of two addresses."""
    for attempt in range(5):
        first = ScriptedStore()
        try:
            second = ScriptedStore(("127.0.0.2", first.port))
            break
        except OSError:
            first.stop()
            if attempt == 4:
                raise
    # A pooled connection would go on where nothing listens any more.
    for store in (first, second):
        store.answer = lambda _: (200, {"ETag": '"e"', "Connection": "close"}, b"")
    yield first, second
    second.stop()
    first.stop()


@pytest.fixture
def named(two_places, tmp_path):
    """Starts a proxy in front of the name."""
    if os.geteuid() != 0:
        pytest.skip("only root can have a /etc/hosts for one process")
    hosts, running = Hosts(tmp_path / "hosts"), []

    def start(settings: Settings) -> Proxy:
        url = f"http://{NAME}:{two_places[0].port}"
        behind = Store("named", url, "storekey", "storesecret")
        if settings.nodes:
            settings = replace(settings, nodes=(url,))
        running.append(Proxy(tmp_path / "proxy", behind, settings, within=hosts.within))
        running[-1].wait_writable("bucket")
        return running[-1]

    yield hosts, start
    for proxy in running:
        proxy.stop()


def asks(proxy: Proxy, store: ScriptedStore) -> bool:
    """Whether a request comes to this store, and is answered."""
    store.take()
    return (proxy.raw().get("/bucket/key").status == 200
            and any(request.method == "GET" for request in store.take()))


@pytest.mark.parametrize("nodes", [(), ("one",)], ids=["url", "urls"])
def test_a_name_whose_address_moves_is_found(named, two_places, nodes):
    """Both addresses work: only looking again shows that the name has moved."""
    (first, second), (hosts, start) = two_places, named
    proxy = start(Settings(nodes=nodes, resolve_interval=5))
    assert asks(proxy, first) and not asks(proxy, second)
    hosts.leads_to("127.0.0.2")
    until("the new address is asked", lambda: asks(proxy, second))
    assert not asks(proxy, first), "the old one is left"
    assert proxy.raw().put("/bucket/key", b"x").status == 200


@pytest.mark.parametrize("nodes", [(), ("one",)], ids=["url", "urls"])
def test_a_name_is_looked_up_as_soon_as_its_address_fails(named, two_places, nodes):
    """Long before it would be by itself."""
    (first, second), (hosts, start) = two_places, named
    proxy = start(Settings(nodes=nodes, resolve_interval=3600))
    assert asks(proxy, first)
    hosts.leads_to("127.0.0.2")
    assert asks(proxy, first), "nobody has looked yet"
    first.stop()
    until("the new address is asked", lambda: proxy.raw().get("/bucket/key").status == 200)
    assert asks(proxy, second)


def test_one_of_several_addresses_that_fails_is_left_for_another(named, two_places):
    (first, second), (hosts, start) = two_places, named
    hosts.leads_to("127.0.0.1", "127.0.0.2")
    proxy = start(Settings())
    used, other = (first, second) if asks(proxy, first) else (second, first)
    for _ in range(5):
        assert asks(proxy, used), "it keeps to one while that works"
    used.stop()
    until("the other is asked", lambda: asks(proxy, other))


# === what a health check asks for ===


def test_a_node_is_asked_for_the_health_bucket(tmp_path):
    """A node answers for itself, and cannot reach its disks. Only a check that asks for a bucket finds out."""
    well, ill = ScriptedStore(), ScriptedStore()
    is_ill = [True]

    def answer(request):
        of_bucket = request.target.partition("?")[0].rstrip("/") == "/checked"
        return (503, {}, b"") if of_bucket and is_ill[0] else (200, {"ETag": '"e"'}, b"")

    ill.answer = answer
    settings = Settings(nodes=(well.store.url, ill.store.url), admin="127.0.0.1:0")
    without = Proxy(tmp_path / "without", well.store, settings)
    asking = Proxy(tmp_path / "with", well.store, replace(settings, health_bucket="checked"))
    try:
        until("it is taken out", lambda: state(asking, ill) == "down")
        assert state(asking, well) == "up"
        checks: list[Request] = []

        def checked(times: int) -> bool:
            checks.extend(each for each in ill.take() if each.method == "HEAD")
            return len(checks) > times

        until("it was checked again and again", lambda: checked(6))
        assert state(without, ill) == "up", "it answers whatever else it is asked"
        is_ill[0] = False
        until("it comes back", lambda: state(asking, ill) == "up")
    finally:
        asking.stop()
        without.stop()
        well.stop()
        ill.stop()


def state(proxy: Proxy, store: ScriptedStore) -> str:
    [found] = [each for each in json.loads(proxy.admin("/status.json")[1])["store"]["nodes"]
               if each["node"] == store.store.url]
    return found["state"]

"""The processes of a round, with a relay between each two that talk.

    clients ── door ── proxy ──┬── relay ── Redis, or each of its Sentinels
                               └── relay ── store, or one for each of its nodes
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from clients import Raw
from conftest import new_bucket
from histories.workload import TIMEOUT
from proxies import Proxy, Settings
from redis_server import RedisCluster, RedisServer, SentinelSet
from relay import Relay
from stores import Store, embedded

Registers = RedisServer | SentinelSet | RedisCluster

KEYS = [f"key-{number}" for number in range(4)]
PROXIES = 3
TERMS = Settings(lease=1.5, grace=1, settle=3, lease_wait=1)
"""Short, so that a minute sees through many faults; `settle` long beside the lease, so that a write
may arrive after the lease of its dead holder, as it is allowed to."""


class Nodes:
    """The connections of one proxy to the nodes of a store. What is done to them is done to all; a fault may
    strike one of them."""

    def __init__(self, target_url: str, count: int):
        self.each = [Relay(target_url) for _ in range(count)]

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(relay.url for relay in self.each)

    def refuse(self) -> None:
        for relay in self.each:
            relay.refuse()

    def listen(self) -> None:
        for relay in self.each:
            relay.listen()

    def cut(self) -> None:
        for relay in self.each:
            relay.cut()

    def hold_all(self, requests: bool = True, answers: bool = True) -> None:
        for relay in self.each:
            relay.hold_all(requests, answers)

    def release(self) -> None:
        for relay in self.each:
            relay.release()

    @property
    def delay(self) -> float:
        return self.each[0].delay

    @delay.setter
    def delay(self, seconds: float) -> None:
        for relay in self.each:
            relay.delay = seconds

    def close(self) -> None:
        for relay in self.each:
            relay.close()


@dataclass
class Post:
    """One proxy and the three connections that it has."""

    proxy: Proxy
    door: Relay
    to_register: list[Relay]
    """To Redis; to the Sentinels, where there are any; none in a cluster."""
    to_store: Relay | Nodes

    def restart(self) -> None:
        self.proxy.start()
        self.door.retarget(self.proxy.url)

    def stop(self) -> None:
        self.proxy.stop()
        for relay in (self.door, *self.to_register, self.to_store):
            relay.close()


class KilledStore:
    """The embedded store, ignoring conditions, which can be killed and started again on its port. Reads, HEADs
    among them, may show what was replaced up to `lag` seconds ago."""

    def __init__(self, directory: Path, lag: float = 0):
        self._directory, self.lag = directory, lag
        self.store: Store = embedded(directory, ignore_conditions=True, lag=lag)

    def kill9(self) -> None:
        self.store.processes[0].kill9()

    def start(self) -> None:
        listen = self.store.url.removeprefix("http://")
        self.store = embedded(self._directory, ignore_conditions=True, listen=listen, lag=self.lag)

    def stop(self) -> None:
        self.store.stop()


GUARDED_READS = """
[[rule]]
buckets = ["*"]
consistency = "guarded"
"""


def told_lag(lag: float) -> float:
    """What the proxies are told of a lag: a bit more."""
    return lag * 1.2


class Scene:
    """Store, Redis and proxies, and a bucket of its own."""

    def __init__(self, directory: Path, store: KilledStore, redis: Registers, writers: str,
                 terms: Settings = TERMS, proxies: int = PROXIES, told: bool = True, nodes: int = 1):
        """`told`: the proxies know by how much the store lags. `nodes`: how many the store has."""
        self.store, self.redis = store, redis
        # What Sentinels and clusters say of their masters is believed for half a lease.
        lag = redis.lag if redis.kind == "standalone" else redis.lag + terms.lease / 2
        self.settings = replace(terms, register=redis.new_database(), writers=writers,
                                failover_lag=lag, lag=told_lag(store.lag) * told,
                                rules=GUARDED_READS * bool(store.lag and told))
        self.nodes, self.bucket = nodes, new_bucket(store.store)
        self.posts = [self._post(directory / f"proxy-{number}", number)
                      for number in range(proxies)]
        self.posts[0].proxy.skip_quarantine()
        for post in self.posts:
            post.proxy.wait_writable(self.bucket)

    def _post(self, directory: Path, number: int) -> Post:
        to_register, register = self.redis.relayed(self.settings.register)
        settings = replace(self.settings, register=register)
        if self.nodes == 1:
            to_store = Relay(self.store.store.url)
            url = to_store.url
        else:
            to_store = Nodes(self.store.store.url, self.nodes)
            url = to_store.urls[0]
            # A check takes longer than what is sent to a node, and back, may be delayed.
            settings = replace(settings, nodes=to_store.urls, health_timeout=1)
        proxy = Proxy(directory, self.store.store, settings, f"ifmatch-{number}", backend_url=url)
        return Post(proxy, Relay(proxy.url), to_register, to_store)

    def alarms(self) -> list[str]:
        """What the proxies that live now have alarmed about: updates that may be lost."""
        return [line for post in self.posts for line in list(post.proxy.process.lines)
                if "ALARM" in line]

    def doors(self) -> list[Raw]:
        return [Raw(post.door.url, *post.proxy.user, timeout=TIMEOUT) for post in self.posts]

    @property
    def takeover(self) -> float:
        """The longest that an armed lease of a dead holder keeps others out; and a quarantine."""
        return self.settings.quarantine

    def stop(self) -> None:
        for post in self.posts:
            post.stop()

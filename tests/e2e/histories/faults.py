"""What can happen to a scene, all of it within what the README promises to survive.

Each fault is a context: it strikes at its beginning and is healed at its end. It says where and
when it struck. How long it lasts is for the nemesis to choose, within `DURATION`.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, ContextManager, Iterator

from histories.scene import Post, Scene
from relay import Relay


@dataclass
class Struck:
    at: float
    """On the monotonic clock, just before."""
    where: str = ""


Fault = Callable[[Scene, random.Random], ContextManager[Struck]]

DELAYS = {"client-proxy": 0.6, "proxy-redis": 0.6, "proxy-store": 0.4}
"""The longest delay of one piece. To the store it stays well below `settle`, some pieces long."""


def _any_post(scene: Scene, chance: random.Random) -> tuple[int, Post]:
    number = chance.randrange(len(scene.posts))
    return number, scene.posts[number]


@contextmanager
def kill_proxy(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """kill -9 with writes on their way to the store, which get lost, or arrive after all."""
    number, post = _any_post(scene, chance)
    post.to_store.hold_all()
    time.sleep(chance.uniform(0.05, 0.3))
    at = time.monotonic()
    post.door.refuse()
    post.proxy.kill9()
    arrive = chance.random() < 0.5
    if not arrive:
        post.to_store.cut()
    try:
        yield Struck(at, f"{number}, what it sent {'arrives late' if arrive else 'is lost'}")
    finally:
        post.to_store.release()
        post.restart()
        post.door.listen()


@contextmanager
def freeze_proxy(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """SIGSTOP, for less than margin + grace (DURATION sees to that)."""
    number, post = _any_post(scene, chance)
    at = time.monotonic()
    post.proxy.process.signal(signal.SIGSTOP)
    try:
        yield Struck(at, str(number))
    finally:
        post.proxy.process.signal(signal.SIGCONT)


@contextmanager
def _nobody_there(relays: list[Relay]) -> Iterator[None]:
    """What they lead to is dead, so they refuse connections as it would."""
    for relay in relays:
        relay.refuse()
    try:
        yield
    finally:
        for relay in relays:
            relay.listen()


@contextmanager
def kill_redis(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    at = time.monotonic()
    with _nobody_there([post.to_register for post in scene.posts]):
        scene.redis.kill9()
        try:
            yield Struck(at)
        finally:
            scene.redis.start()


@contextmanager
def lose_redis(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    with kill_redis(scene, chance) as struck:
        shutil.rmtree(scene.redis.directory / "appendonlydir")
        yield struck


@contextmanager
def flush_redis(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    at = time.monotonic()
    scene.redis.flush_all()
    yield Struck(at)


@contextmanager
def kill_store(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    at = time.monotonic()
    with _nobody_there([post.to_store for post in scene.posts]):
        scene.store.kill9()
        try:
            yield Struck(at)
        finally:
            scene.store.start()


def _relays(scene: Scene, chance: random.Random, between: str) -> tuple[str, list[Relay]]:
    """The connections of one proxy, or of all."""
    name = {"client-proxy": "door", "proxy-redis": "to_register", "proxy-store": "to_store"}
    if chance.random() < 0.3:
        where, posts = "all", scene.posts
    else:
        number, post = _any_post(scene, chance)
        where, posts = str(number), [post]
    return where, [getattr(post, name[between]) for post in posts]


def cut(between: str) -> Fault:
    """Connections break and none can be made; or all that is sent vanishes without a word."""
    @contextmanager
    def fault(scene: Scene, chance: random.Random) -> Iterator[Struck]:
        where, relays = _relays(scene, chance, between)
        silent = chance.random() < 0.5
        at = time.monotonic()
        for relay in relays:
            if silent:
                relay.hold_all()
            else:
                relay.refuse()
                relay.cut()
        try:
            yield Struck(at, f"{where}, {'silently' if silent else 'reset'}")
        finally:
            for relay in relays:
                if silent:
                    relay.cut()
                else:
                    relay.listen()
    return fault


def delay(between: str) -> Fault:
    @contextmanager
    def fault(scene: Scene, chance: random.Random) -> Iterator[Struck]:
        where, relays = _relays(scene, chance, between)
        seconds = chance.uniform(0.1, DELAYS[between])
        at = time.monotonic()
        for relay in relays:
            relay.delay = seconds
        try:
            yield Struck(at, f"{where}, {seconds:.2f} s")
        finally:
            for relay in relays:
                relay.delay = 0
    return fault


FAULTS: dict[str, Fault] = {
    "kill -9 of a proxy": kill_proxy,
    "freeze of a proxy": freeze_proxy,
    "kill -9 of Redis, data kept": kill_redis,
    "kill -9 of Redis, data lost": lose_redis,
    "FLUSHALL": flush_redis,
    "kill -9 of the store": kill_store,
    **{f"cut {between}": cut(between) for between in DELAYS},
    **{f"delay {between}": delay(between) for between in DELAYS},
}

DURATION = {"freeze of a proxy": (0.5, 1.5), "FLUSHALL": (0, 0), "kill -9 of a proxy": (0.1, 1)}
"""Seconds, at least and at most. A freeze stays below margin + grace (2 s); what a killed proxy had
sent arrives well within `settle` (2 s)."""
DURATION_OTHERWISE = (0.3, 2.5)

ALONE = ("freeze of a proxy", "kill -9 of a proxy")
"""Nothing else strikes at the same time: two freezes in a row, or a late arrival that is delayed,
would be longer than what is promised."""

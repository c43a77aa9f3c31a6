"""What can happen to a scene, all of it within what the README promises to survive.

Each fault is a context: it strikes at its beginning and is healed at its end. It says where it
struck. How long it lasts is for the nemesis to choose, within `DURATION`.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from contextlib import contextmanager
from typing import Callable, ContextManager, Iterator

from histories.scene import Post, Scene
from relay import Relay

Fault = Callable[[Scene, random.Random], ContextManager[str]]

DELAYS = {"client-proxy": 0.6, "proxy-redis": 0.6, "proxy-store": 0.4}
"""The longest delay of one piece. To the store it stays well below `settle`, some pieces long."""


def _any_post(scene: Scene, chance: random.Random) -> tuple[int, Post]:
    number = chance.randrange(len(scene.posts))
    return number, scene.posts[number]


@contextmanager
def kill_proxy(scene: Scene, chance: random.Random) -> Iterator[str]:
    """kill -9 with writes on their way to the store, which get lost, or arrive after all."""
    number, post = _any_post(scene, chance)
    post.to_store.hold_all()
    time.sleep(chance.uniform(0.05, 0.3))
    post.proxy.kill9()
    arrive = chance.random() < 0.5
    if not arrive:
        post.to_store.cut()
    try:
        yield f"{number}, what it had sent {'arrives late' if arrive else 'is lost'}"
    finally:
        post.to_store.release()
        post.restart()


@contextmanager
def freeze_proxy(scene: Scene, chance: random.Random) -> Iterator[str]:
    """SIGSTOP, for less than margin + grace (DURATION sees to that)."""
    number, post = _any_post(scene, chance)
    post.proxy.process.signal(signal.SIGSTOP)
    try:
        yield str(number)
    finally:
        post.proxy.process.signal(signal.SIGCONT)


@contextmanager
def kill_redis(scene: Scene, chance: random.Random) -> Iterator[str]:
    scene.redis.kill9()
    try:
        yield "its data are kept"
    finally:
        scene.redis.start()


@contextmanager
def lose_redis(scene: Scene, chance: random.Random) -> Iterator[str]:
    scene.redis.kill9()
    shutil.rmtree(scene.redis.directory / "appendonlydir")
    try:
        yield "its data are lost"
    finally:
        scene.redis.start()


@contextmanager
def flush_redis(scene: Scene, chance: random.Random) -> Iterator[str]:
    scene.redis.flush_all()
    yield ""


@contextmanager
def kill_store(scene: Scene, chance: random.Random) -> Iterator[str]:
    scene.store.kill9()
    try:
        yield ""
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
    def fault(scene: Scene, chance: random.Random) -> Iterator[str]:
        where, relays = _relays(scene, chance, between)
        silent = chance.random() < 0.5
        for relay in relays:
            if silent:
                relay.hold_all()
            else:
                relay.refusing = True
                relay.cut()
        try:
            yield f"{where}, {'silently' if silent else 'reset'}"
        finally:
            for relay in relays:
                relay.refusing = False
                relay.cut()
    return fault


def delay(between: str) -> Fault:
    @contextmanager
    def fault(scene: Scene, chance: random.Random) -> Iterator[str]:
        where, relays = _relays(scene, chance, between)
        seconds = chance.uniform(0.1, DELAYS[between])
        for relay in relays:
            relay.delay = seconds
        try:
            yield f"{where}, {seconds:.2f} s"
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

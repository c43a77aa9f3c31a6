"""What can happen to a scene, all of it within what the README promises to survive.

Each fault is a context: it strikes at its beginning and is healed at its end. It says where and
when it struck. How long it lasts is for the nemesis to choose, within what `FAULTS` says.
"""

from __future__ import annotations

import random
import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Callable, ContextManager, Iterator

from redis.crc import key_slot

from histories.scene import KEYS, Post, Scene
from processes import Process
from redis_server import RedisServer
from relay import Relay


@dataclass
class Struck:
    at: float
    """On the monotonic clock, just before."""
    where: str = ""


Fault = Callable[[Scene, random.Random], ContextManager[Struck]]

GATHERING = (0.1, 0.4)
"""Seconds for which writes are held up on their way to the store, so that a fault meets some."""

DELAYS = {"client-proxy": 0.6, "proxy-redis": 0.6, "proxy-store": 0.4}
"""The longest delay of one piece. To the store it stays well below `settle`, some pieces long."""


def _any_post(scene: Scene, chance: random.Random) -> tuple[int, Post]:
    number = chance.randrange(len(scene.posts))
    return number, scene.posts[number]


@contextmanager
def kill_proxy(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """kill -9 with writes on their way to the store, which get lost, or arrive after all: after the
    lease (1.5 s), most of them, and within `settle` (3 s)."""
    number, post = _any_post(scene, chance)
    post.to_store.hold_all()
    time.sleep(chance.uniform(*GATHERING))
    at = time.monotonic()
    post.door.refuse()
    post.proxy.kill9()
    arrive = chance.random() < 0.7
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
    """SIGSTOP, for less than margin + grace (`FAULTS` sees to that); at times while it waits for
    the register, whose answers are old when it wakes."""
    number, post = _any_post(scene, chance)
    waits = chance.random() < 0.5
    at = time.monotonic()
    if waits:
        for relay in post.to_register:
            relay.hold_all()
        time.sleep(chance.uniform(0.05, 0.2))
    post.proxy.process.signal(signal.SIGSTOP)
    for relay in post.to_register:
        relay.release()
    try:
        yield Struck(at, f"{number}{', waiting for the register' if waits else ''}")
    finally:
        post.proxy.process.signal(signal.SIGCONT)


def freeze(process: Callable[[Scene], Process]) -> Fault:
    @contextmanager
    def fault(scene: Scene, chance: random.Random) -> Iterator[Struck]:
        at = time.monotonic()
        process(scene).signal(signal.SIGSTOP)
        try:
            yield Struck(at)
        finally:
            process(scene).signal(signal.SIGCONT)
    return fault


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
def _writes_on_their_way(scene: Scene, chance: random.Random) -> Iterator[str]:
    """Half of the time, what one proxy sends to the store arrives after the fault only."""
    number, post = _any_post(scene, chance)
    if chance.random() < 0.5:
        yield ""
        return
    post.to_store.hold_all(answers=False)
    time.sleep(chance.uniform(*GATHERING))
    try:
        yield f"while writes of {number} are on their way"
    finally:
        post.to_store.release()


@contextmanager
def kill_redis(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    with _writes_on_their_way(scene, chance) as where:
        at = time.monotonic()
        with _nobody_there([relay for post in scene.posts for relay in post.to_register]):
            scene.redis.kill9()
            try:
                yield Struck(at, where)
            finally:
                scene.redis.start()


@contextmanager
def lose_redis(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    with kill_redis(scene, chance) as struck:
        shutil.rmtree(scene.redis.directory / "appendonlydir")
        yield struck


@contextmanager
def flush_redis(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    with _writes_on_their_way(scene, chance) as where:
        at = time.monotonic()
        scene.redis.flush_all()
        yield Struck(at, where)


@contextmanager
def kill_store(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    at = time.monotonic()
    with _nobody_there([post.to_store for post in scene.posts]):
        scene.store.kill9()
        try:
            yield Struck(at)
        finally:
            scene.store.start()


def _node(scene: Scene, chance: random.Random) -> tuple[int, list[Relay]]:
    """One node of the store, as all proxies reach it."""
    number = chance.randrange(scene.nodes)
    return number, [post.to_store.each[number] for post in scene.posts]


@contextmanager
def kill_node(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """Its process is gone, with what was on its way there; the others go on. Half of the time what comes out of the
    store was lost for a while before, so that writes have landed whose answers nobody gets."""
    number, relays = _node(scene, chance)
    if chance.random() < 0.5:
        for relay in relays:
            relay.hold_all(requests=False)
        time.sleep(chance.uniform(*GATHERING))
    at = time.monotonic()
    with _nobody_there(relays):
        for relay in relays:
            relay.cut()
        yield Struck(at, str(number))


@contextmanager
def freeze_node(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """It accepts and says nothing. When it wakes, it does what it was asked."""
    number, relays = _node(scene, chance)
    at = time.monotonic()
    for relay in relays:
        relay.hold_all()
    try:
        yield Struck(at, str(number))
    finally:
        for relay in relays:
            relay.release()


def _relays(scene: Scene, chance: random.Random, between: str) -> tuple[str, list[Relay]]:
    """The connections of one proxy, or of all."""
    def of(post: Post) -> list[Relay]:
        return {"client-proxy": [post.door], "proxy-redis": post.to_register,
                "proxy-store": [post.to_store]}[between]

    if chance.random() < 0.3:
        where, posts = "all", scene.posts
    else:
        number, post = _any_post(scene, chance)
        where, posts = str(number), [post]
    return where, [relay for post in posts for relay in of(post)]


MANNERS = {"reset": 1, "silent": 1, "answers lost": 2}
"""How connections are cut, and how often so."""


def cut(between: str) -> Fault:
    """Connections break and none can be made; or all that is sent vanishes without a word; or all
    that is answered does, so that what was asked for is done."""
    @contextmanager
    def fault(scene: Scene, chance: random.Random) -> Iterator[Struck]:
        where, relays = _relays(scene, chance, between)
        manner = chance.choices(list(MANNERS), list(MANNERS.values()))[0]
        at = time.monotonic()
        for relay in relays:
            if manner == "reset":
                relay.refuse()
                relay.cut()
            else:
                relay.hold_all(requests=manner == "silent")
        try:
            yield Struck(at, f"{where}, {manner}")
        finally:
            for relay in relays:
                if manner == "reset":
                    relay.listen()
                else:
                    relay.cut()
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


# === where another Redis takes the master's place ===


def _master(scene: Scene, chance: random.Random) -> RedisServer:
    """The one master, or in a cluster one that holds a part of the register that is written."""
    scene.redis.settle()
    if scene.redis.kind == "sentinel":
        return scene.redis.master()
    return scene.redis.owner(_slot(scene, chance))[0]


def _slot(scene: Scene, chance: random.Random) -> int:
    """Where the register has a key that is written."""
    return key_slot(partition_key(f"{scene.bucket}/{chance.choice(KEYS)}").encode())


@contextmanager
def kill_master(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    master = _master(scene, chance)
    with _writes_on_their_way(scene, chance) as where:
        at = time.monotonic()
        master.kill9()
        try:
            yield Struck(at, where)
        finally:
            master.start()


@contextmanager
def freeze_master(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """SIGSTOP for longer than it takes to replace it. It wakes in the middle of what it was asked,
    with all its connections, and takes itself for the master."""
    master = _master(scene, chance)
    at = time.monotonic()
    master.process.signal(signal.SIGSTOP)
    try:
        yield Struck(at)
    finally:
        master.process.signal(signal.SIGCONT)


@contextmanager
def hand_over(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """Another one is made the master. Sentinels tell the old one only seconds later; in a cluster
    both agree on it."""
    master = _master(scene, chance)
    with _writes_on_their_way(scene, chance) as where:
        at = time.monotonic()
        if scene.redis.kind == "sentinel":
            scene.redis.fail_over()
        else:
            scene.redis.fail_over(master)
        yield Struck(at, where)


@contextmanager
def hand_over_unheard(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """Another one is made the master, and one proxy cannot hear the Sentinels: it still has its
    connections to the old one, which takes itself for the master for some 10 s."""
    number, post = _any_post(scene, chance)
    scene.redis.settle()
    at = time.monotonic()
    for relay in post.to_register:
        relay.hold_all()
    scene.redis.fail_over()
    try:
        yield Struck(at, f"{number} does not hear of it")
    finally:
        for relay in post.to_register:
            relay.cut()


@contextmanager
def move_slot(scene: Scene, chance: random.Random) -> Iterator[Struck]:
    """A part of the register that is written goes to another master, and lies between the two for a
    while."""
    scene.redis.settle()
    slot = _slot(scene, chance)
    with _writes_on_their_way(scene, chance) as where:
        at = time.monotonic()
        scene.redis.move_slot(slot, between=lambda: time.sleep(chance.uniform(0, 0.5)))
        yield Struck(at, where)


def partition_key(name: str) -> str:
    """The hash of the register that a key's lease is in (src/register/redis/format.rs)."""
    number = 0xcbf29ce484222325
    for byte in name.encode():
        number = (number ^ byte) * 0x100000001b3 % 2**64
    return f"{{ifmatch:{(number ^ (number >> 32)) % 64}}}"


@dataclass(frozen=True)
class Kind:
    play: Fault
    what: str
    """What it strikes: two faults that strike the same do not meet."""
    seconds: tuple[float, float] = (0.3, 2.5)
    """How long it lasts, at least and at most."""
    alone: bool = False
    """Nothing else strikes at the same time: two freezes in a row, or a late arrival that is
    delayed, would be longer than what is promised."""
    times: int = 1
    """How often it comes before each has come."""


FAULTS = {
    "kill -9 of a proxy": Kind(kill_proxy, "proxy", (1.2, 2.5), alone=True, times=2),
    # Below margin + grace (1.75 s), the time in which it waits for the register included.
    "freeze of a proxy": Kind(freeze_proxy, "proxy", (0.5, 1.2), alone=True),
    "kill -9 of Redis, data kept": Kind(kill_redis, "redis", alone=True),
    "kill -9 of Redis, data lost": Kind(lose_redis, "redis", alone=True),
    "FLUSHALL": Kind(flush_redis, "redis", (0.1, 1.5), alone=True),
    "freeze of Redis": Kind(freeze(lambda scene: scene.redis.process), "redis"),
    "kill -9 of the store": Kind(kill_store, "store"),
    # What is on its way lands well within `settle` (3 s).
    "freeze of the store": Kind(freeze(lambda scene: scene.store.store.processes[0]), "store",
                                (0.3, 1.2), alone=True),
    "cut client-proxy": Kind(cut("client-proxy"), "clients", times=2),
    "cut proxy-redis": Kind(cut("proxy-redis"), "redis"),
    "cut proxy-store": Kind(cut("proxy-store"), "store"),
    "delay client-proxy": Kind(delay("client-proxy"), "clients"),
    "delay proxy-redis": Kind(delay("proxy-redis"), "redis"),
    "delay proxy-store": Kind(delay("proxy-store"), "store"),
}


_COMMON = [name for name, kind in FAULTS.items() if kind.what != "redis"]

REPLACED = {
    **{name: FAULTS[name] for name in [*_COMMON, "FLUSHALL"]},
    "kill -9 of the master": Kind(kill_master, "redis", (1, 3), alone=True, times=2),
    "freeze of the master": Kind(freeze_master, "redis", (2, 4), alone=True),
    "failover to a new master": Kind(hand_over, "redis", (0.5, 2.5), alone=True, times=2),
}
"""Where another Redis may take the master's place."""

OF_NODES = {
    "kill -9 of a node of the store": Kind(kill_node, "store", (0.5, 2.5), times=3),
    # What is on its way lands well within `settle` (3 s).
    "freeze of a node of the store": Kind(freeze_node, "store", (0.5, 2), alone=True, times=2),
}
"""Where the store has several nodes, beside the others."""

OF_REGISTER = {
    "standalone": FAULTS,
    "sentinel": REPLACED | {
        "cut proxy-redis": FAULTS["cut proxy-redis"],
        # Longer than a quarantine: then both masters would grant.
        "failover to a master unheard of": Kind(hand_over_unheard, "redis", (8, 9.5), alone=True)},
    "cluster": REPLACED | {
        "move of a slot to another master": Kind(move_slot, "redis", (0.1, 0.5), alone=True,
                                                 times=2)},
}
"""The faults of each kind of register."""


def may_meet(one: Kind, other: Kind) -> bool:
    return not one.alone and not other.alone and one.what != other.what

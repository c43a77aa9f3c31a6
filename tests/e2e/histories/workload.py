"""Clients that do random operations on a few keys and write down what they were told."""

from __future__ import annotations

import hashlib
import http.client
import random
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field, replace

from clients import UNSIGNED, Raw
from histories import answers
from histories.history import History
from histories.operation import (CREATE, DELETE, DELETE_IF, FAILED, MISMATCH, MISSING, OK, PUT,
                                 READ, REPLACE, UNKNOWN, Operation)

RETRY_PAUSES = (0.2, 1)
"""Seconds before the second and the third attempt, at most, as SDKs wait longer each time."""
TIMEOUT = 5
LARGE = 80 * 1024
"""A body for which the proxy asks the register before it takes it."""
PAUSE_MAX = 0.03
BACKOFF = 0.1
AVOIDED = 0.4
"""Seconds for which a proxy that broke a connection is left alone."""
TORN = "torn reads"
ETAG_OF_ANOTHER = "writes answered with the ETag of another"


def body_of(value: str) -> bytes:
    """The bytes that a write puts there. They name it, so its ETag does too."""
    large = hashlib.md5(value.encode()).digest()[0] < 16
    return f"{value}\n".encode().ljust(LARGE if large else 0, b".")


def etag_of(value: str) -> str:
    return f'"{hashlib.md5(body_of(value)).hexdigest()}"'


class Sights:
    """What was last seen of each key, by anybody; clients write what fits it, or did once."""

    def __init__(self, keys: list[str]):
        self._lock = threading.Lock()
        self._values = {key: deque([None], 6) for key in keys}

    def saw(self, key: str, value: str | None) -> None:
        with self._lock:
            if self._values[key][-1] != value:
                self._values[key].append(value)

    def latest(self, key: str) -> str | None:
        with self._lock:
            return self._values[key][-1]

    def older(self, key: str, chance: random.Random) -> str | None:
        with self._lock:
            return chance.choice([value for value in self._values[key] if value] or [None])


@dataclass
class Client:
    """One thread. It goes through all doors; `retries` gives it an SDK's second and third try,
    which name the same invocation."""

    number: int
    doors: list[Raw]
    bucket: str
    keys: list[str]
    history: History
    sights: Sights
    chance: random.Random
    retries: bool
    stop: threading.Event = field(default_factory=threading.Event)
    _broken: dict[int, float] = field(default_factory=dict)
    _last: int = 0

    def run(self) -> None:
        while not self.stop.is_set():
            outcome = self.operate(self.chance.choice(self.keys))
            at_once = outcome not in (UNKNOWN, FAILED)
            self.stop.wait(self.chance.uniform(0, PAUSE_MAX) if at_once else BACKOFF)

    def operate(self, key: str) -> str:
        return self.perform(key, *self._choose(key))

    def perform(self, key: str, kind: str, expected: str | None = None) -> str:
        number = self.history.number()
        value = f"w{number}" if kind in (PUT, CREATE, REPLACE) else None
        invoked = self.history.now()
        if kind == READ:
            outcome, value, said = self._read(key)
        else:
            outcome, said = self._write(key, kind, value, expected)
        self.history.add(Operation(number, key, kind, invoked, self.history.now(), outcome, value,
                                   expected, self.number, said))
        if outcome == OK:
            self.sights.saw(key, value)
        return outcome

    def _choose(self, key: str) -> tuple[str, str | None]:
        latest = self.sights.latest(key)
        if latest is None:
            kinds = {READ: 25, CREATE: 50, PUT: 12, REPLACE: 8, DELETE_IF: 5}
        else:
            kinds = {READ: 30, REPLACE: 45, DELETE_IF: 6, CREATE: 8, PUT: 8, DELETE: 3}
        kind = self.chance.choices(list(kinds), list(kinds.values()))[0]
        if kind not in (REPLACE, DELETE_IF):
            return kind, None
        stale = latest is None or self.chance.random() < 0.15
        expected = self.sights.older(key, self.chance) if stale else latest
        return (kind, expected) if expected else (CREATE, None)

    def _read(self, key: str) -> tuple[str, str | None, str]:
        try:
            answer = self._door().get(f"/{self.bucket}/{key}")
        except (OSError, http.client.HTTPException) as error:
            self._avoid()
            return UNKNOWN, None, type(error).__name__
        if answer.headers.get("x-ifmatch-consistency") == "store":
            # It may be old, and says so.
            return UNKNOWN, None, "unguarded"
        if answer.status == 404 and answer.code == "NoSuchKey":
            return OK, None, ""
        if answer.status != 200:
            return UNKNOWN, None, answers.in_short(answer)
        value = answer.body.partition(b"\n")[0].decode()
        if answer.etag != etag_of(value) or answer.body != body_of(value):
            # A store may keep bytes and ETag apart: then a read beside a write pairs the old of one with the new
            # of another. It says nothing.
            self.history.remark(TORN)
            return UNKNOWN, None, "torn"
        return OK, value, ""

    def _write(self, key: str, kind: str, value: str | None,
               expected: str | None) -> tuple[str, str]:
        headers = {"amz-sdk-invocation-id": str(uuid.UUID(int=self.chance.getrandbits(128)))}
        if kind == CREATE:
            headers["If-None-Match"] = "*"
        elif expected:
            headers["If-Match"] = etag_of(expected)
        body = body_of(value) if value else b""
        pauses = RETRY_PAUSES if self.retries else ()
        said, doubtful = [], False
        for attempt, pause in enumerate((0, *pauses), 1):
            self.stop.wait(self.chance.uniform(pause / 2, pause))
            headers["amz-sdk-request"] = f"attempt={attempt}; max={len(pauses) + 1}"
            outcome, words = self._attempt(key, headers, body, value)
            said.append(words)
            if outcome in (OK, MISMATCH, MISSING) or words == "409":
                break
            doubtful |= outcome == UNKNOWN
        # An attempt that certainly failed says nothing of the ones before it.
        if outcome == FAILED and doubtful:
            outcome = UNKNOWN
        return outcome, "; ".join(said)

    def _attempt(self, key: str, headers: dict[str, str], body: bytes,
                 value: str | None) -> tuple[str, str]:
        path = f"/{self.bucket}/{key}"
        try:
            door = self._door()
            answer = (door.put(path, body, headers=headers, payload=UNSIGNED) if value
                      else door.delete(path, headers=headers))
        except ConnectionRefusedError as error:
            self._avoid()
            return FAILED, type(error).__name__
        except (OSError, http.client.HTTPException) as error:
            self._avoid()
            return UNKNOWN, type(error).__name__
        outcome = answers.outcome(answer)
        if not answers.expected(answer):
            self.history.remark(f"{answer.status} to a write: {answer.body[:80]!r}")
        if outcome == OK and value and answer.etag not in (None, etag_of(value)):
            self.history.remark(ETAG_OF_ANOTHER)
        return outcome, answers.in_short(answer)

    def _door(self) -> Raw:
        now = self.history.now()
        open_doors = [number for number in range(len(self.doors))
                      if self._broken.get(number, 0) <= now]
        self._last = self.chance.choice(open_doors or range(len(self.doors)))
        return self.doors[self._last]

    def _avoid(self) -> None:
        self._broken[self._last] = self.history.now() + AVOIDED


class Crowd:
    """All clients, half of them with an SDK's retries."""

    def __init__(self, count: int, doors: list[Raw], bucket: str, keys: list[str],
                 history: History, chance: random.Random):
        self.history, sights = history, Sights(keys)
        self.clients = [Client(number, doors, bucket, keys, history, sights,
                               random.Random(chance.getrandbits(64)), retries=number % 2 == 1)
                        for number in range(count)]
        self._threads = [threading.Thread(target=client.run, daemon=True)
                         for client in self.clients]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        for client in self.clients:
            client.stop.set()
        for thread in self._threads:
            thread.join(3 * (TIMEOUT + 1) + 10)
            assert not thread.is_alive(), "a client hangs"

    def last_reads(self, patience: float) -> list[str]:
        """Every key is read through every door: what was acknowledged must be there. Returns what
        could not be read, even after a write in doubt may have ended."""
        reader = self.clients[0]
        unread = {(number, key) for number in range(len(reader.doors)) for key in reader.keys}
        until = self.history.now() + patience
        while unread and self.history.now() < until:
            for number, key in sorted(unread):
                alone = replace(reader, doors=[reader.doors[number]])
                if alone.perform(key, READ) == OK:
                    unread.remove((number, key))
        return [f"{key} through door {number}" for number, key in sorted(unread)]

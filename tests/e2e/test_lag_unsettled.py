"""Guarded reads of a key while a write of it is under way, in doubt, or not recorded. Nobody was told of that write, so
what was acknowledged before it is right; and no reader is shown more than the next one will be."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace

import pytest

from clients import Raw
from conftest import new_bucket
from proxies import Proxy
from redis_server import RedisServer
from relay import Relay
from stores import embedded
from test_lag_reads import TOLD, versioned

LAG = 12.0
"""What the proxies are told: a key stays young for a whole test."""
SHORT = 0.3


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """It does not lag itself: so it shows what a write has left as soon as that has landed."""
    store = embedded(tmp_path_factory.mktemp("store"), ignore_conditions=True)
    yield store
    store.stop()


class Pair:
    """A writer whose ways to the store and to the register can be held, and a reader beside it."""

    def __init__(self, directory, store, lag: float):
        self.lag, self.redis = lag, RedisServer(directory / "redis")
        register = self.redis.new_database()
        settings = replace(TOLD, register=register, lag=lag, read_patience=0.5, lease=4)
        [self.to_register], url = self.redis.relayed(register)
        self.to_store = Relay(store.url)
        self.writing = Proxy(directory / "writing", store, replace(settings, register=url), "lag-writing",
                             backend_url=self.to_store.url)
        self.reading = Proxy(directory / "reading", store, settings, "lag-reading")
        self.reading.skip_quarantine()
        self.writer, self.reader = self.writing.raw(), self.reading.raw()

    def stop(self) -> None:
        for each in (self.writing, self.reading, self.redis):
            each.stop()
        for relay in (self.to_store, self.to_register):
            relay.close()

    def in_background(self, path: str, body: bytes, headers: dict[str, str] | None = None):
        """A thread that writes, and the list that gets its answer."""
        raw, answers = self.writing.raw(), []
        writing = threading.Thread(target=lambda: answers.append(raw.put(path, body, headers=headers)))
        writing.start()
        return writing, answers


@pytest.fixture(scope="module", params=[LAG, SHORT], ids=["young", "old"])
def pair(request, tmp_path_factory, store):
    pair = Pair(tmp_path_factory.mktemp("pair"), store, request.param)
    yield pair
    pair.stop()


def acknowledged(pair: Pair, bucket: str, key: str) -> str:
    """The path of an object that is young where the lag is long, and old where it is short."""
    pair.reading.wait_writable(bucket)
    pair.writing.wait_writable(bucket)
    path = f"/{bucket}/{key}"
    assert pair.reader.put(path, b"before").status == 200
    if pair.lag == SHORT:
        threading.Event().wait(2 * SHORT)
    return path


def seen(pair: Pair, path: str) -> tuple[int, bytes, str]:
    answer = pair.reader.get(path)
    return answer.status, answer.body if answer.status == 200 else b"", answer.headers["x-ifmatch-consistency"]


BEFORE = (200, b"before", "guarded")


@pytest.mark.parametrize("landed", [False, True], ids=["not-landed", "landed"])
@pytest.mark.parametrize("keeps_versions", [False, True], ids=["", "versioned"])
def test_while_a_write_is_under_way_what_was_acknowledged_is_shown(pair, store, keeps_versions, landed):
    bucket = versioned(store) if keeps_versions else new_bucket(store)
    path = acknowledged(pair, bucket, "key")
    (pair.to_store.hold_answers if landed else pair.to_store.hold_requests)(f"PUT {path} ".encode())
    writing, answers = pair.in_background(path, b"after")
    assert pair.to_store.held.wait(20), "the write never came to the store"
    alone = Raw(store.url, store.access_key, store.secret_key)
    assert alone.get(path).body == (b"after" if landed else b"before")
    if not landed or keeps_versions and pair.lag == LAG:
        # A young version is asked for by its id.
        expected = BEFORE
    elif pair.lag == LAG:
        # What the store shows may as well be older.
        expected = (503, b"", "guarded")
    else:
        # It is not older; but nobody was told of it yet.
        expected = (200, b"after", "store")
    assert seen(pair, path) == expected
    pair.to_store.release()
    writing.join()
    assert answers[0].status == 200
    assert seen(pair, path) == (200, b"after", "guarded")


def test_a_write_that_cannot_be_recorded_is_not_acknowledged(pair, store):
    """Its retry is told of its success when the register is back."""
    path = acknowledged(pair, new_bucket(store), "key")
    sent = {"amz-sdk-invocation-id": str(uuid.uuid4())}
    pair.to_store.hold_answers(f"PUT {path} ".encode())
    first = sent | {"amz-sdk-request": "attempt=1; max=99"}
    writing, answers = pair.in_background(path, b"after", first)
    assert pair.to_store.held.wait(20), "the write never came to the store"
    pair.to_register.refuse()
    pair.to_register.cut()
    pair.to_store.release()
    writing.join()
    [refused] = answers
    assert (refused.status, refused.code) == (503, "ServiceUnavailable"), refused
    assert "could not record it" in refused.fields["Message"]
    assert seen(pair, path) != (200, b"after", "guarded"), "nobody was told of it"
    pair.to_register.listen()
    attempt = 1
    while True:
        attempt += 1
        retry = pair.writer.put(path, b"after", headers=sent | {"amz-sdk-request": f"attempt={attempt}; max=99"})
        if retry.status == 200:
            break
        assert retry.status == 503 and attempt < 40, retry
        threading.Event().wait(0.2)
    assert pair.reader.get(path).body == b"after"

"""Two proxies before a slow store: the writers of one key take turns, whichever proxy they came to.
A proxy that handed a key from one of its own writers to the next for as long as it has any would
keep the other's waiting until they gave up."""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from conftest import new_bucket
from proxies import Proxy, Settings, in_front_of
from relay import Relay

WRITERS = 6
"""At each proxy."""
SECONDS = 8


@pytest.fixture
def pair(store_named, redis_server, tmp_path_factory):
    """Two proxies that share one register, and their way to the store."""
    store = store_named("embedded-ignoring")
    relay = Relay(store.url)
    bucket = new_bucket(store)
    far = replace(store, url=relay.url)
    settings = Settings(register=redis_server.new_database(), lease=6, lease_wait=10)
    one = in_front_of(far, bucket, tmp_path_factory.mktemp("one"), settings, "ifmatch-one")
    two = Proxy(tmp_path_factory.mktemp("two"), far, settings, "ifmatch-two")
    yield bucket, relay, [one, two]
    one.stop()
    two.stop()
    relay.cut()


def test_two_proxies_have_about_as_much_of_a_key_each(pair):
    bucket, relay, proxies = pair
    relay.delay = 0.05
    begin = threading.Barrier(2 * WRITERS)

    def write(number: int) -> Tally:
        told, raw = Tally(), proxies[number % 2].raw()
        begin.wait()
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            told[number % 2, raw.put(f"/{bucket}/contended", b"x").status] += 1
        return told

    with ThreadPoolExecutor(2 * WRITERS) as pool:
        told = sum(pool.map(write, range(2 * WRITERS)), Tally())
    assert {status for _, status in told} == {200}, told
    one, two = told[0, 200], told[1, 200]
    assert one + two >= SECONDS * 4 and max(one, two) <= 1.5 * min(one, two), told

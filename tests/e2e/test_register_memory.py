"""What the register keeps, and what happens when it has no room for more."""

from __future__ import annotations

import time

import pytest

from clients import boto
from conftest import new_bucket
from proxies import READER_KEY, READER_SECRET, Settings, in_front_of

GENERATION, WANT = "x-ifmatch-generation", {"x-ifmatch-want": "generation"}
PIN_TTL_MS = 600_000


@pytest.fixture(params=["exclusive", "shared"])
def alone(request, store_named, own_redis, tmp_path):
    """A proxy with a Redis of its own, and a bucket."""
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    settings = Settings(register=own_redis.new_database(), writers=request.param)
    proxy = in_front_of(store, bucket, tmp_path, settings)
    yield proxy, bucket, store
    proxy.stop()


def records(own_redis, bucket: str) -> dict[str, int]:
    """The keys that the register knows of, and for how many milliseconds more."""
    client = own_redis.client()
    return {name.partition("}")[2]: client.pttl(name)
            for name in (key if isinstance(key, str) else key.decode()
                         for key in client.scan_iter("*", count=1000))
            if f"}}{bucket}/" in name and not name.endswith(".writable")}


def test_a_reader_does_not_fill_the_register(alone, own_redis):
    proxy, bucket, store = alone
    exclusive = proxy.settings.writers == "exclusive"
    reader, writer = proxy.raw(READER_KEY, READER_SECRET), proxy.raw()
    at_store = boto(store.url, store.access_key, store.secret_key)
    at_store.put_object(Bucket=bucket, Key="there", Body=b"there")

    for number in range(200):
        absent = reader.request("GET", f"/{bucket}/no/{number}", headers=WANT)
        assert (absent.status, absent.headers.get(GENERATION)) == (404, "absent")
    assert records(own_redis, bucket) == {}

    # What is there is remembered for as long as it takes to read and write again.
    seen = reader.request("GET", f"/{bucket}/there", headers=WANT)
    assert (seen.status, GENERATION in seen.headers) == (200, exclusive)
    kept = records(own_redis, bucket)
    assert list(kept) == ([f"{bucket}/there"] if exclusive else [])
    assert all(0 < ttl <= PIN_TTL_MS for ttl in kept.values())

    # Both names can be written by, once.
    for key, name in [("no/1", "absent"), ("there", seen.headers.get(GENERATION))]:
        if name:
            statuses = [writer.put(f"/{bucket}/{key}", body, headers={
                "x-ifmatch-if-generation-match": name}).status for body in (b"1", b"2")]
            assert statuses == [200, 412], key


@pytest.mark.parametrize("alone", ["shared"], indirect=True)
def test_a_redis_out_of_memory_is_said_to_be_so(alone, own_redis):
    proxy, bucket, _ = alone
    raw, client = proxy.raw(), own_redis.client()
    assert raw.put(f"/{bucket}/before", b"kept").status == 200
    client.config_set("maxmemory", "100kb")
    refused = raw.put(f"/{bucket}/after", b"x")
    assert (refused.status, refused.code) == (503, "ServiceUnavailable"), str(refused)
    assert "out of memory" in refused.fields["Message"], str(refused)
    proxy.process.wait_for_line("the register is out of memory: .*maxmemory", 5)
    read = raw.request("GET", f"/{bucket}/before", headers=WANT)
    assert (read.status, read.body) == (200, b"kept")
    client.config_set("maxmemory", "0")
    began = time.monotonic()
    while raw.put(f"/{bucket}/after", b"x").status != 200:
        assert time.monotonic() - began < 5

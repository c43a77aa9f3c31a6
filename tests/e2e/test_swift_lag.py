"""A real store that lags: OpenStack Swift with three replicas, of which one is held back while something is written. Alone it
shows what stood there before; through proxies that were told of a lag nobody sees that, and no update is lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from botocore.config import Config

from clients import Raw, boto
from conftest import new_bucket, stores_wanted
from proxies import Settings
from store_swift_replicated import REPLICAS, replicated_swift
from test_lag import GUARDED, two_proxies

LAG = 15.0
"""Longer than it takes here until all nodes were written again."""
TOLD = Settings(writers="exclusive", lag=LAG, lease_wait=20, read_patience=5, rules=GUARDED, admin="127.0.0.1:0")
ONE_ATTEMPT = Config(retries={"total_max_attempts": 1})
READS = 10


@pytest.fixture(scope="module")
def swift(tmp_path_factory, request):
    if "swift" not in stores_wanted(request.config):
        pytest.skip("swift is not among the stores wanted (--stores)")
    swift = replicated_swift(tmp_path_factory.mktemp("swift"))
    yield swift
    swift.stop()


@pytest.fixture(scope="module")
def pair(tmp_path_factory, swift, redis_server):
    proxies = two_proxies(tmp_path_factory.mktemp("pair"), swift.store, redis_server, TOLD)
    yield proxies
    for proxy in proxies:
        proxy.stop()


def alone(swift):
    return boto(swift.store.url, swift.store.access_key, swift.store.secret_key)


def read(s3, bucket: str, key: str) -> bytes | None:
    """What a GET shows; None where nothing is there."""
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except s3.exceptions.NoSuchKey:
        return None


def listed(s3, bucket: str) -> dict[str, str]:
    return {row["Key"]: row["ETag"] for row in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}


def write_all(s3, bucket: str, number: int) -> dict[str, bytes | None]:
    """An overwrite, a create and a delete, and what they leave."""
    body = b"body %d" % number
    s3.put_object(Bucket=bucket, Key="overwritten", Body=body)
    s3.put_object(Bucket=bucket, Key=f"created-{number}", Body=body)
    s3.delete_object(Bucket=bucket, Key="deleted")
    return {"overwritten": body, f"created-{number}": body, "deleted": None}


def heal(s3, bucket: str, left: dict[str, bytes | None]) -> None:
    """Writes the same once more while all nodes are there."""
    for key, body in left.items():
        if body is None:
            s3.put_object(Bucket=bucket, Key=key, Body=b"to be deleted")
            s3.delete_object(Bucket=bucket, Key=key)
        else:
            s3.put_object(Bucket=bucket, Key=key, Body=body)


def stale(s3, bucket: str, left: dict[str, bytes | None], reads: int) -> dict[str, int]:
    """How many reads of each key, and how many listings, showed something else."""
    seen = {key: sum(read(s3, bucket, key) != body for _ in range(reads)) for key, body in left.items()}
    there = {key for key, body in left.items() if body is not None}
    lists = [listed(s3, bucket) for _ in range(reads)]
    seen["listings"] = sum(not there <= set(each) or "deleted" in each for each in lists)
    return seen


def test_swift_shows_what_was_replaced_after_one_of_its_nodes_was_away(swift):
    s3 = alone(swift)
    bucket = new_bucket(swift.store)
    totals: dict[str, int] = {}
    for number in range(REPLICAS):
        for key in ("overwritten", "deleted"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"before")
        with swift.held_back(number):
            left = write_all(s3, bucket, number)
        for key, count in stale(s3, bucket, left, READS).items():
            totals[key.partition("-")[0]] = totals.get(key.partition("-")[0], 0) + count
        heal(s3, bucket, left)
        assert not any(stale(s3, bucket, left, 4).values()), "it is up to date again"
    # Of an object that is new the others say that it is there.
    assert totals.pop("created") == 0
    assert all(totals.values()), totals


def test_x_newest_makes_reads_of_objects_strong_and_listings_not(swift):
    """What `backend.strong_headers` may say in front of Swift."""
    door, s3 = Raw(swift.store.url, swift.store.access_key, swift.store.secret_key), alone(swift)
    bucket, newest = new_bucket(swift.store), {"x-newest": "true"}
    for key in ("overwritten", "deleted"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"before")
    with swift.held_back(0):
        left = write_all(s3, bucket, 0)
    assert any(stale(s3, bucket, left, READS).values()), "Swift did not lag"
    for key, body in left.items():
        for method in ("GET", "HEAD"):
            statuses = {door.request(method, f"/{bucket}/{key}", headers=newest).status for _ in range(READS)}
            assert statuses == ({404} if body is None else {200})
        assert body is None or {door.get(f"/{bucket}/{key}", headers=newest).body for _ in range(READS)} == {body}
    lists = [door.get(f"/{bucket}", headers=newest).body for _ in range(READS)]
    assert any(b"<Key>deleted<" in each for each in lists)
    heal(s3, bucket, left)


def test_through_told_proxies_nobody_sees_what_was_replaced(swift, pair):
    bucket = new_bucket(swift.store)
    by_itself, lagged = alone(swift), 0
    clients = [proxy.boto(config=ONE_ATTEMPT) for proxy in pair]
    for number in range(REPLICAS + 1):
        writer, reader = clients[number % 2], clients[(number + 1) % 2]
        for key in ("overwritten", "deleted"):
            writer.put_object(Bucket=bucket, Key=key, Body=b"before")
        began = time.monotonic()
        with swift.held_back(number % REPLICAS):
            left = write_all(writer, bucket, number)
        lagged += sum(stale(by_itself, bucket, left, 5).values())
        assert not any(stale(reader, bucket, left, 8).values())
        heal(writer, bucket, left)
        assert time.monotonic() - began < LAG, "longer than was told: this machine is too slow for LAG"
    assert lagged > 0, "Swift did not lag"
    waited = sum(proxy.metric("ifmatch_guarded_reads_total", outcome="waited") for proxy in pair)
    merged = sum(proxy.metric("ifmatch_guarded_listings_total", outcome="merged") for proxy in pair)
    assert waited > 0 and merged > 0


def test_no_update_is_lost_while_nodes_come_and_go(swift, pair):
    """A counter is read and written by compare-and-swap, through both proxies. One node after the other is away for a
    moment, so each misses writes, and shows what was there before, until the next one."""
    bucket, ends = new_bucket(swift.store), time.monotonic() + 12
    clients = [proxy.boto(config=ONE_ATTEMPT) for proxy in pair]
    clients[0].put_object(Bucket=bucket, Key="counter", Body=b"0")
    done = threading.Event()

    def disturb() -> None:
        number = 0
        while not done.is_set():
            with swift.held_back(number % REPLICAS):
                done.wait(0.4)
            done.wait(0.4)
            number += 1

    def count(s3) -> int:
        added = 0
        while time.monotonic() < ends:
            try:
                seen = s3.get_object(Bucket=bucket, Key="counter")
                value = int(seen["Body"].read())
                s3.put_object(Bucket=bucket, Key="counter", Body=b"%d" % (value + 1), IfMatch=seen["ETag"])
                added += 1
            except s3.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] in ("PreconditionFailed", "ServiceUnavailable"), error.response
        return added

    by_itself, values = alone(swift), []

    def watch() -> None:
        while time.monotonic() < ends:
            values.append(int(read(by_itself, bucket, "counter")))

    with ThreadPoolExecutor(5) as pool:
        disturbing = pool.submit(disturb)
        watching = pool.submit(watch)
        adding = [pool.submit(count, s3) for s3 in clients]
        total = sum(each.result() for each in adding)
        watching.result()
        done.set()
        disturbing.result()
    assert int(read(clients[1], bucket, "counter")) == total > 10
    assert any(later < value for value, later in zip(values, values[1:])), "Swift never went back"

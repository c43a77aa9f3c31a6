"""The embedded store with `--lag`: replicas that are behind, each on its own, and the same for the same seed."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import urllib3

from embedded import Bucket
from processes import Process
from stores import BINARY, SECRET, Store
from test_store_crash import ENV

READS = 60


def serve(directory: Path, *flags: str) -> Store:
    argv = [str(BINARY), "store", str(directory), "--listen", "127.0.0.1:0", *flags]
    process = Process("store-lag", argv, env=ENV)
    url = process.wait_for_line(r"listening on (http://\S+)")[1]
    return Store("store", url, "storekey", SECRET, [process])


def seen(directory: Path, seed: int) -> tuple[list[int], dict]:
    """What each of many requests is answered, and what the store counts. An hour ago there was nothing, and
    what is an hour's smallest part ago is there."""
    store = serve(directory, "--lag", "1h", "--seed", str(seed))
    bucket = Bucket(store, "bucket")
    bucket("create_bucket")
    bucket.put("key", b"x")
    statuses = []
    for _ in range(READS):
        statuses.append(bucket.raw.get(bucket.path("key")).status)
        statuses.append(bucket.raw.get(bucket.path(query="list-type=2")).status)
    counts = json.loads(urllib3.PoolManager().request("GET", f"{store.url}/-/chaos").data)
    store.stop()
    return statuses, counts


def test_all_replicas_serve_and_lag_and_are_counted(tmp_path):
    statuses, counts = seen(tmp_path / "store", 7)
    for by_replica, replicas in (("reads_by_replica", 3), ("listings_by_replica", 2)):
        assert len(counts[by_replica]) == replicas and all(counts[by_replica])
        assert sum(counts[by_replica]) == READS
    assert counts["lagging_reads"] == statuses[::2].count(404) > 0
    assert counts["lagging_listings"] == statuses[1::2].count(404) > 0


def test_the_same_seed_decides_the_same_for_the_same_requests(tmp_path):
    first, again, other = (seen(tmp_path / str(number), seed) for number, seed in enumerate((7, 7, 8)))
    assert first[1] == again[1] != other[1]


def test_a_reader_sees_an_earlier_and_then_a_later_object_and_the_other_way_round(tmp_path):
    store = serve(tmp_path / "store", "--lag", "1s", "--seed", "7")
    bucket = Bucket(store, "bucket")
    bucket("create_bucket")
    bucket.put("key", b"-1")
    # No replica is asked for it before it has it: none remembers that it is not there.
    threading.Event().wait(1.1)
    shown = []
    for number in range(300):
        bucket.put("key", str(number).encode())
        answer = bucket.raw.get(bucket.path("key"))
        shown.append(int(answer.body) if answer.status == 200 else -1)
    steps = [after - before for before, after in zip(shown, shown[1:])]
    assert min(steps) < 0 < max(steps), "it goes back and forth"
    assert any(number < turn for turn, number in enumerate(shown))
    assert bucket.refuses("put_object", "key", IfNoneMatch="*") == (412, "PreconditionFailed")
    store.stop()

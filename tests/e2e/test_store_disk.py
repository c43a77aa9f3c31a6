"""The embedded store on a disk that is full for a while: what it refuses, and what it keeps."""

from __future__ import annotations

import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedded import Bucket
from processes import Process
from redis_server import until
from stores import BINARY, SECRET, Store
from test_store_crash import ENV, files_in, files_needed

UNLIMITED = resource.RLIM_INFINITY
REFUSALS = {500: "InternalError", 503: "SlowDown"}


def serve(directory: Path) -> Store:
    """A process that is told of a file that grows too large, instead of being killed."""
    argv = ["sh", "-c", 'trap "" XFSZ; exec "$@"', "sh", str(BINARY), "store", str(directory),
            "--listen", "127.0.0.1:0"]
    process = Process("store-disk", argv, env=ENV)
    url = process.wait_for_line(r"listening on (http://\S+)")[1]
    return Store("store", url, "storekey", SECRET, [process])


def limit(store: Store, file_bytes: int) -> None:
    """No file of the process can grow beyond so many bytes, as if the disk were full."""
    resource.prlimit(store.processes[0].pid, resource.RLIMIT_FSIZE, (file_bytes, UNLIMITED))


def test_a_full_disk_refuses_writes_and_nothing_is_lost(tmp_path):
    store = serve(tmp_path / "store")
    bucket, told = Bucket(store, "bucket"), {}
    bucket("create_bucket")
    metadata = {f"x-amz-meta-{number}": "v" * 190 for number in range(8)}

    def write(number: int) -> int:
        body = str(number).encode()
        answer = bucket.raw.put(bucket.path(f"key {number}"), body, headers=metadata)
        if answer.status == 200:
            told[f"key {number}"] = body
        else:
            assert answer.code == REFUSALS[answer.status], answer
        return answer.status

    def check() -> None:
        assert all(bucket.body(key) == body for key, body in told.items())
        assert told.keys() <= set(bucket.keys())

    for number in range(10):
        assert write(number) == 200
    limit(store, (tmp_path / "store" / "index.redb").stat().st_size)
    full = next(number for number in range(10, 5000) if write(number) != 200)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(full + 1, full + 100)))
    until("what is there can be read", lambda: bucket.raw.get(bucket.path("key 0")).status == 200)
    check()
    limit(store, UNLIMITED)
    until("it writes again", lambda: write(5000) == 200)
    check()
    until("files without an object are gone", lambda: files_in(tmp_path / "store") == files_needed(bucket))
    assert store.processes[0].stop() == 0
    store = serve(tmp_path / "store")
    bucket = Bucket(store, "bucket")
    check()
    store.stop()

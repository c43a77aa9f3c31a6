"""The figures of "Sizing" in docs/operations.md: what a key costs Redis, and what a connection costs the process."""

from __future__ import annotations

import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from amounts import amount
from processes import ROOT
from proxies import Settings, in_front_of
from redis_server import until

pytestmark = pytest.mark.full
KEYS = amount(300, 1_000)
CONNECTIONS = 500
PAGE = (ROOT / "docs" / "operations.md").read_text().partition("\n## Sizing\n")[2].partition("\n## ")[0]


def said(pattern: str) -> int:
    """A number that the page names."""
    [found] = re.findall(pattern, PAGE)
    return int(found.replace(",", ""))


@pytest.mark.parametrize("lag", [0, 15], ids=["no-lag", "lag"])
def test_a_key_costs_redis_what_the_page_says(store, own_redis, tmp_path, lag):
    """Where the store lags, all are written within the lag."""
    proxy = in_front_of(store.store, "bucket", tmp_path,
                        Settings(register=own_redis.new_database(), settle=0, lag=lag, writers="exclusive"))
    proxy.skip_quarantine()
    proxy.wait_writable("bucket")
    raw, redis = proxy.raw(), own_redis.client()

    def used() -> int:
        """All keys and what they hold. Of the server's memory as a whole, what connections take would count too."""
        return sum(redis.memory_usage(key, samples=0) for key in redis.scan_iter(count=1_000))

    def write(number: int) -> None:
        # As long a name as many have.
        assert raw.put(f"/bucket/table/part-{number:08}-of-many.parquet", b"x").status == 200

    before, began = used(), time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(KEYS)))
    each = (used() - before) / KEYS
    assert not lag or time.monotonic() - began < lag, "the first ones were old before the last one was written"
    assert proxy.stop() == 0
    page = said(r"some ([\d,]+) bytes in Redis") + (said(r"another ([\d,]+) bytes") if lag else 0)
    assert page / 2 < each < page * 1.25, f"{each:.0f} bytes a key"


def test_a_connection_costs_what_the_page_says(store, tmp_path):
    proxy = in_front_of(store.store, "bucket", tmp_path, Settings(settle=0, admin="127.0.0.1:0"))
    raw = proxy.raw()

    def memory() -> float:
        return proxy.metric("process_resident_memory_bytes")

    def opened() -> list[socket.socket]:
        """Connections that have each asked once."""
        made = []
        for _ in range(CONNECTIONS):
            made.append(socket.create_connection((raw.host, raw.port), timeout=30))
            made[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert made[-1].recv(65536).startswith(b"HTTP/1.1 403")
        return made

    idle = memory()
    assert idle < said(r"idle process takes (\d+) MiB") * 1.5 * (1 << 20), f"{idle / (1 << 20):.0f} MiB"
    # The first ones fill what the process then keeps anyway.
    first = opened()
    before, descriptors = memory(), proxy.metric("process_open_fds")
    second = opened()
    each = (memory() - before) / CONNECTIONS
    assert proxy.metric("process_open_fds") - descriptors == CONNECTIONS, "one each"
    assert each < said(r"idle connection (\d+) KiB") * 1024, f"{each:.0f} bytes"
    for connection in first + second:
        connection.close()
    until("they are closed", lambda: proxy.metric("ifmatch_in_flight", kind="connections") == 0)
    assert proxy.stop() == 0

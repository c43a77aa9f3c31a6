"""Memory: what connections and uploads under way take of a proxy, and what a key takes of Redis."""

from __future__ import annotations

import dataclasses
import resource
import socket
import time
from urllib.parse import urlsplit

import redis

from servers import Server
from signing import BUCKET, SMALL_BODY, Connection, key_path, signed

CROWD = 1000
HALF = 64 << 10
KEYS = 5000
STEADY_BYTES = 256 << 10
"""Less is no change."""
SETTLED_SECONDS = 0.5
"""For so long the memory of a process must not have changed."""


@dataclasses.dataclass(frozen=True)
class Memory:
    """Of one proxy, in bytes. What is called growth is beside the value before it."""

    after_loads: int
    idle: int
    """Growth by a crowd of connections that have each been answered once."""
    half: int
    """Growth by a crowd of uploads that stopped halfway."""
    left: int
    """What of all that growth is there when the crowd has gone."""


def raise_file_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def settled(server: Server) -> int:
    """Its memory, once it changes no more."""
    last, since = server.own_memory(), time.monotonic()
    while time.monotonic() - since < SETTLED_SECONDS:
        time.sleep(0.05)
        now = server.own_memory()
        if abs(now - last) > STEADY_BYTES:
            last, since = now, time.monotonic()
    return server.own_memory()


def memory_of(server: Server) -> Memory:
    raise_file_limit()
    before = settled(server)
    crowd = [Connection(server.url) for _ in range(CROWD)]
    for connection in crowd:
        if connection.send(signed("GET", key_path(0))) != 200:
            raise SystemExit(f"{server.url} does not answer a crowd")
    idle = settled(server) - before
    for connection in crowd:
        connection.close()
    between = settled(server)
    uploads = [started(server, number) for number in range(CROWD)]
    half = settled(server) - between
    for upload in uploads:
        upload.close()
    return Memory(before, idle, half, settled(server) - before)


def started(server: Server, number: int) -> socket.socket:
    """An upload of which one half has been sent."""
    address = urlsplit(server.url)
    upload = socket.create_connection((address.hostname, address.port), 10)
    request = signed("PUT", f"/{BUCKET}/half-{number}", bytes(2 * HALF))
    upload.sendall(request[:-HALF])
    return upload


def redis_bytes_per_key(proxy: Server, server: Server) -> float:
    """Of keys that are each written once."""
    client = redis.Redis.from_url(server.url)
    before = client.memory_stats()["dataset.bytes"]
    connection = Connection(proxy.url)
    for number in range(KEYS):
        if connection.send(signed("PUT", f"/{BUCKET}/new/part-{number:05}.parquet", SMALL_BODY)) // 100 != 2:
            raise SystemExit(f"{proxy.url} refuses new keys")
    connection.close()
    each = (client.memory_stats()["dataset.bytes"] - before) / KEYS
    client.close()
    return each

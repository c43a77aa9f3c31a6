"""Requests that were signed once, as wrk replays them, and a connection for those that are made once."""

from __future__ import annotations

import base64
import hashlib
import random
import socket
import ssl
import time
import zlib
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY, SECRET = "bench-access-key", "bench-secret-0123456789"
REGION = "us-east-1"
# Signed, so sent the same to every target, whatever its port is. moto would take another for the name of a bucket.
HOST = "localhost"
BUCKET = "bench"
KEYS = 2000
SMALL, LARGE = 4 << 10, 1 << 20

random.seed(1)
SMALL_BODY, LARGE_BODY = random.randbytes(SMALL), random.randbytes(LARGE)
ETAG = f'"{hashlib.md5(SMALL_BODY).hexdigest()}"'
LARGE_ETAG = f'"{hashlib.md5(LARGE_BODY).hexdigest()}"'
STALE = f'"{hashlib.md5(b"what nobody wrote").hexdigest()}"'


def signed(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as an SDK sends it, but without `Expect`, which wrk does not understand, and
    without an invocation id: sent again, it would be a retry, and answered from the journal."""
    request = AWSRequest(method, f"http://{HOST}{path}", data=body)
    # Set before signing: S3SigV4Auth signs every header but a few that change on the way.
    request.headers["User-Agent"] = "Boto3/1.44 md/Botocore#1.44 ua/2.1 os/linux lang/python#3.11"
    request.headers["amz-sdk-request"] = "attempt=1"
    if body:
        checksum = zlib.crc32(body).to_bytes(4, "big")
        request.headers["x-amz-sdk-checksum-algorithm"] = "CRC32"
        request.headers["x-amz-checksum-crc32"] = base64.b64encode(checksum).decode()
    for name, value in headers.items():
        request.headers[name.replace("_", "-")] = value
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET), "s3", REGION).add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if method == "PUT":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def key_path(number: int) -> str:
    return f"/{BUCKET}/tables/part-{number:05}.parquet"


LARGE_PATH = f"/{BUCKET}/large.bin"
HOT_PATH = f"/{BUCKET}/hot"


def request_sets() -> dict[str, Callable[[], list[bytes]]]:
    """By name; made when they are wanted, since a signature is good for a quarter of an hour."""
    paths = [key_path(number) for number in range(KEYS)]

    def puts(**headers: str) -> list[bytes]:
        return [signed("PUT", path, SMALL_BODY, **headers) for path in paths]

    def reads(**headers: str) -> list[bytes]:
        return [signed("GET", path, **headers) for path in paths]

    def once() -> list[bytes]:
        return [read.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") for read in reads()]

    return {
        "put": puts,
        "put if-match": lambda: puts(If_Match=ETAG),
        "put stale": lambda: puts(If_Match=STALE),
        "put large": lambda: [signed("PUT", LARGE_PATH, LARGE_BODY)],
        "put hot": lambda: [signed("PUT", HOT_PATH, SMALL_BODY)],
        "get": reads,
        "get large": lambda: [signed("GET", LARGE_PATH)],
        "get once": once,
    }


def write_requests(requests: list[bytes], file: Path) -> Path:
    """As replay.lua reads them."""
    file.write_bytes(b"".join(b"%d\n%b" % (len(one), one) for one in requests))
    return file


class Connection:
    """One connection for the requests that are made once: they must succeed."""

    def __init__(self, url: str):
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), 10)
        if address.scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.reader = self.socket.makefile("rb")
        self.ended = False
        """Whether the server has said that it closes the connection."""

    def send(self, request: bytes) -> int:
        """The answer's status, its body read and thrown away."""
        self.socket.sendall(request)
        status = self.reader.readline().split()
        length = 0
        while (line := self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"connection":
                self.ended = value.strip().lower() == b"close"
        self.reader.read(length)
        return int(status[1]) if len(status) > 1 else 0

    def close(self) -> None:
        self.reader.close()
        self.socket.close()


def fill(url: str) -> None:
    """Puts everything there that will be read, or matched."""
    connection = Connection(url)
    puts = [signed("PUT", key_path(number), SMALL_BODY) for number in range(KEYS)]
    for request in [signed("PUT", f"/{BUCKET}"), *puts, signed("PUT", HOT_PATH, SMALL_BODY),
                    signed("PUT", LARGE_PATH, LARGE_BODY)]:
        status = connection.send(request)
        if status // 100 != 2:
            raise SystemExit(f"the store answered {status} to {request.splitlines()[0]}")
    connection.close()


def wait_writable(url: str, request: bytes, seconds: float = 20) -> None:
    """A new register grants nothing for a while: 503 until then."""
    deadline = time.monotonic() + seconds
    while True:
        connection = Connection(url)
        status = connection.send(request)
        connection.close()
        if status // 100 == 2:
            return
        if status != 503 or time.monotonic() > deadline:
            raise SystemExit(f"{url} answered {status} to a write")
        time.sleep(0.1)

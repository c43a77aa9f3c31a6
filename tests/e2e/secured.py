"""A proxy with a port for TLS, and what tests do there."""

from __future__ import annotations

import http.client
import re
import ssl
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from certificates import Signed
from clients import Raw
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy


@dataclass
class Served:
    """A proxy with a port for TLS beside its plain one."""

    proxy: Proxy
    url: str

    @property
    def port(self) -> int:
        return urlsplit(self.url).port

    def handshake(self, *words: str, name: str | None = None) -> str:
        """What `openssl s_client` says; it sends one request and reads the answer."""
        named = ("-servername", name) if name else ("-noservername",)
        done = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", *named, *words],
            input="GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    def is_served(self, *words: str) -> bool:
        return "HTTP/1.1 403" in self.handshake("-ign_eof", *words)

    def raw(self, secret: str = CLIENT_SECRET) -> Raw:
        """Signs requests for the port with TLS."""
        return Raw(self.url, ACCESS_KEY, secret)

    def said(self, pattern: str, since: int = 0) -> re.Match[str]:
        return self.proxy.process.wait_for_line(pattern, timeout=10, since=since)


def shown(signed: Signed) -> tuple[str, ...]:
    return "-cert", str(signed.cert), "-key", str(signed.key)


def serial(served: Served, name: str | None = None, *words: str) -> int:
    text = served.handshake("-showcerts", *words, name=name)
    pem = re.search(r"-----BEGIN.*?-----END CERTIFICATE-----", text, re.DOTALL)
    done = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem[0],
                          capture_output=True, text=True)
    return int(done.stdout.strip().removeprefix("serial="), 16)


class Load:
    """Clients that write and read by turns, each a key of its own; some keep their connections, some do not.
    Every request is signed, and goes through to the register and the store."""

    def __init__(self, raw: Raw, ca: Path | None = None, bucket: str = "bucket",
                 reads_back: bool = False):
        """`reads_back`: the store keeps what is written. `ca` is for a `raw` that speaks TLS."""
        self.raw, self.bucket, self.reads_back = raw, bucket, reads_back
        self.context = ssl.create_default_context(cafile=str(ca)) if ca else None
        self.stop, self.failures = threading.Event(), []
        self.turns = [0] * 4
        """How often each has written and read."""
        self.pool = ThreadPoolExecutor(4)
        self.runs = [self.pool.submit(self.run, number, number < 2) for number in range(4)]

    def connection(self) -> http.client.HTTPConnection:
        if self.context is None:
            return http.client.HTTPConnection(self.raw.host, self.raw.port, timeout=20)
        return http.client.HTTPSConnection(self.raw.host, self.raw.port, timeout=20,
                                           context=self.context)

    def run(self, number: int, keeps: bool) -> None:
        client, target = self.connection(), f"/{self.bucket}/load-{number}"
        while not self.stop.is_set():
            body = b"%d" % self.turns[number]
            try:
                self.ask(client, "PUT", target, body)
                read = self.ask(client, "GET", target)
                if self.reads_back and read != body:
                    self.failures.append(f"{read} was read after {body}")
                self.turns[number] += 1
                if not keeps:
                    client.close()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                client.close()

    def ask(self, client: http.client.HTTPConnection, method: str, target: str,
            body: bytes = b"") -> bytes:
        # Looked up for each request: a test may give the clients another secret.
        client.request(method, target, body=body, headers=self.raw.signed(method, target, body=body))
        answer = client.getresponse()
        said = answer.read()
        if answer.status != 200:
            self.failures.append((method, answer.status, said))
        return said

    def wait_more(self, turns: int = 5) -> None:
        """Until each of them has begun and ended some more requests."""
        before = list(self.turns)
        wait_until(lambda: all(now > then + turns for now, then in zip(self.turns, before)))

    def end(self) -> None:
        self.stop.set()
        for run in self.runs:
            run.result(30)
        self.pool.shutdown()


def wait_until(happens, timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not happens():
        assert time.monotonic() < deadline, "never"
        time.sleep(0.05)

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
from proxies import Proxy


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
    """Clients that ask by TLS: some keep their connections, some do not."""

    def __init__(self, served: Served, ca: Path):
        self.served, self.context = served, ssl.create_default_context(cafile=str(ca))
        self.stop, self.failures, self.requests = threading.Event(), [], 0
        self.pool = ThreadPoolExecutor(4)
        self.runs = [self.pool.submit(self.run, keeps) for keeps in (True, True, False, False)]

    def run(self, keeps: bool) -> None:
        client = http.client.HTTPSConnection("127.0.0.1", self.served.port, timeout=20,
                                             context=self.context)
        while not self.stop.is_set():
            try:
                client.request("GET", "/bucket/key")
                answer = client.getresponse()
                answer.read()
                if answer.status != 403:
                    self.failures.append(answer.status)
                self.requests += 1
                if not keeps:
                    client.close()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                client.close()

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

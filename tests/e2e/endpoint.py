"""Where a client is sent: the proxy, the store alone, or a listener before either of them."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from dataclasses import dataclass, replace

from clients import REGION, boto
from relay import Relay


@dataclass(frozen=True)
class Endpoint:
    """All that a client is told: an address, a key, a bucket. Path style, plain HTTP."""

    url: str
    access_key: str
    secret_key: str
    bucket: str

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def env(self) -> dict[str, str]:
        """The variables that AWS's own tools and many others read."""
        return {"AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": self.access_key,
                "AWS_SECRET_ACCESS_KEY": self.secret_key, "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION, "BUCKET": self.bucket}

    def at(self, url: str) -> "Endpoint":
        return replace(self, url=url)

    def boto(self, **more):
        return boto(self.url, self.access_key, self.secret_key, **more)

    def body(self, key: str) -> bytes:
        return self.boto().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def run(self, *argv: str, stdin: str | None = None, timeout: float = 120,
            **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a program that finds the endpoint in its environment; `more` goes there too."""
        return subprocess.run([str(word) for word in argv], env={**os.environ, **self.env, **more},
                              input=stdin, capture_output=True, text=True, timeout=timeout)


class Listener(Relay):
    """A relay that remembers what the clients sent."""

    _HEAD = re.compile(rb"(?:^|(?<=\n)|(?<=[^A-Za-z]))(?:GET|HEAD|PUT|POST|DELETE) /\S* HTTP/1\.1\r\n"
                       rb".*?\r\n\r\n", re.DOTALL)

    def __init__(self, target_url: str):
        self._heard: list[bytearray] = []
        self._hearing = threading.Lock()
        super().__init__(target_url)

    def _requests(self, client, target) -> None:
        heard = bytearray()
        with self._hearing:
            self._heard.append(heard)
        super()._requests(_Copying(client, heard), target)

    def heads(self, method: str) -> list[dict[str, str]]:
        """The headers of each request of this method, names in lower case."""
        with self._hearing:
            everything = [bytes(each) for each in self._heard]
        found = []
        for stream in everything:
            for head in self._HEAD.findall(stream):
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                if first.startswith(method + " "):
                    pairs = (line.partition(":") for line in lines)
                    found.append({name.lower(): value.strip() for name, _, value in pairs})
        return found


class _Copying:
    """A socket whose received bytes are kept."""

    def __init__(self, source, copy: bytearray):
        self._source, self._copy = source, copy

    def recv(self, size: int) -> bytes:
        data = self._source.recv(size)
        self._copy.extend(data)
        return data

"""A real Redis on a free port, which a test may stop, kill and start again."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import redis

from processes import NotReady, Process, free_ports

DATABASES = 512
BINARY = os.environ.get("IFMATCH_TEST_REDIS_SERVER", "redis-server")
"""Another server that is to do as well, such as Valkey's."""


class RedisServer:
    def __init__(self, directory: Path, appendonly: bool = False):
        self.directory = directory
        self.appendonly = appendonly
        self.process: Process | None = None
        self._unused = itertools.count()
        directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(5):
            self.port = free_ports(1)[0]
            try:
                self.start()
                return
            except NotReady:
                if attempt == 4:
                    raise

    def start(self) -> None:
        """Starts it, again on the same port when it ran before."""
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if self.appendonly else []
        self.process = Process(
            f"redis-{self.port}",
            [BINARY, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--dir", str(self.directory), "--databases", str(DATABASES),
             "--maxmemory-policy", "noeviction", *keep],
        )
        self.process.wait_for_line("Ready to accept connections", 10)

    def new_database(self) -> str:
        """The URL of a database nobody has used: a register of its own."""
        return f"redis://127.0.0.1:{self.port}/{next(self._unused)}"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port)

    def flush_all(self) -> None:
        self.client().flushall()

    def kill9(self) -> None:
        self.process.kill9()

    def stop(self) -> None:
        self.process.stop()

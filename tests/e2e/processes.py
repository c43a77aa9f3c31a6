"""Child processes whose lines can be awaited, whose logs are kept, and which never outlive us."""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALL_LOGS = ROOT / "target" / "e2e-logs"
LOGS = ALL_LOGS / os.environ.get("PYTEST_XDIST_WORKER", "alone")
"""Of this process: with `-n 2` there are two that run tests."""

_alive: set["Process"] = set()
_everything: list["Process"] = []
_serial = 0


class NotReady(AssertionError):
    """A process ended, or stayed silent, before it said what was waited for."""


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago; the caller must be ready to try others."""
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


class Process:
    """One child in a process group of its own; stdout and stderr end in one log file."""

    def __init__(self, name: str, argv: list[str], env: dict[str, str] | None = None, cwd=None):
        global _serial
        _serial += 1
        LOGS.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.log_path = LOGS / f"{_serial:03}-{name}.log"
        self.lines: list[str] = []
        self.stdout: list[str] = []
        self._news = threading.Condition()
        self._log = self.log_path.open("w")
        self.child = subprocess.Popen(
            argv,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._pumps = [
            threading.Thread(target=self._pump, args=(stream, kept), daemon=True)
            for stream, kept in ((self.child.stdout, self.stdout), (self.child.stderr, None))
        ]
        for pump in self._pumps:
            pump.start()
        _alive.add(self)
        _everything.append(self)

    @property
    def pid(self) -> int:
        return self.child.pid

    def _pump(self, stream, kept: list[str] | None) -> None:
        for line in stream:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                if kept is not None:
                    kept.append(line.rstrip("\n"))
                self._log.write(line)
                self._log.flush()
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def running(self) -> bool:
        return self.child.poll() is None

    def wait_for_line(self, pattern: str, timeout: float = 30, since: int = 0) -> re.Match[str]:
        """Returns the match of the first line (from line number `since`) that has `pattern`, or whose message
        has it, where the line is JSON."""
        deadline = time.monotonic() + timeout
        wanted = re.compile(pattern)
        with self._news:
            while True:
                for line in self.lines[since:]:
                    if match := wanted.search(line) or wanted.search(message_of(line)):
                        return match
                since = len(self.lines)
                if not self.running() and not any(pump.is_alive() for pump in self._pumps):
                    raise NotReady(f"{self.name} ended with {self.child.returncode} before it "
                                   f"printed {pattern!r}:\n{self.tail()}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NotReady(f"{self.name} did not print {pattern!r} within {timeout} s:\n"
                                   f"{self.tail()}")
                self._news.wait(min(left, 0.2))

    def tail(self, count: int = 40) -> str:
        return "\n".join(self.lines[-count:])

    def signal(self, number: int) -> None:
        """Signals the child and whatever it started."""
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    def kill9(self) -> None:
        self.signal(signal.SIGKILL)
        self._reap(10)

    def stop(self, timeout: float = 15) -> int:
        """Asks politely, then kills; returns the exit status."""
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        # Grandchildren too: a server may have left workers behind.
        self.signal(signal.SIGKILL)
        return self._reap(10)

    def _reap(self, timeout: float) -> int:
        status = self.child.wait(timeout)
        for pump in self._pumps:
            pump.join(2)
        _alive.discard(self)
        return status


def message_of(line: str) -> str:
    """The message of a log line that is JSON; otherwise nothing."""
    if not line.startswith("{"):
        return ""
    try:
        return str(json.loads(line).get("message", ""))
    except ValueError:
        return ""


def wait_for_port(port: int, processes: list[Process], timeout: float = 60) -> None:
    """Waits until something listens, as long as all of the processes live."""
    deadline = time.monotonic() + timeout
    while True:
        for process in processes:
            if not process.running():
                raise NotReady(f"{process.name} ended early:\n{process.tail()}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise NotReady(f"nothing listens on port {port}") from None
            time.sleep(0.05)


def stop_all() -> None:
    for process in list(_alive):
        process.kill9()


def log_positions() -> dict[Process, int]:
    """Where each log stands now; `log_news` prints what came after."""
    return {process: len(process.lines) for process in _everything}


def log_news(positions: dict[Process, int], lines_max: int = 60) -> list[tuple[str, str]]:
    news = []
    for process in _everything:
        lines = process.lines[positions.get(process, 0):]
        if lines:
            cut = f"... {len(lines) - lines_max} lines in {process.log_path}\n"
            text = (cut if len(lines) > lines_max else "") + "\n".join(lines[-lines_max:])
            news.append((f"{process.name} (pid {process.pid})", text))
    return news


atexit.register(stop_all)

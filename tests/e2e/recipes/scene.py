"""Two proxies with one register before one store, and crews of processes that run a recipe there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from endpoint import Endpoint
from processes import ROOT
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings, in_front_of

EXAMPLES = ROOT / "examples"
HERE = Path(__file__).resolve().parent
CREW = 16
"""So many processes run a recipe at once."""
PATIENCE = 240
"""So many seconds at most for one thing to happen: the machine may be busy."""


@dataclass
class Pair:
    """Two proxies that share a register, before a store that ignores conditions."""

    proxies: list[Proxy]
    bucket: str

    def endpoint(self, number: int = 0) -> Endpoint:
        """That of a process with this number: half of them go to each proxy."""
        return Endpoint(self.proxies[number % 2].url, ACCESS_KEY, CLIENT_SECRET, self.bucket)

    def body(self, key: str) -> bytes:
        return self.endpoint().body(key)


def make_pair(store, bucket: str, register: str, directory: Path) -> Pair:
    proxies = [in_front_of(store, bucket, directory / name, Settings(register=register),
                           f"ifmatch-{name}") for name in ("left", "right")]
    return Pair(proxies, bucket)


def awaited(condition, what: str, timeout: float = PATIENCE):
    """What the condition returns, once that is something."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout} s: {what}"
        time.sleep(0.02)
    return found


@dataclass
class Witness:
    """What witness.sh notes down, in the order in which it happened."""

    directory: Path
    log: Path = field(init=False)

    def __post_init__(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "log"
        self.log.touch()
        os.mkfifo(self.directory / "never")

    def lines(self) -> list[str]:
        # The last line may still be in the writing.
        return self.log.read_text().rpartition("\n")[0].splitlines()

    def said(self, what: str) -> list[list[str]]:
        return [line.split()[1:] for line in self.lines() if line.split()[0] == what]

    def note(self, line: str) -> None:
        with self.log.open("a") as log:
            log.write(line + "\n")

    def env(self, holds: int = 0) -> dict[str, str]:
        return {"WITNESS": str(self.directory), "HOLDS": str(holds)}


class Crew:
    """Processes that run the same command, each with a name (its number) and an output of its own."""

    def __init__(self, pair: Pair, command: list, directory: Path, count: int = CREW,
                 imports: tuple[str, ...] = ("boto3",), python: str = sys.executable,
                 **env: str):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.statuses: dict[int, int] = {}
        self._children: dict[int, subprocess.Popen] = {}
        self._gang: subprocess.Popen | None = None
        argv = [str(word) for word in command]
        patient = {"LOCK_WAIT": str(PATIENCE), "LEASE_WAIT": str(PATIENCE)}
        envs = [{**pair.endpoint(number).env, **patient, "NAME": str(number), **env} for number in range(count)]
        argvs = [[word.replace("{n}", str(number)) for word in argv] for number in range(count)]
        if argv[0].endswith(".py"):
            members = [{"argv": argvs[number], "env": envs[number], "output": str(self.output(number))}
                       for number in range(count)]
            self._gang = subprocess.Popen([python, HERE / "gang.py", *imports], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, text=True)
            self._gang.stdin.write(json.dumps(members))
            self._gang.stdin.close()
            self._gang.stdin = None  # or communicate() would flush it
            words = [self._gang.stdout.readline().split() for _ in range(count)]
            assert all(word and word[0] == "pid" for word in words), words
            self.pids = {int(number): int(pid) for _, number, pid in words}
        else:
            for number in range(count):
                with self.output(number).open("w") as output:
                    self._children[number] = subprocess.Popen(
                        argvs[number], env={**os.environ, **envs[number]}, stdin=subprocess.DEVNULL,
                        stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            self.pids = {number: child.pid for number, child in self._children.items()}

    def output(self, number: int) -> Path:
        return self.directory / f"{number}.out"

    def lines(self, number: int) -> list[str]:
        """The whole lines that it has printed so far."""
        path = self.output(number)
        return path.read_text().rpartition("\n")[0].splitlines() if path.exists() else []

    def until(self, condition, what: str):
        """What the condition returns, once that is something; fails if all have ended before."""
        def look():
            ended = self._gang.poll() is not None if self._gang else all(
                child.poll() is not None for child in self._children.values())
            found = condition()
            assert found or not ended, f"all have ended, and not: {what}\n{self.tails()}"
            return found

        return awaited(look, what)

    def kill9(self, number: int) -> bool:
        """Kills it, and what it runs. False if it has ended already."""
        try:
            os.killpg(self.pids[number], signal.SIGKILL)
            return True
        except ProcessLookupError:
            return False

    def kill_some(self, count: int, which) -> list[int]:
        """Kills so many of those for which `which` holds, and at least one."""
        killed: list[int] = []
        for number in self.pids:
            if len(killed) < count and which(number) and self.kill9(number):
                killed.append(number)
        assert killed, f"they are all done:\n{self.tails()}"
        return killed

    def signal(self, number: int, what: int) -> None:
        os.killpg(self.pids[number], what)

    def finish(self, timeout: float = PATIENCE) -> dict[int, int]:
        """Waits for all to end; their exit statuses."""
        deadline = time.monotonic() + timeout
        if self._gang:
            try:
                rest, _ = self._gang.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"still running after {timeout} s:\n{self.tails()}") from None
            for _, number, status in (line.split() for line in rest.splitlines()):
                self.statuses[int(number)] = int(status)
        for number, child in self._children.items():
            try:
                self.statuses[number] = child.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                raise AssertionError(f"still running after {timeout} s:\n{self.tails()}") from None
        return self.statuses

    def failed(self, but: set[int] = frozenset()) -> str:
        """What those printed that ended badly; empty if there are none."""
        return "\n".join(f"{number}: status {status}\n{self.tail(number)}"
                         for number, status in sorted(self.statuses.items())
                         if status != 0 and number not in but)

    def tail(self, number: int) -> str:
        return "\n".join(self.lines(number)[-15:])

    def tails(self) -> str:
        return "\n".join(f"{number}:\n{self.tail(number)}" for number in self.pids)

    def stop(self) -> None:
        for number, pid in self.pids.items():
            if number not in self.statuses:
                try:
                    os.killpg(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        if self._gang:
            self._gang.kill()
            self._gang.wait()
        for child in self._children.values():
            child.wait()

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_) -> None:
        self.stop()


@pytest.fixture(scope="session")
def pair(store_named, redis_server, tmp_path_factory):
    from conftest import new_bucket
    store = store_named("embedded-ignoring")
    made = make_pair(store, new_bucket(store), redis_server.new_database(),
                     tmp_path_factory.mktemp("pair"))
    yield made
    for proxy in made.proxies:
        proxy.stop()

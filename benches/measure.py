"""Loads and targets, measured in short rounds whose order alternates."""

from __future__ import annotations

import dataclasses
import statistics
import sys
from pathlib import Path

from drives import Drive, wrk
from servers import Server
from signing import request_sets, write_requests

CONNECTIONS = 16
WARM_UP_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Target:
    """What is measured: a store alone, or proxies in front of it."""

    name: str
    servers: list[Server]
    """Where the load goes. More than one share it."""
    is_proxy: bool = True
    redis: Server | None = None


@dataclasses.dataclass(frozen=True)
class Load:
    """Requests that are sent to several targets in turn."""

    title: str
    requests: str
    """Of `request_sets`."""
    targets: list[str]
    drive: Drive = wrk(CONNECTIONS)


@dataclasses.dataclass(frozen=True)
class Round:
    """What one round gave. CPU times in µs per request, None where there is no such process."""

    rate: float
    proxy: float | None
    redis: float | None
    store: float
    p50_ms: float
    p99_ms: float


@dataclasses.dataclass(frozen=True)
class Result:
    """What a load gave at its targets."""

    load: Load
    rounds: dict[str, list[Round]]

    def median(self, target: str, field: str) -> float | None:
        values = [getattr(each, field) for each in self.rounds[target]]
        return None if None in values else statistics.median(values)

    def of_nginx(self, target: str, field: str) -> float | None:
        """Beside nginx, round by round."""
        if "nginx" not in self.rounds or self.median(target, field) is None:
            return None
        pairs = list(zip(self.rounds[target], self.rounds["nginx"], strict=True))
        if any(getattr(nginx, field) in (None, 0) for _, nginx in pairs):
            return None
        return statistics.median(getattr(own, field) / getattr(nginx, field) for own, nginx in pairs)


@dataclasses.dataclass(frozen=True)
class Bench:
    """Where and for how long loads are measured."""

    targets: dict[str, Target]
    store: Server
    directory: Path
    rounds: int
    seconds: float

    def run(self, load: Load, share: float = 1) -> Result:
        """`share`: of the rounds and of their length."""
        requests = write_requests(request_sets()[load.requests](), self.directory / "requests")
        rounds = max(2, round(self.rounds * share))
        found: dict[str, list[Round]] = {name: [] for name in load.targets}
        for name in load.targets:
            self._once(self.targets[name], load, requests, WARM_UP_SECONDS)
        for number in range(rounds):
            show(f"{load.title}: round {number + 1} of {rounds}")
            for name in load.targets if number % 2 == 0 else reversed(load.targets):
                found[name].append(self._once(self.targets[name], load, requests, self.seconds * share))
        show("")
        return Result(load, found)

    def _once(self, target: Target, load: Load, requests: Path, seconds: float) -> Round:
        parts = {"proxy": target.servers if target.is_proxy else [],
                 "redis": [target.redis] if target.redis else [], "store": [self.store]}

        def cpu() -> dict[str, float]:
            return {part: sum(server.cpu_seconds() for server in servers) for part, servers in parts.items()}

        before = cpu()
        driven = load.drive([server.url for server in target.servers], requests, seconds)
        after = cpu()
        each = {part: (after[part] - before[part]) / driven.count * 1e6 if servers else None
                for part, servers in parts.items()}
        return Round(driven.count / driven.seconds, each["proxy"], each["redis"], each["store"],
                     driven.p50_ms, driven.p99_ms)


def show(text: str) -> None:
    """The line of progress, where somebody looks."""
    if sys.stderr.isatty():
        print(f"\r{text:<70}", end="" if text else "\r", file=sys.stderr, flush=True)

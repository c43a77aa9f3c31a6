"""Load generators: wrk, which replays requests, in the shapes that a load may have."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable

from servers import program

REPLAY = Path(__file__).with_name("replay.lua")


@dataclasses.dataclass(frozen=True)
class Driven:
    """What a load generator saw."""

    count: int
    seconds: float
    p50_ms: float
    p99_ms: float


# From the URLs that share the load, a file of requests, and seconds.
Drive = Callable[[list[str], Path, float], Driven]


def wrk(connections: int, refused: bool = False, pause_ms: float = 0) -> Drive:
    """So many connections in all. With `refused` each answer must be a refusal, otherwise none may be. Each connection
    waits for `pause_ms` on average before a request."""

    def drive(urls: list[str], requests: Path, seconds: float) -> Driven:
        # wrk takes whole seconds only; it ends in good order, with its report, when interrupted.
        children = [subprocess.Popen(
            [program("wrk"), "-t1", f"-c{connections // len(urls)}", "-d60s", "-s", str(REPLAY), url, "--",
             str(requests), str(pause_ms)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for url in urls]
        try:
            time.sleep(seconds)
            for child in children:
                child.send_signal(signal.SIGINT)
            told = [told_by(url, child.communicate(timeout=10)[0], refused)
                    for url, child in zip(urls, children, strict=True)]
        finally:
            for child in children:
                child.kill()
                child.wait()
        count = sum(each.count for each in told)
        # Of several, what the slowest saw: percentiles cannot be added.
        return Driven(count, max(each.seconds for each in told), max(each.p50_ms for each in told),
                      max(each.p99_ms for each in told))

    return drive


def told_by(url: str, output: str, refused: bool) -> Driven:
    line = next((line for line in output.splitlines() if line.startswith("result ")), None)
    if line is None:
        raise SystemExit(f"wrk against {url} gave no result:\n{output}")
    count, micros, p50, p99, not_taken, failed = map(int, line.split()[1:])
    if failed or not_taken != (count if refused else 0) or not count:
        raise SystemExit(f"{failed} of {count} requests to {url} failed, and {not_taken} were refused:\n{output}")
    return Driven(count, micros / 1e6, p50 / 1e3, p99 / 1e3)

"""How many instructions a request costs the proxy, counted by valgrind. Unlike a time, the number does
not depend on what else the machine does.

    make instructions                  counts, and shows the functions that cost most
    make instructions RECORD=1         also writes the counts down, for test_instructions.py

With `--traces`, of a build with the cargo feature `otel` (IFMATCH_BIN and IFMATCH_TRACES_BIN name it), it counts a request
three times: without traces, with traces of which none is recorded, and with each recorded and sent to a collector.

Only the proxy's own process counts, without the kernel. The SHA-256 of bodies and signatures is left out:
valgrind's processor has no instructions for it, and the real one has.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from canned_store import CannedStore
from processes import stop_all
from proxies import Proxy, Settings
from stores import BINARY, ROOT

RECORDED = ROOT / "tests" / "data" / "instructions.json"
BODY = bytes(range(256)) * 16
"""4 KiB."""
WARM_UP, COUNTED = 20, 60
"""Requests of each kind: those before, in which caches fill, and those that are counted."""
WRITES_COUNTED = 1000


@dataclass
class Cost:
    """Of one request, in instructions."""

    whole: int
    """Without SHA-256."""
    functions: list[tuple[int, str]]
    """The dearest first."""


def build() -> tuple[str, str]:
    """How the binary is optimised, and what compiled it."""
    said = subprocess.run([str(BINARY), "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"^built by (rustc \S+) .*, opt-level (\S+)$", said.stdout, re.MULTILINE)
    assert found, said.stdout
    return f"opt-level {found[2]}", found[1]


class Client:
    """One connection, on which each request follows the answer to the one before."""

    def __init__(self, proxy: Proxy):
        raw = proxy.raw()
        self._socket = socket.create_connection((raw.host, raw.port), timeout=60)
        self._answers = self._socket.makefile("rb")
        self._raw = raw

    def request(self, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
        """A signed request as bytes."""
        given = {"User-Agent": "aws-sdk", "amz-sdk-request": "attempt=1",
                 **{name.replace("_", "-"): value for name, value in headers.items()}}
        signed = self._raw.signed(method, target, given, body)
        if method == "PUT":
            signed["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in signed.items()), "", ""]
        return "\r\n".join(lines).encode() + body

    def send(self, request: bytes) -> None:
        self._socket.sendall(request)
        status = self._answers.readline()
        assert b" 200 " in status, status
        length = 0
        while (line := self._answers.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self._answers.read(length)


@contextmanager
def proxy_and_requests(directory: Path, within: tuple[str, ...], traces: str = ""):
    """A proxy with one thread, run by the command `within`, its client, and the requests by their names.
    `traces`: the settings of that table."""
    store = CannedStore(BODY)
    try:
        settings = Settings(threads=1, log_level="warn", log_access="off",
                            writers="exclusive", grace=0.1, settle=0.1, traces=traces)
        proxy = Proxy(directory, store.store, settings, "counted", within=within)
        proxy.wait_writable("bucket", timeout=120)
        client = Client(proxy)
        target = "/bucket/tables/part-1"
        yield proxy, client, {
            "put": client.request("PUT", target, BODY),
            "put if-match": client.request("PUT", target, BODY, if_match=store.etag),
            "get": client.request("GET", target),
        }
        proxy.kill9()
    finally:
        store.stop()


def count(directory: Path, traces: str = "") -> dict[str, Cost]:
    """What each kind of request costs, with these settings of traces."""
    outs = directory / "callgrind.out"
    within = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={outs}")
    costs = {}
    with proxy_and_requests(directory, within, traces) as (proxy, client, requests):

        def control(order: str) -> None:
            subprocess.run(["callgrind_control", order, str(proxy.process.pid)], check=True,
                           capture_output=True, timeout=60)

        for number, (name, request) in enumerate(requests.items(), 1):
            for _ in range(WARM_UP):
                client.send(request)
            control("--zero")
            for _ in range(COUNTED):
                client.send(request)
            control("--dump")
            costs[name] = cost(Path(f"{outs}.{number}"))
    return costs


def count_writes(directory: Path) -> dict[str, float]:
    """How often the kernel is called to write for each kind of request: to the client, to the store, to wake
    a thread. What the process does besides, by its timers, is a part of it."""
    each = {}
    with proxy_and_requests(directory, ()) as (proxy, client, requests):
        for name, request in requests.items():
            before = writes(proxy.process.pid)
            for _ in range(WRITES_COUNTED):
                client.send(request)
            each[name] = (writes(proxy.process.pid) - before) / WRITES_COUNTED
    return each


def writes(pid: int) -> int:
    """How often the process has called the kernel to write (proc(5), /proc/pid/io)."""
    return int(re.search(r"^syscw: (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)[1])


def cost(dump: Path) -> Cost:
    """What a dump says of one request (Valgrind User Manual: Callgrind Format Specification)."""
    names: dict[str, str] = {}
    by_function: collections.Counter[str] = collections.Counter()
    function, is_call = "", False
    for line in dump.read_text().splitlines():
        if found := re.match(r"(c?fn)=\((\d+)\)(?: (.*))?$", line):
            kind, number, name = found.groups()
            if name:
                names[number] = name
            if kind == "fn":
                function = names[number]
        elif line.startswith("calls="):
            is_call = True
        elif re.match(r"[\d+*-]\S* \d+$", line):
            # The line behind a call has what the function called has cost.
            if not is_call:
                by_function[function] += int(line.split()[1])
            is_call = False
    digests = sum(number for name, number in by_function.items() if "sha256" in name)
    assert digests, "the functions of SHA-256 are not found by their names"
    return Cost((by_function.total() - digests) // COUNTED,
                [(number // COUNTED, name) for name, number in by_function.most_common()])


def count_traced() -> None:
    """Prints what each kind of request costs without traces, and with them."""
    # It needs OpenTelemetry's classes, and nothing else here does.
    from collector import Collector

    collector = Collector()
    endpoint = f'endpoint = "{collector.url}"\nsample_ratio = '
    for name, traces in (("off", ""), ("none recorded", endpoint + "0.0"), ("all recorded", endpoint + "1.0")):
        with tempfile.TemporaryDirectory(prefix="ifmatch-instructions-") as directory:
            costs = count(Path(directory), traces)
        print(f"traces {name}: " + ", ".join(f"{kind} {each.whole:,}" for kind, each in costs.items()))
    collector.stop()


def recorded() -> dict[str, dict]:
    """By how the binary is optimised: what compiled it, and the counts."""
    return json.loads(RECORDED.read_text()) if RECORDED.exists() else {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="write the counts down")
    parser.add_argument("--functions", type=int, default=15, help="how many are shown")
    parser.add_argument("--traces", action="store_true", help="count with traces, and without")
    options = parser.parse_args()
    # The program refuses a variable of its name space that is no setting.
    for name in [name for name in os.environ if name.startswith("IFMATCH_")]:
        del os.environ[name]
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is missing: scripts/setup test")
    if options.traces:
        try:
            return count_traced()
        finally:
            stop_all()
    optimised, compiler = build()
    with tempfile.TemporaryDirectory(prefix="ifmatch-instructions-") as name:
        try:
            costs = count(Path(name))
        finally:
            stop_all()
    before = recorded().get(optimised, {}).get("counts", {})
    for name, each in costs.items():
        print(f"{name}: {each.whole:,} instructions without SHA-256; recorded: "
              f"{before.get(name, 0):,}")
        for number, function in each.functions[:options.functions]:
            print(f"{number:>12,}  {function[:100]}")
    if options.record:
        counts = {name: each.whole for name, each in costs.items()}
        kept = {**recorded(), optimised: {"compiler": compiler, "counts": counts}}
        RECORDED.write_text(json.dumps(dict(sorted(kept.items())), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

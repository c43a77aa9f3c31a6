#!/usr/bin/env python3
"""The embedded store alone, with many objects in it, beside other stores: rates, pages, start, memory.

    .venv/bin/python benches/store.py                         a million objects: five minutes
    .venv/bin/python benches/store.py --always                also with fsync
    .venv/bin/python benches/store.py --beside s3s-fs=PATH    also another `ifmatch`: one whose store was s3s-fs
    .venv/bin/python benches/store.py --moto                  also moto, with --moto-objects (100,000)

Each store is filled with objects of 4 KiB by 16 connections. Then the stores are measured in several rounds whose order
alternates, so that whatever else the machine does hits all alike: wrk replays requests that were signed once
(PUTs of 4 KiB over 2000 of the objects, GETs of them), and one connection asks for pages of a listing, one
after the other, however long each takes. At last each store is killed, and started again on what is there.
Printed are medians over the rounds, as the table of docs/store.md. CPU time is the store's, user and system.
Nothing is pinned to a core, so the load generator shares the machine with the store. Compare what one run
gives, not one run with another.

moto is one Python interpreter, closes each connection after its answer, and keeps everything in memory. It
would take an hour and 10 GiB for a million objects, so it has fewer.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import hmac
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from drives import wrk  # noqa: E402
from measure import CONNECTIONS  # noqa: E402
from processes import Process, stop_all  # noqa: E402
from servers import BINARY, Server  # noqa: E402
from signing import (  # noqa: E402
    ACCESS_KEY, BUCKET, HOST, KEYS, REGION, SECRET, SMALL_BODY, Connection, key_path, signed, write_requests)

RESIGN = 100
"""A thread has a new signer when it comes to a multiple of this: among 16 threads, often enough."""
PATIENCE_SECONDS = 600
"""For one page of a listing."""


# === requests ===


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


@dataclasses.dataclass(frozen=True)
class Signer:
    """Signs PUTs. botocore would take longer to sign one than the store to serve it."""

    stamp: str
    scope: str
    key: bytes

    @staticmethod
    def new() -> Signer:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        key = ("AWS4" + SECRET).encode()
        for part in (stamp[:8], REGION, "s3", "aws4_request"):
            key = _hmac(key, part)
        return Signer(stamp, f"{stamp[:8]}/{REGION}/s3/aws4_request", key)

    def put(self, path: str, body: bytes) -> bytes:
        signed = "host;x-amz-content-sha256;x-amz-date"
        canonical = (f"PUT\n{path}\n\nhost:{HOST}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
                     f"x-amz-date:{self.stamp}\n\n{signed}\nUNSIGNED-PAYLOAD")
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        signature = _hmac(self.key, f"AWS4-HMAC-SHA256\n{self.stamp}\n{self.scope}\n{digest}").hex()
        return (f"PUT {path} HTTP/1.1\r\nHost: {HOST}\r\nx-amz-date: {self.stamp}\r\n"
                f"x-amz-content-sha256: UNSIGNED-PAYLOAD\r\nAuthorization: AWS4-HMAC-SHA256 "
                f"Credential={ACCESS_KEY}/{self.scope}, SignedHeaders={signed}, Signature={signature}\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def page(after: int | None = None) -> bytes:
    """The first page of the listing, or the one that follows an object."""
    query = "list-type=2"
    if after is not None:
        query += "&start-after=" + key_path(after).removeprefix(f"/{BUCKET}/").replace("/", "%2F")
    return signed("GET", f"/{BUCKET}?{query}")


def requests_in(directory: Path) -> dict[str, Path]:
    """Made anew for each load: a signature is good for a quarter of an hour."""
    paths, signer = [key_path(number) for number in range(KEYS)], Signer.new()
    return {
        "PUT": write_requests([signer.put(path, SMALL_BODY) for path in paths], directory / "puts"),
        "GET": write_requests([signed("GET", path) for path in paths], directory / "gets"),
    }


# === stores ===


@dataclasses.dataclass
class Store:
    """A store that is measured, and what was found."""

    name: str
    start: Callable[[Path], Server]
    objects: int
    keeps: bool = True
    """Whether its objects are still there after a kill."""
    directory: Path = Path()
    server: Server | None = None
    found: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def note(self, what: str, value: float) -> None:
        self.found.setdefault(what, []).append(value)


def ifmatch(binary: str, *flags: str) -> Callable[[Path], Server]:
    def start(directory: Path) -> Server:
        process = Process("store", [binary, "store", str(directory), "--access-key-id", ACCESS_KEY, *flags],
                          env={"IFMATCH_STORE_SECRET_ACCESS_KEY": SECRET})
        return Server(process.wait_for_line(r"listening on (http://\S+)", 600)[1], process)

    return start


def moto(directory: Path) -> Server:
    server = Path(sys.executable).parent / "moto_server"
    process = Process("moto", [str(server), "-H", "127.0.0.1", "-p", "0"], cwd=directory)
    url = process.wait_for_line(r"Running on (http://127\.0\.0\.1:\d+)", 60)[1]
    return Server(url, process)


def stores(options: argparse.Namespace) -> list[Store]:
    chosen = [Store("ifmatch store, fsync never", ifmatch(str(BINARY), "--fsync", "never"), options.objects)]
    if options.always:
        always = ifmatch(str(BINARY), "--fsync", "always")
        chosen.append(Store("ifmatch store, fsync always", always, options.objects))
    for each in options.beside:
        name, _, path = each.partition("=")
        chosen.append(Store(name, ifmatch(path), options.objects))
    if options.moto:
        chosen.append(Store("moto", moto, options.moto_objects, keeps=False))
    return chosen


# === measuring ===


def fill(store: Store) -> float:
    """Puts its objects there; how long that took, in seconds."""
    numbers, failed = itertools.count(), []

    def work() -> None:
        connection, signer = Connection(store.server.url), Signer.new()
        while (number := next(numbers)) < store.objects and not failed:
            if connection.ended:
                connection.close()
                connection = Connection(store.server.url)
            if number % RESIGN == 0:
                signer = Signer.new()
            status = connection.send(signer.put(key_path(number), SMALL_BODY))
            if status != 200:
                failed.append(f"{store.name}, object {number}: {status}")
        connection.close()

    once(store.server, signed("PUT", f"/{BUCKET}"))
    began = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(failed[0])
    return time.monotonic() - began


def once(server: Server, request: bytes) -> float:
    """Sends one request, which must succeed; how long that took, in seconds."""
    began = time.monotonic()
    connection = Connection(server.url)
    connection.socket.settimeout(PATIENCE_SECONDS)
    status = connection.send(request)
    connection.close()
    if status != 200:
        raise SystemExit(f"{server.url} answered {status} to {request.splitlines()[0]}")
    return time.monotonic() - began


def measure(store: Store, scratch: Path, seconds: float) -> None:
    """One round."""
    for what, file in requests_in(scratch).items():
        before = store.server.cpu_seconds()
        driven = wrk(CONNECTIONS)([store.server.url], file, seconds)
        store.note(what, driven.count / driven.seconds)
        store.note(f"{what} CPU", (store.server.cpu_seconds() - before) / driven.count * 1e6)
        store.note(f"{what} p99", driven.p99_ms)
    for what, request in ("first page", page()), ("middle page", page(store.objects // 2)):
        # At least one; many where a page takes milliseconds.
        until, times = time.monotonic() + seconds / 2, []
        while not times or time.monotonic() < until:
            times.append(once(store.server, request))
        store.note(what, statistics.median(times) * 1e3)
    told = ", ".join(f"{what} {values[-1]:,.1f}" for what, values in store.found.items())
    print(f"    {store.name}: {told}", file=sys.stderr, flush=True)


def start_again(store: Store) -> None:
    store.note("RSS", resident_mib(store.server.process.pid))
    if not store.keeps:
        return
    store.note("disk", size_mib(store.directory))
    store.server.process.kill9()
    began = time.monotonic()
    store.server = store.start(store.directory)
    once(store.server, signed("GET", key_path(0)))
    store.note("start", (time.monotonic() - began) * 1e3)


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} has ended")


def size_mib(directory: Path) -> float:
    told = subprocess.run(["du", "-sm", str(directory)], capture_output=True, text=True, check=True)
    return float(told.stdout.split()[0])


# === the table ===


ROWS = {
    "fill": ("filling it", "/s"),
    "PUT": ("PUT 4 KiB", "/s"),
    "PUT p99": ("99 % of these within", " ms"),
    "PUT CPU": ("CPU time of each", " µs"),
    "GET": ("GET 4 KiB", "/s"),
    "GET p99": ("99 % of these within", " ms"),
    "GET CPU": ("CPU time of each", " µs"),
    "first page": ("first page of 1000 keys", " ms"),
    "middle page": ("page from the middle", " ms"),
    "RSS": ("memory (RSS) at the end", " MiB"),
    "disk": ("on disk", " MiB"),
    "start": ("start after kill -9, until a GET is answered", " ms"),
}


def cell(store: Store, what: str, unit: str) -> str:
    if what not in store.found:
        return "-"
    value = statistics.median(store.found[what])
    return f"{value:,.{0 if value >= 100 else 1}f}{unit}"


def print_table(chosen: list[Store]) -> None:
    def line(*cells: str) -> None:
        print("| " + " | ".join(cells) + " |")

    line("", *(store.name for store in chosen))
    print("|---" * (1 + len(chosen)) + "|")
    line("objects of 4 KiB", *(f"{store.objects:,}" for store in chosen))
    for what, (title, unit) in ROWS.items():
        line(title, *(cell(store, what, unit) for store in chosen))
    for store in chosen[1:]:
        for what in ("PUT", "GET"):
            pairs = zip(chosen[0].found[what], store.found[what], strict=True)
            ratio = statistics.median(own / other for own, other in pairs)
            print(f"{what} 4 KiB: {chosen[0].name} has {ratio:.2f} times the rate of {store.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="how often each store is measured")
    parser.add_argument("--seconds", type=float, default=3, help="of each load in a round")
    parser.add_argument("--always", action="store_true", help="also with --fsync always")
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=PATH", help="another ifmatch")
    parser.add_argument("--moto", action="store_true", help="also moto")
    parser.add_argument("--moto-objects", type=int, default=100_000)
    parser.add_argument("--directory", type=Path, help="where the objects go; a temporary directory")
    options = parser.parse_args()
    if min(options.objects, options.moto_objects) < 2 * KEYS:
        parser.error(f"at least {2 * KEYS} objects")
    chosen = stores(options)
    with tempfile.TemporaryDirectory(prefix="ifmatch-bench-", dir=options.directory) as name:
        try:
            print(f"{os.cpu_count()} cores, {options.rounds} rounds of {options.seconds} s, load average "
                  f"{os.getloadavg()[0]:.1f} at the beginning", flush=True)
            for number, store in enumerate(chosen):
                store.directory = Path(name) / f"store-{number}"
                store.directory.mkdir()
                store.server = store.start(store.directory)
                store.note("fill", store.objects / fill(store))
                print(f"{store.name}: filled with {store.found['fill'][0]:,.0f}/s", file=sys.stderr, flush=True)
            # What the system still has to write belongs to the filling.
            os.sync()
            for number in range(options.rounds):
                for store in chosen if number % 2 == 0 else reversed(chosen):
                    measure(store, Path(name), options.seconds)
            for store in chosen:
                start_again(store)
            print_table(chosen)
            # Before the directory is removed, which takes minutes.
            sys.stdout.flush()
        finally:
            stop_all()


if __name__ == "__main__":
    os.environ.pop("IFMATCH_STORE_SECRET_ACCESS_KEY", None)
    main()

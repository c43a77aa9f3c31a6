#!/usr/bin/env python3
"""Rates and CPU time per request: the store alone, nginx and HAProxy in front of it, ifmatch in front of it.

    make bench                                                after the benches of the pure parts
    .venv/bin/python benches/end_to_end.py                    five minutes: all that there is
    .venv/bin/python benches/end_to_end.py --short            two minutes: one size of each load
    .venv/bin/python benches/end_to_end.py --quick            the same in half a minute, less exact
    .venv/bin/python benches/end_to_end.py --store embedded   before a real store, as --short
    .venv/bin/python benches/end_to_end.py --tls              by TLS on all sides
    .venv/bin/python benches/end_to_end.py --keep FOLDER      keeps the tables there, also as JSON for benches/plot.py

wrk replays requests that were signed once (Signature V4, digest of the body signed) against each
target in turn, in several short rounds whose order alternates, so that whatever else the machine
does hits all targets alike. Printed are medians over the rounds; "of nginx" is the median of what
each round gave beside nginx in the same round. CPU time is that of the processes named, user and
system, from /proc. Nothing is pinned to a core: load generator, store, proxy and Redis share the
machine, as they would share a small one in service. So a rate says what the whole chain does, and
the CPU time what the proxy alone costs.

The store is by default none at all ("null"): a second nginx that reads what is PUT, discards it and
answers 204, and answers each GET and HEAD with a file in memory. It costs less than any real store,
and the same every time, so the differences are the proxies'. (nginx's DAV module would keep the
objects; creating a file for each PUT costs it four times as much, which would flatter the proxies.)
All small bodies are the same, so that one ETag is right for every key. It checks no signature.
`--store embedded` is `ifmatch store`, a real one on files in memory.

nginx and HAProxy are bare reverse proxies with connections kept open; they neither check nor sign. Like
ifmatch, nginx takes the whole body before it connects, and HAProxy sends on what has come. No proxy logs
requests. With `--tls` clients, proxies and store speak TLS 1.3, each with the same certificate (ECDSA,
P-256) and the same key exchange (X25519), Redis too; the proxies verify the store's. Then there are also
loads with a connection for each request, whose handshakes are whole or continue an earlier session
(benches/handshakes.py). The same keys are written again and again, so the register's journals fill up:
the dearest case. The exit status says whether the run worked, never how fast it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import handshakes  # noqa: E402
import memory  # noqa: E402
import tables  # noqa: E402
from drives import wrk  # noqa: E402
from measure import CONNECTIONS, Bench, Load, Result, Target  # noqa: E402
from processes import stop_all  # noqa: E402
from servers import (  # noqa: E402
    BINARY, PROXY_THREADS, Server, Tls, embedded_store, haproxy, ifmatch, nginx_proxy, null_store, redis_server)
from signing import fill  # noqa: E402

STORE, NGINX, HAPROXY = "store alone", "nginx", "HAProxy"
MEMORY, MEMORY_SHARED = "ifmatch, memory", "ifmatch, memory, shared"
REDIS, REDIS_SHARED = "ifmatch, Redis", "ifmatch, Redis, shared"
TWO, FOUR = "two on one Redis", "four on one Redis"
BARE = [STORE, NGINX, HAPROXY]

LOADS = [
    Load("PUT 4 KiB", "put", [*BARE, MEMORY, REDIS]),
    Load("PUT 4 KiB with If-Match (shared: one HEAD for each)", "put if-match",
         [*BARE, MEMORY, MEMORY_SHARED, REDIS, REDIS_SHARED]),
    Load("GET 4 KiB", "get", [*BARE, MEMORY]),
    Load("GET 1 MiB", "get large", [*BARE, MEMORY]),
    Load("PUT 1 MiB", "put large", [*BARE, MEMORY, REDIS]),
]
BY_TLS = [
    Load("PUT 4 KiB by TLS", "put", [*BARE, MEMORY, REDIS]),
    Load("GET 4 KiB by TLS", "get", [*BARE, MEMORY]),
    Load("GET 1 MiB by TLS", "get large", [*BARE, MEMORY]),
    Load("PUT 1 MiB by TLS", "put large", [*BARE, MEMORY, REDIS]),
    Load("GET 4 KiB, each with a whole handshake", "get once", [*BARE, MEMORY], handshakes.whole),
    Load("GET 4 KiB, each with a handshake that continues a session", "get once", [*BARE, MEMORY],
         handshakes.continued),
]
REFUSALS = Load("Refusals: PUT 4 KiB with an If-Match that is stale", "put stale", [MEMORY, MEMORY_SHARED, REDIS, REDIS_SHARED],
                wrk(CONNECTIONS, refused=True))
MANY = 128
"""Connections at half load, so that each waits for milliseconds."""

AIMS = [
    ("PUT 4 KiB", MEMORY, 1.1),
    ("PUT 4 KiB with If-Match (shared: one HEAD for each)", REDIS, 1.45),
    ("PUT 4 KiB with If-Match (shared: one HEAD for each)", REDIS_SHARED, 2.2),
    ("GET 4 KiB", MEMORY, 0.9),
    ("GET 1 MiB", MEMORY, 1.0),
    ("PUT 1 MiB", MEMORY, 1.0),
]
"""CPU time of the proxy beside nginx's, at most."""


@dataclasses.dataclass
class Report:
    """Prints what is found as it comes, and keeps it."""

    results: list[dict] = dataclasses.field(default_factory=list)
    rest: dict = dataclasses.field(default_factory=dict)
    texts: list[str] = dataclasses.field(default_factory=list)

    def keep(self, result: Result, size: int | None = None) -> None:
        self.results.append({
            "load": result.load.title, "size": size,
            "targets": {name: {field: result.median(name, field) for field in
                               ("rate", "proxy", "redis", "store", "p50_ms", "p99_ms")}
                        | {"proxy_of_nginx": result.of_nginx(name, "proxy")} for name in result.load.targets}})

    def table(self, result: Result) -> Result:
        self.keep(result)
        self.say(tables.table(result))
        return result

    def series(self, title: str, unit: str, results: dict[int, Result]) -> None:
        for size, result in results.items():
            self.keep(result, size)
        self.say(tables.series(title, unit, results))

    def say(self, text: str) -> None:
        self.texts.append(text)
        print(f"{text}\n", flush=True)

    def write(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.txt").write_text("\n\n".join(self.texts) + "\n")
        (folder / f"{name}.json").write_text(json.dumps(self.rest | {"results": self.results}, indent=1) + "\n")


def start_targets(store: Server, directory: Path, tls: Tls | None) -> dict[str, Target]:
    def with_register(name: str, redis: Server | None, writers: str, proxies: int = 1) -> Target:
        stem = name.replace(", ", "-").replace(" ", "-")
        url = redis.url if redis else "memory:"
        return Target(name, [ifmatch(f"{stem}-{number}", directory / f"{stem}-{number}", store, url, writers, tls)
                             for number in range(proxies)], redis=redis)

    redis = redis_server(directory / "redis", tls)
    targets = [
        Target(STORE, [store], is_proxy=False),
        Target(NGINX, [nginx_proxy(directory / "nginx", store, tls)]),
        Target(HAPROXY, [haproxy(directory / "haproxy", store, tls)]),
        with_register(MEMORY, None, "exclusive"),
        with_register(REDIS, redis, "exclusive"),
    ]
    if not tls:
        # All proxies of one register must agree on `writers`, so each way has its own.
        shared = redis_server(directory / "redis-shared", tls)
        targets += [with_register(MEMORY_SHARED, None, "shared"),
                    with_register(REDIS_SHARED, shared, "shared")]
    return {target.name: target for target in targets}


def with_fleets(targets: dict[str, Target], store: Server, directory: Path) -> dict[str, Target]:
    """More processes on the Redis that one has."""
    one = targets[REDIS]
    more = [ifmatch(f"fleet-{number}", directory / f"fleet-{number}", store, one.redis.url, "exclusive", None)
            for number in range(3)]
    fleets = [Target(TWO, [*one.servers, *more[:1]], redis=one.redis),
              Target(FOUR, [*one.servers, *more], redis=one.redis)]
    return targets | {fleet.name: fleet for fleet in fleets}


def in_sizes(bench: Bench, loads: Callable[[int], Load], sizes: tuple[int, ...]) -> dict[int, Result]:
    return {size: bench.run(loads(size), share=0.5) for size in sizes}


def at_half_load(bench: Bench, full: Result) -> Result:
    """At half of the rate that the slowest reached."""
    names = [name for name in full.load.targets if name != STORE]
    rate = min(full.median(name, "rate") or 0 for name in names) / 2
    drive = wrk(MANY, pause_ms=MANY / rate * 1000)
    return bench.run(Load(f"{full.load.title}, {rate:,.0f} a second wanted, {MANY} connections",
                          full.load.requests, names, drive))


def all_sizes(bench: Bench, report: Report, full: dict[str, Result]) -> None:
    """What --short leaves out."""
    for title in ("PUT 4 KiB", "GET 4 KiB"):
        report.table(at_half_load(bench, full[title]))
    for title, targets in (("PUT 4 KiB", [NGINX, HAPROXY, MEMORY, REDIS]), ("GET 4 KiB", [NGINX, HAPROXY, MEMORY])):
        of = full[title].load.requests
        report.series(f"{title} by connections", "connections", in_sizes(
            bench, lambda size: Load(f"{title} by connections", of, targets, wrk(size)), (1, 4, 16, 64, 256)))
    report.series("PUT 4 KiB of one key by contenders", "contenders", in_sizes(
        bench, lambda size: Load("PUT 4 KiB of one key", "put hot", [MEMORY, REDIS, REDIS_SHARED], wrk(size)),
        (1, 8, 64)))
    report.table(bench.run(Load("PUT 4 KiB by processes", "put", [REDIS, TWO, FOUR]), share=0.5))
    report.table(bench.run(REFUSALS, share=0.5))
    found = {name: memory.memory_of(bench.targets[name].servers[0]) for name in (NGINX, HAPROXY, MEMORY, REDIS)}
    report.rest["memory"] = {name: dataclasses.asdict(each) for name, each in found.items()}
    report.say(tables.memories(found))
    redis = bench.targets[REDIS]
    report.rest["redis_bytes_per_key"] = memory.redis_bytes_per_key(redis.servers[0], redis.redis)
    report.say(f"Redis keeps {report.rest['redis_bytes_per_key']:.0f} bytes for a key that was written once")


def say_aims(report: Report, full: dict[str, Result]) -> None:
    lines = []
    for title, name, aim in AIMS:
        if title in full and (reached := full[title].of_nginx(name, "proxy")) is not None:
            lines.append(f"aim: {title}, {name}: at most {aim} of nginx's CPU time: {reached:.2f}, "
                         f"{'met' if reached <= aim else 'not met'}")
    report.say("\n".join(lines))


def measure(options: argparse.Namespace, directory: Path) -> Report:
    tls = Tls.new(directory / "tls") if options.tls else None
    start_store = null_store if options.store == "null" else embedded_store
    store = start_store(directory / "store", tls)
    fill(store.url)
    targets = start_targets(store, directory, tls)
    is_whole = options.store == "null" and not (tls or options.short or options.quick)
    if is_whole:
        targets = with_fleets(targets, store, directory)
    bench = Bench(targets, store, directory, options.rounds or (3 if options.quick else 5),
                  options.seconds or (0.3 if options.quick else 1))
    report = Report()
    began = time.monotonic()
    report.rest["about"] = (
        f"{options.store} store{', TLS' if tls else ''}, {CONNECTIONS} connections, {PROXY_THREADS} threads in "
        f"each proxy, {os.cpu_count()} cores, {bench.rounds} rounds of {bench.seconds} s, load average "
        f"{os.getloadavg()[0]:.1f} at the beginning, {time.strftime('%-d %B %Y')}")
    report.say(report.rest["about"])
    full = {load.title: report.table(bench.run(load)) for load in (BY_TLS if tls else LOADS)}
    if is_whole:
        all_sizes(bench, report, full)
    if not tls:
        say_aims(report, full)
    report.say(f"took {time.monotonic() - began:.0f} s")
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", choices=("null", "embedded"), default="null")
    parser.add_argument("--tls", action="store_true", help="by TLS on all sides; the null store")
    parser.add_argument("--short", action="store_true", help="one size of each load")
    parser.add_argument("--quick", action="store_true", help="the same in half a minute")
    parser.add_argument("--rounds", type=int, help="how often each target is measured")
    parser.add_argument("--seconds", type=float, help="how long one round takes")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep what was found there")
    options = parser.parse_args()
    if options.tls and options.store != "null":
        parser.error("--tls is for the null store: the embedded one has no TLS")

    for name in [name for name in os.environ if name.startswith(("IFMATCH_", "AWS_"))]:
        del os.environ[name]
    if not BINARY.exists():
        raise SystemExit(f"{BINARY} is missing: make build")
    in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="ifmatch-bench-", dir=in_memory) as name:
        try:
            report = measure(options, Path(name))
        finally:
            stop_all()
    if options.keep:
        report.write(options.keep, "tls" if options.tls else options.store)


if __name__ == "__main__":
    # An end in good order takes the servers along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None

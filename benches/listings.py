#!/usr/bin/env python3
"""The CPU time of a page of a listing: the store alone, through the proxy, and as a guarded listing.

    .venv/bin/python benches/listings.py             half a minute
    .venv/bin/python benches/listings.py --rounds 9  more exact

The store is `ifmatch store` with 1,000 objects, on files in memory. One connection asks for their page again and again, with a
request that was signed once, in rounds whose order alternates. The proxies are one with a rule `consistency = "guarded"` for one of
two buckets, and Redis has its register. Printed are medians of the CPU time of each process for a page, user and system, from
/proc, less what it takes in as much time while nobody asks: of the plain bucket, whose pages stream; of the guarded one while nothing in it is young, and while as many keys as
`--young` are: these were just written through the proxy. The exit status says whether the run worked, never how fast it was.
"""

from __future__ import annotations

import argparse
import http.client
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

from clients import Raw, boto  # noqa: E402
from proxies import Proxy, Settings  # noqa: E402
from redis_server import RedisServer  # noqa: E402
from servers import cpu_seconds  # noqa: E402
from stores import embedded  # noqa: E402

# The program refuses a variable of its name space that is no setting; IFMATCH_BIN was read by now.
for name in [name for name in os.environ if name.startswith("IFMATCH_")]:
    del os.environ[name]

KEYS = 1000
LAG = 20.0
RULE = '[[rule]]\nbuckets = ["guarded"]\nconsistency = "guarded"\n'


def pages(door: Raw, bucket: str, seconds: float) -> int:
    """Asks for the page as often as it can in that time; how often that was."""
    target = f"/{bucket}?list-type=2"
    headers = door.signed("GET", target)
    connection, count, ends = http.client.HTTPConnection(door.host, door.port), 0, time.monotonic() + seconds
    while time.monotonic() < ends:
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200 and body.count(b"<Contents>") == KEYS, (answer.status, body[:300])
        count += 1
    connection.close()
    return count


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    arguments.add_argument("--young", type=int, default=100, help="how many keys are young")
    wanted = arguments.parse_args()
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        directory = Path(name)
        store = embedded(directory / "store")
        redis = RedisServer(directory / "redis")
        # The store does not lag; the proxy does not know.
        settings = Settings(writers="exclusive", lag=LAG, lease_wait=90, rules=RULE, register=redis.new_database(),
                            log_level="warn")
        proxy = Proxy(directory / "proxy", store, settings)
        proxy.skip_quarantine()
        alone = boto(store.url, store.access_key, store.secret_key)
        for bucket in ("plain", "guarded", "other"):
            alone.create_bucket(Bucket=bucket)
        for bucket in ("plain", "guarded"):
            for number in range(KEYS):
                alone.put_object(Bucket=bucket, Key=f"table/part-{number:05}.parquet", Body=b"x")
        direct, through = Raw(store.url, store.access_key, store.secret_key), proxy.raw()
        pids = {"store": store.processes[0].child.pid, "proxy": proxy.process.child.pid, "Redis": redis.process.child.pid}
        proxy.wait_writable("other", 2 * LAG)
        kinds = {"the store alone": (direct, "plain"), "through the proxy": (through, "plain"),
                 "guarded, nothing young": (through, "guarded")}
        found: dict[str, dict[str, list[float]]] = {}

        began = {name: cpu_seconds(pid) for name, pid in pids.items()}
        time.sleep(2 * wanted.seconds)
        idle = {name: (cpu_seconds(pid) - began[name]) / (2 * wanted.seconds) for name, pid in pids.items()}

        def measure(kind: str, door: Raw, bucket: str) -> None:
            before, began = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
            count = pages(door, bucket, wanted.seconds)
            took = time.monotonic() - began
            for name, pid in pids.items():
                used = cpu_seconds(pid) - before[name] - idle[name] * took
                found.setdefault(kind, {}).setdefault(name, []).append(used / count * 1e6)

        for number in range(wanted.rounds):
            each = list(kinds.items())
            for kind, (door, bucket) in each if number % 2 == 0 else reversed(each):
                measure(kind, door, bucket)
        writer = proxy.boto()
        for number in range(wanted.young):
            writer.put_object(Bucket="guarded", Key=f"table/part-{number * (KEYS // wanted.young):05}.parquet", Body=b"y")
        for _ in range(wanted.rounds):
            measure(f"guarded, {wanted.young} young", through, "guarded")
        print(f"CPU time of a page of {KEYS} keys, in µs")
        print(f"{'':<28}" + "".join(f"{name:>10}" for name in pids))
        for kind, by in found.items():
            print(f"{kind:<28}" + "".join(f"{statistics.median(by[name]):10.0f}" for name in pids))
        proxy.stop()
        redis.stop()
        store.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

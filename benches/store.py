#!/usr/bin/env python3
"""The embedded store alone, with many objects in it: rates, a page of a listing, start, memory.

    .venv/bin/python benches/store.py                          a million objects: a quarter of an hour
    .venv/bin/python benches/store.py --objects 20000 --moto   beside moto, which needs the smaller number
    .venv/bin/python benches/store.py --beside old=PATH        beside another `ifmatch`

Each store in turn is filled with objects of 4 KiB by 16 connections. Then wrk replays requests that were
signed once: PUTs of 4 KiB over 2000 of the objects, GETs of them, and the first page of a listing. At last
the store is killed, and started again on what is there. Nothing is pinned to a core, so the load generator
shares the machine with the store. Compare what one run gives, not one run with another.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import itertools
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import end_to_end as bench
from end_to_end import ACCESS_KEY, BINARY, BUCKET, HOST, KEYS, REGION, SECRET, SMALL_BODY, Connection, Server

from processes import Process

STAMP = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())


# === requests ===


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signing_key() -> bytes:
    key = ("AWS4" + SECRET).encode()
    for part in (STAMP[:8], REGION, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


KEY = signing_key()
SCOPE = f"{STAMP[:8]}/{REGION}/s3/aws4_request"
HEADERS = f"host:{HOST}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{STAMP}\n"
SIGNED = "host;x-amz-content-sha256;x-amz-date"


def put(path: str, body: bytes) -> bytes:
    """A signed PUT. botocore would take longer to sign it than the store to serve it."""
    canonical = f"PUT\n{path}\n\n{HEADERS}\n{SIGNED}\nUNSIGNED-PAYLOAD"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = _hmac(KEY, f"AWS4-HMAC-SHA256\n{STAMP}\n{SCOPE}\n{digest}").hex()
    return (f"PUT {path} HTTP/1.1\r\nHost: {HOST}\r\nx-amz-date: {STAMP}\r\n"
            f"x-amz-content-sha256: UNSIGNED-PAYLOAD\r\nAuthorization: AWS4-HMAC-SHA256 "
            f"Credential={ACCESS_KEY}/{SCOPE}, SignedHeaders={SIGNED}, Signature={signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def request_sets() -> dict[str, list[bytes]]:
    paths = [bench.key_path(number) for number in range(KEYS)]
    return {
        "PUT 4 KiB": [put(path, SMALL_BODY) for path in paths],
        "GET 4 KiB": [bench.signed("GET", path) for path in paths],
        "page of 1000": [bench.signed("GET", f"/{BUCKET}?list-type=2")],
    }


def fill(url: str, objects: int) -> float:
    """Puts so many objects there; how long that took, in seconds."""
    numbers, failed = itertools.count(), []

    def work() -> None:
        connection = Connection(url)
        while (number := next(numbers)) < objects and not failed:
            status = connection.send(put(bench.key_path(number), SMALL_BODY))
            if status != 200:
                failed.append(f"object {number}: {status}")
        connection.close()

    connection = Connection(url)
    connection.send(bench.signed("PUT", f"/{BUCKET}"))
    connection.close()
    began = time.monotonic()
    threads = [threading.Thread(target=work) for _ in range(bench.CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(failed[0])
    return time.monotonic() - began


# === stores ===


def store(binary: str, *flags: str):
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


# === measuring ===


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def size_mib(directory: Path) -> float:
    told = subprocess.run(["du", "-sm", str(directory)], capture_output=True, text=True, check=True)
    return float(told.stdout.split()[0])


def measured(start, directory: Path, options: argparse.Namespace) -> dict[str, str]:
    directory.mkdir()
    served = start(directory)
    took = fill(served.url, options.objects)
    row = {"fill": f"{options.objects / took:,.0f}/s"}
    for name, requests in request_sets().items():
        file = directory.parent / "requests"
        with file.open("wb") as out:
            for request in requests:
                out.write(f"{len(request)}\n".encode() + request)
        before = served.cpu_seconds()
        count, seconds, p50, p99 = bench.wrk(served.url, file, options.seconds)
        cpu = (served.cpu_seconds() - before) / count * 1e6
        row[name] = f"{count / seconds:,.0f}/s, {cpu:,.0f} µs CPU, {p50:.1f} / {p99:.1f} ms"
    row["RSS"] = f"{resident_mib(served.process.pid):,.0f} MiB"
    if start is not moto:
        row["disk"] = f"{size_mib(directory):,.0f} MiB"
        served.process.kill9()
        began = time.monotonic()
        served = start(directory)
        request = bench.signed("GET", bench.key_path(0))
        connection = Connection(served.url)
        status = connection.send(request)
        connection.close()
        assert status == 200, status
        row["start after kill -9"] = f"{(time.monotonic() - began) * 1000:,.0f} ms"
    served.process.stop()
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=5, help="of each load")
    parser.add_argument("--always", action="store_true", help="also with --fsync always")
    parser.add_argument("--moto", action="store_true", help="also moto")
    parser.add_argument("--beside", action="append", default=[], metavar="NAME=PATH", help="another ifmatch")
    parser.add_argument("--directory", type=Path, help="where the objects go; a temporary directory")
    options = parser.parse_args()
    targets = {"fsync never": store(str(BINARY), "--fsync", "never")}
    if options.always:
        targets["fsync always"] = store(str(BINARY), "--fsync", "always")
    for each in options.beside:
        name, _, path = each.partition("=")
        targets[name] = store(path)
    if options.moto:
        targets["moto"] = moto
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for number, (name, start) in enumerate(targets.items()):
            print(f"{name}, {options.objects:,} objects", flush=True)
            for what, value in measured(start, Path(directory) / f"{number}", options).items():
                print(f"    {what:<20} {value}", flush=True)


if __name__ == "__main__":
    os.environ.pop("IFMATCH_STORE_SECRET_ACCESS_KEY", None)
    main()

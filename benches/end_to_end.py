#!/usr/bin/env python3
"""Rates and CPU time per request: the store alone, nginx in front of it, ifmatch in front of it.

    make bench                                                after the benches of the pure parts
    .venv/bin/python benches/end_to_end.py                    two and a half minutes
    .venv/bin/python benches/end_to_end.py --quick            half a minute, less exact
    .venv/bin/python benches/end_to_end.py --store embedded   before a real store
    .venv/bin/python benches/end_to_end.py --tls              by TLS on both sides

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
All bodies are the same, so that one ETag, which it gives for every key, is right. It checks no
signature. `--store embedded` is `ifmatch store`, a real one on files in memory.

nginx is a bare reverse proxy with connections kept open, and like ifmatch it takes the whole body
before it connects; it neither checks nor signs. Neither proxy logs requests. With `--tls` clients, proxies
and store speak TLS 1.3, each with the same certificate (ECDSA, P-256) and the same key exchange (X25519);
both proxies verify the store's. Then there are also loads with a connection for each request, whose
handshakes are whole or continue an earlier session (benches/handshakes.py). The same keys are
written again and again, so the register's journals fill up: the dearest case. The exit status says
whether the run worked, never how fast it was.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Callable
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import handshakes  # noqa: E402
from certificates import Authority  # noqa: E402
from processes import NotReady, Process, free_ports, stop_all  # noqa: E402

BINARY = Path(os.environ.get("IFMATCH_BIN", ROOT / "target" / "release" / "ifmatch"))
REPLAY = ROOT / "benches" / "replay.lua"

ACCESS_KEY, SECRET = "bench-access-key", "bench-secret-0123456789"
REGION = "us-east-1"
# Signed, so sent the same to every target, whatever its port is.
HOST = "bench.localhost"
BUCKET = "bench"
KEYS = 2000
SMALL, LARGE = 4 << 10, 1 << 20
CONNECTIONS = 16
PROXY_THREADS = 2
WARM_UP_SECONDS = 0.3

random.seed(1)
SMALL_BODY, LARGE_BODY = random.randbytes(SMALL), random.randbytes(LARGE)
ETAG = f'"{hashlib.md5(SMALL_BODY).hexdigest()}"'


# === requests ===


def signed(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request as an SDK sends it, but without `Expect`, which wrk does not understand, and
    without an invocation id: sent again, it would be a retry, and answered from the journal."""
    request = AWSRequest(method, f"http://{HOST}{path}", data=body)
    # Set before signing: S3SigV4Auth signs every header but a few that change on the way.
    request.headers["User-Agent"] = "Boto3/1.44 md/Botocore#1.44 ua/2.1 os/linux lang/python#3.11"
    request.headers["amz-sdk-request"] = "attempt=1"
    if body:
        checksum = zlib.crc32(body).to_bytes(4, "big")
        request.headers["x-amz-sdk-checksum-algorithm"] = "CRC32"
        request.headers["x-amz-checksum-crc32"] = base64.b64encode(checksum).decode()
    for name, value in headers.items():
        request.headers[name.replace("_", "-")] = value
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET), "s3", REGION).add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    if method == "PUT":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def key_path(number: int) -> str:
    return f"/{BUCKET}/tables/part-{number:05}.parquet"


LARGE_PATH = f"/{BUCKET}/large.bin"


def request_sets() -> dict[str, list[bytes]]:
    paths = [key_path(number) for number in range(KEYS)]
    reads = [signed("GET", path) for path in paths]
    once = [read.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") for read in reads]
    return {
        "put": [signed("PUT", path, SMALL_BODY) for path in paths],
        "put if-match": [signed("PUT", path, SMALL_BODY, If_Match=ETAG) for path in paths],
        "get": reads,
        "get large": [signed("GET", LARGE_PATH)],
        "get once": once,
        "get once, continued": once,
    }


class Connection:
    """One connection for the requests that are made once: they must succeed."""

    def __init__(self, url: str):
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), 10)
        if address.scheme == "https":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self.reader = self.socket.makefile("rb")
        self.ended = False
        """Whether the server has said that it closes the connection."""

    def send(self, request: bytes) -> int:
        """The answer's status, its body read and thrown away."""
        self.socket.sendall(request)
        status = self.reader.readline().split()
        length = 0
        while (line := self.reader.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
            elif name.lower() == b"connection":
                self.ended = value.strip().lower() == b"close"
        self.reader.read(length)
        return int(status[1]) if len(status) > 1 else 0

    def close(self) -> None:
        self.reader.close()
        self.socket.close()


def fill(url: str, requests: dict[str, list[bytes]]) -> None:
    """Puts everything there that will be read, or matched."""
    connection = Connection(url)
    once = [signed("PUT", f"/{BUCKET}"), *requests["put"], signed("PUT", LARGE_PATH, LARGE_BODY)]
    for request in once:
        status = connection.send(request)
        if status // 100 != 2:
            raise SystemExit(f"the store answered {status} to {request.splitlines()[0]}")
    connection.close()


def wait_writable(url: str, request: bytes, seconds: float = 20) -> None:
    """A new register grants nothing for a while: 503 until then."""
    deadline = time.monotonic() + seconds
    while True:
        connection = Connection(url)
        status = connection.send(request)
        connection.close()
        if status // 100 == 2:
            return
        if status != 503 or time.monotonic() > deadline:
            raise SystemExit(f"{url} answered {status} to a write")
        time.sleep(0.1)


# === servers ===


@dataclasses.dataclass(frozen=True)
class Tls:
    """The certificate of all servers, its key, and the authority that signed it: PEM files."""

    cert: Path
    key: Path
    authority: Path

    @staticmethod
    def new(directory: Path) -> Tls:
        authority = Authority(directory)
        signed_by = authority.sign("server")
        return Tls(signed_by.cert, signed_by.key, authority.file)



@dataclasses.dataclass
class Server:
    url: str
    process: Process

    def cpu_seconds(self) -> float:
        """Of the process and its children that live (nginx's workers)."""
        pids = [self.process.pid, *children(self.process.pid)]
        return sum(cpu_seconds(pid) for pid in pids)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    # proc(5): after the name, which may hold spaces, utime and stime are the 12th and 13th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def with_free_port(start) -> Server:
    """Programs that cannot say which port the kernel gave them are told one that was free."""
    for attempt in range(5):
        port = free_ports(1)[0]
        try:
            return start(port)
        except NotReady:
            if attempt == 4:
                raise
    raise AssertionError("unreachable")


def wait_accepting(process: Process, port: int, scheme: str) -> Server:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            if process.running():
                return Server(f"{scheme}://127.0.0.1:{port}", process)
        if not process.running():
            break
    process.stop()
    raise NotReady(f"{process.name} does not listen:\n{process.tail()}")


def nginx(name: str, directory: Path, workers: int, http: str, tls: Tls | None) -> Server:
    directory.mkdir(parents=True)
    secured = "" if tls is None else f"""
    ssl_certificate {tls.cert};
    ssl_certificate_key {tls.key};
    ssl_protocols TLSv1.3;
    ssl_ecdh_curve X25519;"""

    def start(port: int) -> Server:
        config = directory / "nginx.conf"
        config.write_text(f"""\
daemon off;
pid {directory}/pid;
error_log stderr error;
worker_processes {workers};
{"user root;" if os.geteuid() == 0 else ""}
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    # A head and its small body are read at once.
    client_header_buffer_size 8k;
    client_body_buffer_size 64k;
    client_max_body_size 0;
    tcp_nodelay on;{secured}
{http.replace("PORT", f"{port} ssl" if tls else str(port))}
}}
""")
        process = Process(name, [program("nginx"), "-p", str(directory), "-c", str(config)])
        return wait_accepting(process, port, "https" if tls else "http")

    return with_free_port(start)


def null_store(directory: Path, tls: Tls | None) -> Server:
    files = directory / "files"
    files.mkdir(parents=True)
    (files / "small").write_bytes(SMALL_BODY)
    (files / "large").write_bytes(LARGE_BODY)
    return nginx("null-store", directory / "nginx", 1, f"""\
    etag off;
    sendfile on;
    open_file_cache max=16;
    open_file_cache_valid 1h;
    server {{
        listen 127.0.0.1:PORT;
        root {files};
        add_header ETag '{ETAG}' always;
        location / {{
            if ($request_method = PUT) {{ rewrite ^ /discard last; }}
            rewrite ^ /small break;
        }}
        location = {LARGE_PATH} {{
            if ($request_method = PUT) {{ rewrite ^ /discard last; }}
            rewrite ^ /large break;
        }}
        # To mirror a request is the cheapest reason for nginx to read its body whole. An answer
        # before that would look to a proxy as if the store had not read the write.
        location = /discard {{
            internal;
            mirror /nothing;
            error_page 405 = @done;
        }}
        location = /nothing {{ internal; return 204; }}
        location @done {{ return 204; }}
    }}""", tls)


def embedded_store(directory: Path, _: Tls | None) -> Server:
    directory.mkdir(parents=True)
    process = Process(
        "embedded-store", [str(BINARY), "store", str(directory), "--access-key-id", ACCESS_KEY,
                           "--fsync", "never"],
        env={"IFMATCH_STORE_SECRET_ACCESS_KEY": SECRET},
    )
    return Server(process.wait_for_line(r"^listening on (http://\S+)")[1], process)


def nginx_proxy(directory: Path, store: Server, tls: Tls | None) -> Server:
    scheme = urlsplit(store.url).scheme
    verified = "" if tls is None else f"""
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {tls.authority};
            proxy_ssl_name localhost;
            proxy_ssl_protocols TLSv1.3;"""
    return nginx("nginx-proxy", directory, PROXY_THREADS, f"""\
    upstream store {{
        server {urlsplit(store.url).netloc};
        keepalive 128;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:PORT;
        location / {{
            proxy_pass {scheme}://store;{verified}
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_request_buffering on;
            proxy_buffers 16 32k;
            proxy_max_temp_file_size 0;
        }}
    }}""", tls)


def redis_server(directory: Path) -> Server:
    directory.mkdir(parents=True)

    def start(port: int) -> Server:
        process = Process("redis", [
            program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no", "--dir", str(directory), "--maxmemory-policy", "noeviction",
        ])
        process.wait_for_line("Ready to accept connections", 10)
        return Server(f"redis://127.0.0.1:{port}", process)

    return with_free_port(start)


def ifmatch(name: str, directory: Path, store: Server, register: str, writers: str,
            tls: Tls | None) -> Server:
    directory.mkdir(parents=True)
    config = directory / "ifmatch.toml"
    in_memory = register == "memory:"
    at, ca_file, secured = '"127.0.0.1:0"', "", ""
    if tls is not None:
        at, ca_file = "[]", f'ca_file = "{tls.authority}"'
        secured = f"""[tls]
listen = "127.0.0.1:0"
cert_file = "{tls.cert}"
key_file = "{tls.key}"
min_version = "1.3"
"""
    # Short terms only shorten the quarantine of a new register; no write here outlives a lease.
    config.write_text(f"""\
listen = {at}
threads = {PROXY_THREADS}
writers = "{writers}"
{secured}
[backend]
{ca_file}
url = "{store.url}"
region = "{REGION}"
access_key_id = "{ACCESS_KEY}"
secret_access_key_env = "BENCH_SECRET"
[register]
url = "{register}"
lease = "3s"
grace = "100ms"
settle = "0s"
{"lock_file = " + json.dumps(str(directory / "lock")) if in_memory else ""}
[body]
spool_dir = {json.dumps(str(directory))}
[log]
level = "warn"
access = "off"
[[client]]
access_key_id = "{ACCESS_KEY}"
secret_access_key_env = "BENCH_SECRET"
""")
    secrets = {"BENCH_SECRET": SECRET}
    process = Process(name, [str(BINARY), "serve", "--config", str(config)], env=secrets)
    url = process.wait_for_line(r"^listening on (https?://\S+)")[1]
    if not in_memory:
        command = [str(BINARY), "register", "skip-quarantine", "--config", str(config)]
        subprocess.run(command, env={**os.environ, **secrets}, check=True, capture_output=True,
                       timeout=30)
    wait_writable(url, signed("PUT", key_path(0), SMALL_BODY))
    return Server(url, process)


def program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise SystemExit(f"{name} is missing: scripts/setup bench")
    return path


# === measuring ===


@dataclasses.dataclass(frozen=True)
class Target:
    name: str
    url: str
    proxy: Server | None
    redis: Server | None = None


@dataclasses.dataclass(frozen=True)
class Round:
    """What one round gave. CPU times in µs per request, None where there is no such process."""

    rate: float
    proxy: float | None
    redis: float | None
    store: float
    p50_ms: float
    p99_ms: float


# From a URL, a file of requests and seconds to requests answered, seconds taken, and the latencies of
# half and of 99 % in ms.
Drive = Callable[[str, Path, float], tuple[int, float, float, float]]


@dataclasses.dataclass(frozen=True)
class Load:
    title: str
    requests: str
    targets: list[str]
    drive: Drive


def wrk(url: str, requests: Path, seconds: float) -> tuple[int, float, float, float]:
    """Requests answered, seconds taken, and the latencies of half and of 99 % in ms."""
    # wrk takes whole seconds only; it ends in good order, with its report, when interrupted.
    child = subprocess.Popen(
        [program("wrk"), "-t1", f"-c{CONNECTIONS}", "-d60s", "-s", str(REPLAY), url, "--",
         str(requests)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )
    try:
        time.sleep(seconds)
        child.send_signal(signal.SIGINT)
        output = child.communicate(timeout=10)[0]
    finally:
        child.kill()
        child.wait()
    line = next((line for line in output.splitlines() if line.startswith("result ")), None)
    if line is None:
        raise SystemExit(f"wrk against {url} gave no result:\n{output}")
    count, micros, p50, p99, errors = map(int, line.split()[1:])
    if errors or not count:
        raise SystemExit(f"{errors} of {count} requests to {url} failed:\n{output}")
    return count, micros / 1e6, p50 / 1e3, p99 / 1e3


def measure(target: Target, store: Server, load: Load, requests: Path, seconds: float) -> Round:
    parts = {"proxy": target.proxy, "redis": target.redis, "store": store}
    before = {name: server.cpu_seconds() for name, server in parts.items() if server}
    count, took, p50, p99 = load.drive(target.url, requests, seconds)
    cpu = {
        name: (server.cpu_seconds() - before[name]) / count * 1e6 if server else None
        for name, server in parts.items()
    }
    return Round(count / took, cpu["proxy"], cpu["redis"], cpu["store"], p50, p99)


Results = dict[str, dict[str, list[Round]]]


def run(loads: list[Load], targets: dict[str, Target], store: Server, files: dict[str, Path],
        rounds: int, seconds: float) -> Results:
    results: Results = {load.requests: {name: [] for name in load.targets} for load in loads}
    for load in loads:
        for name in load.targets:
            measure(targets[name], store, load, files[load.requests], WARM_UP_SECONDS)
        for number in range(rounds):
            show(f"{load.title}: round {number + 1} of {rounds}")
            for name in load.targets if number % 2 == 0 else reversed(load.targets):
                result = measure(targets[name], store, load, files[load.requests], seconds)
                results[load.requests][name].append(result)
    return results


def show(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)


# === the tables ===


def median_of(rounds: list[Round], field: str) -> float | None:
    values = [getattr(each, field) for each in rounds]
    return None if None in values else statistics.median(values)


def ratio(results: dict[str, list[Round]], name: str) -> float:
    """To nginx, round by round."""
    pairs = zip(results[name], results["nginx"], strict=True)
    return statistics.median(own.rate / nginx.rate for own, nginx in pairs)


def print_table(load: Load, results: dict[str, list[Round]]) -> None:
    def cell(value: float | None, width: int, digits: int) -> str:
        return f"{'-':>{width}}" if value is None else f"{value:>{width},.{digits}f}"

    print(f"\n{load.title}\n"
          f"  {'':<46}{'CPU time per request, µs':>27}{'latency, ms':>18}\n"
          f"  {'':<26}{'req/s':>10}{'of nginx':>10}{'proxy':>9}{'Redis':>9}{'store':>9}"
          f"{'p50':>9}{'p99':>9}")
    for name in load.targets:
        rounds = results[name]
        print(f"  {name:<26}{cell(median_of(rounds, 'rate'), 10, 0)}"
              f"{cell(ratio(results, name), 10, 2)}{cell(median_of(rounds, 'proxy'), 9, 1)}"
              f"{cell(median_of(rounds, 'redis'), 9, 1)}{cell(median_of(rounds, 'store'), 9, 1)}"
              f"{cell(median_of(rounds, 'p50_ms'), 9, 2)}{cell(median_of(rounds, 'p99_ms'), 9, 2)}")


MEMORY, REDIS, REDIS_SHARED = "ifmatch, memory", "ifmatch, Redis", "ifmatch, Redis, shared"

LOADS = [
    Load("PUT 4 KiB", "put", ["store alone", "nginx", MEMORY, REDIS], wrk),
    Load("PUT 4 KiB with If-Match (shared: one HEAD for each)", "put if-match",
         ["store alone", "nginx", MEMORY, REDIS, REDIS_SHARED], wrk),
    Load("GET 4 KiB", "get", ["store alone", "nginx", MEMORY], wrk),
    Load("GET 1 MiB", "get large", ["store alone", "nginx", MEMORY], wrk),
]

BY_TLS = [
    Load("PUT 4 KiB by TLS", "put", ["store alone", "nginx", MEMORY], wrk),
    Load("GET 4 KiB by TLS", "get", ["store alone", "nginx", MEMORY], wrk),
    Load("GET 4 KiB, each with a whole handshake", "get once", ["store alone", "nginx", MEMORY],
         handshakes.whole),
    Load("GET 4 KiB, each with a handshake that continues a session", "get once, continued",
         ["store alone", "nginx", MEMORY], handshakes.continued),
]

AIMS = [
    ("put", MEMORY, 0.8),
    ("put", REDIS, 0.6),
    ("get", MEMORY, 0.8),
    ("get large", MEMORY, 0.8),
]


def print_aims(results: Results) -> None:
    print()
    titles = {load.requests: load.title for load in LOADS}
    for requests, name, aim in AIMS:
        reached = ratio(results[requests], name)
        verdict = "met" if reached >= aim else "not met"
        print(f"aim: {titles[requests]}, {name}: at least {aim} of nginx: {reached:.2f}, {verdict}")


def start_targets(store: Server, directory: Path, tls: Tls | None) -> dict[str, Target]:
    proxy = nginx_proxy(directory / "proxy", store, tls)
    memory = ifmatch("ifmatch-memory", directory / "memory", store, "memory:", "exclusive", tls)
    # All proxies of one register must agree on `writers`, so each has its own.
    targets = [
        Target("store alone", store.url, None),
        Target("nginx", proxy.url, proxy),
        Target(MEMORY, memory.url, memory),
    ]
    with_redis = () if tls else ((REDIS, "exclusive"), (REDIS_SHARED, "shared"))
    for name, writers in with_redis:
        redis = redis_server(directory / f"redis-{writers}")
        own = directory / f"ifmatch-{writers}"
        server = ifmatch(f"ifmatch-redis-{writers}", own, store, redis.url, writers, tls)
        targets.append(Target(name, server.url, server, redis))
    return {target.name: target for target in targets}


def write_requests(requests: dict[str, list[bytes]], directory: Path) -> dict[str, Path]:
    """As replay.lua reads them."""
    files = {}
    for number, (name, each) in enumerate(requests.items()):
        files[name] = directory / f"requests-{number}"
        files[name].write_bytes(b"".join(b"%d\n%b" % (len(one), one) for one in each))
    return files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", choices=("null", "embedded"), default="null")
    parser.add_argument("--tls", action="store_true", help="by TLS on both sides; the null store")
    parser.add_argument("--quick", action="store_true", help="half a minute in all")
    parser.add_argument("--rounds", type=int, help="how often each target is measured")
    parser.add_argument("--seconds", type=float, help="how long one round takes")
    options = parser.parse_args()
    if options.tls and options.store != "null":
        parser.error("--tls is for the null store: the embedded one has no TLS")
    rounds = options.rounds or (3 if options.quick else 5)
    seconds = options.seconds or (0.3 if options.quick else 1.5)

    for name in [name for name in os.environ if name.startswith(("IFMATCH_", "AWS_"))]:
        del os.environ[name]
    if not BINARY.exists():
        raise SystemExit(f"{BINARY} is missing: make build")
    in_memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="ifmatch-bench-", dir=in_memory) as name:
        directory = Path(name)
        try:
            start_store = null_store if options.store == "null" else embedded_store
            tls = Tls.new(directory / "tls") if options.tls else None
            store = start_store(directory / "store", tls)
            requests = request_sets()
            fill(store.url, requests)
            files = write_requests(requests, directory)
            targets = start_targets(store, directory, tls)
            loads = BY_TLS if tls else LOADS
            print(f"{options.store} store{', TLS' if tls else ''}, {CONNECTIONS} connections, {PROXY_THREADS} threads in "
                  f"each proxy, {os.cpu_count()} cores, {rounds} rounds of {seconds} s, load "
                  f"average {os.getloadavg()[0]:.1f} at the beginning")
            results = run(loads, targets, store, files, rounds, seconds)
            show("")
            for load in loads:
                print_table(load, results[load.requests])
            if not tls:
                print_aims(results)
        finally:
            stop_all()


if __name__ == "__main__":
    # An end in good order takes the servers along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit(130) from None

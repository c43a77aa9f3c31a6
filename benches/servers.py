"""The servers that are measured, and what they need: stores, proxies, Redis. Each on a port of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

from certificates import Authority
from processes import ROOT, NotReady, Process, free_ports
from signing import (ACCESS_KEY, ETAG, LARGE_BODY, LARGE_ETAG, LARGE_PATH, REGION, SECRET, SMALL_BODY, key_path, signed,
                    wait_writable)

BINARY = Path(os.environ.get("IFMATCH_BIN", ROOT / "target" / "release" / "ifmatch"))
PROXY_THREADS = 2


@dataclasses.dataclass(frozen=True)
class Tls:
    """The certificate of all servers, its key, and the authority that signed it: PEM files."""

    cert: Path
    key: Path
    both: Path
    """The two in one file."""
    authority: Path

    @staticmethod
    def new(directory: Path) -> Tls:
        authority = Authority(directory)
        of_all = authority.sign("server")
        both = directory / "both.pem"
        both.write_bytes(of_all.cert.read_bytes() + of_all.key.read_bytes())
        return Tls(of_all.cert, of_all.key, both, authority.file)


@dataclasses.dataclass
class Server:
    url: str
    process: Process

    def pids(self) -> list[int]:
        """Of the process and its children that live (nginx's workers)."""
        return [self.process.pid, *children(self.process.pid)]

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(pid) for pid in self.pids())

    def own_memory(self) -> int:
        """Bytes of memory, without what is shared with other processes."""
        return sum(own_memory(pid) for pid in self.pids())


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid: int) -> float:
    # proc(5): after the name, which may hold spaces, utime and stime are the 12th and 13th.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def own_memory(pid: int) -> int:
    # proc(5): the second and third number are pages: resident, and of those shared.
    pages = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(pages[1]) - int(pages[2])) * os.sysconf("SC_PAGE_SIZE")


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
worker_rlimit_nofile 20000;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s;
    # A head and its small body are read at once, and a large body stays in memory.
    client_header_buffer_size 8k;
    client_body_buffer_size 2m;
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
    map $request_uri $tag {{ default '{ETAG}'; {LARGE_PATH} '{LARGE_ETAG}'; }}
    sendfile on;
    open_file_cache max=16;
    open_file_cache_valid 1h;
    server {{
        listen 127.0.0.1:PORT;
        root {files};
        add_header ETag $tag always;
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


def haproxy(directory: Path, store: Server, tls: Tls | None) -> Server:
    directory.mkdir(parents=True)
    at_clients, to_store = "", ""
    if tls is not None:
        at_clients = f" ssl crt {tls.both} curves X25519 ssl-min-ver TLSv1.3"
        to_store = f" ssl verify required ca-file {tls.authority} verifyhost localhost ssl-min-ver TLSv1.3"

    def start(port: int) -> Server:
        config = directory / "haproxy.cfg"
        config.write_text(f"""\
global
    nbthread {PROXY_THREADS}
    maxconn 8192
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    http-reuse always
    option http-keep-alive
frontend clients
    bind 127.0.0.1:{port}{at_clients}
    default_backend store
backend store
    server store {urlsplit(store.url).netloc}{to_store}
""")
        process = Process("haproxy", [program("haproxy"), "-db", "-f", str(config)])
        return wait_accepting(process, port, "https" if tls else "http")

    return with_free_port(start)


def redis_server(directory: Path, tls: Tls | None) -> Server:
    directory.mkdir(parents=True)

    def start(port: int) -> Server:
        at = ["--port", str(port)]
        if tls is not None:
            at = ["--port", "0", "--tls-port", str(port), "--tls-cert-file", str(tls.cert),
                  "--tls-key-file", str(tls.key), "--tls-ca-cert-file", str(tls.authority),
                  "--tls-auth-clients", "no"]
        process = Process("redis", [
            program("redis-server"), *at, "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no", "--dir", str(directory), "--maxmemory-policy", "noeviction",
        ])
        process.wait_for_line("Ready to accept connections", 10)
        return Server(f"{'rediss' if tls else 'redis'}://127.0.0.1:{port}", process)

    return with_free_port(start)


def ifmatch(name: str, directory: Path, store: Server, register: str, writers: str,
            tls: Tls | None) -> Server:
    directory.mkdir(parents=True)
    config = directory / "ifmatch.toml"
    in_memory = register == "memory:"
    at, ca_file, secured, register_ca = '"127.0.0.1:0"', "", "", ""
    if tls is not None:
        at, ca_file = "[]", f'ca_file = "{tls.authority}"'
        register_ca = "" if in_memory else ca_file
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
{register_ca}
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

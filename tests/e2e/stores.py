"""The stores behind the proxy. Each is a server that nobody here wrote, on ports chosen now."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from processes import ROOT, NotReady, Process, free_ports

BINARY = Path(os.environ.get("IFMATCH_BIN", ROOT / "target" / "release" / "ifmatch"))
SECRET = "testsecret123"


@dataclass
class Store:
    name: str
    url: str
    access_key: str
    secret_key: str
    processes: list[Process] = field(default_factory=list)
    empty_segments: str = "keep"
    """"refuse" where `a//b` and `a/b` are one object."""
    session_token: str | None = None
    """For a credential that is a temporary one."""

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()


def s3s_fs(directory: Path, ignore_conditions: bool = False) -> Store:
    """s3s-fs as `ifmatch store` serves it; ignoring conditions, it overwrites as Garage does."""
    directory.mkdir(parents=True, exist_ok=True)
    name = "s3s-fs-ignoring" if ignore_conditions else "s3s-fs"
    argv = [str(BINARY), "store", str(directory), "--listen", "127.0.0.1:0"]
    process = Process(
        name,
        argv + (["--ignore-conditions"] if ignore_conditions else []),
        env={"IFMATCH_STORE_ACCESS_KEY_ID": "storekey", "IFMATCH_STORE_SECRET_ACCESS_KEY": SECRET},
    )
    url = process.wait_for_line(r"listening on (http://\S+)")[1]
    return Store(name, url, "storekey", SECRET, [process], empty_segments="refuse")


def moto(directory: Path) -> Store:
    """moto keeps objects in memory and checks no signatures."""
    directory.mkdir(parents=True, exist_ok=True)
    server = Path(sys.executable).parent / "moto_server"
    # The port is moto's own choice, and its log tells it.
    process = Process("moto", [str(server), "-H", "127.0.0.1", "-p", "0"], cwd=directory)
    url = process.wait_for_line(r"Running on (http://127\.0\.0\.1:\d+)", 60)[1]
    return Store("moto", url, "testkey", SECRET, [process])


def swift(directory: Path, attempts: int = 4) -> Store:
    """OpenStack Swift with s3api and tempauth: one node, one device, one replica."""
    for attempt in range(attempts):
        base = _directory_with_xattrs(directory / f"try{attempt}")
        ports = free_ports(5)
        processes: list[Process] = []
        try:
            _start_swift(base, ports, processes)
            return Store("swift", f"http://127.0.0.1:{ports[0]}", "testkey:testkey", SECRET,
                         processes)
        except NotReady:
            for process in processes:
                process.kill9()
            if attempt == attempts - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _directory_with_xattrs(wanted: Path) -> Path:
    """Swift keeps its metadata in user xattrs, which not every temporary directory has."""
    for candidate in (wanted, ROOT / "target" / "e2e-swift" / str(os.getpid()) / wanted.name):
        shutil.rmtree(candidate, ignore_errors=True)
        candidate.mkdir(parents=True)
        with tempfile.NamedTemporaryFile(dir=candidate) as probe:
            try:
                os.setxattr(probe.name, "user.swift.probe", b"1")
                return candidate
            except OSError:
                continue
    raise AssertionError(f"Swift needs a file system with user xattrs; {wanted} has none")


def _start_swift(base: Path, ports: list[int], processes: list[Process]) -> None:
    proxy, account, container, obj, cache = ports
    etc, devices, run = base / "etc", base / "srv", base / "run"
    for each in (etc, devices / "d1", run):
        each.mkdir(parents=True)
    user = _user_name()
    # Debian's Swift runs on Debian's Python, whatever a version manager put in front of it.
    env = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "SWIFT_DIR": str(etc), "PYTHONPATH": "",
           "VIRTUAL_ENV": ""}
    common = {"user": user, "etc": etc, "devices": devices, "log": run / "no-syslog"}
    (etc / "swift.conf").write_text(SWIFT_CONF)
    (etc / "proxy-server.conf").write_text(
        PROXY_CONF.format(port=proxy, cache=cache, secret=SECRET, **common))
    for kind, port in (("account", account), ("container", container), ("object", obj)):
        (etc / f"{kind}-server.conf").write_text(
            STORAGE_CONF.format(kind=kind, port=port, **common))
        _build_ring(etc, kind, port, env)

    def launch(program: str, *arguments: str) -> None:
        processes.append(Process(program, [program, *arguments], env=env, cwd=etc))

    launch("memcached", "-u", user, "-l", "127.0.0.1", "-p", str(cache), "-U", "0", "-m", "32")
    for kind in ("account", "container", "object"):
        launch(f"swift-{kind}-server", f"{kind}-server.conf")
    # The updaters carry listings on when a container server was too busy to answer.
    launch("swift-object-updater", "object-server.conf")
    launch("swift-container-updater", "container-server.conf")
    launch("swift-proxy-server", "proxy-server.conf")
    for port in ports:
        _wait_for_port(port, processes)


def _build_ring(etc: Path, kind: str, port: int, env: dict[str, str]) -> None:
    for step in (["create", "4", "1", "1"], ["add", f"r1z1-127.0.0.1:{port}/d1", "1"],
                 ["rebalance"]):
        ring = Process(f"ring-{kind}", ["swift-ring-builder", f"{kind}.builder", *step],
                       env=env, cwd=etc)
        # Exit status 1 is a warning (a ring with one device is not balanced).
        if ring.child.wait(60) > 1:
            raise AssertionError(f"swift-ring-builder {step[0]} failed:\n{ring.tail()}")


def _wait_for_port(port: int, processes: list[Process], timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while True:
        for process in processes:
            if not process.running():
                raise NotReady(f"{process.name} ended early:\n{process.tail()}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise NotReady(f"nothing listens on port {port}") from None
            time.sleep(0.05)


def _user_name() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


SWIFT_CONF = """\
[swift-hash]
swift_hash_path_prefix = e2e
swift_hash_path_suffix = e2e
[storage-policy:0]
name = default
default = yes
"""

STORAGE_CONF = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {etc}
devices = {devices}
mount_check = false
workers = 1
log_level = WARNING
log_address = {log}
fallocate_reserve = 0
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[{kind}-replicator]
[{kind}-updater]
[{kind}-auditor]
"""

PROXY_CONF = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {etc}
workers = 1
log_level = WARNING
log_address = {log}
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats bulk s3api tempauth copy slo dlo \
versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
s3_acl = false
dns_compliant_bucket_names = true
min_segment_size = 5242880
[filter:tempauth]
use = egg:swift#tempauth
user_testkey_testkey = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
"""

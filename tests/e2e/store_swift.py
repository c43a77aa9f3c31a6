"""OpenStack Swift, which refuses conditions on writes and decides by when a request began."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from processes import ROOT, Process, wait_for_port
from stores import SECRET, Store, on_free_ports


def swift(directory: Path) -> Store:
    """OpenStack Swift with s3api and tempauth: one node, one device, one replica."""
    return on_free_ports(5, directory, _start)


def directory_with_xattrs(wanted: Path) -> Path:
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


def _start(wanted: Path, ports: list[int], processes: list[Process]) -> Store:
    base = directory_with_xattrs(wanted)
    proxy, account, container, obj, cache = ports
    etc, devices, run = base / "etc", base / "srv", base / "run"
    for each in (etc, devices / "d1", run):
        each.mkdir(parents=True)
    user = user_name()
    env = swift_environment(etc)
    common = {"user": user, "etc": etc, "devices": devices, "log": run / "no-syslog"}
    (etc / "swift.conf").write_text(SWIFT_CONF)
    (etc / "proxy-server.conf").write_text(
        PROXY_CONF.format(port=proxy, cache=cache, secret=SECRET, **common))
    for kind, port in (("account", account), ("container", container), ("object", obj)):
        (etc / f"{kind}-server.conf").write_text(
            STORAGE_CONF.format(kind=kind, port=port, **common))
        build_ring(etc, kind, [(port, "d1")], env)

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
        wait_for_port(port, processes)
    return Store("swift", f"http://127.0.0.1:{proxy}", "testkey:testkey", SECRET, processes)


def swift_environment(etc: Path) -> dict[str, str]:
    """Debian's Swift runs on Debian's Python, whatever a version manager put in front of it."""
    return {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "SWIFT_DIR": str(etc), "PYTHONPATH": "", "VIRTUAL_ENV": ""}


def build_ring(etc: Path, kind: str, devices: list[tuple[int, str]], env: dict[str, str]) -> None:
    """A ring with a replica on each device, which is a server's port and a name."""
    added = [["add", f"r1z{zone}-127.0.0.1:{port}/{name}", "1"] for zone, (port, name) in enumerate(devices, 1)]
    for step in (["create", "4", str(len(devices)), "1"], *added, ["rebalance"]):
        ring = Process(f"ring-{kind}", ["swift-ring-builder", f"{kind}.builder", *step],
                       env=env, cwd=etc)
        # Exit status 1 is a warning (a ring with one device is not balanced).
        if ring.child.wait(60) > 1:
            raise AssertionError(f"swift-ring-builder {step[0]} failed:\n{ring.tail()}")


def user_name() -> str:
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

"""The stores behind the proxy. Each is a server from another project, on ports chosen now."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from processes import ROOT, NotReady, Process, free_ports

# The second name is for processes of pytest's own, which do not see the first any more.
BINARY = Path(os.environ.setdefault(
    "E2E_BINARY", os.environ.get("IFMATCH_BIN", str(ROOT / "target" / "release" / "ifmatch"))))
# A build with traces, where there is one.
os.environ.setdefault("E2E_TRACES_BINARY", os.environ.get("IFMATCH_TRACES_BIN", ""))
TRACES_BINARY = Path(os.environ["E2E_TRACES_BINARY"]) if os.environ["E2E_TRACES_BINARY"] else None
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
    versions: bool = False
    """Whether a bucket can be versioned."""
    lacks: frozenset[str] = frozenset()
    """What the store itself does not have: operations, as the conformance tables call them, and
    properties that tests ask for by name."""

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()


def embedded(directory: Path, ignore_conditions: bool = False,
             listen: str = "127.0.0.1:0", lag: float = 0,
             lag_of_versions: float | None = None) -> Store:
    """Our own store, as `ifmatch store` serves it; ignoring conditions, it overwrites as Garage does. It may show
    what was replaced up to `lag` seconds ago, and versions by their ids with another lag. The tests end processes and never the power, so it need not wait for
    the disk."""
    directory.mkdir(parents=True, exist_ok=True)
    name = "embedded-ignoring" if ignore_conditions else "embedded"
    argv = [str(BINARY), "store", str(directory), "--listen", listen, "--fsync", "never"]
    process = Process(
        name,
        argv + ["--ignore-conditions"] * ignore_conditions
        + (["--lag", f"{round(lag * 1000)}ms"] if lag else [])
        + (["--lag-of-versions", f"{round(lag_of_versions * 1000)}ms"] if lag_of_versions is not None else []),
        env={"IFMATCH_STORE_ACCESS_KEY_ID": "storekey", "IFMATCH_STORE_SECRET_ACCESS_KEY": SECRET},
    )
    url = process.wait_for_line(r"listening on (http://\S+)")[1]
    return Store(name, url, "storekey", SECRET, [process], versions=True)


def moto(directory: Path) -> Store:
    """moto keeps objects in memory and checks no signatures."""
    directory.mkdir(parents=True, exist_ok=True)
    server = Path(sys.executable).parent / "moto_server"
    # The port is moto's own choice, and its log tells it.
    process = Process("moto", [str(server), "-H", "127.0.0.1", "-p", "0"], cwd=directory)
    url = process.wait_for_line(r"Running on (http://127\.0\.0\.1:\d+)", 60)[1]
    return Store("moto", url, "testkey", SECRET, [process], versions=True)


def s3rver(directory: Path) -> Store:
    """s3rver (Node) writes in place, ignores every condition on a write, knows no versions."""
    directory.mkdir(parents=True, exist_ok=True)
    process = Process("s3rver", ["node", str(ROOT / "tests" / "e2e" / "node" / "s3rver.cjs"),
                                 str(ROOT / ".node"), str(directory)], cwd=directory)
    url = process.wait_for_line(r"listening on (http://\S+)", 60)[1]
    return Store("s3rver", url, "S3RVER", "S3RVER", [process], empty_segments="refuse",
                 lacks=frozenset({"abort", "copy part", "multipart ETags", "sorted listings",
                                  "short ranges"}))


def on_free_ports(count: int, directory: Path,
                  start: Callable[[Path, list[int], list[Process]], Store],
                  attempts: int = 4) -> Store:
    """Starts a store that must be told its ports; another process may take one meanwhile."""
    for attempt in range(attempts):
        processes: list[Process] = []
        try:
            return start(directory / f"try{attempt}", free_ports(count), processes)
        except NotReady:
            for process in processes:
                process.kill9()
            if attempt == attempts - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")

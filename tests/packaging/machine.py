"""A Debian with a running systemd, in a container that shares this machine's network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from processes import ROOT, NotReady, Process

ORIGIN = ROOT / ".debian"
"""A minimal Debian with systemd, which `scripts/setup packages` makes."""
PATIENCE = 60
"""Seconds for what takes a few on an idle machine."""


class Machine:
    """A copy of the minimal Debian, booted. Its root is `self.root`."""

    def __init__(self, directory: Path):
        self.root = directory / "root"
        shutil.copytree(ORIGIN, self.root, symlinks=True, ignore=_devices)
        # One hierarchy, whatever the machine around it has: systemd makes its groups there.
        self.process = Process(
            "machine",
            ["systemd-nspawn", "--quiet", f"--directory={self.root}", f"--machine=t{os.getpid()}",
             "--boot", "--register=no", "--keep-unit", "--console=read-only"],
            env={"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        self._wait(self._is_up, "booted")

    def _leader(self) -> str | None:
        """The pid of the container's systemd, as seen from outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return next(iter(children.read_text().split()), None) if children.exists() else None

    def _is_up(self) -> bool:
        if not self.process.running():
            raise NotReady(f"the container ended:\n{self.process.tail()}")
        leader = self._leader()
        if leader is None:
            return False
        state = self.try_run("systemctl", "is-system-running").stdout.strip()
        return state in ("running", "degraded")

    def _wait(self, happens, what: str, timeout: float = PATIENCE) -> None:
        deadline = time.monotonic() + timeout
        while not happens():
            assert time.monotonic() < deadline, f"not {what}:\n{self.process.tail()}"
            time.sleep(0.1)

    def wait_until(self, happens, what: str) -> None:
        """Polls for a fact that systemd does not announce."""
        try:
            self._wait(happens, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal()}") from None

    def try_run(self, *command: str, **more) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", "--all", f"--target={self._leader()}", "env", "-i",
             "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive",
             "LC_ALL=C.UTF-8", *command],
            capture_output=True, text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, **more)

    def run(self, *command: str) -> str:
        """Runs a command in the container, which must succeed; returns what it printed."""
        done = self.try_run(*command)
        assert done.returncode == 0, (
            f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.journal()}")
        return done.stdout

    def journal(self) -> str:
        return self.try_run("journalctl", "--no-pager", "--lines=60", "--unit=ifmatch*").stdout

    def state(self, unit: str) -> str:
        """`active`, `inactive`, `failed` and the like."""
        return self.show(unit, "ActiveState")

    def show(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def programs(self) -> set[str]:
        """The names of all processes."""
        return set(self.run("sh", "-c", "cat /proc/[0-9]*/comm").split())

    def install(self, package: Path) -> str:
        inside = self.root / "root" / package.name
        shutil.copy(package, inside)
        return self.run("dpkg", "--install", f"/root/{package.name}")

    def stop(self) -> None:
        # Nothing in it is to be kept, and all of it ends with its first process.
        if leader := self._leader():
            os.kill(int(leader), signal.SIGKILL)
        self.process.stop()


def _devices(directory: str, names: list[str]) -> list[str]:
    """What is no file, directory or link: the container gets its own."""
    def is_copied(name: str) -> bool:
        path = Path(directory, name)
        return path.is_symlink() or path.is_dir() or path.is_file()
    return [name for name in names if not is_copied(name)]

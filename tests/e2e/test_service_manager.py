"""What a service manager (systemd) is told, at the other end of its socket."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from proxies import Proxy, Settings, secrets_env
from stores import BINARY
from test_reload import change
from test_upgrade import Stalled, line  # noqa: F401 (a fixture)


class Manager:
    """Receives what processes tell."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.told: list[dict[str, str]] = []

    def wait_for(self, timeout: float = 30, **wanted: str) -> dict[str, str]:
        """The next message with these fields, by regular expressions."""
        deadline = time.monotonic() + timeout
        while True:
            self.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                text = self.socket.recv(4096).decode()
            except TimeoutError:
                raise AssertionError(f"{wanted} was not told: {self.told[-10:]}") from None
            message = dict(line.split("=", 1) for line in text.splitlines())
            self.told.append(message)
            if all(re.fullmatch(value, message.get(name, "")) for name, value in wanted.items()):
                return message


@pytest.fixture
def manager(tmp_path, monkeypatch):
    manager = Manager(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield manager
    manager.socket.close()


def test_a_service_manager_is_told_of_start_reload_and_end(store, tmp_path, manager):
    store.answer = stalled = Stalled()
    proxy = Proxy(tmp_path / "proxy", store.store, Settings(settle=3))
    manager.wait_for(READY="1")
    manager.wait_for(STATUS=r"serving reads only: quarantine \d s")
    manager.wait_for(STATUS="serving")
    assert "MAINPID" not in {name for message in manager.told for name in message}
    before = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
    proxy.process.signal(signal.SIGHUP)
    reloading = manager.wait_for(RELOADING="1")
    assert before <= int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
    manager.wait_for(READY="1")
    # A reload ends also where the file has a fault.
    change(proxy, ('dialect = "aws"', 'dialect = "latin"'))
    proxy.process.signal(signal.SIGHUP)
    manager.wait_for(RELOADING="1")
    manager.wait_for(READY="1")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(proxy.raw().put, "/bucket/slow", b"x")
        assert stalled.come.acquire(timeout=60)
        proxy.process.signal(signal.SIGTERM)
        manager.wait_for(STOPPING="1", STATUS="draining 1 request")
        stalled.go.set()
        assert slow.result(60).status == 200
    assert proxy.process.child.wait(30) == 0


def test_the_watchdog_is_fed_while_the_process_turns(store, tmp_path, manager, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    proxy = Proxy(tmp_path / "proxy", store.store, Settings(settle=0))
    try:
        for _ in range(3):
            manager.wait_for(WATCHDOG="1", timeout=10)
        proxy.process.signal(signal.SIGSTOP)
        manager.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                manager.socket.recv(4096)
        with pytest.raises(AssertionError):
            manager.wait_for(WATCHDOG="1", timeout=3)
        proxy.process.signal(signal.SIGCONT)
        manager.wait_for(WATCHDOG="1", timeout=10)
    finally:
        assert proxy.stop() == 0


def test_the_process_that_takes_over_is_the_main_process_from_then_on(line, manager):
    old = line.first()
    manager.wait_for(READY="1")
    successor = line.successor()
    ready = manager.wait_for(READY="1")
    assert ready["MAINPID"] == str(successor.process.pid)
    assert old.process.child.wait(60) == 0
    manager.wait_for(STATUS="serving")
    assert "STOPPING" not in {name for message in manager.told for name in message}


def test_the_end_of_its_terminal_ends_a_process_in_good_order(store, tmp_path):
    config = Proxy(tmp_path, store.store, Settings(settle=0))
    assert config.stop() == 0
    master, terminal = pty.openpty()

    def take_terminal() -> None:
        import fcntl
        import termios
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    log = (tmp_path / "terminal.log").open("w+")
    command = [str(BINARY), "serve", "--config", str(config.config)]
    child = subprocess.Popen(command, stdin=terminal, stdout=log, stderr=log, text=True,
                             env={**os.environ, **secrets_env(store.store)},
                             start_new_session=True, preexec_fn=take_terminal)
    try:
        os.close(terminal)
        said(child, tmp_path / "terminal.log", "listening on")
        os.kill(child.pid, signal.SIGHUP)
        said(child, tmp_path / "terminal.log", "was reloaded")
        os.close(master)
        assert child.wait(60) == 0
    finally:
        child.kill()
        child.wait()
        log.close()


def said(child: subprocess.Popen, log: Path, words: str) -> None:
    deadline = time.monotonic() + 30
    while words not in log.read_text():
        assert child.poll() is None and time.monotonic() < deadline, f"never: {words}"
        time.sleep(0.02)

"""One process takes over from another: no request is refused, nothing is lost."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from clients import UNSIGNED, Raw, Wire
from processes import NotReady
from proxies import Proxy, Settings
from scripted import ScriptedStore

SOON = 5
"""Seconds for what takes a few milliseconds on an idle machine, and no wait of the protocol."""


class Line:
    """Processes that take over from each other, the last of which serves."""

    def __init__(self, store: ScriptedStore, directory: Path, settings: Settings):
        self.store, self.directory, self.settings = store, directory, settings
        self.all: list[Proxy] = []

    def first(self) -> Proxy:
        proxy = Proxy(self.directory / "0", self.store.store, self.settings, "ifmatch-0")
        self.all.append(proxy)
        proxy.skip_quarantine()
        proxy.wait_writable("bucket")
        return proxy

    def successor(self, settings: Settings | None = None, **more) -> Proxy:
        """Comes back when it says that it serves."""
        name = f"ifmatch-{len(self.all)}"
        proxy = Proxy(self.directory / str(len(self.all)), self.store.store,
                      settings or self.settings, name, arguments=("--upgrade",), **more)
        self.all.append(proxy)
        assert proxy.url == self.all[0].url
        return proxy

    def stop(self) -> None:
        for proxy in self.all:
            proxy.stop()


@pytest.fixture
def line(store, redis_server, tmp_path):
    settings = Settings(register=redis_server.new_database(), lease=4, settle=2,
                        upgrade_socket=tmp_path / "private" / "upgrade.sock")
    processes = Line(store, tmp_path, settings)
    yield processes
    processes.stop()


class Stalled:
    """A store whose PUTs of `slow` keys wait for the word; it says when one has come."""

    def __init__(self):
        self.go, self.come = threading.Event(), threading.Semaphore(0)

    def __call__(self, request):
        if request.method == "PUT" and "/slow" in request.target:
            self.come.release()
            assert self.go.wait(60)
        return 200, {"ETag": '"e"'}, b""


class Crowd:
    """Clients that write and read without a pause and never try anything twice: some on
    connections that they keep, some on a new one for each request."""

    def __init__(self, raw: Raw, keeping: int = 4, anew: int = 4):
        self.raw, self.failures, self.done = raw, [], 0
        self._stop, self._lock = threading.Event(), threading.Condition()
        self._threads = [threading.Thread(target=self._run, args=(number, number < keeping))
                         for number in range(keeping + anew)]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int, keeps: bool) -> None:
        connection = self._connection()
        turn = 0
        while not self._stop.is_set():
            turn += 1
            method, target = ("PUT", "GET")[turn % 2], f"/bucket/crowd-{number}"
            body = b"x" * 100 if method == "PUT" else b""
            headers = self.raw.signed(method, target, body=body)
            try:
                connection.request(method, target, body=body or None, headers=headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failures.append(f"{method} {target}: {answer.status}")
            except OSError as error:
                self.failures.append(f"{method} {target}: {error!r}")
                connection.close()
            except http.client.HTTPException as error:
                self.failures.append(f"{method} {target}: {error!r}")
                connection.close()
            with self._lock:
                self.done += 1
                self._lock.notify_all()
            if not keeps:
                connection.close()
                connection = self._connection()
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.raw.host, self.raw.port, timeout=30)

    def wait_more(self, requests: int) -> None:
        with self._lock:
            wanted = self.done + requests
            assert self._lock.wait_for(lambda: self.done >= wanted, 60), "the crowd stands still"

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()


def ended(proxy: Proxy, timeout: float = SOON) -> int:
    return proxy.process.child.wait(timeout)


def test_a_new_process_takes_over_with_writes_in_flight_and_nobody_is_refused(line):
    line.store.answer = stalled = Stalled()
    old = line.first()
    crowd = Crowd(old.raw())
    try:
        crowd.wait_more(50)
        pool = ThreadPoolExecutor(2)
        slow = [pool.submit(old.raw().put, f"/bucket/slow-{number}", b"x") for number in range(2)]
        for _ in slow:
            assert stalled.come.acquire(timeout=SOON)
        new = line.successor()
        # The old one accepts for a moment longer, and serves what it has accepted.
        old.process.wait_for_line("finishing what is under way")
        for number in range(5):
            assert old.raw().get(f"/bucket/who-answers-{number}").status == 200
        new.request_logged(key="who-answers-4", status=200)
        crowd.wait_more(200)
        # Longer than a lease lasts without renewal.
        time.sleep(line.settings.lease + line.settings.grace)
        assert old.process.running(), "its writes are not done"
        crowd.stop()
        assert len(new.requests_logged()) > 200
        stalled.go.set()
        assert [each.result().status for each in slow] == [200, 200]
        assert ended(old) == 0
        for number in range(2):
            old.request_logged(key=f"slow-{number}", status=200)
        assert crowd.failures == []
        status = new.command("register", "status", "--config", str(new.config))
        assert "leases held: 0" in status.stdout, status.stdout + status.stderr
        began = time.monotonic()
        assert new.raw().put("/bucket/slow-0", b"y").status == 200
        assert time.monotonic() - began < 1, "no lease was left"
    finally:
        stalled.go.set()
        crowd.stop()


def test_whoever_is_connected_to_the_old_process_is_served_and_sent_to_the_new_one(line):
    old = line.first()
    raw = old.raw()
    idle = http.client.HTTPConnection(raw.host, raw.port, timeout=30)
    idle.request("GET", "/bucket/before", headers=raw.signed("GET", "/bucket/before"))
    answer = idle.getresponse()
    answer.read()
    assert answer.getheader("connection") == "keep-alive"
    with Wire(raw, "PUT", "/bucket/half", 10) as half:
        half.send_body(b"12345")
        new = line.successor()
        # Time for the old one to have closed what it would close.
        time.sleep(2)
        idle.request("GET", "/bucket/after", headers=raw.signed("GET", "/bucket/after"))
        answer = idle.getresponse()
        answer.read()
        assert (answer.status, answer.getheader("connection")) == (200, "close")
        assert old.process.running()
        half.send_body(b"67890")
        assert half.read_answer().status == 200
    idle.close()
    assert ended(old) == 0
    for key in ("after", "half"):
        old.request_logged(key=key, status=200)
    assert new.raw().put("/bucket/half", b"z").status == 200


def test_a_process_that_cannot_take_over_leaves_the_running_one_as_it_was(line):
    old = line.first()
    path = line.settings.upgrade_socket
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(path.parent).st_mode) == 0o700
    crowd = Crowd(old.raw(), keeping=1, anew=1)
    try:
        with pytest.raises(NotReady, match="the store at .* cannot be used"):
            line.successor(backend_url="http://127.0.0.1:9")
        with pytest.raises(NotReady, match="terms"):
            line.successor(replace(line.settings, lease=5))
        old.process.wait_for_line("ended before it served")
        crowd.wait_more(20)
        assert old.raw().put("/bucket/still", b"x").status == 200
        old.request_logged(key="still")
        # And the next ones can, one after the other.
        second = line.successor()
        crowd.wait_more(20)
        third = line.successor()
        crowd.wait_more(20)
        crowd.stop()
        assert ended(old) == 0 and ended(second) == 0
        assert third.raw().put("/bucket/still", b"y").status == 200
        assert crowd.failures == []
    finally:
        crowd.stop()
    assert third.stop() == 0
    assert not path.exists()


def test_a_process_that_was_taken_over_can_be_told_to_hurry(line):
    old = line.first()
    raw = old.raw()
    with Wire(raw, "GET", "/bucket/idle", 0) as idle:
        assert idle.read_answer().status == 200
        line.successor()
        with pytest.raises(Exception, match="timed out"):
            ended(old, 2)
        old.process.signal(signal.SIGTERM)
        assert ended(old) == 0
    assert raw.get("/bucket/still").status == 200


def test_who_comes_while_the_old_process_is_told_to_stop_waits_for_the_new_one(line):
    old = line.first()
    asked, go = threading.Event(), threading.Event()

    def answer(request):
        if request.method == "GET" and request.target == "/":
            asked.set()
            assert go.wait(60)
        return 200, {"ETag": '"e"'}, b""

    line.store.answer = answer
    with ThreadPoolExecutor(2) as pool:
        try:
            new = pool.submit(line.successor)
            assert asked.wait(SOON), "it has the descriptor, and looks whether its store is there"
            old.process.signal(signal.SIGTERM)
            assert ended(old) == 0
            waiting = pool.submit(old.raw().get, "/bucket/key")
        finally:
            go.set()
        assert waiting.result().status == 200
        new = new.result()
    new.request_logged(key="key")
    # The next one finds it where it found the old one.
    line.successor()
    assert ended(new) == 0


def test_a_process_that_was_taken_over_stands_by_for_its_copy_in_doubt(line):
    """Should the register forget it, no other process could reclaim it."""
    line.settings = replace(line.settings, settle_long=8, lease_wait=1)
    old = line.first()
    line.store.answer = lambda request: (500 if "x-amz-copy-source" in request.headers else 200,
                                         {"ETag": '"e"'}, b"")
    copied = old.raw().put("/bucket/copy", headers={"x-amz-copy-source": "bucket/source"})
    assert copied.status == 503, str(copied)
    line.successor()
    old.process.wait_for_line("finishing what is under way")
    with pytest.raises(Exception, match="timed out"):
        ended(old, 4)
    settings = line.settings
    assert ended(old, settings.lease + settings.grace + settings.settle_long + SOON) == 0


def test_a_successor_that_crashed_starts_again_as_it_was_started(line):
    """As systemd does it: with --upgrade, although no process is left to take over from."""
    old = line.first()
    new = line.successor()
    assert ended(old) == 0
    new.kill9()
    new.arguments = ("--upgrade", "--listen", old.url.removeprefix("http://"))
    new.start()
    assert new.url == old.url
    assert new.raw().put("/bucket/again", b"x").status == 200
    line.successor()
    assert ended(new) == 0


def refusal(proxy: Proxy, *arguments: str) -> str:
    done = proxy.command("serve", "--config", str(proxy.config), "--upgrade", *arguments)
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_what_lives_in_the_process_is_not_taken_over(store, tmp_path):
    settings = Settings()
    proxy = Proxy(tmp_path / "memory", store.store, settings)
    try:
        told = refusal(proxy)
        assert "the register in memory lives and ends with its process" in told
        assert "Stop the running process" in told
    finally:
        proxy.stop()
    directory = tmp_path / "embedded"
    told = refusal(proxy, "--embedded", str(directory))
    assert "the store of --embedded lives and ends with its process" in told
    assert not directory.exists(), "nothing was touched"


def test_a_takeover_that_cannot_be_is_refused_with_what_to_do(line):
    proxy = line.first()
    told = refusal(proxy, "--listen", "127.0.0.1:1")
    assert "Keep one of these addresses" in told and proxy.url.split("/")[-1] in told
    assert proxy.stop() == 0
    # Which address would be meant?
    told = refusal(proxy)
    assert "no process hands over its listening socket at" in told
    assert "leave out --upgrade" in told
    # A process serves, and does not wait at the upgrade socket.
    with socket.create_server(("127.0.0.1", 0)) as other:
        told = refusal(proxy, "--listen", "{}:{}".format(*other.getsockname()))
        assert "no process hands over its listening socket at" in told

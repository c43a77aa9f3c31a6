"""SIGQUIT ends a process at once, whatever it is doing and whatever stands still in it."""

from __future__ import annotations

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from proxies import Proxy, Settings
from scripted import ScriptedStore

ENDED = 60
"""Seconds. Without SIGQUIT what is under way here would never end."""


@pytest.fixture
def store():
    store = ScriptedStore()
    yield store
    store.stop()


@pytest.fixture
def full_log(tmp_path):
    """A log that takes no line any more: a pipe that nobody empties."""
    path = tmp_path / "access"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    def fill():
        for size in (4096, 1):
            try:
                while True:
                    os.write(writer, b"x" * size)
            except BlockingIOError:
                pass

    yield path, fill
    os.close(writer)
    os.close(reader)


def test_also_where_a_thread_stands_still(store, full_log, tmp_path):
    path, fill = full_log
    proxy = Proxy(tmp_path, store.store, Settings(threads=1, log_access=str(path)))
    fill()
    raw = proxy.raw()
    assert raw.get("/bucket/key").status == 200, "its line in the log is what the thread waits for"
    with socket.create_connection((raw.host, raw.port), timeout=1) as next_client:
        next_client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with pytest.raises(TimeoutError):
            next_client.recv(1)
    proxy.process.signal(signal.SIGQUIT)
    assert proxy.process.child.wait(ENDED) == 0


def test_also_while_it_finishes_what_is_under_way(store, tmp_path):
    proxy = Proxy(tmp_path, store.store)
    asked, go = threading.Event(), threading.Event()

    def answer(request):
        asked.set()
        assert go.wait(2 * ENDED)
        return 200, {"ETag": '"e"'}, b""

    store.answer = answer
    with ThreadPoolExecutor(1) as pool:
        try:
            under_way = pool.submit(proxy.raw().get, "/bucket/key")
            assert asked.wait(ENDED)
            proxy.process.signal(signal.SIGTERM)
            proxy.process.wait_for_line("stopping: no new requests")
            proxy.process.signal(signal.SIGQUIT)
            assert proxy.process.child.wait(ENDED) == 0
            assert under_way.exception(ENDED) is not None
        finally:
            go.set()
    assert proxy.process.wait_for_line("told to end at once; writes under way are in doubt")

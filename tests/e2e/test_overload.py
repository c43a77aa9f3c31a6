"""More than can be taken on: SlowDown, before the body, and nothing else suffers."""

from __future__ import annotations

import http.client
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from clients import UNSIGNED
from proxies import Proxy, Settings
from scripted import ScriptedStore

WRITES, PER_KEY = 4, 2


@pytest.fixture
def crowded(tmp_path):
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store,
                  Settings(settle=0, writes=WRITES, writes_per_key=PER_KEY, lease_wait=20))
    proxy.wait_writable("bucket")
    yield store, proxy
    proxy.stop()
    store.stop()


class Stalled:
    """A store whose PUTs wait for the word; it says when one has come."""

    def __init__(self):
        self.go, self.come = threading.Event(), threading.Semaphore(0)

    def __call__(self, request):
        if request.method == "PUT":
            self.come.release()
            assert self.go.wait(30)
        return 200, {"ETag": '"e"'}, b""


class Upload:
    """A PUT whose body the client has not sent yet."""

    def __init__(self, proxy: Proxy, target: str):
        raw = proxy.raw()
        headers = raw.signed("PUT", target, payload=UNSIGNED)
        self.connection = http.client.HTTPConnection(raw.host, raw.port, timeout=30)
        self.connection.putrequest("PUT", target, skip_host=True)
        for name, value in {**headers, "Content-Length": "1", "Expect": "100-continue"}.items():
            self.connection.putheader(name, value)
        self.connection.endheaders()

    def is_waited_for(self) -> bool:
        """Until the proxy asks for the body (True), or answers at once."""
        return self.connection.sock.recv(25, 0x2).startswith(b"HTTP/1.1 100")

    def finish(self) -> tuple[int, dict[str, str], bytes]:
        if self.is_waited_for():
            self.connection.send(b"x")
        answer = self.connection.getresponse()
        body = answer.read()
        self.connection.close()
        return answer.status, {n.lower(): v for n, v in answer.getheaders()}, body


def test_no_more_writes_at_once_than_there_is_room_for(crowded):
    _, proxy = crowded
    slow = [Upload(proxy, f"/bucket/slow-{number}") for number in range(WRITES)]
    assert all(upload.is_waited_for() for upload in slow)
    refused = Upload(proxy, "/bucket/one-too-many")
    assert not refused.is_waited_for(), "refused before its body"
    status, headers, body = refused.finish()
    assert (status, headers["retry-after"]) == (503, "1") and b"<Code>SlowDown</Code>" in body
    assert proxy.raw().delete("/bucket/x").code == "SlowDown"
    assert proxy.raw().get("/bucket/x").status == 200, "reads are not counted"
    assert [upload.finish()[0] for upload in slow] == [200] * WRITES
    assert proxy.raw().put("/bucket/x", b"y").status == 200, "there is room again"


def test_no_more_writers_in_one_line_than_can_be_served(crowded):
    store, proxy = crowded
    store.answer = stalled = Stalled()

    def put(key: str):
        return proxy.raw().put(f"/bucket/{key}", b"x")

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(put, "k")
        assert stalled.come.acquire(timeout=20)
        # One more waits; of two that come now, one is too many. Which, they settle themselves.
        others = [pool.submit(put, "k") for _ in range(PER_KEY)]
        refused = next(as_completed(others, timeout=20)).result()
        assert (refused.status, refused.code) == (503, "SlowDown"), str(refused)
        assert "Too many writes of this key" in refused.fields["Message"]
        other_key = pool.submit(put, "other")
        assert stalled.come.acquire(timeout=20), "another key is not held up"
        stalled.go.set()
        assert {first.result().status, other_key.result().status} == {200}
        assert sorted(each.result().status for each in others) == [200, 503]


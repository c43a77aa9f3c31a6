"""The lines about requests: their place, their number, and the ids by which they are found."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from proxies import Proxy, Settings
from test_reload import change, reload

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def set_log(proxy: Proxy, text: str) -> None:
    change(proxy, ('format = "json"', f'format = "json"\n{text}'))
    reload(proxy)


def lines_of(path: Path, count: int) -> list[dict]:
    """Waits for this many lines: one is written after its answer."""
    deadline = time.monotonic() + 10
    while len(lines := path.read_text().splitlines() if path.exists() else []) < count:
        assert time.monotonic() < deadline, f"{path}: {lines}"
        time.sleep(0.02)
    return [json.loads(line) for line in lines]


def test_requests_have_a_file_of_their_own_that_is_opened_again_on_sighup(proxy, tmp_path):
    set_log(proxy, 'access = "log/access.log"\n')
    assert "log.access" in proxy.process.tail(), "the directory is not there"
    (tmp_path / "log").mkdir()
    reload(proxy)
    since = len(proxy.process.lines)
    path, rotated = tmp_path / "log" / "access.log", tmp_path / "log" / "access.log.1"
    assert proxy.raw().get("/bucket/first").status == 200
    first, = lines_of(path, 1)
    assert (first["key"], first["level"], first["message"]) == ("first", "INFO", "request")
    path.rename(rotated)
    assert proxy.raw().get("/bucket/second").status == 200
    lines_of(rotated, 2)
    # Also where nothing else is taken of the configuration.
    good = proxy.config.read_text()
    proxy.config.write_text("no TOML")
    assert "not reloaded" in reload(proxy)[-1]["message"]
    assert proxy.raw().get("/bucket/third").status == 200
    assert [line["key"] for line in lines_of(path, 1)] == ["third"]
    proxy.config.write_text(good)
    reload(proxy)
    assert not [line for line in proxy.process.lines[since:] if '"request"' in line]
    assert len(lines_of(rotated, 2)) == 2


def test_the_level_is_about_other_lines_and_requests_can_be_left_out(proxy):
    # It needs a restart, which each reload says at level "warn".
    change(proxy, ('lease = "2000ms"', 'lease = "3s"'))

    def set_level(old: str, new: str) -> None:
        since = len(proxy.process.lines)
        change(proxy, (old, new))
        proxy.process.signal(signal.SIGHUP)
        proxy.process.wait_for_line("needs a restart", since=since)

    set_level('level = "info"', 'level = "warn"')
    assert proxy.raw().get("/bucket/logged").status == 200
    proxy.request_logged(key="logged")
    set_level('level = "warn"', 'level = "info"\naccess = "off"')
    assert proxy.raw().get("/bucket/not-logged").status == 200
    set_level('level = "info"\naccess = "off"', 'level = "info"')
    assert proxy.raw().get("/bucket/logged-again").status == 200
    proxy.request_logged(key="logged-again")
    assert not [line for line in proxy.requests_logged() if line.get("key") == "not-logged"]


def test_of_many_successful_reads_some_are_logged_and_of_the_rest_all(proxy, store):
    set_log(proxy, "sample_reads = 5")
    store.answer = lambda request: ((404, {}, b"") if request.target.endswith("gone")
                                    else (200, {"ETag": '"e"'}, b""))
    for number in range(20):
        assert proxy.raw().get("/bucket/read").status == 200
        assert proxy.raw().get("/bucket/gone").status == 404
        assert proxy.raw().put(f"/bucket/written-{number}", b"x").status == 200
    proxy.request_logged(key="written-19")
    lines = proxy.requests_logged()
    read = [line for line in lines if line.get("key") == "read"]
    assert len(read) == 4 and {line["one_of"] for line in read} == {5}
    assert len([line for line in lines if line.get("key") == "gone"]) == 20
    assert len([line for line in lines if line.get("key", "").startswith("written-")]) == 20


@pytest.mark.parametrize("signatures", ["resign", "passthrough"])
def test_a_request_is_followed_from_the_client_to_the_store(store, tmp_path, signatures):
    proxy = Proxy(tmp_path, store.store, Settings(settle=0, signatures=signatures))
    try:
        proxy.wait_writable("bucket")
        store.answer = lambda request: (200, {"ETag": '"e"', "x-amz-request-id": "OF-THE-STORE"}, b"")
        store.take()
        raw = proxy.raw()
        sent = {"traceparent": PARENT, "tracestate": "vendor=1"}
        for key, method, target in (("written", "PUT", "/bucket/written"),
                                    ("read", "GET", "/bucket/read"),
                                    ("streamed", "PUT", "/bucket/streamed?partNumber=1&uploadId=u")):
            body = b"x" if method == "PUT" else b""
            answer = raw.request(method, target, body=body, unsigned=sent)
            assert answer.status == 200
            line = proxy.request_logged(key=key)
            assert (line["trace_id"], line["store_request_id"]) == (TRACE, "OF-THE-STORE")
            told = answer.headers["x-amz-request-id"]
            assert told in (line["request_id"], line["store_request_id"])
            at_store = [request for request in store.take()
                        if key in request.target and request.method == method]
            assert [request.headers.get("traceparent") for request in at_store] == [PARENT]
            assert "traceparent" not in at_store[0].headers["authorization"]
        malformed = {"traceparent": "00-bad", "tracestate": "vendor=1"}
        assert raw.get("/bucket/malformed", unsigned=malformed).status == 200
        assert "trace_id" not in proxy.request_logged(key="malformed")
    finally:
        assert proxy.stop() == 0

"""New settings without a restart: SIGHUP, and no request that fails for it."""

from __future__ import annotations

import json
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import SIGNING, UNSIGNED, Raw
from proxies import ACCESS_KEY, CLIENT_SECRET, READER_KEY, READER_SECRET, Proxy, Settings
from test_upgrade import Crowd, Stalled

MUST_BE_CONDITIONAL = """
[[rule]]
prefix = "guarded/"
require = "must-be-conditional"
"""


@pytest.fixture
def passing(store, tmp_path):
    proxy = Proxy(tmp_path, store.store, Settings(settle=0, signatures="passthrough"))
    proxy.wait_writable("bucket")
    yield proxy
    assert proxy.stop() == 0


def reload(proxy: Proxy) -> list[dict]:
    """Reloads; returns the lines of the log about it."""
    since = len(proxy.process.lines)
    proxy.process.signal(signal.SIGHUP)
    end = r"the configuration was (not )?reloaded"
    proxy.process.wait_for_line(end, since=since)
    told = [json.loads(line) for line in list(proxy.process.lines)[since:]]
    return [line for line in told if line["message"] != "request"]


def change(proxy: Proxy, *changes: tuple[str, str]) -> None:
    text = proxy.config.read_text()
    for old, new in changes:
        assert text.count(old) == 1, f"{text.count(old)} times in the file: {old}"
        text = text.replace(old, new)
    proxy.config.write_text(text)


def add(proxy: Proxy, text: str) -> None:
    proxy.config.write_text(proxy.config.read_text() + text)


def put(proxy: Proxy, key: str, raw: Raw | None = None, **headers) -> int:
    return (raw or proxy.raw()).put(f"/bucket/{key}", b"x", headers=headers).status


@pytest.mark.parametrize("mode", ["proxy", "passing"])
def test_rules_come_and_go_under_load_and_no_request_fails(request, mode):
    proxy = request.getfixturevalue(mode)
    without = proxy.config.read_text()
    crowd = Crowd(proxy.raw())
    try:
        for _ in range(4):
            add(proxy, MUST_BE_CONDITIONAL)
            assert [line.get("changed") for line in reload(proxy)][-1] == "rule"
            assert put(proxy, "guarded/a") == 403
            crowd.wait_more(20)
            proxy.config.write_text(without)
            reload(proxy)
            assert put(proxy, "guarded/a") == 200
            crowd.wait_more(20)
    finally:
        crowd.stop()
    assert not crowd.failures


@pytest.mark.parametrize("mode", ["proxy", "passing"])
def test_a_request_under_way_ends_as_it_began(request, mode, store):
    """Its client, its rule and its limit are gone when its body arrives, and its answer."""
    proxy = request.getfixturevalue(mode)
    store.answer = stalled = Stalled()
    raw = proxy.raw()
    target = "/bucket/guarded/slow-body"
    head = raw.signed("PUT", target, payload=UNSIGNED)
    head |= {"Content-Length": "10", "Expect": "100-continue"}
    lines = [f"PUT {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
    with ThreadPoolExecutor(1) as pool:
        answer_waits = pool.submit(put, proxy, "slow-answer")
        assert stalled.come.acquire(timeout=60)
        with socket.create_connection((raw.host, raw.port), 60) as body_waits:
            body_waits.sendall("\r\n".join([*lines, "", ""]).encode())
            assert body_waits.recv(1000).startswith(b"HTTP/1.1 100 ")
            body_waits.sendall(b"half ")
            add(proxy, MUST_BE_CONDITIONAL)
            change(proxy, ('max = "5GiB"', 'max = "4B"'))
            if mode == "proxy":
                change(proxy, (f'access_key_id = "{ACCESS_KEY}"', 'access_key_id = "successor"'))
            changed = reload(proxy)[-1]["changed"]
            assert {"body.max", "rule"} <= set(changed.split(", ")), changed
            assert put(proxy, "other") == (403 if mode == "proxy" else 200)
            body_waits.sendall(b"whole")
            stalled.go.set()
            assert body_waits.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert answer_waits.result(60) == 200
    assert put(proxy, "guarded/slow-body") == 403


def test_a_file_with_faults_changes_nothing_and_all_of_them_are_told(proxy):
    change(proxy, ('max = "5GiB"', 'max = "much"'), ('dialect = "aws"', 'dialect = "latin"'),
           (f'access_key_id = "{READER_KEY}"', 'access_key_id = "successor"'))
    *faults, last = reload(proxy)
    checked = proxy.command("check-config", "--config", str(proxy.config))
    assert checked.returncode == 2
    expected = [line.strip() for line in checked.stderr.splitlines()[1:]]
    assert [line["message"] for line in faults] == expected and len(expected) == 2
    assert (last["level"], last["faults"]) == ("ERROR", 2)
    reader = proxy.raw(READER_KEY, READER_SECRET)
    assert reader.get("/bucket/a").status == 200
    proxy.config.write_text("this is not TOML")
    assert "is not TOML" in reload(proxy)[0]["message"]
    proxy.config.unlink()
    assert "No such file" in reload(proxy)[0]["message"]
    assert put(proxy, "a") == 200


def test_what_needs_a_restart_is_named_in_one_line_each_time(proxy):
    change(proxy, ('lease = "2000ms"', 'lease = "3s"'), ('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:1"'),
           ("strangers = 256", "strangers = 7"))
    for changed in ("limits.strangers", ""):
        since = len(proxy.process.lines)
        done, *_ = reload(proxy)
        assert (done["level"], done.get("changed", "")) == ("INFO", changed)
        warned = proxy.process.wait_for_line(r"needs a restart", since=since)
        assert json.loads(warned.string)["settings"] == "listen, register.lease"


@pytest.mark.parametrize("signing", SIGNING)
def test_a_client_changes_its_secret_under_load_and_no_request_fails(proxy, tmp_path, signing):
    """First both secrets are accepted, then the client changes, then the old one is taken away."""
    new, previous = tmp_path / "new", tmp_path / "previous"
    new.write_text("its-new-secret")
    previous.write_text(CLIENT_SECRET)

    def read(secret: str, key: str) -> int:
        s3 = proxy.boto(ACCESS_KEY, secret, config=SIGNING[signing])
        url = s3.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": key})
        headers = {"Host": proxy.url.removeprefix("http://")}
        return proxy.raw().send("GET", url.removeprefix(proxy.url), headers, b"").status

    before = f'secret_access_key_file = "{previous}"'
    change(proxy, ('secret_access_key_env = "E2E_CLIENT_SECRET"',
                   f'secret_access_key_file = "{new}"\nprevious_{before}'))
    crowd = Crowd(proxy.raw())
    try:
        crowd.wait_more(20)
        assert reload(proxy)[-1]["changed"] == f"client {ACCESS_KEY}"
        crowd.wait_more(20)
    finally:
        crowd.stop()
    assert not crowd.failures
    assert (read(CLIENT_SECRET, "by-previous"), read("its-new-secret", "by-new")) == (200, 200)
    assert proxy.request_logged(key="by-previous")["secret"] == "previous"
    assert "secret" not in proxy.request_logged(key="by-new")
    change(proxy, (f"previous_{before}", ""))
    reload(proxy)
    assert (read(CLIENT_SECRET, "late"), read("its-new-secret", "late")) == (403, 200)
    assert CLIENT_SECRET not in proxy.process.tail(10_000)


def key_of(request) -> str:
    return re.search(r"Credential=([^/]+)/", request.headers.get("authorization", ""))[1]


def test_the_credential_for_the_store_is_tried_and_then_changes_under_load(proxy, store):
    known = {"storekey", "successor"}

    def answer(request):
        if key_of(request) in known:
            return 200, {"ETag": '"e"'}, b""
        return 403, {}, b"<Error><Code>InvalidAccessKeyId</Code></Error>"

    store.answer = answer
    change(proxy, ('access_key_id = "storekey"', 'access_key_id = "unknown"'),
           ("strangers = 256", "strangers = 7"))
    fault, last = reload(proxy)
    assert fault["message"].startswith("backend.access_key_id: the credential was tried at the store:")
    assert "InvalidAccessKeyId" in fault["message"] and "not reloaded" in last["message"]
    crowd = Crowd(proxy.raw())
    try:
        crowd.wait_more(20)
        change(proxy, ('access_key_id = "unknown"', 'access_key_id = "successor"'))
        changed = reload(proxy)[-1]["changed"]
        assert changed == "backend.access_key_id, limits.strangers"
        crowd.wait_more(20)
        # The administrator of the store takes the old one away.
        known.remove("storekey")
        store.take()
        crowd.wait_more(50)
        assert {key_of(request) for request in store.take()} == {"successor"}
    finally:
        crowd.stop()
    assert not crowd.failures


def test_a_secret_that_the_store_refuses_is_not_taken(front_on, tmp_path):
    """At a store that checks signatures."""
    front = front_on("embedded", "memory")
    secret = tmp_path / "secret"
    secret.write_text(front.proxy.store.secret_key)
    proxy = Proxy(tmp_path / "proxy", front.proxy.store, Settings(settle=0))
    try:
        named = f'secret_access_key_file = "{secret}"'
        change(proxy, ('secret_access_key_env = "E2E_BACKEND_SECRET"', named))
        assert "not" not in reload(proxy)[-1]["message"]
        secret.write_text("wrong")
        fault, _ = reload(proxy)
        assert "SignatureDoesNotMatch" in fault["message"]
        assert "wrong" not in proxy.process.tail(1000)
        assert proxy.raw().get(f"/{front.bucket}").status == 200
    finally:
        assert proxy.stop() == 0

"""What pages of other origins may see: asked of the store when an answer needs it, and no oftener."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import Raw
from conftest import new_bucket
from proxies import READER_KEY, READER_SECRET, Proxy, Settings, in_front_of
from scripted import ScriptedStore
from test_forms import FILE, signed

ORIGIN = "http://page.test"
PAGE = {"Origin": ORIGIN}
ALLOWED = {"access-control-allow-origin": ORIGIN, "access-control-expose-headers": "ETag",
           "access-control-allow-methods": "PUT", "access-control-max-age": "60", "vary": "Origin"}
BATCH = b"<Delete><Object><Key>k</Key></Object></Delete>"


def seen_by_page(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items()
            if name.startswith("access-control-") or name == "vary"}


class Policed:
    """A store with a policy, which it tells only in answer to a preflight."""

    def __init__(self):
        self.scripted = ScriptedStore()
        self.scripted.answer = self.answer
        self.status = 200
        self.pause = threading.Event()
        self.pause.set()
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()

    def answer(self, request):
        if request.method == "OPTIONS":
            with self._lock:
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
            self.pause.wait(20)
            with self._lock:
                self.at_once -= 1
            told = dict(ALLOWED, **{"vary": "Origin, Access-Control-Request-Method"})
            if request.headers["origin"] != ORIGIN:
                return 403, {}, b"<Error><Code>AccessForbidden</Code></Error>"
            told["access-control-allow-methods"] = request.headers["access-control-request-method"]
            return self.status, told if self.status == 200 else {}, b""
        if request.method in ("GET", "HEAD") and "missing" in request.target:
            return 404, {}, b""
        return (204, {}, b"") if request.method == "DELETE" else (200, {"ETag": '"e"'}, b"")

    def asked(self) -> list:
        return [request for request in self.scripted.take() if request.method == "OPTIONS"]


@pytest.fixture
def store():
    store = Policed()
    yield store
    store.pause.set()
    store.scripted.stop()


@pytest.fixture(params=["resign", "passthrough"])
def proxy(store, tmp_path, request):
    rules = '[[rule]]\nbuckets = ["bucket"]\nprefix = "once/"\nrequire = "create-only"\n'
    proxy = in_front_of(store.scripted.store, "bucket", tmp_path, Settings(
        writers="exclusive", signatures=request.param, rules=rules))
    store.scripted.take()
    yield proxy
    proxy.stop()


def refusals(proxy, page: dict) -> list:
    """Answers of all kinds that the proxy gives of its own accord."""
    raw, passes = proxy.raw(), proxy.settings.signatures == "passthrough"
    create = {"If-None-Match": "*"}
    answers = [
        (412, raw.put("/bucket/k", b"x", headers={**create, **page})),
        (404, raw.put("/bucket/missing", b"x", headers={"If-Match": '"e"', **page})),
        (501, raw.put("/bucket/k", b"x", headers={"If-None-Match": '"e"', **page})),
        (400, raw.put("/bucket/k", b"x", headers={"x-amz-copy-source": "%", **page})),
        (400, raw.put("/bucket/a%zz", b"x", headers=page)),
        (403, raw.put("/bucket/once/k", b"x", headers=page)),
    ]
    if not passes:
        other = Raw(proxy.url, *proxy.user[:1], "wrong")
        reader = proxy.raw(READER_KEY, READER_SECRET)
        md5 = base64.b64encode(hashlib.md5(BATCH).digest()).decode()
        call = {"amz-sdk-invocation-id": f"call-{id(page)}", **page}
        raw.put("/bucket/k", b"1", headers={**call, "amz-sdk-request": "attempt=1"})
        again = raw.put("/bucket/k", b"1", headers={**call, "amz-sdk-request": "attempt=2"})
        assert again.headers["x-ifmatch-replayed"] == "true"
        answers += [
            (403, other.put("/bucket/k", b"x", headers=page)),
            (403, other.get("/bucket/k", headers=page)),
            (403, reader.put("/bucket/k", b"x", headers=page)),
            (400, raw.put("/bucket/k", b"x", headers=page, sent_body=b"y")),
            (412, raw.get("/bucket/k", headers={"If-Match": '"f"', **page})),
            (304, raw.get("/bucket/k", headers={"If-None-Match": '"e"', **page})),
            (200, again),
            (200, raw.request("POST", "/bucket?delete=", {"Content-MD5": md5, **page}, BATCH)),
            (204, form(proxy, page)),
        ]
    return answers


def form(proxy, page: dict):
    import urllib3
    parts = signed("bucket", {"key": "k"}) + [FILE]
    body, kind = urllib3.encode_multipart_formdata(parts)
    return proxy.raw().send("POST", "/bucket", {"Host": proxy.url.removeprefix("http://"),
                                                "Content-Type": kind, **page}, body)


def test_every_answer_carries_what_the_store_allows_a_page(proxy, store):
    for status, answer in refusals(proxy, PAGE):
        assert answer.status == status, str(answer)
        seen = seen_by_page(answer.headers)
        assert seen.pop("access-control-allow-methods") in ("PUT", "GET", "POST"), str(answer)
        assert seen == {name: value for name, value in ALLOWED.items()
                        if name != "access-control-allow-methods"}, str(answer)
    # Once for each method, however many answers; and for the bucket, whatever key is asked for.
    asked = store.asked()
    methods = [request.headers["access-control-request-method"] for request in asked]
    assert sorted(set(methods)) == sorted(methods), methods
    assert {request.target for request in asked} == {"/bucket"}
    assert all("authorization" not in request.headers for request in asked)


def test_without_a_page_nothing_is_asked_and_nothing_added(proxy, store):
    for status, answer in refusals(proxy, {}):
        assert seen_by_page(answer.headers) == {}, str(answer)
    assert store.asked() == []


def test_a_page_that_may_not_see_gets_nothing(proxy, store):
    for _, answer in refusals(proxy, {"Origin": "http://other.test"}):
        assert seen_by_page(answer.headers) == {}, str(answer)
    store.asked()
    for odd in ("", "x" * 600):
        answer = proxy.raw().put("/bucket/k", b"x", headers={"If-None-Match": "*", "Origin": odd})
        assert (answer.status, seen_by_page(answer.headers)) == (412, {})
    assert store.asked() == []


@pytest.mark.parametrize("status", [501, 403, 404])
def test_a_store_without_policies_is_asked_once_too(proxy, store, status):
    store.status = status
    for _ in range(5):
        answer = proxy.raw().put("/bucket/k", b"x", headers={"If-None-Match": "*", **PAGE})
        assert (answer.status, seen_by_page(answer.headers)) == (412, {})
    assert len(store.asked()) == 1


def test_a_policy_that_does_not_come_delays_an_answer_by_two_seconds_at_most(proxy, store):
    store.pause.clear()
    began = time.monotonic()
    answer = proxy.raw().put("/bucket/k", b"x", headers={"If-None-Match": "*", **PAGE})
    assert (answer.status, seen_by_page(answer.headers)) == (412, {})
    assert time.monotonic() - began < 4


def test_a_policy_is_asked_for_once_however_many_wait_for_it(proxy, store):
    store.pause.clear()
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(proxy.raw().put, f"/bucket/k{number}", b"x",
                               headers={"If-None-Match": "*", **PAGE}) for number in range(20)]
        while store.at_once == 0:
            time.sleep(0.01)
        store.pause.set()
        for answer in answers:
            assert "access-control-allow-origin" in answer.result().headers
    assert len(store.asked()) == 1


def test_a_policy_that_was_told_goes_on_while_the_store_is_silent(proxy, store):
    put = proxy.raw().put("/bucket/k", b"x", headers={"If-None-Match": "*", **PAGE})
    assert "access-control-allow-origin" in put.headers
    store.scripted.answer = lambda _: (500, {}, b"")
    answer = proxy.raw().put("/bucket/k", b"x", headers={"If-None-Match": "*", **PAGE})
    assert answer.status == 503, str(answer)
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_strangers_of_many_origins_ask_few_questions_at_once(store, tmp_path):
    proxy = in_front_of(store.scripted.store, "bucket", tmp_path, Settings())
    store.scripted.take()
    stranger = Raw(proxy.url, proxy.user[0], "wrong")
    store.pause.clear()
    began = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        answers = [pool.submit(stranger.put, "/bucket/k", b"x",
                               headers={"Origin": f"http://{number}.test"}) for number in range(40)]
        while store.at_once < 4:
            time.sleep(0.01)
        # Authenticated callers have a limit of their own meanwhile.
        known = pool.submit(proxy.raw().put, "/bucket/k", b"x",
                            headers={"If-None-Match": "*", **PAGE})
        while store.at_once < 5:
            time.sleep(0.01)
        held_s = time.monotonic() - began
        store.pause.set()
        assert {answer.result().status for answer in answers} == {403}
        assert known.result().headers["access-control-allow-origin"] == ORIGIN
    # Each is given up after two seconds, and another stranger's may follow, which the store that
    # holds all of them cannot tell. And while it lets them go, the next ones come.
    assert store.most_at_once <= 5 + 4 * (int(held_s // 2) + 1)
    proxy.stop()


def test_a_preflight_of_a_presigned_url_is_not_taken_for_the_request_itself(proxy, store):
    url = proxy.boto().generate_presigned_url("put_object", {"Bucket": "bucket", "Key": "k"})
    asked = {"Host": proxy.url.removeprefix("http://"), **PAGE,
             "Access-Control-Request-Method": "PUT",
             "Access-Control-Request-Headers": "if-none-match"}
    answer = proxy.raw().send("OPTIONS", url.removeprefix(proxy.url), asked, b"")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    [question] = store.asked()
    assert question.target == "/bucket"
    assert question.headers["access-control-request-headers"] == "if-none-match"


@pytest.mark.parametrize("name", ["moto", "s3rver", "ceph"])
def test_a_real_store_s_policy_is_on_a_412(store_named, tmp_path, name):
    store = store_named(name)
    bucket = new_bucket(store)
    proxy = Proxy(tmp_path, store, Settings())
    proxy.wait_writable(bucket)
    proxy.boto().put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{
        "AllowedOrigins": [ORIGIN], "AllowedMethods": ["PUT"], "ExposeHeaders": ["ETag"]}]})
    raw, create = proxy.raw(), {"If-None-Match": "*"}
    assert raw.put(f"/{bucket}/k", b"x", headers=create).status == 200
    answer = raw.put(f"/{bucket}/k", b"x", headers={**create, **PAGE})
    assert answer.status == 412 and answer.headers["access-control-allow-origin"] in (ORIGIN, "*")
    if name != "s3rver":
        assert answer.headers["access-control-expose-headers"] == "ETag"
    other = raw.put(f"/{bucket}/k", b"x", headers={**create, "Origin": "http://other.test"})
    assert other.status == 412 and seen_by_page(other.headers) == {}
    proxy.stop()

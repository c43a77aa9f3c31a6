"""CORS of the embedded store: browsers ask it, and it tells them what a bucket's rules allow."""

from __future__ import annotations

import pytest

from clients import Raw
from conftest import new_bucket
from embedded import Bucket
from proxies import Proxy, Settings

ORIGIN = "https://page.test"
RULE = {"AllowedOrigins": [ORIGIN, "http://*.pages.test"], "AllowedMethods": ["GET", "PUT"],
        "AllowedHeaders": ["Content-Type", "X-Amz-*"], "ExposeHeaders": ["ETag", "x-amz-version-id"],
        "MaxAgeSeconds": 600}
OF_PAGES = ("access-control-", "vary")


def preflight(bucket: Bucket, key: str, origin: str | None, method: str | None = None, headers: str | None = None):
    """What a browser asks before a page's request: it has no signature."""
    asked = {"Host": f"{bucket.raw.host}:{bucket.raw.port}", "Origin": origin,
             "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    asked = {name: value for name, value in asked.items() if value is not None}
    return bucket.raw.send("OPTIONS", bucket.path(key), asked, b"")


def told(answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith(OF_PAGES)}


@pytest.fixture
def ruled(embedded) -> Bucket:
    embedded("put_bucket_cors", CORSConfiguration={"CORSRules": [RULE]})
    return embedded


@pytest.mark.parametrize("origin", [ORIGIN, "http://a.pages.test"])
@pytest.mark.parametrize("key", ["", "key"])
def test_a_preflight_is_told_what_the_rules_allow(ruled, origin, key):
    answer = preflight(ruled, key, origin, "PUT", "Content-Type, x-amz-meta-a")
    assert (answer.status, answer.body) == (200, b"")
    assert told(answer) == {
        "access-control-allow-origin": origin, "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, PUT", "access-control-allow-headers": "content-type, x-amz-meta-a",
        "access-control-expose-headers": "ETag, x-amz-version-id", "access-control-max-age": "600",
        "vary": "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"}


def test_any_origin_gets_no_credentials(embedded):
    rule = {"AllowedOrigins": ["*"], "AllowedMethods": ["GET"]}
    embedded("put_bucket_cors", CORSConfiguration={"CORSRules": [rule]})
    answer = preflight(embedded, "key", "http://any.test", "GET")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    assert preflight(embedded, "key", "http://any.test", "GET", "x-amz-date").status == 403, "no header is allowed"


@pytest.mark.parametrize("origin, method, headers", [
    ("http://page.test", "GET", None), (f"{ORIGIN}/", "GET", None), ("http://pages.test", "GET", None),
    (ORIGIN, "DELETE", None), (ORIGIN, "PUT", "content-type, x-other")])
def test_what_the_rules_do_not_allow_is_refused(ruled, origin, method, headers):
    answer = preflight(ruled, "key", origin, method, headers)
    assert (answer.status, answer.code) == (403, "AccessForbidden"), answer
    assert (answer.fields["Method"], answer.fields["ResourceType"]) == (method, "OBJECT")
    assert told(answer) == {}


@pytest.mark.parametrize("origin, method", [(None, None), (None, "GET"), (ORIGIN, None)])
def test_a_preflight_that_asks_nothing_is_no_preflight(ruled, origin, method):
    answer = preflight(ruled, "key", origin, method)
    assert (answer.status, answer.code) == (400, "BadRequest"), answer


def test_a_preflight_says_why_there_is_nothing_to_allow(embedded):
    answer = preflight(embedded, "key", ORIGIN, "GET")
    assert (answer.status, answer.fields["Message"]) == (403, "CORSResponse: CORS is not enabled for this bucket.")
    assert answer.fields["ResourceType"] == "BUCKET"
    answer = preflight(Bucket(embedded.store, "no-such-bucket"), "key", ORIGIN, "GET")
    assert (answer.status, answer.fields["Message"]) == (403, "CORSResponse: Bucket not found")


def test_a_page_sees_answers_that_the_rules_allow_it_and_refusals_too(ruled):
    page = {"Origin": ORIGIN}
    for status, answer in (
            (200, ruled.raw.put(ruled.path("key"), b"x", headers=page)),
            (200, ruled.raw.get(ruled.path("key"), headers=page)),
            (412, ruled.raw.put(ruled.path("key"), b"y", headers={**page, "If-None-Match": "*"})),
            (404, ruled.raw.get(ruled.path("missing"), headers=page)),
            (403, Raw(ruled.store.url, "nobody", "x").get(ruled.path("key"), headers=page))):
        assert answer.status == status, answer
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-expose-headers"] == "ETag, x-amz-version-id"
        assert "Origin" in answer.headers["vary"]


def test_a_page_sees_no_other_answer(ruled):
    ruled.put("key", b"x")
    for headers in ({}, {"Origin": "http://other.test"}):
        assert told(ruled.raw.get(ruled.path("key"), headers=headers)) == {}
    assert told(ruled.raw.delete(ruled.path("key"), headers={"Origin": ORIGIN})) == {}
    ruled("delete_bucket_cors")
    assert told(ruled.raw.get(ruled.path("key"), headers={"Origin": ORIGIN})) == {}


def test_rules_that_no_browser_could_use_are_refused(embedded):
    for change in ({"AllowedHeaders": ["x-*-*"]}, {"AllowedOrigins": ["http://*.*"]}, {"ExposeHeaders": ["x-amz-*"]},
                   {"AllowedMethods": ["PATCH"]}):
        refused = embedded.refuses("put_bucket_cors", CORSConfiguration={"CORSRules": [{**RULE, **change}]})
        assert refused == (400, "InvalidRequest"), change
    assert embedded.refuses("get_bucket_cors") == (404, "NoSuchCORSConfiguration")


def test_a_page_sees_the_proxy_s_own_refusals_by_the_store_s_rules(store_named, tmp_path):
    """Refused by the proxy, with a store of ours behind it."""
    store = store_named("embedded")
    bucket = new_bucket(store)
    proxy = Proxy(tmp_path, store, Settings())
    proxy.wait_writable(bucket)
    proxy.boto().put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [RULE]})
    raw, create = proxy.raw(), {"If-None-Match": "*"}
    assert raw.put(f"/{bucket}/k", b"x", headers=create).status == 200
    answer = raw.put(f"/{bucket}/k", b"x", headers={**create, "Origin": ORIGIN})
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (412, ORIGIN)
    proxy.stop()

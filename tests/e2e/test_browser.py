"""A page in a real browser reads why it was refused: answers that the proxy writes itself say, as the
store's own do, whether a page of another origin may see them."""

from __future__ import annotations

import base64
import hashlib

import pytest
from botocore.config import Config

from browser import CHROMIUM, Page
from clients import Raw
from conftest import new_bucket
from proxies import ACCESS_KEY, CLIENT_SECRET, Settings, in_front_of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
BATCH = b"<Delete><Object><Key>none</Key></Object></Delete>"
MD5 = base64.b64encode(hashlib.md5(BATCH).digest()).decode()


@pytest.fixture(scope="module")
def pages():
    pages = Page(), Page()
    yield pages
    for page in pages:
        page.stop()


@pytest.fixture(params=["moto", "ceph"])
def front(store_named, tmp_path, request, pages):
    store = store_named(request.param)
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings())
    proxy.boto().put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [{
        "AllowedOrigins": [pages[0].origin], "AllowedMethods": ["PUT", "GET", "POST", "DELETE"],
        "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag", "x-ifmatch-replayed"]}]})
    yield proxy, bucket
    proxy.stop()


def steps(proxy, bucket: str) -> dict[str, dict]:
    """By name, in their order; each is one that a page may make."""
    raw = Raw(proxy.url, ACCESS_KEY, CLIENT_SECRET)

    def signed(method: str, target: str, headers=None, body: bytes = b"", **more) -> dict:
        headers = raw.signed(method, target, headers, body, **more)
        # The browser's own, the same.
        headers = {name: value for name, value in headers.items() if name.lower() != "host"}
        return {"method": method, "url": proxy.url + target, "headers": headers,
                "body": body.decode() if method != "GET" else None}

    def presigned(operation: str, key: str, config: Config | None, headers=None) -> dict:
        s3 = proxy.boto(config=config)
        url = s3.generate_presigned_url(operation, {"Bucket": bucket, "Key": key})
        put = operation == "put_object"
        return {"method": "PUT" if put else "GET", "url": url, "headers": headers or {},
                "body": "x" if put else None}

    v4, create = Config(signature_version="s3v4"), {"If-None-Match": "*"}
    bad = presigned("get_object", "mine", v4)
    bad["url"] = bad["url"][:-4] + "0000"
    call = {"amz-sdk-invocation-id": "one-call"}
    form = proxy.boto(config=v4).generate_presigned_post(
        bucket, "form", Fields={"success_action_status": "201"},
        Conditions=[{"success_action_status": "201"}])
    return {
        "created by Version 2": presigned("put_object", "by-2", None, create),
        "refused by Version 2": presigned("put_object", "by-2", None, create),
        "read by Version 2": presigned("get_object", "by-2", None),
        "created": presigned("put_object", "mine", v4, create),
        "refused": presigned("put_object", "mine", v4, create),
        "refused with the ETag": signed("PUT", f"/{bucket}/mine", create, b"y"),
        "refused, since gone": signed("PUT", f"/{bucket}/none", {"If-Match": '"e"'}, b"y"),
        "not there": presigned("get_object", "none", v4),
        "badly signed": bad,
        "not implemented": signed("PUT", f"/{bucket}/mine", {"If-None-Match": '"e"'}, b"y"),
        "first try": signed("PUT", f"/{bucket}/tried", {**call, **create,
                                                        "amz-sdk-request": "attempt=1"}, b"z"),
        "second try": signed("PUT", f"/{bucket}/tried", {**call, **create,
                                                         "amz-sdk-request": "attempt=2"}, b"z"),
        "batch": signed("POST", f"/{bucket}?delete=", {"Content-MD5": MD5}, BATCH),
        "form": {"method": "POST", "url": form["url"], "form": list(form["fields"].items())},
        "unchanged": signed("GET", f"/{bucket}/mine", {"If-Match": '"e"'}),
    }


def test_a_page_reads_why_it_was_refused(front, pages, tmp_path):
    proxy, bucket = front
    seen = pages[0].sees(steps(proxy, bucket), tmp_path / "profile")
    told = {name: (step.get("status"), step.get("code")) for name, step in seen.items()}
    assert told == {
        "created by Version 2": (200, None),
        "refused by Version 2": (412, "PreconditionFailed"),
        "read by Version 2": (200, None),
        "created": (200, None),
        "refused": (412, "PreconditionFailed"),
        "refused with the ETag": (412, "PreconditionFailed"),
        "refused, since gone": (404, "NoSuchKey"),
        "not there": (404, "NoSuchKey"),
        "badly signed": (403, "SignatureDoesNotMatch"),
        "not implemented": (501, "NotImplemented"),
        "first try": (200, None),
        "second try": (200, None),
        "batch": (200, None),
        "form": (201, None),
        "unchanged": (412, "PreconditionFailed"),
    }, seen
    etag = f'"{hashlib.md5(b"x").hexdigest()}"'
    assert seen["refused with the ETag"]["headers"]["etag"] == etag
    assert seen["second try"]["headers"]["x-ifmatch-replayed"] == "true"
    assert "<Deleted><Key>none</Key>" in seen["batch"]["text"]
    assert "<Key>form</Key>" in seen["form"]["text"]


def test_a_page_of_an_origin_that_is_not_allowed_sees_nothing(front, pages, tmp_path):
    proxy, bucket = front
    every = steps(proxy, bucket)
    seen = pages[1].sees({name: every[name] for name in (
        "refused with the ETag", "batch", "first try")}, tmp_path / "profile")
    assert all("Failed to fetch" in step.get("error", "") for step in seen.values()), seen

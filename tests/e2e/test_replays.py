"""A retry of one's own success is told what the first attempt was told: the version that was written,
the delete marker that was left."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from conftest import new_bucket
from proxies import Settings, in_front_of

TOLD = ("x-amz-version-id", "x-amz-delete-marker", "x-amz-copy-source-version-id",
        "x-ifmatch-generation", "x-amz-server-side-encryption")


@pytest.fixture(params=["memory", "redis"])
def versioned(store_named, redis_server, tmp_path, request):
    store = store_named("moto")
    bucket = new_bucket(store)
    register = "memory:" if request.param == "memory" else redis_server.new_database()
    proxy = in_front_of(store, bucket, tmp_path, Settings(register=register))
    proxy.boto().put_bucket_versioning(Bucket=bucket,
                                       VersioningConfiguration={"Status": "Enabled"})
    yield proxy, bucket
    proxy.stop()


def twice(proxy, method: str, target: str, headers=None, body: bytes = b"", call: str = "call"):
    """The same call tried twice, as an SDK does whose first answer was lost."""
    answers = [proxy.raw().request(method, target, {
        **(headers or {}), "amz-sdk-invocation-id": f"{call}-{method}-{target}",
        "amz-sdk-request": f"attempt={attempt}"}, body) for attempt in (1, 2)]
    assert {answer.status for answer in answers} <= {200, 204}, [str(each) for each in answers]
    return answers


def test_a_retry_is_told_the_version_and_the_delete_marker(versioned):
    proxy, bucket = versioned
    path = f"/{bucket}/key"
    for method, target, headers, body in [
        ("PUT", path, {"If-None-Match": "*"}, b"1"),
        ("PUT", f"{path}-copy", {"x-amz-copy-source": path}, b""),
        ("DELETE", path, {}, b""),
        ("DELETE", path, {"x-amz-meta-again": "1"}, b""),
    ]:
        first, second = twice(proxy, method, target, headers, body, call=str(sorted(headers)))
        assert second.headers["x-ifmatch-replayed"] == "true", (method, target)
        told = [{name: each.headers.get(name) for name in TOLD} for each in (first, second)]
        assert told[0] == told[1], (method, target)
        assert told[1]["x-amz-version-id"], (method, target)
    assert told[1]["x-amz-delete-marker"] == "true"


def test_a_retry_of_a_batch_names_its_delete_markers(versioned):
    proxy, bucket = versioned
    proxy.raw().put(f"/{bucket}/key", b"1")
    body = b"<Delete><Object><Key>key</Key></Object><Object><Key>none</Key></Object></Delete>"
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    first, second = twice(proxy, "POST", f"/{bucket}?delete=", {"Content-MD5": md5}, body)
    markers = re.findall(rb"<DeleteMarkerVersionId>(.+?)</DeleteMarkerVersionId>", first.body)
    assert markers, first.body
    assert second.body == first.body

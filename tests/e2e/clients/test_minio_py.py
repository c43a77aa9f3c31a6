"""minio-py: no condition of its own on a write; presigned URLs, copies and the rest work."""

from __future__ import annotations

import io
from urllib.request import Request, urlopen
from urllib.error import HTTPError

import pytest
from minio import Minio
from minio.commonconfig import CopySource
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from endpoint import Endpoint

PART = 5 << 20


def minio_at(endpoint: Endpoint) -> Minio:
    """Without a region, as by default: it asks the bucket for it."""
    return Minio(endpoint=endpoint.host, access_key=endpoint.access_key,
                 secret_key=endpoint.secret_key, secure=False)


def put(client: Minio, bucket: str, key: str, data: bytes, **more):
    return client.put_object(bucket_name=bucket, object_name=key, data=io.BytesIO(data),
                             length=len(data), **more)


def test_objects_are_put_read_listed_and_deleted(judging, new_key):
    client, key = minio_at(judging), new_key("minio/small")
    put(client, judging.bucket, key, b"hello")
    answer = client.get_object(bucket_name=judging.bucket, object_name=key)
    assert answer.read() == b"hello"
    listed = client.list_objects(bucket_name=judging.bucket, prefix="minio/", recursive=True)
    assert key in [each.object_name for each in listed]
    errors = client.remove_objects(bucket_name=judging.bucket,
                                   delete_object_list=[DeleteObject(key)])
    assert list(errors) == []
    with pytest.raises(S3Error) as caught:
        client.stat_object(bucket_name=judging.bucket, object_name=key)
    assert caught.value.code == "NoSuchKey"


def test_parts_and_compose(judging, new_key):
    client, key = minio_at(judging), new_key()
    large = put(client, judging.bucket, key, bytes(PART + 1), part_size=PART)
    assert large.etag.endswith("-2")
    assert client.stat_object(bucket_name=judging.bucket, object_name=key).size == PART + 1


def test_a_copy_judges_its_source(judging, new_key):
    client, source, target = minio_at(judging), new_key(), new_key()
    etag = put(client, judging.bucket, source, b"copied").etag
    copy = lambda **condition: client.copy_object(  # noqa: E731
        bucket_name=judging.bucket, object_name=target,
        source=CopySource(bucket_name=judging.bucket, object_name=source, **condition))
    copy(match_etag=etag)
    with pytest.raises(S3Error) as caught:
        copy(match_etag="0123456789abcdef0123456789abcdef")
    assert caught.value.code == "PreconditionFailed"


def test_metadata_is_no_way_to_a_condition(judging, new_key):
    """What looks like a header becomes metadata: both writes succeed."""
    client, key = minio_at(judging), new_key()
    for data in (b"one", b"two"):
        put(client, judging.bucket, key, data, metadata={"If-None-Match": "*"})
    stat = client.stat_object(bucket_name=judging.bucket, object_name=key)
    assert stat.metadata["x-amz-meta-if-none-match"] == "*"
    assert judging.body(key) == b"two"


def put_presigned(url: str, data: bytes) -> int:
    request = Request(url, data, {"If-None-Match": "*", "Content-Type": "text/plain"},
                      method="PUT")
    try:
        with urlopen(request, timeout=30) as answer:
            return answer.status
    except HTTPError as error:
        return error.code


def test_a_presigned_url_creates_once(proxied, alone, new_key):
    key = new_key()
    url = minio_at(proxied).presigned_put_object(bucket_name=proxied.bucket, object_name=key)
    assert [put_presigned(url, b"one"), put_presigned(url, b"two")] == [200, 412]
    unguarded = minio_at(alone).presigned_put_object(bucket_name=alone.bucket, object_name=key)
    assert put_presigned(unguarded, b"three") == 200

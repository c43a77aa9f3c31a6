"""Reads and upload parts stream: the memory of the process does not grow with the object."""

from __future__ import annotations

import contextlib
import http.client
import time

import pytest

from clients import UNSIGNED, boto
from conftest import Front, new_bucket
from proxies import Settings, in_front_of

MIB = 1 << 20
SIZE = 512 * MIB
CHUNK = bytes(range(256)) * 4096
assert len(CHUNK) == MIB

BODY_MEMORY_MIB = 16
MEMORY_PEAK_BYTES_MAX = 128 * MIB
"""The whole process: what the runtime and the pools take, and the budget for bodies."""

pytestmark = [pytest.mark.full, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def small_front(store_named, tmp_path_factory):
    """A proxy with a small memory budget, and an object of 512 MiB at the store."""
    store = store_named("embedded")
    bucket = new_bucket(store)
    settings = Settings(body_memory=f"{BODY_MEMORY_MIB}MiB")
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("small"), settings)
    front = Front(proxy, store, bucket)
    path = tmp_path_factory.mktemp("large") / "object"
    with path.open("wb") as file:
        for _ in range(SIZE // MIB):
            file.write(CHUNK)
    front.store_s3.upload_file(str(path), bucket, "large")
    path.unlink()
    yield front
    proxy.stop()
    boto(store.url, store.access_key, store.secret_key).delete_object(Bucket=bucket, Key="large")


@contextlib.contextmanager
def constant_memory(front):
    front.proxy.memory_peak_reset()
    yield
    peak = front.proxy.memory_peak_bytes()
    assert peak < MEMORY_PEAK_BYTES_MAX, f"{peak / MIB:.0f} MiB were resident"


def download(front, pause_every_mib: int = 0, headers=None) -> tuple[int, int]:
    """Reads the large object, checking its bytes; returns the status and the length."""
    target = front.path("large")
    connection = http.client.HTTPConnection(front.raw.host, front.raw.port, timeout=60)
    connection.request("GET", target, headers=front.raw.signed("GET", target, headers))
    response = connection.getresponse()
    length = 0
    while data := response.read(MIB):
        assert data == CHUNK[:len(data)] if len(data) == MIB else True
        length += len(data)
        if pause_every_mib and length % (pause_every_mib * MIB) == 0:
            time.sleep(1)
    connection.close()
    return response.status, length


def test_a_fast_download_takes_constant_memory(small_front):
    with constant_memory(small_front):
        assert download(small_front) == (200, SIZE)


def test_a_slow_reader_takes_constant_memory(small_front):
    """The store would fill any buffer while the reader sleeps."""
    with constant_memory(small_front):
        assert download(small_front, pause_every_mib=128) == (200, SIZE)


def test_a_range_of_a_large_object_takes_constant_memory(small_front):
    wanted = {"Range": f"bytes={256 * MIB}-{320 * MIB - 1}"}
    with constant_memory(small_front):
        assert download(small_front, headers=wanted) == (206, 64 * MIB)


def test_conditional_reads_of_a_large_object_take_constant_memory(small_front):
    """The store ignores the conditions and begins to send the whole object each time."""
    path = small_front.path("large")
    etag = small_front.raw.head(path).etag
    with constant_memory(small_front):
        for _ in range(20):
            unchanged = small_front.raw.get(path, headers={"If-None-Match": etag})
            assert (unchanged.status, unchanged.body) == (304, b"")
            assert small_front.raw.get(path, headers={"If-Match": '"other"'}).status == 412
        assert download(small_front, headers={"If-Match": etag}) == (200, SIZE)


def chunks(size: int, pause_every_mib: int = 0):
    for number in range(size // MIB):
        if pause_every_mib and number and number % pause_every_mib == 0:
            time.sleep(1)
        yield CHUNK


@pytest.mark.parametrize("pause_every_mib", [0, 128], ids=["fast", "slow"])
def test_an_upload_part_takes_constant_memory(small_front, pause_every_mib):
    s3, name = small_front.s3, {"Bucket": small_front.bucket, "Key": "parts"}
    upload = s3.create_multipart_upload(**name)["UploadId"]
    with constant_memory(small_front):
        answer = small_front.raw.request(
            "PUT", small_front.path(f"parts?partNumber=1&uploadId={upload}"), payload=UNSIGNED,
            headers={"Content-Length": str(SIZE)}, sent_body=chunks(SIZE, pause_every_mib))
    assert answer.status == 200, str(answer)
    s3.complete_multipart_upload(
        **name, UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": answer.etag}]})
    assert s3.head_object(**name)["ContentLength"] == SIZE
    s3.delete_object(**name)


def test_a_body_beyond_the_memory_budget_goes_to_disk(small_front):
    size = 256 * MIB
    with constant_memory(small_front):
        answer = small_front.raw.request(
            "PUT", small_front.path("spooled"), payload=UNSIGNED,
            headers={"Content-Length": str(size), "If-None-Match": "*"}, sent_body=chunks(size))
    assert answer.status == 200, str(answer)
    assert small_front.s3.head_object(Bucket=small_front.bucket,
                                      Key="spooled")["ContentLength"] == size
    left = list((small_front.proxy.directory / "spool").iterdir())
    assert not left, f"spool files were left behind: {left}"

"""Reads of the embedded store: ranges, parts by their numbers, checksums, and conditions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable

import pytest

from dates import dates_around
from embedded import PART, Bucket
from test_heads import crc32

# === parts of an object ===

TEN = b"0123456789"
RANGES = {
    "bytes=0-0": b"0", "bytes=4-7": b"4567", "bytes=7-": b"789", "bytes=0-": TEN, "bytes=-3": b"789",
    "bytes=-10": TEN, "bytes=-11": TEN, "bytes=9-9": b"9", "bytes=5-1000": b"56789",
    "bytes=0-9223372036854775806": TEN,
}
UNSATISFIABLE = ["bytes=10-", "bytes=10-10", "bytes=1000-2000", "bytes=-0"]
NO_RANGES = ["bytes=5-2", "bytes=", "bytes=-", "bytes=a-b", "items=0-1", "0-1", "bytes=0-1,3-4", "bytes=1--2"]


@pytest.fixture(scope="module")
def ten(store_named) -> Bucket:
    bucket = Bucket.new(store_named("embedded"))
    bucket.put("ten", TEN)
    bucket.put("empty")
    return bucket


@pytest.mark.parametrize("asked", RANGES)
def test_a_range_is_answered_with_its_bytes(ten, asked):
    answer = ten.raw.get(ten.path("ten"), headers={"Range": asked})
    first = TEN.index(RANGES[asked])
    said = f"bytes {first}-{first + len(RANGES[asked]) - 1}/10"
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, RANGES[asked], said)
    assert answer.headers["content-length"] == str(len(RANGES[asked]))


@pytest.mark.parametrize("asked", RANGES)
def test_a_range_is_told_of(ten, asked):
    first = TEN.index(RANGES[asked])
    said = f"bytes {first}-{first + len(RANGES[asked]) - 1}/10"
    head = ten.raw.head(ten.path("ten"), headers={"Range": asked})
    assert (head.status, head.headers["content-range"]) == (206, said)
    assert head.headers["content-length"] == str(len(RANGES[asked]))


@pytest.mark.parametrize("asked", UNSATISFIABLE)
def test_a_range_that_is_not_there_is_said_to_be(ten, asked):
    answer = ten.raw.get(ten.path("ten"), headers={"Range": asked})
    assert (answer.status, answer.code) == (416, "InvalidRange"), answer
    assert ten.raw.head(ten.path("ten"), headers={"Range": asked}).status == 416


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("asked, status", [
    *((asked, 416) for asked in ("bytes=0-", "bytes=0-0", "bytes=1-", "bytes=0-9", "bytes=-0")),
    *((asked, 200) for asked in ("bytes=-1", "bytes=-5", "bytes=-1000", "bytes=5-2", "bytes="))])
def test_an_empty_object_has_no_first_byte_and_all_of_its_last_ones(ten, method, asked, status):
    answer = ten.raw.request(method, ten.path("empty"), {"Range": asked})
    assert answer.status == status, answer
    if status == 200:
        assert (answer.headers["content-length"], answer.body) == ("0", b"")
        assert "content-range" not in answer.headers
    elif method == "GET":
        assert answer.code == "InvalidRange"


@pytest.mark.parametrize("asked", NO_RANGES)
def test_what_is_no_range_is_no_wish(ten, asked):
    """AWS has one range in an answer at most; asked for several, it sends the whole."""
    answer = ten.raw.get(ten.path("ten"), headers={"Range": asked})
    assert (answer.status, answer.body) == (200, TEN), answer
    assert "content-range" not in answer.headers


@pytest.fixture(scope="module")
def in_parts(store_named) -> tuple[Bucket, list[bytes]]:
    bucket = Bucket.new(store_named("embedded"))
    bodies = [bytes([letter]) * size for letter, size in ((65, PART), (66, PART + 1), (67, 3))]
    bucket.put_in_parts("parts", *bodies)
    bucket.put("plain", TEN, ChecksumAlgorithm="SHA256")
    return bucket, bodies


def sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@pytest.fixture(scope="module")
def summed(store_named) -> Callable[[str, str], tuple[Bucket, list[bytes]]]:
    """Objects in parts, with a checksum of each kind."""
    bucket, bodies = Bucket.new(store_named("embedded")), [b"A" * PART, b"B" * 3]

    def made(algorithm: str, kind: str) -> tuple[Bucket, list[bytes]]:
        upload = bucket.begin(kind, ChecksumAlgorithm=algorithm, ChecksumType=kind)
        parts = [bucket.part(kind, upload, number, body, ChecksumAlgorithm=algorithm)
                 for number, body in enumerate(bodies, 1)]
        bucket.complete(kind, upload, parts)
        return bucket, bodies

    return made


def test_ranges_cross_the_borders_of_parts(in_parts):
    bucket, bodies = in_parts
    whole = b"".join(bodies)
    assert bucket.body("parts") == whole
    borders = [0, PART, 2 * PART + 1, len(whole)]
    for first in {max(0, border + step) for border in borders for step in (-2, -1, 0, 1)}:
        for last in {first, first + 1, *(border + step for border in borders for step in (-1, 0))}:
            if first <= last and first < len(whole):
                answer = bucket("get_object", "parts", Range=f"bytes={first}-{last}")
                assert answer["Body"].read() == whole[first:last + 1], (first, last)


def test_a_part_is_read_by_its_number(in_parts):
    bucket, bodies = in_parts
    whole, start = b"".join(bodies), 0
    for number, body in enumerate(bodies, 1):
        said = f"bytes {start}-{start + len(body) - 1}/{len(whole)}"
        for operation in ("get_object", "head_object"):
            told = bucket(operation, "parts", PartNumber=number)
            assert operation == "head_object" or told["ResponseMetadata"]["HTTPStatusCode"] == 206
            assert (told["PartsCount"], told["ContentLength"], told["ContentRange"]) == (3, len(body), said)
            assert "Body" not in told or told["Body"].read() == body
        start += len(body)
    told = bucket("get_object", "plain", PartNumber=1, ChecksumMode="ENABLED")
    assert told["Body"].read() == TEN and "PartsCount" not in told
    assert (told["ContentRange"], told["ChecksumSHA256"]) == ("bytes 0-9/10", sha256(TEN))


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_a_part_has_its_own_checksum(summed, operation):
    """AWS, "Checking object integrity": parts have checksums of their own where the object's is composite."""
    bucket, bodies = summed("SHA256", "COMPOSITE")
    for number, body in enumerate(bodies, 1):
        told = bucket(operation, "COMPOSITE", PartNumber=number, ChecksumMode="ENABLED")
        assert (told["ChecksumSHA256"], told["ChecksumType"]) == (sha256(body), "COMPOSITE")
        told = bucket.raw.get(bucket.path("COMPOSITE", f"partNumber={number}"))
        assert "x-amz-checksum-sha256" not in told.headers, "it was not asked for"
    whole = bucket(operation, "COMPOSITE", ChecksumMode="ENABLED")
    digests = b"".join(hashlib.sha256(body).digest() for body in bodies)
    assert whole["ChecksumSHA256"] == f"{sha256(digests)}-2"


@pytest.mark.parametrize("wanted", [{"PartNumber": 1}, {"Range": "bytes=0-1"}])
def test_bytes_that_are_not_the_whole_have_no_checksum_of_the_whole(summed, wanted):
    bucket, _ = summed("CRC32", "FULL_OBJECT")
    told = bucket("get_object", "FULL_OBJECT", ChecksumMode="ENABLED", **wanted)
    assert not {"ChecksumCRC32", "ChecksumType"} & told.keys()
    assert "ChecksumCRC32" in bucket("head_object", "FULL_OBJECT", ChecksumMode="ENABLED")


@pytest.mark.parametrize("key, query, headers, refused", [
    ("parts", "partNumber=4", {}, (416, "InvalidPartNumber")),
    ("plain", "partNumber=2", {}, (416, "InvalidPartNumber")),
    ("parts", "partNumber=1", {"Range": "bytes=0-1"}, (400, "InvalidRequest")),
    ("parts", "partNumber=x", {}, (400, "InvalidArgument")),
    *(("parts", f"partNumber={number}", {}, (400, "InvalidArgument"))
      for number in (0, -1, 10001))])
def test_a_part_that_there_cannot_be_is_refused(in_parts, key, query, headers, refused):
    bucket, _ = in_parts
    answer = bucket.raw.get(bucket.path(key, query), headers=headers)
    assert (answer.status, answer.code) == refused, answer
    assert bucket.raw.head(bucket.path(key, query), headers=headers).status == refused[0]


# === conditions of reads ===

READS = [
    ({"If-Match": "{etag}"}, 200), ({"If-Match": "*"}, 200), ({"If-Match": "other"}, 412),
    ({"If-Match": "{bare}"}, 200),
    ({"If-None-Match": "{etag}"}, 304), ({"If-None-Match": "*"}, 304), ({"If-None-Match": "other"}, 200),
    ({"If-None-Match": "{bare}"}, 304),
    ({"If-Modified-Since": "{before}"}, 200), ({"If-Modified-Since": "{equal}"}, 304),
    ({"If-Modified-Since": "{after}"}, 304),
    ({"If-Unmodified-Since": "{before}"}, 412), ({"If-Unmodified-Since": "{equal}"}, 200),
    ({"If-Unmodified-Since": "{after}"}, 200),
    ({"If-Match": "{etag}", "If-Unmodified-Since": "{before}"}, 200),
    ({"If-Match": "other", "If-Unmodified-Since": "{after}"}, 412),
    ({"If-None-Match": "{etag}", "If-Modified-Since": "{before}"}, 304),
    ({"If-None-Match": "other", "If-Modified-Since": "{after}"}, 200),
    ({"If-Match": "{etag}", "If-None-Match": "{etag}"}, 304),
    ({"If-None-Match": "{etag}", "If-Unmodified-Since": "{before}"}, 412),
    ({"If-Match": "other", "If-None-Match": "{etag}"}, 412),
]
IGNORED = [({"If-Modified-Since": "{future}"}, 200),
           *(({name: "{no date}"}, 200) for name in ("If-Modified-Since", "If-Unmodified-Since"))]


@pytest.fixture(scope="module")
def dated(ten) -> tuple[Bucket, dict[str, str]]:
    head = ten.raw.head(ten.path("ten"))
    words = {**dates_around(head.headers["last-modified"]), "etag": head.etag, "bare": head.etag.strip('"')}
    return ten, {**words, "last-modified": head.headers["last-modified"]}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("conditions, status", [
    *READS, *IGNORED])
def test_a_read_is_answered_by_its_conditions(dated, method, conditions, status):
    bucket, words = dated
    headers = {name: value.format(**words) for name, value in conditions.items()}
    answer = bucket.raw.request(method, bucket.path("ten"), headers)
    assert answer.status == status, answer
    if method == "GET" and status == 412:
        assert answer.code == "PreconditionFailed"
    if status == 304:
        assert (answer.etag, answer.body) == (words["etag"], b"")
        assert answer.headers["last-modified"] == words["last-modified"]


def test_a_missing_object_is_missing_whatever_the_conditions(ten):
    for headers in ({"If-Match": "*"}, {"If-None-Match": "*"}, {"If-Match": '"x"'}):
        assert ten.raw.get(ten.path("none"), headers=headers).status == 404


def test_a_condition_is_judged_before_a_range(dated):
    bucket, words = dated
    for headers, status in [({"If-Match": "other"}, 412), ({"If-None-Match": words["etag"]}, 304)]:
        for asked in ("bytes=0-1", "bytes=100-"):
            answer = bucket.raw.get(bucket.path("ten"), headers={**headers, "Range": asked})
            assert answer.status == status, (headers, asked)


def test_parts_with_checksums_are_among_the_attributes(summed):
    bucket, bodies = summed("SHA256", "COMPOSITE")
    shown, marker = [], 0
    while True:
        told = bucket("get_object_attributes", "COMPOSITE", ObjectAttributes=["ObjectParts"], MaxParts=1,
                      PartNumberMarker=marker)["ObjectParts"]
        shown += [(each["PartNumber"], each["Size"], each["ChecksumSHA256"]) for each in told["Parts"]]
        if not told["IsTruncated"]:
            break
        marker = told["NextPartNumberMarker"]
    assert shown == [(number, len(body), sha256(body)) for number, body in enumerate(bodies, 1)]
    told = bucket("get_object_attributes", "COMPOSITE", ObjectAttributes=["ObjectParts"], MaxParts=0)["ObjectParts"]
    assert not told["IsTruncated"] and "Parts" not in told
    refused = bucket.refuses("get_object_attributes", "COMPOSITE", ObjectAttributes=["ObjectParts"], MaxParts=-1)
    assert refused == (400, "InvalidArgument")


def test_the_only_part_has_the_checksum_of_the_whole(embedded):
    upload = embedded.begin("key", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    embedded.complete("key", upload, [embedded.part("key", upload, 1, TEN, ChecksumAlgorithm="CRC32")])
    for operation in ("get_object", "head_object"):
        told = embedded(operation, "key", PartNumber=1, ChecksumMode="ENABLED")
        assert (told["ChecksumCRC32"], told["ChecksumType"], told["PartsCount"]) == (crc32(TEN), "FULL_OBJECT", 1)


def test_attributes_have_a_composite_checksum_without_the_number_of_parts(summed):
    bucket, bodies = summed("SHA256", "COMPOSITE")
    told = bucket("get_object_attributes", "COMPOSITE", ObjectAttributes=["Checksum"])["Checksum"]
    digests = b"".join(hashlib.sha256(body).digest() for body in bodies)
    assert told == {"ChecksumSHA256": sha256(digests), "ChecksumType": "COMPOSITE"}
    bucket, bodies = summed("CRC32", "FULL_OBJECT")
    told = bucket("get_object_attributes", "FULL_OBJECT", ObjectAttributes=["Checksum", "ObjectParts"])
    assert told["Checksum"] == {"ChecksumCRC32": crc32(b"".join(bodies)), "ChecksumType": "FULL_OBJECT"}
    assert told["ObjectParts"] == {"TotalPartsCount": 2}, "AWS shows parts with a composite checksum alone"


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=0-100", "bytes=0-", "bytes=-10", "bytes=-100"])
def test_a_range_of_all_bytes_has_the_checksum_of_all(embedded, asked):
    embedded.put("key", TEN, ChecksumAlgorithm="CRC32")
    told = embedded("get_object", "key", ChecksumMode="ENABLED", Range=asked)
    assert (told["ChecksumCRC32"], told["ChecksumType"]) == (crc32(TEN), "FULL_OBJECT")
    assert told["ResponseMetadata"]["HTTPStatusCode"] == 206 and told["Body"].read() == TEN

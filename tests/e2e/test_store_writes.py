"""Writes to the embedded store: their conditions, their checksums, and batches of deletes."""

from __future__ import annotations

import base64
import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients import UNSIGNED, Wire
from embedded import TRAILER, Bucket, with_trailer

DONE = "done"
OTHER = '"0123456789abcdef0123456789abcdef"'

# === conditions ===

WRITES = [
    ("nothing", {"If-None-Match": "*"}, DONE), ("nothing", {"If-Match": "{etag}"}, (404, "NoSuchKey")),
    ("marker", {"If-None-Match": "*"}, DONE), ("marker", {"If-Match": "{etag}"}, (404, "NoSuchKey")),
    ("object", {"If-None-Match": "*"}, (412, "PreconditionFailed")),
    ("object", {"If-Match": "{etag}"}, DONE), ("object", {"If-Match": "{bare}"}, DONE),
    ("object", {"If-Match": OTHER}, (412, "PreconditionFailed")),
    ("object", {"If-None-Match": "{etag}"}, (501, "NotImplemented")),
    ("object", {"If-None-Match": OTHER}, (501, "NotImplemented")),
    ("nothing", {"If-None-Match": OTHER}, (501, "NotImplemented")),
]
MORE_WRITES = [
    ("object", {"If-Match": "*"}, (501, "NotImplemented")), ("nothing", {"If-Match": "*"}, (501, "NotImplemented")),
    ("object", {"If-Match": "{etag}", "If-None-Match": "*"}, (501, "NotImplemented")),
    ("nothing", {"If-Match": "{etag}", "If-None-Match": "*"}, (501, "NotImplemented")),
    ("object", {"If-Match": "garbage_/"}, (412, "PreconditionFailed")),
    ("nothing", {"If-Match": "garbage_/"}, (404, "NoSuchKey")),
]


def in_state(bucket: Bucket, state: str) -> dict[str, str]:
    """Brings the key into a state; returns words for its conditions."""
    etag = f'"{hashlib.md5(b"before").hexdigest()}"'
    if state == "marker":
        bucket.versioned()
    if state != "nothing":
        bucket.put("key", b"before")
    if state == "marker":
        bucket("delete_object", "key")
    return {"etag": etag, "bare": etag.strip('"')}


def write(bucket: Bucket, way: str, headers: dict[str, str]):
    """Writes "after" in one of three ways."""
    if way == "put":
        return bucket.raw.put(bucket.path("key"), b"after", headers=headers)
    if way == "copy":
        bucket.put("source", b"after")
        return bucket.raw.put(bucket.path("key"), headers={**headers, "x-amz-copy-source": f"{bucket.name}/source"})
    upload = bucket.begin("key")
    part = bucket.part("key", upload, 1, b"after")
    document = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{part['ETag']}</ETag></Part>"
                f"</CompleteMultipartUpload>").encode()
    return bucket.raw.request("POST", bucket.path("key", f"uploadId={upload}"), headers, document)


@pytest.mark.parametrize("way", ["put", "copy", "complete"])
@pytest.mark.parametrize("state, conditions, outcome", [
    *WRITES, *MORE_WRITES])
def test_a_write_is_done_if_its_conditions_hold(embedded, way, state, conditions, outcome):
    words = in_state(embedded, state)
    answer = write(embedded, way, {name: value.format(**words) for name, value in conditions.items()})
    if outcome == DONE:
        assert answer.status == 200, answer
        assert embedded.body("key") == b"after"
    else:
        assert (answer.status, answer.code) == outcome, answer
        if state == "object":
            assert embedded.body("key") == b"before"
        else:
            assert "key" not in embedded.keys()


def test_a_refusal_names_the_condition(embedded):
    embedded.put("key", b"before")
    answer = embedded.raw.put(embedded.path("key"), b"x", headers={"If-None-Match": "*"})
    assert answer.fields["Condition"] == "If-None-Match"
    answer = embedded.raw.put(embedded.path("key"), b"x", headers={"If-Match": OTHER})
    assert answer.fields["Condition"] == "If-Match"
    answer = embedded.raw.put(embedded.path("key"), b"x", headers={"If-None-Match": OTHER})
    assert answer.fields["Header"] == "If-None-Match"


@pytest.mark.parametrize("change, condition", [("delete", {"If-None-Match": "*"}), ("put", {"If-Match": "{etag}"})])
def test_a_complete_whose_key_changed_since_its_upload_began_conflicts(embedded, change, condition):
    """AWS, recorded: also where the condition holds; the write is newer than the upload."""
    words = in_state(embedded, "object")
    upload = embedded.begin("key")
    part = embedded.part("key", upload, 1, b"after")
    embedded("delete_object", "key")
    if change == "put":
        embedded.put("key", b"before")
    headers = {name.replace("-", ""): value.format(**words) for name, value in condition.items()}
    assert embedded.complete_refused("key", upload, [part], **headers) == (409, "ConditionalRequestConflict")


DELETES = [
    ("object", {"If-Match": "{etag}"}, DONE), ("object", {"If-Match": "{bare}"}, DONE),
    ("object", {"If-Match": "*"}, DONE), ("object", {"If-Match": OTHER}, (412, "PreconditionFailed")),
    ("nothing", {"If-Match": OTHER}, (404, "NoSuchKey")), ("nothing", {"If-Match": "*"}, (404, "NoSuchKey")),
    ("marker", {"If-Match": "{etag}"}, (404, "NoSuchKey")), ("nothing", {}, DONE), ("marker", {}, DONE),
]


@pytest.mark.parametrize("state, conditions, outcome", DELETES)
def test_a_delete_is_done_if_its_condition_holds(embedded, state, conditions, outcome):
    words = in_state(embedded, state)
    headers = {name: value.format(**words) for name, value in conditions.items()}
    answer = embedded.raw.delete(embedded.path("key"), headers=headers)
    assert (answer.status, answer.code) == ((204, None) if outcome == DONE else outcome), answer
    assert embedded.keys() == (["key"] if state == "object" and outcome != DONE else [])


@pytest.mark.parametrize("query, headers", [
    ("", {"x-amz-if-match-size": "6"}), ("", {"x-amz-if-match-last-modified-time": "Wed, 21 Oct 2015 07:28:00 GMT"}),
    ("versionId=null", {"If-Match": "{etag}"})])
def test_conditions_of_other_buckets_are_refused(embedded, query, headers):
    words = in_state(embedded, "object")
    headers = {name: value.format(**words) for name, value in headers.items()}
    answer = embedded.raw.delete(embedded.path("key", query), headers=headers)
    assert (answer.status, answer.code) == (501, "NotImplemented"), answer
    assert embedded.keys() == ["key"]


@pytest.mark.parametrize("name", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("way", ["delete", "batch", "tags", "no tags", "abort", "versioning"])
def test_a_condition_is_never_dropped(embedded, way, name):
    """A write that cannot have it is refused; the store does not act as if nothing had been said."""
    embedded.put("key", b"before", Tagging="a=1")
    upload = embedded.begin("key")
    digest = {"Content-MD5": base64.b64encode(hashlib.md5(BATCH).digest()).decode()}
    method, target, headers, body = {
        "delete": ("DELETE", embedded.path("key"), {}, b""), "batch": ("POST", embedded.path(query="delete"), digest, BATCH),
        "tags": ("PUT", embedded.path("key", "tagging"), {}, b"<Tagging><TagSet></TagSet></Tagging>"),
        "no tags": ("DELETE", embedded.path("key", "tagging"), {}, b""),
        "abort": ("DELETE", embedded.path("key", f"uploadId={upload}"), {}, b""),
        "versioning": ("PUT", embedded.path(query="versioning"), {},
                       b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"),
    }[way]
    answer = embedded.raw.request(method, target, {**headers, name: OTHER}, body)
    refused = (412, "PreconditionFailed") if (way, name) == ("delete", "If-Match") else (501, "NotImplemented")
    assert (answer.status, answer.code) == refused, answer
    assert answer.fields["Condition" if way == "delete" and name == "If-Match" else "Header"].lower() == name.lower()
    assert embedded("get_object", "key")["TagCount"] == 1
    assert len(embedded("list_multipart_uploads")["Uploads"]) == 1 and "Status" not in embedded("get_bucket_versioning")


def test_one_of_many_creators_wins(embedded):
    def create(race: int, number: int) -> int:
        return embedded.raw.put(embedded.path(f"{race}"), b"%d" % number, headers={"If-None-Match": "*"}).status

    with ThreadPoolExecutor(16) as pool:
        for race in range(5):
            told = list(pool.map(create, [race] * 16, range(16)))
            assert sorted(told) == [200] + [412] * 15, told
            assert embedded.body(f"{race}") == b"%d" % told.index(200)


def test_no_increment_is_lost(embedded):
    embedded.put("counter", b"0")

    def increment(_) -> None:
        while True:
            now = embedded("get_object", "counter")
            body = b"%d" % (int(now["Body"].read()) + 1)
            answer = embedded.raw.put(embedded.path("counter"), body, headers={"If-Match": now["ETag"]})
            if answer.status == 200:
                return
            assert answer.status == 412, answer

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(increment, range(40)))
    assert embedded.body("counter") == b"40"


# === batches ===

def delete(bucket: Bucket, *objects: dict, quiet: bool = False) -> tuple[list, dict]:
    """What was deleted, and the code of each error."""
    told = bucket("delete_objects", Delete={"Objects": list(objects), "Quiet": quiet})
    return ([each["Key"] for each in told.get("Deleted", [])],
            {each["Key"]: each["Code"] for each in told.get("Errors", [])})


def test_a_batch_judges_each_of_its_keys(embedded):
    etags = {key: embedded.put(key, key.encode()) for key in ("same", "other", "bare", "free")}
    objects = [{"Key": "same", "ETag": etags["same"]}, {"Key": "other", "ETag": OTHER}, {"Key": "free"},
               {"Key": "bare", "ETag": etags["bare"].strip('"')}, {"Key": "missing"}, {"Key": "gone", "ETag": OTHER}]
    deleted, errors = delete(embedded, *objects)
    assert sorted(deleted) == ["bare", "free", "missing", "same"]
    assert errors == {"other": "PreconditionFailed", "gone": "NoSuchKey"}
    assert embedded.keys() == ["other"]


def test_a_batch_takes_a_star_for_any_object(embedded):
    embedded.put("key")
    told = delete(embedded, {"Key": "key", "ETag": "*"}, {"Key": "none", "ETag": "*"})
    assert told == (["key"], {"none": "NoSuchKey"})


def test_a_quiet_batch_tells_errors_alone(embedded):
    embedded.put("key"), embedded.put("other")
    objects = [{"Key": "key"}, {"Key": "other", "ETag": OTHER}]
    assert delete(embedded, *objects, quiet=True) == ([], {"other": "PreconditionFailed"})
    assert embedded.keys() == ["other"]


def test_a_batch_has_a_thousand_keys_at_most(embedded):
    embedded.put("7")
    deleted, errors = delete(embedded, *({"Key": str(number)} for number in range(1000)))
    assert (len(deleted), errors, embedded.keys()) == (1000, {}, [])
    embedded.put("7")
    objects = [{"Key": str(number)} for number in range(1001)]
    for wrong in (objects, []):
        assert embedded.refuses("delete_objects", Delete={"Objects": wrong}) == (400, "MalformedXML")
    assert embedded.keys() == ["7"]


def test_a_key_may_be_named_twice_in_a_batch(embedded):
    embedded.put("key")
    deleted, errors = delete(embedded, {"Key": "key"}, {"Key": "key"})
    assert set(deleted) == {"key"} and not errors and embedded.keys() == []


def test_a_batch_in_a_missing_bucket_is_refused_as_a_whole(embedded):
    missing = Bucket(embedded.store, embedded.name + "-missing")
    assert missing.refuses("delete_objects", Delete={"Objects": [{"Key": "key"}]}) == (404, "NoSuchBucket")


BATCH = b"<Delete><Object><Key>key</Key></Object></Delete>"
WRONG_BATCHES = {
    "no digest": ({}, BATCH, "InvalidRequest"),
    "another digest": ({"Content-MD5": "A" * 22 + "=="}, BATCH, "BadDigest"),
    "another sum": ({"x-amz-checksum-crc32": "AAAAAA=="}, BATCH, "BadDigest"),
    "cut": (None, BATCH[:-5], "MalformedXML"), "no document": (None, b"", "MissingRequestBodyError"),
    "no key": (None, b"<Delete><Object><Key></Key></Object><Object><Key>key</Key></Object></Delete>", "MalformedXML"),
    "another document": (None, b"<Tagging><TagSet></TagSet></Tagging>", "MalformedXML"),
}


@pytest.mark.parametrize("wrong", WRONG_BATCHES)
def test_a_batch_that_is_wrong_deletes_nothing(embedded, wrong):
    headers, document, code = WRONG_BATCHES[wrong]
    embedded.put("key")
    if headers is None:
        headers = {"Content-MD5": base64.b64encode(hashlib.md5(document).digest()).decode()}
    answer = embedded.raw.request("POST", embedded.path(query="delete"), headers, document)
    assert (answer.status, answer.code) == (400, code), answer
    assert embedded.keys() == ["key"]


# === checksums ===

BODY = b"the body whose sums are known" * 100


def reflected_crc(body: bytes, polynomial: int, bits: int) -> bytes:
    ones = (1 << bits) - 1
    sum_ = ones
    for byte in body:
        sum_ ^= byte
        for _ in range(8):
            sum_ = sum_ >> 1 ^ (polynomial if sum_ & 1 else 0)
    return (sum_ ^ ones).to_bytes(bits // 8, "big")


SUMS = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "crc32c": lambda body: reflected_crc(body, 0x82F63B78, 32),
    "crc64nvme": lambda body: reflected_crc(body, 0x9A6C9329AC4BC9B5, 64),
    "sha1": lambda body: hashlib.sha1(body).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}


def sum_of(algorithm: str, body: bytes) -> str:
    return base64.b64encode(SUMS[algorithm](body)).decode()


def put_with_sum(bucket: Bucket, place: str, algorithm: str, value: str, target: str | None = None, body=BODY):
    """A PUT that declares a checksum: in a header or in the trailer."""
    name, target = f"x-amz-checksum-{algorithm}", target or bucket.path("key")
    if place == "header":
        return bucket.raw.put(target, body, headers={name: value})
    headers, framed = with_trailer(body, name, value)
    return bucket.raw.put(target, framed, headers=headers, payload=TRAILER)


@pytest.mark.parametrize("place", ["header", "trailer"])
@pytest.mark.parametrize("algorithm", SUMS)
def test_a_checksum_that_is_right_is_kept(embedded, place, algorithm):
    name, value = f"x-amz-checksum-{algorithm}", sum_of(algorithm, BODY)
    answer = put_with_sum(embedded, place, algorithm, value)
    assert (answer.status, answer.headers.get(name)) == (200, value), answer
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    for method in ("GET", "HEAD"):
        answer = embedded.raw.request(method, embedded.path("key"), {"x-amz-checksum-mode": "ENABLED"})
        assert (answer.headers.get(name), answer.headers.get("x-amz-checksum-type")) == (value, "FULL_OBJECT")
        assert method == "HEAD" or answer.body == BODY
        assert name not in embedded.raw.request(method, embedded.path("key")).headers, "it was not asked for"
    [entry] = embedded("list_objects_v2")["Contents"]
    assert (entry["ChecksumAlgorithm"], entry["ChecksumType"]) == ([algorithm.upper()], "FULL_OBJECT")


@pytest.mark.parametrize("place", ["header", "trailer"])
@pytest.mark.parametrize("algorithm", SUMS)
def test_a_checksum_that_is_wrong_keeps_the_object_as_it_was(embedded, place, algorithm):
    embedded.put("key", b"before")
    answer = put_with_sum(embedded, place, algorithm, sum_of(algorithm, BODY + b"!"))
    assert (answer.status, answer.code) == (400, "BadDigest"), answer
    for value in ("!", "AAAA", "x" * 100):
        answer = put_with_sum(embedded, "header", algorithm, value)
        assert answer.status == 400, f"{value!r}: {answer}"
    assert embedded.body("key") == b"before"


def test_an_empty_object_has_a_checksum_too(embedded):
    for algorithm in SUMS:
        for place in ("header", "trailer"):
            answer = put_with_sum(embedded, place, algorithm, sum_of(algorithm, b""), body=b"")
            assert answer.status == 200, answer


def test_one_checksum_at_most_is_declared(embedded):
    headers = {f"x-amz-checksum-{each}": sum_of(each, BODY) for each in ("crc32", "sha1")}
    answer = embedded.raw.put(embedded.path("key"), BODY, headers=headers)
    assert (answer.status, answer.code) == (400, "InvalidRequest"), answer


@pytest.mark.parametrize("name", ["x-amz-checksum-md4", "x-amz-checksum-crc32,x-amz-checksum-sha1"])
def test_a_trailer_that_would_not_be_compared_is_refused(embedded, name):
    headers, framed = with_trailer(BODY, "x-amz-checksum-crc32", "AAAAAA==")
    headers["x-amz-trailer"] = name
    answer = embedded.raw.put(embedded.path("key"), framed, headers=headers, payload=TRAILER)
    assert (answer.status, answer.code) == (400, "InvalidRequest"), answer
    assert embedded.keys() == []


@pytest.mark.parametrize("place", ["header", "trailer"])
def test_a_checksum_that_is_announced_must_come(embedded, place):
    if place == "header":
        answer = embedded.raw.put(embedded.path("key"), BODY, headers={"x-amz-sdk-checksum-algorithm": "SHA256"})
    else:
        headers, framed = with_trailer(BODY, "x-amz-checksum-crc32", "")
        framed = framed[:framed.rindex(b"x-amz")] + b"\r\n"
        answer = embedded.raw.put(embedded.path("key"), framed, headers=headers, payload=TRAILER)
    assert answer.status == 400, answer
    assert embedded.keys() == []


def test_an_md5_that_is_wrong_keeps_the_object_as_it_was(embedded):
    embedded.put("key", b"before")
    right, other = (base64.b64encode(hashlib.md5(body).digest()).decode() for body in (BODY, b"?"))
    for value, code in [(other, "BadDigest"), ("YWJj", "InvalidDigest"), ("!", "InvalidDigest"),
                        (hashlib.md5(BODY).hexdigest(), "InvalidDigest")]:
        answer = embedded.raw.put(embedded.path("key"), BODY, headers={"Content-MD5": value})
        assert (answer.status, answer.code) == (400, code), answer
    assert embedded.body("key") == b"before"
    assert embedded.raw.put(embedded.path("key"), BODY, headers={"Content-MD5": right}).status == 200


@pytest.mark.parametrize("length", [len(BODY) - 1, len(BODY) + 1])
def test_a_body_of_another_length_than_announced_is_refused(embedded, length):
    headers, framed = with_trailer(BODY, "x-amz-checksum-crc32", sum_of("crc32", BODY))
    headers["x-amz-decoded-content-length"] = str(length)
    answer = embedded.raw.put(embedded.path("key"), framed, headers=headers, payload=TRAILER)
    assert answer.status == 400, answer
    assert embedded.keys() == []


def test_a_write_that_is_cut_off_leaves_nothing(embedded):
    embedded.put("key", b"before")
    for _ in range(5):
        with Wire(embedded.raw, "PUT", embedded.path("key"), 1000) as wire:
            wire.send_body(b"x" * 500)
    assert embedded.raw.put(embedded.path("other"), b"x", payload=UNSIGNED).status == 200
    assert (embedded.body("key"), embedded.keys()) == (b"before", ["key", "other"])


@pytest.mark.parametrize("algorithm", SUMS)
def test_sums_of_parts_are_checked(embedded, algorithm):
    upload = embedded.begin("key", ChecksumAlgorithm=algorithm.upper())
    target = embedded.path("key", f"partNumber=1&uploadId={upload}")
    for place in ("header", "trailer"):
        answer = put_with_sum(embedded, place, algorithm, sum_of(algorithm, b"?"), target)
        assert (answer.status, answer.code) == (400, "BadDigest"), answer
        answer = put_with_sum(embedded, place, algorithm, sum_of(algorithm, BODY), target)
        assert (answer.status, answer.headers[f"x-amz-checksum-{algorithm}"]) == (200, sum_of(algorithm, BODY))
    [part] = embedded("list_parts", "key", UploadId=upload)["Parts"]
    assert part[f"Checksum{algorithm.upper()}"] == sum_of(algorithm, BODY)

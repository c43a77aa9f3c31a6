"""Copies within the embedded store: whole objects, and parts of them."""

from __future__ import annotations

import hashlib

import pytest

from dates import dates_around
from embedded import MIB, PART, Bucket
from test_store_writes import sum_of

BODY = b"what is copied"
SAID = {"Metadata": {"a": "1"}, "ContentType": "text/plain", "CacheControl": "no-cache", "ContentLanguage": "de"}
OTHER = '"0123456789abcdef0123456789abcdef"'


@pytest.fixture
def filled(embedded) -> Bucket:
    embedded.put("source", BODY, Tagging="a=1", **SAID)
    return embedded


def said_of(bucket: Bucket, key: str) -> dict:
    head = bucket("head_object", key)
    return {name: head[name] for name in SAID if name in head}


def tags_of(bucket: Bucket, key: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in bucket("get_object_tagging", key)["TagSet"]}


def copy(bucket: Bucket, key: str = "copy", source: str = "source", **more) -> dict:
    return bucket("copy_object", key, CopySource={"Bucket": bucket.name, "Key": source}, **more)


def copy_refused(bucket: Bucket, key: str = "copy", source: str = "source", **more) -> tuple[int, str]:
    return bucket.refuses("copy_object", key, CopySource={"Bucket": bucket.name, "Key": source}, **more)


def test_a_copy_is_the_same_and_says_the_same(filled):
    told = copy(filled)
    assert told["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'
    assert told["CopyObjectResult"]["LastModified"]
    assert filled.body("copy") == BODY
    assert (said_of(filled, "copy"), tags_of(filled, "copy")) == (SAID, {"a": "1"})
    assert filled.body("source") == BODY


@pytest.mark.parametrize("size", [0, 1, 3 * MIB])
def test_a_copy_stays_when_its_source_is_replaced_or_deleted(embedded, size):
    """And the other way round: they share nothing that anyone sees."""
    embedded.put("source", b"x" * size)
    copy(embedded, "one"), copy(embedded, "two", "one")
    embedded.put("source", b"replaced")
    embedded("delete_object", "one")
    assert embedded.body("two") == b"x" * size
    embedded("delete_object", "two")
    assert embedded.body("source") == b"replaced"


def test_a_copy_says_what_is_said_anew(filled):
    new = {"Metadata": {"b": "2"}, "ContentType": "text/html"}
    copy(filled, MetadataDirective="REPLACE", **new)
    assert (said_of(filled, "copy"), tags_of(filled, "copy")) == (new, {"a": "1"})
    copy(filled, MetadataDirective="REPLACE")
    assert said_of(filled, "copy") == {"Metadata": {}, "ContentType": "binary/octet-stream"}
    copy(filled, MetadataDirective="COPY", **new)
    assert said_of(filled, "copy") == SAID, "without REPLACE it counts for nothing"
    copy(filled, TaggingDirective="REPLACE", Tagging="c=3&d=4")
    assert (said_of(filled, "copy"), tags_of(filled, "copy")) == (SAID, {"c": "3", "d": "4"})
    copy(filled, TaggingDirective="REPLACE")
    assert tags_of(filled, "copy") == {}


@pytest.mark.parametrize("name", ["MetadataDirective", "TaggingDirective"])
def test_a_directive_that_there_is_not_is_refused(filled, name):
    assert copy_refused(filled, **{name: "MERGE"}) == (400, "InvalidArgument")
    assert filled.keys() == ["source"]


def test_a_storage_class_is_not_copied(embedded):
    embedded.put("source", BODY, StorageClass="STANDARD_IA", WebsiteRedirectLocation="/x")
    copy(embedded)
    head = embedded("head_object", "copy")
    assert not {"StorageClass", "WebsiteRedirectLocation"} & head.keys()
    copy(embedded, StorageClass="GLACIER_IR")
    assert embedded("head_object", "copy")["StorageClass"] == "GLACIER_IR"


def test_an_object_is_copied_onto_itself_only_to_change_it(filled):
    assert copy_refused(filled, "source") == (400, "InvalidRequest")
    assert copy_refused(filled, "source", MetadataDirective="COPY") == (400, "InvalidRequest")
    copy(filled, "source", MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert (filled.body("source"), said_of(filled, "source")["Metadata"]) == (BODY, {"b": "2"})
    copy(filled, "source", StorageClass="STANDARD_IA")
    assert filled("head_object", "source")["StorageClass"] == "STANDARD_IA"
    assert (filled.body("source"), said_of(filled, "source")["Metadata"]) == (BODY, {"b": "2"})


def test_an_object_in_parts_becomes_one_of_one_piece(embedded):
    bodies = [b"1" * PART, b"2"]
    embedded.put_in_parts("source", *bodies, Metadata={"a": "1"})
    told = copy(embedded)
    assert told["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(b"".join(bodies)).hexdigest()}"'
    embedded("delete_object", "source")
    assert embedded.body("copy") == b"".join(bodies) and said_of(embedded, "copy")["Metadata"] == {"a": "1"}


def test_a_copy_has_the_checksum_of_its_source_or_the_one_asked_for(embedded):
    embedded.put("source", BODY, ChecksumSHA1=sum_of("sha1", BODY))
    assert copy(embedded)["CopyObjectResult"]["ChecksumSHA1"] == sum_of("sha1", BODY)
    told = copy(embedded, ChecksumAlgorithm="SHA256")["CopyObjectResult"]
    assert told["ChecksumSHA256"] == sum_of("sha256", BODY) and "ChecksumSHA1" not in told
    assert embedded("head_object", "copy", ChecksumMode="ENABLED")["ChecksumSHA256"] == sum_of("sha256", BODY)


def test_a_copy_goes_to_another_bucket(filled):
    other = Bucket.new(filled.store)
    other("copy_object", "copy", CopySource={"Bucket": filled.name, "Key": "source"})
    assert other.body("copy") == BODY and filled.keys() == ["source"]


SOURCES = {"a/b": "a/b", "/a/b": "a/b", "a%2Fb": "a/b", "a+b": "a b", "a%20b": "a b", "a%2Bb": "a+b",
           "%C3%A4": "\u00e4", "a%3Fb": "a?b", "a%2525b": "a%25b"}


@pytest.mark.parametrize("written", [
    *SOURCES])
def test_a_source_is_written_as_in_a_query(embedded, written):
    for key in set(SOURCES.values()):
        embedded.put(key, key.encode())
    source = ("/" if written.startswith("/") else "") + f"{embedded.name}/{written.lstrip('/')}"
    answer = embedded.raw.put(embedded.path("copy"), headers={"x-amz-copy-source": source})
    assert answer.status == 200, answer
    assert embedded.body("copy") == SOURCES[written].encode()


def test_what_is_not_there_is_not_copied(filled):
    assert copy_refused(filled, source="missing") == (404, "NoSuchKey")
    missing = {"Bucket": filled.name + "-missing", "Key": "source"}
    assert filled.refuses("copy_object", "copy", CopySource=missing) == (404, "NoSuchBucket")
    other = Bucket(filled.store, filled.name + "-missing")
    assert other.refuses("copy_object", "copy", CopySource=f"{filled.name}/source") == (404, "NoSuchBucket")
    for wrong in ("/", filled.name, "%FF/%FF", f"{filled.name}/%FF"):
        answer = filled.raw.put(filled.path("copy"), headers={"x-amz-copy-source": wrong})
        assert (answer.status, answer.code) == (400, "InvalidArgument"), f"{wrong!r}: {answer}"
    assert filled.keys() == ["source"]


# === conditions of the source ===

CONDITIONS = [
    ({"if-match": "{etag}"}, True), ({"if-match": "{bare}"}, True), ({"if-match": OTHER}, False),
    ({"if-none-match": "{etag}"}, False), ({"if-none-match": "{bare}"}, False), ({"if-none-match": OTHER}, True),
    ({"if-modified-since": "{before}"}, True), ({"if-modified-since": "{equal}"}, False),
    ({"if-modified-since": "{after}"}, False),
    ({"if-unmodified-since": "{before}"}, False), ({"if-unmodified-since": "{equal}"}, True),
    ({"if-unmodified-since": "{after}"}, True),
    ({"if-match": "{etag}", "if-unmodified-since": "{before}"}, True),
    ({"if-match": OTHER, "if-unmodified-since": "{after}"}, False),
    ({"if-none-match": "{etag}", "if-modified-since": "{before}"}, False),
]


@pytest.mark.parametrize("way", ["copy", "part"])
def test_a_copy_is_made_if_the_source_s_conditions_hold(filled, way):
    head = filled.raw.head(filled.path("source"))
    words = {**dates_around(head.headers["last-modified"]), "etag": head.etag, "bare": head.etag.strip('"')}
    upload = filled.begin("copy")
    target = filled.path("copy", f"partNumber=1&uploadId={upload}" if way == "part" else "")
    for conditions, holds in CONDITIONS:
        headers = {f"x-amz-copy-source-{name}": value.format(**words) for name, value in conditions.items()}
        answer = filled.raw.put(target, headers={**headers, "x-amz-copy-source": f"{filled.name}/source"})
        assert (answer.status, answer.code) == ((200, None) if holds else (412, "PreconditionFailed")), conditions


def test_a_time_in_the_future_is_no_condition_of_a_source(filled):
    future = dates_around(filled.raw.head(filled.path("source")).headers["last-modified"])["future"]
    copy(filled, CopySourceIfModifiedSince=future)


# === parts ===

def test_a_part_is_copied_whole_or_a_range_of_it(embedded):
    body = bytes(range(256)) * (PART // 128)
    embedded.put("source", body)
    source, upload = f"{embedded.name}/source", embedded.begin("key")
    wanted = [(0, PART - 1), (PART - 7, 2 * PART - 8), (len(body) - 1, len(body) - 1)]
    parts = []
    for number, (first, last) in enumerate(wanted, 1):
        told = embedded("upload_part_copy", "key", UploadId=upload, PartNumber=number, CopySource=source,
                        CopySourceRange=f"bytes={first}-{last}")["CopyPartResult"]
        assert told["ETag"] == f'"{hashlib.md5(body[first:last + 1]).hexdigest()}"' and told["LastModified"]
        parts.append({"PartNumber": number, "ETag": told["ETag"]})
    told = embedded("upload_part_copy", "key", UploadId=upload, PartNumber=9, CopySource=source)["CopyPartResult"]
    whole = {"PartNumber": 9, "ETag": told["ETag"]}
    embedded("delete_object", "source")
    embedded.complete("key", upload, [*parts[:2], whole])
    assert embedded.body("key") == b"".join(body[first:last + 1] for first, last in wanted[:2]) + body


@pytest.mark.parametrize("asked", [
    "bytes=0-14", "bytes=14-14", "bytes=0-", "bytes=-3", "bytes=5-2", "0-3", "bytes=a-b", "bytes=0-1,3-4",
    "bytes=0-18446744073709551616"])
def test_a_range_of_a_source_must_be_there_from_end_to_end(filled, asked):
    upload = filled.begin("key")
    answer = filled.raw.put(filled.path("key", f"partNumber=1&uploadId={upload}"), headers={
        "x-amz-copy-source": f"{filled.name}/source", "x-amz-copy-source-range": asked})
    code = "InvalidRequest" if asked == "bytes=14-14" else "InvalidArgument"
    assert (answer.status, answer.code) == (400, code), answer
    if code == "InvalidArgument":
        assert answer.fields["ArgumentName"] == "x-amz-copy-source-range"
    assert "Parts" not in filled("list_parts", "key", UploadId=upload)


def test_a_part_of_what_is_not_there_is_not_copied(filled):
    upload = filled.begin("key")
    for source, code in [(f"{filled.name}/missing", "NoSuchKey"), (f"{filled.name}-missing/source", "NoSuchBucket")]:
        refused = filled.refuses("upload_part_copy", "key", UploadId=upload, PartNumber=1, CopySource=source)
        assert refused == (404, code)


def test_a_part_comes_from_an_object_in_parts(embedded):
    bodies = [b"1" * PART, b"2" * PART, b"3"]
    embedded.put_in_parts("source", *bodies)
    upload = embedded.begin("key")
    told = embedded("upload_part_copy", "key", UploadId=upload, PartNumber=1, CopySource=f"{embedded.name}/source",
                    CopySourceRange=f"bytes={PART - 2}-{2 * PART}")
    embedded.complete("key", upload, [{"PartNumber": 1, "ETag": told["CopyPartResult"]["ETag"]}])
    assert embedded.body("key") == b"11" + b"2" * PART + b"3"


# === versions ===

def test_a_source_is_a_version(embedded):
    embedded.versioned()
    old, new = (embedded("put_object", "source \u00e4", Body=body)["VersionId"] for body in (b"old", b"new"))
    for version, body in ((old, b"old"), (new, b"new")):
        source = {"Bucket": embedded.name, "Key": "source \u00e4", "VersionId": version}
        told = embedded("copy_object", "copy", CopySource=source)
        assert (told["CopySourceVersionId"], embedded.body("copy")) == (version, body)
        assert told["VersionId"] not in (old, new)
        upload = embedded.begin("parts")
        told = embedded("upload_part_copy", "parts", UploadId=upload, PartNumber=1, CopySource=source)
        assert told["CopySourceVersionId"] == version
        embedded.complete("parts", upload, [{"PartNumber": 1, "ETag": told["CopyPartResult"]["ETag"]}])
        assert embedded.body("parts") == body
    source = {"Bucket": embedded.name, "Key": "source \u00e4"}
    assert embedded("copy_object", "copy", CopySource=source)["CopySourceVersionId"] == new
    embedded("copy_object", "source \u00e4", CopySource={**source, "VersionId": old})
    assert embedded.body("source \u00e4") == b"old", "an old version is made the latest again"


@pytest.mark.parametrize("named", [False, True])
def test_a_delete_marker_is_no_source(embedded, named):
    embedded.versioned().put("source", BODY)
    marker = embedded("delete_object", "source")["VersionId"]
    source = f"{embedded.name}/source" + (f"?versionId={marker}" if named else "")
    refused = embedded.refuses("copy_object", "copy", CopySource=source)
    assert refused == ((400, "InvalidRequest") if named else (404, "NoSuchKey"))
    refused = embedded.refuses("copy_object", "copy", CopySource=f"{embedded.name}/source?versionId={'0' * 32}")
    assert refused == (404, "NoSuchVersion")

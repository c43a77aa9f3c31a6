"""Objects of the embedded store: what is said of them, their tags, and who may reach them."""

from __future__ import annotations

import hashlib
import time
from urllib.parse import urlencode

import pytest
import urllib3

from clients import UNSIGNED, Raw, boto
from embedded import MIB, PART, TRAILER, Bucket, with_trailer

# === what is said of an object ===

FIELDS = {
    "CacheControl": "no-cache, max-age=0", "ContentDisposition": 'attachment; filename="a b.txt"',
    "ContentEncoding": "gzip", "ContentLanguage": "de-DE, en-CA", "ContentType": "text/plain; charset=utf-8",
    "WebsiteRedirectLocation": "/elsewhere", "StorageClass": "STANDARD_IA",
}
METADATA = {"plain": "value", "with-dash_and_line": "a, b; c", "empty": "", "spaces": "a  b", "equals": "=?&%41+"}


def described(told: dict) -> dict:
    return {name: told.get(name) for name in FIELDS}


def test_what_is_said_of_an_object_comes_back(embedded):
    embedded.put("key", b"x", Metadata=METADATA, **FIELDS)
    for operation in ("get_object", "head_object"):
        told = embedded(operation, "key")
        assert (described(told), told["Metadata"]) == (FIELDS, METADATA)
        assert told["AcceptRanges"] == "bytes"
        assert abs(told["LastModified"].timestamp() - time.time()) < 30


def test_what_is_said_at_the_begin_of_an_upload_comes_back(embedded):
    embedded.put_in_parts("key", b"x", Metadata=METADATA, Tagging="a=1&b=2", **FIELDS)
    told = embedded("get_object", "key")
    assert (described(told), told["Metadata"], told["TagCount"]) == (FIELDS, METADATA, 2)


def test_a_new_object_has_nothing_of_the_one_before(embedded):
    embedded.put("key", b"x", Metadata=METADATA, Tagging="a=1", **FIELDS)
    embedded.put("key", b"y")
    told = embedded("get_object", "key")
    assert told["Metadata"] == {} and "TagCount" not in told
    assert {name for name, value in described(told).items() if value} == {"ContentType"}
    assert told["ContentType"] == "binary/octet-stream", "what AWS says of an object of unknown type"


@pytest.mark.parametrize("sent, kept", [
    ("aws-chunked", None), ("gzip,aws-chunked", "gzip"), ("aws-chunked, gzip", "gzip"), ("br", "br"),
    ("deflate, gzip", "deflate, gzip")])
def test_a_content_encoding_comes_back_as_sent_without_the_body_s_framing(embedded, sent, kept):
    headers, body, payload = {}, b"abc", None
    if "aws-chunked" in sent:
        headers, body = with_trailer(body, "x-amz-checksum-crc32", "NSRBwg==")
        payload = TRAILER
    headers["Content-Encoding"] = sent
    answer = embedded.raw.put(embedded.path("key"), body, headers=headers, payload=payload)
    assert answer.status == 200, answer
    answer = embedded.raw.get(embedded.path("key"))
    assert (answer.headers.get("content-encoding"), answer.body) == (kept, b"abc")


@pytest.mark.parametrize("expires", [
    "Wed, 21 Oct 2037 07:28:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "0"])
def test_expires_comes_back_as_sent(embedded, expires):
    answer = embedded.raw.put(embedded.path("key"), b"x", headers={"Expires": expires})
    assert answer.status == 200, answer
    assert embedded.raw.get(embedded.path("key")).headers["expires"] == expires


def test_names_of_metadata_are_in_lower_case(embedded):
    embedded.raw.put(embedded.path("key"), headers={"X-Amz-Meta-MiXeD": "VaLuE"})
    assert embedded("head_object", "key")["Metadata"] == {"mixed": "VaLuE"}


def test_metadata_may_have_two_kibibytes(embedded):
    embedded.put("key", Metadata={"n": "v" * 2047})
    assert embedded.refuses("put_object", "key", Metadata={"n": "v" * 2048}) == (400, "MetadataTooLarge")
    assert embedded("head_object", "key")["Metadata"] == {"n": "v" * 2047}


def test_only_storage_classes_that_there_are(embedded):
    assert embedded.refuses("put_object", "key", StorageClass="COLD") == (400, "InvalidStorageClass")
    assert embedded.refuses("put_object", "key", StorageClass="GLACIER") == (501, "NotImplemented")
    assert embedded.keys() == []
    embedded.put("key", StorageClass="STANDARD")
    assert "StorageClass" not in embedded("head_object", "key"), "AWS leaves out the ordinary one"


OVERRIDES = {"cache-control": "no-store", "content-disposition": 'inline; filename="\u00e4"', "content-encoding": "br",
             "content-language": "fr", "content-type": "text/html", "expires": "Thu, 01 Jan 2037 00:00:00 GMT"}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_query_overrides_what_an_answer_says(embedded, method):
    embedded.put("key", b"x", **FIELDS)
    wanted = {**OVERRIDES, "content-disposition": 'inline; filename="a"'}
    query = urlencode({f"response-{name}": value for name, value in wanted.items()})
    answer = embedded.raw.request(method, embedded.path("key", query.replace("+", "%20")))
    assert answer.status == 200
    assert {name: answer.headers[name] for name in wanted} == wanted
    assert described(embedded("head_object", "key")) == FIELDS, "nothing of the object is changed"


def test_an_answer_to_a_write_says_the_md5_of_its_body(embedded):
    for body in (b"", b"x", bytes(3 * MIB)):
        digest = f'"{hashlib.md5(body).hexdigest()}"'
        assert embedded.put("key", body) == digest
        told = embedded("get_object", "key")
        assert (told["ETag"], told["ContentLength"]) == (digest, len(body)) and told["Body"].read() == body


def test_what_is_missing_is_said_to_be(embedded):
    missing = Bucket(embedded.store, embedded.name + "-missing")
    for operation in ("get_object", "delete_object", "put_object", "get_object_tagging", "create_multipart_upload"):
        assert missing.refuses(operation, "key") == (404, "NoSuchBucket"), operation
    for operation in ("get_object", "get_object_tagging"):
        assert embedded.refuses(operation, "key") == (404, "NoSuchKey"), operation
    for bucket in (embedded, missing):
        answer = bucket.raw.head(bucket.path("key"))
        assert (answer.status, answer.body) == (404, b"")
    embedded("delete_object", "key")  # what is not there is deleted already


def test_attributes_are_those_that_were_asked_for(embedded):
    etag = embedded.put("key", b"12345", ChecksumAlgorithm="SHA256")
    every = ["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"]
    told = embedded("get_object_attributes", "key", ObjectAttributes=every)
    assert (told["ETag"], told["ObjectSize"], told["StorageClass"]) == (etag.strip('"'), 5, "STANDARD")
    assert told["Checksum"]["ChecksumSHA256"] and "ObjectParts" not in told
    told = embedded("get_object_attributes", "key", ObjectAttributes=["ObjectSize"])
    assert told["ObjectSize"] == 5 and not {"ETag", "Checksum", "StorageClass"} & told.keys()
    assert embedded.refuses("get_object_attributes", "none", ObjectAttributes=every) == (404, "NoSuchKey")
    embedded.put_in_parts("parts", bytes(PART), b"x")
    told = embedded("get_object_attributes", "parts", ObjectAttributes=every)
    assert told["ObjectParts"]["TotalPartsCount"] == 2
    assert "Parts" not in told["ObjectParts"], "AWS shows parts of objects with a checksum alone"
    answer = embedded.raw.get(embedded.path("key", "attributes"), headers={"x-amz-object-attributes": "Colour"})
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer


# === tags ===

def tags(**pairs: str) -> dict:
    return {"TagSet": [{"Key": name, "Value": value} for name, value in pairs.items()]}


def tags_of(bucket: Bucket, key: str) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in bucket("get_object_tagging", key)["TagSet"]}


def test_tags_are_set_read_replaced_and_taken_away(embedded):
    embedded.put("key", b"x", Tagging="a=1&b%20c=d+e&empty=")
    assert tags_of(embedded, "key") == {"a": "1", "b c": "d e", "empty": ""}
    for method in ("GET", "HEAD"):
        assert embedded.raw.request(method, embedded.path("key")).headers["x-amz-tagging-count"] == "3"
    before = embedded("head_object", "key")
    embedded("put_object_tagging", "key", Tagging=tags(z="\u00e4", y="+ -=._:/@"))
    assert tags_of(embedded, "key") == {"z": "\u00e4", "y": "+ -=._:/@"}
    embedded("put_object_tagging", "key", Tagging=tags())
    assert tags_of(embedded, "key") == {}
    embedded("put_object_tagging", "key", Tagging=tags(z="1"))
    embedded("delete_object_tagging", "key")
    assert tags_of(embedded, "key") == {} and "TagCount" not in embedded("get_object", "key")
    assert "x-amz-tagging-count" not in embedded.raw.head(embedded.path("key")).headers
    after = embedded("head_object", "key")
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])


WRONG_TAGS = {
    "eleven": tags(**{f"name{number}": "v" for number in range(11)}), "a long name": tags(**{"n" * 129: "v"}),
    "a long value": tags(n="v" * 257), "no name": {"TagSet": [{"Key": "", "Value": "v"}]},
    "a name of AWS": tags(**{"aws:cloudformation:stack": "v"}), "a sign in a name": tags(**{"a<b": "v"}),
    "a sign in a value": tags(n="a&b"), "a line": tags(n="a\nb"),
    "a name twice": {"TagSet": [{"Key": "n", "Value": "1"}, {"Key": "n", "Value": "2"}]},
}


@pytest.mark.parametrize("wrong", WRONG_TAGS)
def test_wrong_tags_are_refused_and_the_old_ones_stay(embedded, wrong):
    embedded.put("key", Tagging="a=1")
    code = "BadRequest" if wrong == "eleven" else "InvalidTag"
    assert embedded.refuses("put_object_tagging", "key", Tagging=WRONG_TAGS[wrong]) == (400, code)
    assert tags_of(embedded, "key") == {"a": "1"}
    header = urlencode([(tag["Key"], tag["Value"]) for tag in WRONG_TAGS[wrong]["TagSet"]])
    status, _ = embedded.refuses("put_object", "other", Tagging=header)
    assert status == 400 and embedded.keys() == ["key"]


@pytest.mark.parametrize("wrong", WRONG_TAGS)
def test_wrong_tags_are_refused_wherever_they_come_in(embedded, wrong):
    header = urlencode([(tag["Key"], tag["Value"]) for tag in WRONG_TAGS[wrong]["TagSet"]])
    embedded.put("source", b"x")
    assert embedded.refuses("create_multipart_upload", "key", Tagging=header)[0] == 400
    assert embedded.refuses("copy_object", "key", CopySource=f"{embedded.name}/source", Tagging=header,
                            TaggingDirective="REPLACE")[0] == 400
    if wrong != "eleven":
        assert embedded.refuses("put_bucket_tagging", Tagging=WRONG_TAGS[wrong]) == (400, "InvalidTag")
    assert embedded.keys() == ["source"] and "Uploads" not in embedded("list_multipart_uploads")


@pytest.mark.parametrize("header", ["a%2", "a=%zz", "%=b", "a=b%", "%ff=a"])
def test_tags_that_cannot_be_read_are_refused(embedded, header):
    for way, headers in (("put", {}), ("copy", {"x-amz-copy-source": f"{embedded.name}/key",
                                                 "x-amz-tagging-directive": "REPLACE"})):
        answer = embedded.raw.put(embedded.path("key"), headers={**headers, "x-amz-tagging": header})
        assert (answer.status, answer.code) == (400, "InvalidArgument"), (way, str(answer))
    assert embedded.keys() == []


def test_names_and_values_of_tags_may_be_as_long_as_aws_s(embedded):
    longest = {f"{number}{'n' * 127}": "\u00e4" * 256 for number in range(10)}
    embedded.put("key")
    embedded("put_object_tagging", "key", Tagging=tags(**longest))
    assert tags_of(embedded, "key") == longest


# === who may ===

def test_nobody_else_is_let_in(embedded):
    embedded.put("key", b"x")
    store = embedded.store
    stranger = Raw(store.url, "nobody", store.secret_key)
    impostor = Raw(store.url, store.access_key, "wrong")
    for method in ("GET", "PUT", "DELETE"):
        assert stranger.request(method, embedded.path("key")).status == 403
        answer = impostor.request(method, embedded.path("key"))
        assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch"), answer
    answer = embedded.raw.send("GET", embedded.path("key"), {"Host": f"{stranger.host}:{stranger.port}"}, b"")
    assert (answer.status, answer.code) == (403, "AccessDenied"), answer
    late = embedded.raw.request("GET", embedded.path("key"), clock_offset=-3600)
    assert (late.status, late.code) == (403, "RequestTimeTooSkewed"), late
    assert embedded.body("key") == b"x"


def test_refusals_of_strangers_and_of_other_bodies_have_aws_s_codes(embedded):
    stranger = Raw(embedded.store.url, "nobody", embedded.store.secret_key)
    assert stranger.get(embedded.path("key")).code == "InvalidAccessKeyId"
    answer = embedded.raw.request("PUT", embedded.path("key"), body=b"signed", sent_body=b"stolen")
    assert answer.code == "XAmzContentSHA256Mismatch"


def test_a_presigned_url_does_one_thing_for_a_time(embedded, signing):
    pool = urllib3.PoolManager(retries=False)
    s3 = boto(embedded.store.url, embedded.store.access_key, embedded.store.secret_key, config=signing)

    def url(operation: str, key: str, seconds: int = 60) -> str:
        return s3.generate_presigned_url(operation, {"Bucket": embedded.name, "Key": key}, ExpiresIn=seconds)

    key = "a b+c/\u00e4"
    assert pool.request("PUT", url("put_object", key), body=b"x").status == 200
    assert pool.request("GET", url("get_object", key)).data == b"x"
    assert pool.request("GET", url("put_object", key)).status == 403
    assert pool.request("GET", url("get_object", key).replace("a%20b", "a%20c")).status == 403
    assert pool.request("GET", url("get_object", key, -60)).status in (400, 403)
    assert pool.request("DELETE", url("delete_object", key)).status == 204
    assert embedded.keys() == []


def test_a_body_must_be_what_was_signed(embedded):
    answer = embedded.raw.request("PUT", embedded.path("key"), body=b"signed", sent_body=b"stolen")
    assert answer.status == 400, answer
    assert embedded.keys() == []
    assert embedded.raw.put(embedded.path("key"), b"x", payload=UNSIGNED).status == 200


def test_a_bucket_of_another_owner_is_not_touched(embedded):
    embedded.put("key", b"before")
    owner = embedded("list_objects")["Contents"][0]["Owner"]["ID"]
    for operation, more in (("get_object", {}), ("put_object", {"Body": b"after"}), ("delete_object", {})):
        refused = embedded.refuses(operation, "key", ExpectedBucketOwner="111122223333", **more)
        assert refused == (403, "AccessDenied"), operation
    source = {"CopySource": f"{embedded.name}/key", "ExpectedSourceBucketOwner": "111122223333"}
    assert embedded.refuses("copy_object", "copy", **source) == (403, "AccessDenied")
    assert embedded.body("key", ExpectedBucketOwner=owner) == b"before"


def test_tags_named_twice_in_a_header_are_no_tags(embedded):
    """In a document they are an InvalidTag."""
    answer = embedded.raw.put(embedded.path("key"), headers={"x-amz-tagging": "a=1&b=2&a=3"})
    assert (answer.status, answer.code, answer.fields["ArgumentName"]) == (400, "InvalidArgument", "x-amz-tagging")
    assert embedded.keys() == []


def test_what_is_hidden_by_a_marker_has_no_tags(embedded):
    embedded.versioned().put("key", b"x", Tagging="a=1")
    embedded("delete_object", "key")
    for operation, more in (("get_object_tagging", {}), ("delete_object_tagging", {}),
                            ("put_object_tagging", {"Tagging": {"TagSet": []}})):
        assert embedded.refuses(operation, "key", **more) == (405, "MethodNotAllowed"), operation
        assert embedded.refuses(operation, "never", **more) == (404, "NoSuchKey"), operation


def test_tags_of_a_bucket_are_set_without_content(embedded):
    answer = embedded("put_bucket_tagging", Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204

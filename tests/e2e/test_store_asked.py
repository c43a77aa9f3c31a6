"""What a request may ask the embedded store for: all that AWS's model knows is honoured, refused, or changes nothing."""

from __future__ import annotations

import base64
import hashlib

import botocore.session
import pytest
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from clients import REGION, boto
from embedded import TRAILER, Bucket, with_trailer
from test_store_forms import code_of, form, post

MODEL = botocore.session.get_session().get_service_model("s3")
OPERATIONS = """
AbortMultipartUpload CompleteMultipartUpload CopyObject CreateBucket CreateMultipartUpload DeleteBucket DeleteBucketCors
DeleteBucketTagging DeleteObject DeleteObjectTagging DeleteObjects GetBucketCors GetBucketLocation GetBucketTagging
GetBucketVersioning GetObject GetObjectAttributes GetObjectTagging HeadBucket HeadObject ListBuckets
ListMultipartUploads ListObjectVersions ListObjects ListObjectsV2 ListParts PutBucketCors PutBucketTagging
PutBucketVersioning PutObject PutObjectTagging UploadPart UploadPartCopy""".split()

DESCRIPTION = {"CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage", "ContentType", "Expires",
               "Metadata", "StorageClass", "WebsiteRedirectLocation", "Tagging"}
SUMS = {f"Checksum{name}" for name in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")}
OF_BODY = {"ContentLength", "ContentMD5", "ChecksumAlgorithm"}
WRITE_CONDITIONS = {"IfMatch", "IfNoneMatch"}
READ = {"IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince", "Range", "PartNumber", "VersionId", "ChecksumMode",
        *(f"Response{name}" for name in DESCRIPTION if name.startswith(("Cache", "Content", "Expires")))}
SOURCE = {"CopySource", *(f"CopySource{name}" for name in ("IfMatch", "IfNoneMatch", "IfModifiedSince",
                                                           "IfUnmodifiedSince")), "ExpectedSourceBucketOwner"}
PAGE = {"Delimiter", "EncodingType", "MaxKeys", "Prefix"}
HONOURED = {
    "AbortMultipartUpload": {"UploadId"},
    "CompleteMultipartUpload": {"UploadId", "ChecksumType", "MpuObjectSize", *SUMS, *WRITE_CONDITIONS},
    "CopyObject": {"ChecksumAlgorithm", "MetadataDirective", "TaggingDirective", *DESCRIPTION, *WRITE_CONDITIONS, *SOURCE},
    "CreateMultipartUpload": {"ChecksumAlgorithm", "ChecksumType", *DESCRIPTION},
    "DeleteObject": {"VersionId", "IfMatch"}, "DeleteObjectTagging": {"VersionId"}, "DeleteObjects": {"ChecksumAlgorithm"},
    "GetObject": READ, "HeadObject": READ, "GetObjectTagging": {"VersionId"},
    "GetObjectAttributes": {"VersionId", "MaxParts", "PartNumberMarker", "ObjectAttributes"},
    "ListBuckets": {"MaxBuckets", "ContinuationToken", "Prefix"},
    "ListMultipartUploads": {"Delimiter", "EncodingType", "KeyMarker", "MaxUploads", "Prefix", "UploadIdMarker"},
    "ListObjectVersions": {"KeyMarker", "VersionIdMarker", *PAGE}, "ListObjects": {"Marker", *PAGE},
    "ListObjectsV2": {"ContinuationToken", "FetchOwner", "StartAfter", *PAGE},
    "ListParts": {"MaxParts", "PartNumberMarker", "UploadId"},
    "PutBucketCors": OF_BODY, "PutBucketTagging": OF_BODY, "PutBucketVersioning": OF_BODY,
    "PutObject": {*OF_BODY, *SUMS, *DESCRIPTION, *WRITE_CONDITIONS}, "PutObjectTagging": {"VersionId", *OF_BODY},
    "UploadPart": {"PartNumber", "UploadId", *OF_BODY, *SUMS},
    "UploadPartCopy": {"PartNumber", "UploadId", "CopySourceRange", *SOURCE},
}
EVERYWHERE = {"Bucket", "Key", "ExpectedBucketOwner"}
HARMLESS = {
    "RequestPayer": "nobody pays", "BypassGovernanceRetention": "no object is locked",
    "OptionalObjectAttributes": "no object is restored", "AnnotationDirective": "no object has annotations",
}
ELEMENTS = {
    "CompletedPart": {"ETag", "PartNumber", *SUMS}, "CreateBucketConfiguration": {"LocationConstraint"},
    "VersioningConfiguration": {"Status"}, "ObjectIdentifier": {"Key", "VersionId", "ETag", "LastModifiedTime", "Size"},
    "CORSRule": {"ID", "AllowedHeaders", "AllowedMethods", "AllowedOrigins", "ExposeHeaders", "MaxAgeSeconds"},
    "Tag": {"Key", "Value"}, "Delete": {"Objects", "Quiet"},
}
TAGS = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
BODIES = {
    "CompleteMultipartUpload": b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part>"
                               b"</CompleteMultipartUpload>",
    "DeleteObjects": b"<Delete><Object><Key>other</Key></Object></Delete>", "PutBucketTagging": TAGS,
    "PutObjectTagging": TAGS, "PutObject": b"after", "UploadPart": b"part",
    "PutBucketVersioning": b"<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>",
    "PutBucketCors": b"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod><AllowedOrigin>*</AllowedOrigin>"
                     b"</CORSRule></CORSConfiguration>",
}


def asked() -> list[tuple[str, str]]:
    """Each operation with each member of its input that is a header or a parameter, and is not honoured."""
    return [(name, member) for name in OPERATIONS
            for member, shape in MODEL.operation_model(name).input_shape.members.items()
            if shape.serialization.get("location") in ("header", "headers", "querystring")
            and member not in HONOURED.get(name, set()) | EVERYWHERE | HARMLESS.keys()]


def test_what_is_listed_as_honoured_is_in_the_model():
    for name, members in HONOURED.items():
        known = MODEL.operation_model(name).input_shape.members.keys()
        assert members - {"ContentLength", "ContentMD5", "ChecksumAlgorithm"} <= known, name
    assert len(asked()) > 100


@pytest.fixture(scope="module")
def scene(store_named) -> tuple[Bucket, str]:
    bucket = Bucket.new(store_named("embedded"))
    bucket.put("key", b"before")
    return bucket, bucket.begin("key")


def request(scene: tuple[Bucket, str], operation: str, member: str):
    """A request of an operation in which nothing else is wrong."""
    bucket, upload = scene
    model = MODEL.operation_model(operation)
    path, _, query = model.http["requestUri"].partition("?")
    members = model.input_shape.members
    name = bucket.name + "-other" if operation in ("CreateBucket", "DeleteBucket") else bucket.name
    target = "/" if operation == "ListBuckets" else f"/{name}" + ("/key" if "Key" in members else "")
    pairs, headers, body = [query] if query else [], {}, BODIES.get(operation, b"")
    for needed, value in (("UploadId", f"uploadId={upload}"), ("PartNumber", "partNumber=1")):
        if needed in model.input_shape.required_members:
            pairs.append(value)
    if "CopySource" in members:
        headers["x-amz-copy-source"] = f"{bucket.name}/key"
    if operation == "GetObjectAttributes":
        headers["x-amz-object-attributes"] = "ETag"
    if operation == "DeleteObjects":
        headers["Content-MD5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
    shape = members[member]
    value = {"boolean": "true", "integer": "1", "long": "1", "timestamp": "Wed, 21 Oct 2037 07:28:00 GMT"}.get(
        shape.type_name, shape.enum[0] if getattr(shape, "enum", None) else "x")
    value = {"ACL": "public-read"}.get(member, value)
    if shape.serialization["location"] == "querystring":
        pairs.append(f"{shape.serialization['name']}={value}")
    else:
        headers[shape.serialization["name"]] = value
    return bucket.raw.request(model.http["method"], f"{target}?{'&'.join(pairs)}".rstrip("?"), headers, body)


@pytest.mark.parametrize("operation, member", asked())
def test_what_is_not_honoured_is_refused(scene, operation, member):
    answer = request(scene, operation, member)
    assert answer.status in (400, 501), answer
    assert scene[0].body("key") == b"before"


@pytest.mark.parametrize("shape", ELEMENTS)
def test_what_is_not_honoured_of_a_document_is_refused(embedded, shape):
    members = MODEL.shape_for(shape).members
    assert ELEMENTS[shape] <= members.keys()
    for member in members.keys() - ELEMENTS[shape]:
        name = members[member].serialization.get("name", member)
        if shape == "CreateBucketConfiguration":
            method, target = "PUT", f"/{embedded.name}-other"
            document = f"<CreateBucketConfiguration><{name}><Name>x</Name></{name}></CreateBucketConfiguration>"
        elif shape == "CompletedPart":
            upload = embedded.begin("key")
            etag = embedded.part("key", upload, 1, b"x")["ETag"]
            method, target = "POST", embedded.path("key", f"uploadId={upload}")
            document = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag><{name}>x</{name}>"
                        f"</Part></CompleteMultipartUpload>")
        else:
            assert (shape, member) == ("VersioningConfiguration", "MFADelete")
            method, target = "PUT", embedded.path(query="versioning")
            document = ("<VersioningConfiguration><Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>"
                        "</VersioningConfiguration>")
        answer = embedded.raw.request(method, target, {}, document.encode())
        assert answer.status in (400, 501), (member, str(answer))
    assert embedded.keys() == []


# === checksums ===

OTHER_SUMS = sorted(shape.serialization["name"].removeprefix("x-amz-checksum-")
                    for member, shape in MODEL.operation_model("PutObject").input_shape.members.items()
                    if member.startswith("Checksum") and member not in SUMS | {"ChecksumAlgorithm"})
UNKNOWN = [*OTHER_SUMS, "md4", "crc128"]


def test_the_model_has_other_checksums():
    assert {"md5", "sha512", "xxhash64", "xxhash3", "xxhash128"} <= set(OTHER_SUMS)


@pytest.mark.parametrize("way", ["put", "part", "complete", "copy", "upload", "form", "trailer", "document"])
@pytest.mark.parametrize("algorithm", UNKNOWN)
def test_a_checksum_that_would_not_be_compared_is_refused(embedded, way, algorithm):
    embedded.put("key", b"before")
    name, value = f"x-amz-checksum-{algorithm}", "AAAAAAAAAAA="
    upload = embedded.begin("key")
    part = embedded.path("key", f"partNumber=1&uploadId={upload}")
    if way == "form":
        made = form(embedded, "key", {name: value}, Config(signature_version="s3v4", region_name="us-east-1"))
        answer = post(made)
        assert (answer.status, code_of(answer)) == (501, "NotImplemented")
    elif way == "trailer":
        for announced in (name, "x-amz-checksum-crc32"):
            headers, framed = with_trailer(b"after", name, value)
            headers["x-amz-trailer"] = announced
            assert embedded.raw.put(part, framed, headers=headers, payload=TRAILER).status in (400, 501)
            assert embedded.raw.put(embedded.path("key"), framed, headers=headers, payload=TRAILER).status in (400, 501)
    else:
        method, target, headers, body = {
            "put": ("PUT", embedded.path("key"), {name: value}, b"after"), "part": ("PUT", part, {name: value}, b"after"),
            "complete": ("POST", embedded.path("key", f"uploadId={upload}"), {name: value},
                         BODIES["CompleteMultipartUpload"]),
            "copy": ("PUT", embedded.path("copy"), {"x-amz-copy-source": f"{embedded.name}/key",
                                                    "x-amz-checksum-algorithm": algorithm.upper()}, b""),
            "upload": ("POST", embedded.path("other", "uploads"), {"x-amz-checksum-algorithm": algorithm.upper()}, b""),
            "document": ("PUT", embedded.path("key", "tagging"), {name: value}, TAGS),
        }[way]
        answer = embedded.raw.request(method, target, headers, body)
        assert (answer.status, answer.code) == (501, "NotImplemented"), answer
    assert embedded.keys() == ["key"] and embedded.body("key") == b"before"
    assert "Parts" not in embedded("list_parts", "key", UploadId=upload)


@pytest.mark.parametrize("name, code", [
    ("Content-MD5", "InvalidDigest"),
    *((f"x-amz-checksum-{each}", "InvalidRequest") for each in ("crc32", "crc32c", "crc64nvme", "sha1", "sha256"))])
def test_an_empty_checksum_is_no_checksum(embedded, name, code):
    answer = embedded.raw.put(embedded.path("key"), b"x", headers={name: ""})
    assert (answer.status, answer.code) == (400, code), answer
    assert embedded.keys() == []


DOCUMENTS = {"bucket tags": ("", "tagging", TAGS), "tags": ("key", "tagging", TAGS),
             "CORS": ("", "cors", BODIES["PutBucketCors"]), "versioning": ("", "versioning", BODIES["PutBucketVersioning"])}


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("header", [{"Content-MD5": "A" * 22 + "=="}, {"x-amz-checksum-crc32": "AAAAAA=="}])
def test_a_document_is_what_its_request_declares(embedded, document, header):
    key, query, body = DOCUMENTS[document]
    embedded.put("key")
    answer = embedded.raw.put(embedded.path(key, query), body, headers=header)
    assert (answer.status, answer.code) == (400, "BadDigest"), answer
    right = {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    assert embedded.raw.put(embedded.path(key, query), body, headers=right).status in (200, 204)


# === in the query ===

@pytest.mark.parametrize("query", ["versionId=abc", "versionId=null", "partNumber=1"])
@pytest.mark.parametrize("way", ["put", "copy", "upload"])
def test_a_write_of_a_key_names_no_version_and_no_part(embedded, way, query):
    embedded.put("key", b"before"), embedded.put("source", b"after")
    headers = {"x-amz-copy-source": f"{embedded.name}/source"} if way == "copy" else {}
    method, query = ("POST", f"uploads&{query}") if way == "upload" else ("PUT", query)
    answer = embedded.raw.request(method, embedded.path("key", query), headers, b"after" if way == "put" else b"")
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer
    assert embedded.body("key") == b"before" and "Uploads" not in embedded("list_multipart_uploads")


@pytest.mark.parametrize("name", ["x-amz-acl", "X-Amz-Acl"])
def test_a_presigned_query_says_what_its_headers_would_say(embedded, name):
    for value, status in (("public-read", 501), ("private", 200)):
        request = AWSRequest("PUT", f"{embedded.store.url}{embedded.path('key')}", params={name: value})
        S3SigV4QueryAuth(embedded.raw.credentials, "s3", REGION, expires=60).add_auth(request)
        answer = urllib3.PoolManager(retries=False).request("PUT", request.prepare().url, body=b"x")
        assert (answer.status, embedded.keys()) == (status, ["key"] * (status == 200)), answer.data


@pytest.mark.parametrize("seconds, status", [(604_800, 200), (604_801, 400), (0, 403)])
def test_a_presigned_url_lasts_a_week_at_most(embedded, seconds, status):
    store = embedded.store
    embedded.put("key", b"x")
    s3 = boto(store.url, store.access_key, store.secret_key, config=Config(signature_version="s3v4"))
    url = s3.generate_presigned_url("get_object", {"Bucket": embedded.name, "Key": "key"}, ExpiresIn=seconds)
    answer = urllib3.PoolManager(retries=False).request("GET", url)
    if status != 403:
        assert answer.status == status, answer.data
    assert (code_of(answer) == "AuthorizationQueryParametersError") == (status == 400)

"""Today's SDKs before stores of yesterday: checksums, trailers and Content-MD5.

boto3 over http sends a checksum as a header; over https it wraps the body in `aws-chunked` and lets
the checksum follow. Old stores read neither; each of them gets what it understands.
"""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.httpchecksum import _CHECKSUM_CLS as CAN_COMPUTE

from clients import boto, code_of
from conftest import Front, new_bucket
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings, in_front_of
from recorder import Recorder, lower
from relay import TlsFront

MIB = 1 << 20
SCHEMES = ("http", "https")
# What AWS's model has known since 2022; the others are from 2026, and no store here knows them.
OLD_ALGORITHMS = ("crc32", "sha1", "sha256")
WHEN_REQUIRED = Config(request_checksum_calculation="when_required",
                       response_checksum_validation="when_required")


@pytest.fixture(scope="module")
def through(front_on, store_named, certificate, tmp_path_factory):
    """through("moto", "https", "drop"): a front, and boto3 clients that come to it so."""
    fronts, tls = {}, {}

    def front(store_name: str, checksums: str) -> Front:
        if checksums == "send":
            return front_on(store_name)
        if store_name not in fronts:
            store = store_named(store_name)
            bucket = new_bucket(store)
            proxy = in_front_of(store, bucket, tmp_path_factory.mktemp(f"drop-{store_name}"),
                                Settings(checksums=checksums))
            fronts[store_name] = Front(proxy, store, bucket)
        return fronts[store_name]

    def make(store_name: str, scheme: str, checksums: str = "send"):
        chosen = front(store_name, checksums)
        if scheme == "https" and chosen.proxy.url not in tls:
            tls[chosen.proxy.url] = TlsFront(chosen.proxy.url, *certificate)
        url = tls[chosen.proxy.url].url if scheme == "https" else chosen.proxy.url

        def client(config=None):
            return boto(url, ACCESS_KEY, CLIENT_SECRET, config=config, verify=certificate[0])

        return SimpleNamespace(front=chosen, bucket=chosen.bucket, client=client, url=url,
                               new_key=chosen.new_key)

    yield make
    for each in tls.values():
        each.close()
    for each in fronts.values():
        each.proxy.stop()


@pytest.mark.parametrize("scheme, checksums, config", [
    pytest.param("http", "send", None, id="http-send"),
    pytest.param("https", "send", None, id="https-send"),
    pytest.param("https", "drop", None, id="https-drop"),
    pytest.param("http", "send", WHEN_REQUIRED, id="http-send-when-required"),
])
def test_everyday_calls_of_boto3(through, store_name, scheme, checksums, config, tmp_path):
    way = through(store_name, scheme, checksums)
    s3, bucket, key = way.client(config), way.bucket, way.new_key("everyday")
    written = s3.put_object(Bucket=bucket, Key=key, Body=b"content", Metadata={"a": "1"})
    with pytest.raises(ClientError) as stale:
        s3.put_object(Bucket=bucket, Key=key, Body=b"other", IfNoneMatch="*")
    assert code_of(stale.value) == (412, "PreconditionFailed")
    s3.put_object(Bucket=bucket, Key=key, Body=b"replaced", IfMatch=written["ETag"])
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"replaced"
    s3.copy_object(Bucket=bucket, Key=key + "-copy", CopySource=f"{bucket}/{key}")
    assert s3.get_object(Bucket=bucket, Key=key + "-copy")["Body"].read() == b"replaced"
    listed = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]]
    if "sorted listings" in way.front.store.lacks:
        listed.sort()
    assert listed == [key, key + "-copy"]
    large = tmp_path / "large"
    large.write_bytes(os.urandom(20 * MIB))
    s3.upload_file(str(large), bucket, key + "-large")
    s3.download_file(bucket, key + "-large", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == large.read_bytes()
    with large.open("rb") as file:
        s3.put_object(Bucket=bucket, Key=key + "-file", Body=file)
    assert s3.head_object(Bucket=bucket, Key=key + "-file")["ContentLength"] == 20 * MIB
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [
        {"Key": key + end} for end in ("", "-copy", "-large", "-file")]})
    assert len(gone["Deleted"]) == 4 and "Errors" not in gone, gone
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=key)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("checksums, algorithms", [
    ("send", OLD_ALGORITHMS), ("drop", tuple(CAN_COMPUTE))], ids=["send", "drop"])
def test_every_checksum_that_botocore_computes(through, store_name, checksums, algorithms, scheme):
    if (store_name, checksums) == ("swift", "send"):
        pytest.skip("refuses a document that tells the checksums of parts: one to drop for")
    way = through(store_name, scheme, checksums)
    s3, bucket = way.client(), way.bucket
    for algorithm in (each.upper() for each in algorithms):
        key, member = way.new_key(algorithm), f"Checksum{algorithm}"
        s3.put_object(Bucket=bucket, Key=key, Body=b"content", ChecksumAlgorithm=algorithm)
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"content"
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key, ChecksumAlgorithm=algorithm)
        part = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload["UploadId"], PartNumber=1,
                              Body=b"part", ChecksumAlgorithm=algorithm)
        # As the SDKs that tell the store what they computed, whatever it told them.
        own = CAN_COMPUTE[algorithm.lower()]()
        own.update(b"part")
        digest = base64.b64encode(own.digest()).decode()
        s3.complete_multipart_upload(
            Bucket=bucket, Key=key, UploadId=upload["UploadId"], MultipartUpload={"Parts": [
                {"PartNumber": 1, "ETag": part["ETag"], member: digest}]})
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"part"
        spoilt = base64.b64encode(bytes(len(own.digest()))).decode()
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket=bucket, Key=key, Body=b"content", **{member: spoilt})
        assert code_of(error.value) == (400, "BadDigest")
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"part"


# Which store has which configuration; what none has is not asked of it.
CONFIGURES = {"moto": ("tagging", "object-tagging", "lifecycle", "cors", "versioning"),
              "swift": ("versioning",)}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_documents_of_configuration(through, store_name, scheme):
    if store_name not in CONFIGURES:
        pytest.skip("has no documents of configuration")
    way = through(store_name, scheme)
    s3 = way.client()
    bucket = new_bucket(way.front.store)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    tags = {"TagSet": [{"Key": "a", "Value": "1"}]}
    calls = {
        "tagging": lambda: s3.put_bucket_tagging(Bucket=bucket, Tagging=tags),
        "object-tagging": lambda: s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tags),
        "lifecycle": lambda: s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": [
                {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""},
                 "Expiration": {"Days": 9}}]}),
        "cors": lambda: s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [
            {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}]}),
        "versioning": lambda: s3.put_bucket_versioning(
            Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}),
    }
    for name in CONFIGURES[store_name]:
        calls[name]()
    if "object-tagging" in CONFIGURES[store_name]:
        assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags["TagSet"]
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"


# Before a recorder: what a store is told.


@pytest.fixture(scope="module", params=["send", "drop"])
def recorded(request, tmp_path_factory, certificate):
    recorder = Recorder()
    proxy = Proxy(tmp_path_factory.mktemp("recorded"), recorder.store,
                  Settings(settle=0, checksums=request.param, configure=True))
    tls = TlsFront(proxy.url, *certificate)
    s3 = boto(tls.url, ACCESS_KEY, CLIENT_SECRET, verify=certificate[0])
    recorder.take()
    yield SimpleNamespace(recorder=recorder, s3=s3, raw=proxy.raw(), sends=request.param == "send")
    tls.close()
    proxy.stop()
    recorder.stop()


def told_of_checksums(headers: dict) -> dict:
    return {name: value for name, value in lower(headers).items() if "checksum" in name}


def crc32(content: bytes) -> str:
    return base64.b64encode(zlib.crc32(content).to_bytes(4, "big")).decode()


def test_a_checksum_that_follows_the_body_goes_ahead_of_it_or_not_at_all(recorded):
    calls = {
        "/b-b/put": lambda: recorded.s3.put_object(Bucket="b-b", Key="put", Body=b"content"),
        "/b-b/part?uploadId=u&partNumber=1": lambda: recorded.s3.upload_part(
            Bucket="b-b", Key="part", UploadId="u", PartNumber=1, Body=b"content"),
    }
    for path, call in calls.items():
        call()
        [(method, asked, headers, body)] = recorded.recorder.take()
        assert (method, asked, body) == ("PUT", path, b"content")
        expected = {"x-amz-checksum-crc32": crc32(b"content"),
                    "x-amz-sdk-checksum-algorithm": "CRC32"} if recorded.sends else {}
        assert told_of_checksums(headers) == expected
        assert lower(headers)["content-length"] == "7"
        assert not {"content-encoding", "x-amz-trailer"} & set(lower(headers))


def test_an_upload_is_created_and_completed_as_its_parts_were_sent(recorded):
    s3, recorder = recorded.s3, recorded.recorder
    with pytest.raises(Exception):  # the recorder answers without an upload id, or result
        s3.create_multipart_upload(Bucket="b-b", Key="up", ChecksumAlgorithm="CRC32",
                                   ChecksumType="FULL_OBJECT")["UploadId"]
    document = (f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag>"
                f"<ChecksumCRC32>{crc32(b'x')}</ChecksumCRC32></Part></CompleteMultipartUpload>")
    recorded.raw.request("POST", "/b-b/up?uploadId=u", body=document.encode(), headers={
        "x-amz-checksum-crc32": crc32(b"x"), "x-amz-checksum-type": "FULL_OBJECT",
        "Content-MD5": base64.b64encode(hashlib.md5(document.encode()).digest()).decode()})
    asked = [each for each in recorder.take() if each[0] == "POST"]
    create, complete = asked[0], asked[1]
    assert bool(told_of_checksums(create[2])) == recorded.sends
    assert bool(told_of_checksums(complete[2])) == recorded.sends
    body = complete[3]
    assert (b"Checksum" in body) == recorded.sends and b"<ETag>e</ETag>" in body
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    assert lower(complete[2])["content-md5"] == md5
    assert lower(complete[2])["x-amz-content-sha256"] == hashlib.sha256(body).hexdigest()


GRANTEE = (b'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group">'
           b"<URI>u</URI></Grantee>")
GRANTS = (b"<AccessControlPolicy><AccessControlList><Grant>" + GRANTEE
          + b"<Permission>READ</Permission></Grant></AccessControlList></AccessControlPolicy>")
TAGGING = b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
DOCUMENTS = {
    "/b-b?lifecycle": b"<LifecycleConfiguration><Rule><Status>Enabled</Status></Rule>"
                      b"</LifecycleConfiguration>",
    "/b-b?cors": b"<CORSConfiguration><CORSRule><AllowedMethod>GET</AllowedMethod>"
                 b"<AllowedOrigin>*</AllowedOrigin></CORSRule></CORSConfiguration>",
    "/b-b?tagging": TAGGING,
    "/b-b/k?tagging": TAGGING,
    "/b-b/k?legal-hold": b"<LegalHold><Status>ON</Status></LegalHold>",
    "/b-b/k?retention": b"<Retention><Mode>GOVERNANCE</Mode>"
                        b"<RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>",
    "/b-b/k?acl": GRANTS,
}


def canonical(document: bytes) -> bytes:
    """As the store is sent it: declared, in S3's namespace."""
    root = document[1:document.index(b">")]
    rest = document[document.index(b">"):]
    return (b'<?xml version="1.0" encoding="UTF-8"?>\n<' + root
            + b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"' + rest)


def test_a_document_carries_its_md5(recorded):
    for target, document in DOCUMENTS.items():
        assert recorded.raw.put(target, document).status == 200, target
        [(_, asked, headers, body)] = recorded.recorder.take()
        assert (asked, body) == (target, canonical(document))
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        assert lower(headers)["content-md5"] == md5
    document = TAGGING
    md5 = base64.b64encode(hashlib.md5(document).digest()).decode()
    for wrong in ({"Content-MD5": md5}, {"x-amz-checksum-crc32": crc32(document)}):
        answer = recorded.raw.put("/b-b?tagging", document + b" ", headers=wrong)
        assert (answer.status, answer.code) == (400, "BadDigest")
    assert recorded.recorder.take() == []


def test_a_part_whose_checksum_is_wrong_never_is_one(recorded):
    body = b"7\r\ncontent\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    answer = recorded.raw.put("/b-b/part?partNumber=1&uploadId=u", body, headers={
        "Content-Encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32",
        "x-amz-decoded-content-length": "7"}, payload="STREAMING-UNSIGNED-PAYLOAD-TRAILER")
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert [each for each in recorded.recorder.take() if each[3] == b"content"] == []


def test_parts_that_are_taken_whole_keep_to_the_budget(store_named, certificate, tmp_path):
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings(body_memory="32MiB", settle=5, settle_long=5))
    tls = TlsFront(proxy.url, *certificate)
    s3 = boto(tls.url, ACCESS_KEY, CLIENT_SECRET, verify=certificate[0],
              config=Config(read_timeout=120))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="up")["UploadId"]
    content = os.urandom(16 * MIB)
    proxy.memory_peak_reset()
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda number: {"PartNumber": number, "ETag": s3.upload_part(
            Bucket=bucket, Key="up", UploadId=upload, PartNumber=number,
            Body=content)["ETag"]}, range(1, 9)))
    peak = proxy.memory_peak_bytes()
    s3.complete_multipart_upload(Bucket=bucket, Key="up", UploadId=upload,
                                 MultipartUpload={"Parts": parts})
    assert s3.head_object(Bucket=bucket, Key="up")["ContentLength"] == 128 * MIB
    assert peak < 96 * MIB, f"{peak / MIB:.0f} MiB for 128 MiB in flight, of which 32 in memory"
    tls.close()
    proxy.stop()

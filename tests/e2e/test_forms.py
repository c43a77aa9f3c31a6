"""Browsers' upload forms: what boto3 makes of them, what their policies allow, and the gate."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import http.client
import json
import os
import select
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote, urlencode

import pytest
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config

from clients import REGION, Answer, boto
from conftest import new_bucket
from proxies import ACCESS_KEY, CLIENT_SECRET, READER_KEY, READER_SECRET, Proxy, Settings, \
    in_front_of
from recorder import Recorder, lower
from relay import Relay

POOL = urllib3.PoolManager(retries=False)
V4 = Config(signature_version="s3v4")
FILE = ("file", ("cat.txt", b"meow"))


def post(url: str, parts: list) -> Answer:
    """A form of these parts in this order, as a browser sends it."""
    body, content_type = urllib3.encode_multipart_formdata(parts)
    answer = POOL.request("POST", url, body=body, headers={"Content-Type": content_type},
                          redirect=False)
    return Answer(answer.status, lower(dict(answer.headers)), answer.data)


def signed(bucket: str, fields: dict, conditions: list | None = None,
           expires_s: float = 600, secret: str = CLIENT_SECRET, key_id: str = ACCESS_KEY) -> list:
    """The parts before the file: these fields, and a policy signed by Version 4 that says so."""
    now = datetime.datetime.now(datetime.timezone.utc)
    scope = f"{now:%Y%m%d}/us-east-1/s3/aws4_request"
    fields = {**fields, "x-amz-algorithm": "AWS4-HMAC-SHA256",
              "x-amz-credential": f"{key_id}/{scope}", "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}"}
    if conditions is None:
        conditions = [{name: value} for name, value in fields.items()]
    else:
        conditions = conditions + [{name: value} for name, value in fields.items()
                                   if name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date")]
    expires = now + datetime.timedelta(seconds=expires_s)
    policy = base64.b64encode(json.dumps({
        "expiration": f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        "conditions": [{"bucket": bucket}, *conditions]}).encode()).decode()
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, policy.encode(), hashlib.sha256).hexdigest()
    return [*fields.items(), ("policy", policy), ("x-amz-signature", signature)]


def raw_post(proxy: Proxy, bucket: str, headers: list, body: bytes) -> Answer:
    """A form with exactly these headers, and the body's length or its chunks."""
    host, port = proxy.raw().host, proxy.raw().port
    connection = http.client.HTTPConnection(host, port, timeout=30)
    connection.putrequest("POST", f"/{bucket}")
    for name, value in headers:
        connection.putheader(name, value)
    if ("Transfer-Encoding", "chunked") in headers:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    else:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    found = Answer(answer.status, lower(dict(answer.headers)), answer.read())
    connection.close()
    return found


@pytest.fixture(scope="module")
def stored(store_named, tmp_path_factory):
    store = store_named("embedded")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("forms"), Settings())
    yield proxy, bucket
    proxy.stop()


def resident_bytes(proxy: Proxy) -> int:
    text = Path(f"/proc/{proxy.process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGESIZE")


HANGS = 120
"""Seconds after which what a test waits for will not come, on the slowest machine."""


def until(holds) -> None:
    deadline = time.monotonic() + HANGS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def content(proxy, bucket: str, key: str) -> bytes | None:
    answer = proxy.raw().get(f"/{bucket}/{key}")
    return answer.body if answer.status == 200 else None


@pytest.mark.parametrize("config", [None, V4], ids=["as-it-comes", "s3v4"])
def test_a_form_of_boto3_works_as_it_is(stored, config):
    proxy, bucket = stored
    s3 = proxy.boto(config=config)
    form = s3.generate_presigned_post(
        bucket, "boto/${filename}", Fields={"Content-Type": "text/plain", "x-amz-meta-a": "1"},
        Conditions=[{"Content-Type": "text/plain"}, ["starts-with", "$x-amz-meta-a", ""],
                    ["content-length-range", 1, 10]])
    answer = post(form["url"], [*form["fields"].items(), FILE])
    assert answer.status == 204, str(answer)
    got = s3.get_object(Bucket=bucket, Key="boto/cat.txt")
    assert (got["Body"].read(), got["Metadata"]) == (b"meow", {"a": "1"})
    assert answer.etag == got["ETag"]
    large = post(form["url"], [*form["fields"].items(), ("file", ("cat.txt", b"x" * 11))])
    assert (large.status, large.code) == (400, "EntityTooLarge")
    # The same policy with one space more: other base64, whatever the bucket's name is.
    policy = base64.b64encode(base64.b64decode(form["fields"]["policy"]) + b" ").decode()
    forged = {**form["fields"], "policy": policy}
    answer = post(form["url"], [*forged.items(), FILE])
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")


def test_the_answer_is_what_the_form_asks_for(stored):
    proxy, bucket = stored
    url = f"{proxy.url}/{bucket}"
    for wanted, status in (("200", 200), ("201", 201), ("204", 204), ("418", 204)):
        answer = post(url, [*signed(bucket, {"key": "a b", "success_action_status": wanted}), FILE])
        assert answer.status == status
        assert answer.headers["location"].endswith(f"/{bucket}/a%20b")
        if status == 201:
            assert b"<Key>a b</Key>" in answer.body and b"<PostResponse>" in answer.body
    to = "http://example.com/done?x=1"
    answer = post(url, [*signed(bucket, {"key": "k", "success_action_redirect": to}), FILE])
    assert answer.status == 303
    etag = base64.b16encode(hashlib.md5(b"meow").digest()).decode().lower()
    assert answer.headers["location"] == f"{to}&bucket={bucket}&key=k&etag=%22{etag}%22"


def test_what_the_policy_does_not_allow_is_refused(stored):
    proxy, bucket = stored
    url = f"{proxy.url}/{bucket}"
    fields = {"key": "up/x", "acl": "private"}
    key, acl = {"key": "up/x"}, {"acl": "private"}
    for why, parts, status in (
        ("all is covered", signed(bucket, fields), 204),
        ("starts-with", signed(bucket, fields, [["starts-with", "$key", "up/"], acl]), 204),
        ("eq", signed(bucket, fields, [["eq", "$key", "up/x"], ["eq", "$acl", "private"]]), 204),
        ("expired", signed(bucket, fields, expires_s=-1), 403),
        ("another key", signed(bucket, fields, [{"key": "up/y"}, acl]), 403),
        ("starts otherwise", signed(bucket, fields, [["starts-with", "$key", "in/"], acl]), 403),
        ("a field that is not covered", signed(bucket, fields, [key]), 403),
        ("a condition on a field that is missing",
         signed(bucket, fields, [key, acl, {"x-amz-meta-a": "1"}]), 403),
        ("for another bucket", signed("another-bucket", fields), 403),
        ("too small", signed(bucket, fields, [key, acl, ["content-length-range", 5, 9]]), 400),
        ("by a stranger", signed(bucket, fields, key_id="nobody"), 403),
        ("with another secret", signed(bucket, fields, secret="not-the-secret"), 403),
        ("by a read-only client",
         signed(bucket, fields, secret=READER_SECRET, key_id=READER_KEY), 403),
        ("a key that the file's name leads elsewhere",
         signed(bucket, {"key": "${filename}"}, [["starts-with", "$key", "up/"]]), 403),
        ("unsigned", list(fields.items()), 403),
    ):
        proxy.raw().delete(f"/{bucket}/up/x")
        answer = post(url, [*parts, FILE])
        assert answer.status == status, (why, str(answer))
        assert (content(proxy, bucket, "up/x") == b"meow") == (status == 204), why
    ignored = [*signed(bucket, {"key": "up/x"}), ("x-ignore-me", "1"), FILE, ("submit", "Upload")]
    assert post(url, ignored).status == 204, "what the policy need not cover, and what follows"


def test_a_part_of_a_signature_is_none(stored):
    """AWS names the field that is missing, and takes no form for an anonymous one that was not."""
    proxy, bucket = stored
    url, whole = f"{proxy.url}/{bucket}", signed(bucket, {"key": "partly"})
    fields = [name for name, _ in whole if name != "key"]
    for missing in fields:
        answer = post(url, [*((n, v) for n, v in whole if n != missing), FILE])
        assert (answer.status, answer.code) == (400, "InvalidArgument"), missing
        assert answer.fields["ArgumentName"].lower() == missing
        assert f"'{answer.fields['ArgumentName']}'" in answer.fields["Message"]
    only = {"key", "policy"}
    answer = post(url, [*((n, v) for n, v in whole if n in only), FILE])
    assert (answer.status, answer.fields["ArgumentName"]) == (400, "AWSAccessKeyId")
    answer = post(url, [("key", "partly"), ("policy", dict(whole)["policy"]),
                        ("AWSAccessKeyId", ACCESS_KEY), FILE])
    assert (answer.status, answer.fields["ArgumentName"]) == (400, "Signature")
    assert content(proxy, bucket, "partly") is None


@pytest.mark.parametrize("name", ["cat.txt", "\u00dcbung (1) & co.txt", "a'b.txt"])
def test_the_name_of_the_file_is_filled_in_everywhere(store_named, tmp_path, name):
    """What the policy says holds of the form as filled in (AWS: HTML form fields)."""
    store = store_named("moto")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings())
    to = "http://example.com/done?file="
    fields = {"key": "in/${filename}", "x-amz-meta-name": "${filename}",
              "Content-Disposition": "attachment; filename*=UTF-8''x", "Content-Type": "text/x",
              "Cache-Control": "max-age=1", "success_action_redirect": to + "${filename}"}
    starting = [["starts-with", f"${field}", value.partition("${")[0]]
                for field, value in fields.items()]
    answer = post(f"{proxy.url}/{bucket}", [*signed(bucket, fields, starting),
                                            ("file", (f"C:\\dir\\{name}", b"meow"))])
    assert answer.status == 303, str(answer)
    assert unquote(answer.headers["location"]).startswith(f"{to}{name}&bucket={bucket}&key=in/{name}")
    head = proxy.raw().head(f"/{bucket}/in/{quote(name)}")
    assert head.status == 200 and head.headers["content-type"] == "text/x"
    stored_name = head.headers["x-amz-meta-name"].encode("latin-1")
    if name.isascii():
        assert stored_name == name.encode()
    # Not as it was before it was filled in.
    exact = [{name: value} for name, value in fields.items()]
    answer = post(f"{proxy.url}/{bucket}", [*signed(bucket, fields, exact), FILE])
    assert (answer.status, answer.code) == (403, "AccessDenied")
    proxy.stop()


def test_a_form_that_is_none_changes_nothing(stored):
    proxy, bucket = stored
    url, parts = f"{proxy.url}/{bucket}", signed(bucket, {"key": "none"})
    for why, wrong, code in (
        ("no key", [*signed(bucket, {"acl": "private"}), FILE], "InvalidArgument"),
        ("no file", parts, "IncorrectNumberOfFilesInPostRequest"),
        ("two files", [*parts, FILE, FILE], "IncorrectNumberOfFilesInPostRequest"),
        ("the key after the file", [*parts[1:], FILE, parts[0]], "InvalidArgument"),
        ("two keys", [*parts, ("key", "other"), FILE], "InvalidArgument"),
        ("a key that is none", [*signed(bucket, {"key": "a/../b"}), FILE], "InvalidArgument"),
        ("20 KiB before the file", [*parts, ("x-ignore-it", "x" * 20480), FILE],
         "MaxPostPreDataLengthExceededError"),
        ("20 KiB after the file", [*parts, FILE, ("x-ignore-it", "x" * 20480)],
         "MaxPostPreDataLengthExceededError"),
        ("two files, the second late", [*parts, ("file", ("a", b"x" * 200_000)), FILE],
         "IncorrectNumberOfFilesInPostRequest"),
    ):
        answer = post(url, wrong)
        assert (answer.status, answer.code) == (400, code), why
    cut = POOL.request("POST", url, body=b"--B\r\n", headers={
        "Content-Type": "multipart/form-data; boundary=B"})
    assert cut.status == 400 and b"MalformedPOSTRequest" in cut.data
    body, content_type = urllib3.encode_multipart_formdata([*parts, FILE])
    for why, headers, status in (
        ("no length", {"Transfer-Encoding": "chunked"}, 411),
        ("a coding", {"Content-Encoding": "gzip"}, 501),
    ):
        pairs = [("Content-Type", content_type), *headers.items()]
        assert raw_post(proxy, bucket, pairs, body).status == status, why
    twice = [("Content-Type", content_type)] * 2
    assert raw_post(proxy, bucket, twice, body).status in (400, 403), "it may be either"
    assert content(proxy, bucket, "none") is None


def test_the_file_is_what_the_form_says_it_is(stored):
    proxy, bucket = stored
    url = f"{proxy.url}/{bucket}"
    crc = base64.b64encode(zlib.crc32(b"meow").to_bytes(4, "big")).decode()
    md5 = base64.b64encode(hashlib.md5(b"meow").digest()).decode()
    right = {"key": "sum", "x-amz-checksum-crc32": crc, "x-amz-checksum-algorithm": "CRC32",
             "Content-MD5": md5}
    assert post(url, [*signed(bucket, right), FILE]).status == 204
    for name in ("x-amz-checksum-crc32", "Content-MD5"):
        answer = post(url, [*signed(bucket, right), ("file", ("cat.txt", b"woof"))])
        assert (answer.status, answer.code) == (400, "BadDigest")
        del right[name]
        right.pop("x-amz-checksum-algorithm", None)
    assert content(proxy, bucket, "sum") == b"meow"


@pytest.mark.parametrize("signatures", ["resign", "passthrough"])
def test_a_form_asks_for_what_a_put_may_ask_for(tmp_path, signatures):
    recorder = Recorder()
    proxy = Proxy(tmp_path, recorder.store, Settings(settle=0, signatures=signatures))
    proxy.wait_writable("bucket")
    recorder.take()
    for fields, code in [
            ({"x-amz-meta-a": "v" * 2048}, "MetadataTooLarge"),
            ({"x-amz-object-lock-mode": "GOVERNANCE"}, "InvalidArgument"),
            ({"acl": "a b"}, "InvalidArgument"),
            ({"x-amz-server-side-encryption": "rot13"}, "InvalidArgument"),
            ({"x-amz-website-redirect-location": "elsewhere"}, "InvalidRedirectLocation"),
            ({"Content-Encoding": "aws-chunked"}, "InvalidArgument"),
            ({"x-amz-checksum-algorithm": "CRC32"}, "InvalidRequest"),
            ({"x-amz-checksum-crc99": "AAAA"}, "NotImplemented"),
            ({"If-None-Match": "*"}, "NotImplemented")]:
        answer = post(f"{proxy.url}/bucket", [*signed("bucket", {"key": "k", **fields}), FILE])
        assert (answer.status, answer.code) == (501 if code == "NotImplemented" else 400, code), fields
    assert recorder.take() == []
    proxy.stop()
    recorder.stop()


def test_a_form_leads_its_browser_to_the_web_or_nowhere(stored):
    proxy, bucket = stored
    for to in ("javascript:alert(1)", "javascript://x/%0aalert(1)", "not a url", "//other/", "http://"):
        fields = {"key": "k", "success_action_redirect": to, "success_action_status": "200"}
        answer = post(f"{proxy.url}/{bucket}", [*signed(bucket, fields), FILE])
        assert answer.status == 200 and answer.headers["location"].endswith("/k"), to


def test_the_store_gets_a_put_with_the_form_s_headers(tmp_path):
    recorder = Recorder()
    proxy = Proxy(tmp_path, recorder.store, Settings(settle=0))
    recorder.take()
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet></Tagging>"
    fields = {"key": "k", "tagging": tagging, "acl": "private", "Cache-Control": "no-store"}
    parts = [*signed("bucket", fields), FILE]
    assert post(f"{proxy.url}/bucket", parts).status == 204
    [(method, path, headers, body)] = recorder.take()
    headers = lower(headers)
    assert (method, path, body) == ("PUT", "/bucket/k", b"meow")
    assert headers["x-amz-tagging"] == "a=b%20c"
    assert (headers["x-amz-acl"], headers["cache-control"]) == ("private", "no-store")
    assert not {"policy", "tagging", "x-amz-signature", "x-amz-credential"} & set(headers)
    proxy.stop()
    recorder.stop()


@pytest.mark.parametrize("algorithm, digest", [
    ("CRC32", lambda b: zlib.crc32(b).to_bytes(4, "big")), ("SHA1", lambda b: hashlib.sha1(b).digest()),
    ("SHA256", lambda b: hashlib.sha256(b).digest()), ("SHA512", lambda b: hashlib.sha512(b).digest()),
    ("MD5", lambda b: hashlib.md5(b).digest()),
])
def test_a_checksum_in_a_form_is_verified(stored, algorithm, digest):
    proxy, bucket = stored
    field, key = f"x-amz-checksum-{algorithm.lower()}", f"checked-{algorithm}"
    of_meow = base64.b64encode(digest(b"meow")).decode()
    parts = signed(bucket, {"key": key, field: of_meow, "x-amz-checksum-algorithm": algorithm})
    answer = post(f"{proxy.url}/{bucket}", [*parts, ("file", ("f", b"woof" * 50_000))])
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert content(proxy, bucket, key) is None
    assert post(f"{proxy.url}/{bucket}", [*parts, FILE]).status in (204, 400, 501)


def test_a_form_of_unknown_length_is_taken_where_the_operator_lets_it(store_named, tmp_path):
    store = store_named("embedded")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings(unknown_length="take", body_max="1MiB"))
    chunked = ("Transfer-Encoding", "chunked")
    for text, status in ((b"meow", 204), (b"x" * (1 << 20), 204), (b"x" * (1 << 20 | 1), 400)):
        parts = [*signed(bucket, {"key": "chunks"}), ("file", ("f", text))]
        body, content_type = urllib3.encode_multipart_formdata(parts)
        answer = raw_post(proxy, bucket, [("Content-Type", content_type), chunked], body)
        assert answer.status == status, str(answer)
        if status == 204:
            assert content(proxy, bucket, "chunks") == text
        else:
            assert answer.code == "EntityTooLarge"
    proxy.stop()


def test_version_2_can_be_refused_in_forms_too(store_named, tmp_path):
    store = store_named("embedded")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings(signature_v2="refuse"))
    form = proxy.boto().generate_presigned_post(bucket, "old")
    assert "AWSAccessKeyId" in form["fields"]
    answer = post(form["url"], [*form["fields"].items(), FILE])
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    proxy.stop()


# What is ours.


@pytest.mark.parametrize("write_ids", [False, True])
def test_the_write_s_id_is_nobody_s_to_set_or_to_see(store_named, tmp_path, write_ids):
    store = store_named("moto")
    bucket, direct = new_bucket(store), boto(store.url, store.access_key, store.secret_key)
    proxy = in_front_of(store, bucket, tmp_path, Settings(write_ids=write_ids))
    s3, forged = proxy.boto(), {"ifmatch-id": "forged", "a": "1"}

    def seen(client, key: str) -> dict:
        return client.head_object(Bucket=bucket, Key=key)["Metadata"]

    s3.put_object(Bucket=bucket, Key="put", Metadata=forged)
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "put"},
                   Metadata=forged, MetadataDirective="REPLACE")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="upload", Metadata=forged)["UploadId"]
    name = {"Bucket": bucket, "Key": "upload", "UploadId": upload}
    part = s3.upload_part(**name, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(**name, MultipartUpload={"Parts": [
        {"PartNumber": 1, "ETag": part["ETag"]}]})
    form = signed(bucket, {"key": "form", "x-amz-meta-ifmatch-id": "forged", "x-amz-meta-a": "1"})
    assert post(f"{proxy.url}/{bucket}", [*form, FILE]).status == 204
    headers = {f"x-amz-meta-{name}": value for name, value in forged.items()}
    for config in (None, V4):
        presigned = proxy.boto(config=config).generate_presigned_url("put_object", Params={
            "Bucket": bucket, "Key": "url" if config else "url-v2", "Metadata": forged})
        assert POOL.request("PUT", presigned, body=b"x", headers=headers).status == 200
    request = AWSRequest("PUT", f"{proxy.url}/{bucket}/hoisted?" + urlencode(headers))
    S3SigV4QueryAuth(proxy.raw().credentials, "s3", REGION, expires=60).add_auth(request)
    assert POOL.request("PUT", request.url, body=b"x").status == 200
    for key in ("put", "copy", "upload", "form", "url", "url-v2", "hoisted"):
        assert seen(s3, key) == {"a": "1"}, key
        assert "forged" not in seen(direct, key).values(), key
        assert ("ifmatch-id" in seen(direct, key)) == (write_ids and key != "upload"), key
    proxy.stop()


# The file.


def start(bucket: str, fields: dict, conditions: list | None = None) -> bytes:
    """A form up to where its file's content begins, its boundary `B`."""
    parts = "".join(f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                    for name, value in signed(bucket, fields, conditions))
    return f'{parts}--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'.encode()


class Sending:
    """A form whose sender may stop anywhere."""

    def __init__(self, proxy: Proxy, bucket: str, length: int, headers: str = ""):
        raw = proxy.raw()
        self.socket = socket.create_connection((raw.host, raw.port), timeout=HANGS)
        self.socket.sendall(f"POST /{bucket} HTTP/1.1\r\nHost: {raw.host}:{raw.port}\r\n"
                            f"Content-Type: multipart/form-data; boundary=B\r\n{headers}"
                            f"Content-Length: {length}\r\n\r\n".encode())

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> tuple[int, str]:
        response = http.client.HTTPResponse(self.socket, method="POST")
        response.begin()
        found = Answer(response.status, lower(dict(response.headers)), response.read())
        return found.status, found.code or ""


def test_a_file_of_a_form_is_spooled_like_a_put(store_named, redis_server, tmp_path):
    """Larger than all forms together might be, once; and in constant memory."""
    store, size = store_named("embedded"), 80 << 20
    bucket = new_bucket(store)
    # A store on a busy machine is slow to take so much: that is no lost answer.
    proxy = in_front_of(store, bucket, tmp_path, Settings(
        body_memory="8MiB", register=redis_server.new_database(), lease=30, settle=30,
        settle_long=60))
    before = resident_bytes(proxy)
    proxy.memory_peak_reset()
    head, end, block = start(bucket, {"key": "large"}), b"\r\n--B--\r\n", os.urandom(1 << 20)
    sending, digest = Sending(proxy, bucket, len(head) + size + len(end)), hashlib.md5()
    sending.send(head)
    for _ in range(size // len(block)):
        sending.send(block)
        digest.update(block)
    sending.send(end)
    assert sending.answer() == (204, "")
    assert proxy.memory_peak_bytes() - before < 32 << 20
    found = proxy.raw().head(f"/{bucket}/large")
    assert (found.etag, found.headers["content-length"]) == (f'"{digest.hexdigest()}"', str(size))
    proxy.stop()


def test_what_is_wrong_is_said_before_the_file_is_sent(store_named, tmp_path):
    store, gib = store_named("embedded"), 1 << 30
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings(body_max="2GiB"))
    key = {"key": "early"}
    for why, form, length, refused in (
        ("too large for its policy", start(bucket, key, [key, ["content-length-range", 0, gib - 1]]),
         gib + 20480, (400, "EntityTooLarge")),
        ("too small for its policy", start(bucket, key, [key, ["content-length-range", gib, 2 * gib]]),
         gib, (400, "EntityTooSmall")),
        ("larger than is taken", b"", 2 * gib + 20481, (400, "EntityTooLarge")),
        ("another key", start(bucket, key, [{"key": "other"}]), gib, (403, "AccessDenied")),
        ("another bucket", start("other-bucket", key), gib, (403, "AccessDenied")),
        ("no form", b"--B\r\nContent-Disposition: x\r\n\r\n", gib, (400, "MalformedPOSTRequest")),
        ("no boundary at all", b"x" * 30000, gib, (400, "MaxPostPreDataLengthExceededError")),
    ):
        sending = Sending(proxy, bucket, length)
        sending.send(form)
        assert sending.answer() == refused, why
        sending.socket.close()
    # As soon as there is too much of it, too.
    form = start(bucket, key, [key, ["content-length-range", 0, 1000]])
    sending = Sending(proxy, bucket, len(form) + 18_000)
    sending.send(form + b"x" * 1200)
    assert sending.answer() == (400, "EntityTooLarge")
    # No client is asked for a body that will be refused.
    sending = Sending(proxy, bucket, 2 * gib + 20481, "Expect: 100-continue\r\n")
    assert sending.answer() == (400, "EntityTooLarge")
    assert content(proxy, bucket, "early") is None
    proxy.stop()


def test_a_file_that_is_cut_short_is_not_stored(stored):
    proxy, bucket = stored
    head = start(bucket, {"key": "cut"})
    for body in (b"half of it", b"all of it\r\n--B", b"all of it\r\n--B\r\n"):
        sending = Sending(proxy, bucket, len(head + body))
        sending.send(head + body)
        assert sending.answer() == (400, "MalformedPOSTRequest"), body
    sending = Sending(proxy, bucket, len(head) + 1000)
    sending.send(head + b"half of it")
    sending.socket.shutdown(socket.SHUT_WR)
    assert sending.answer() == (400, "IncompleteBody")
    assert content(proxy, bucket, "cut") is None


# Strangers.


def test_strangers_who_say_nothing_stop_nobody(store_named, tmp_path):
    """Idle connections that have begun a form: no write waits for them, and no form either."""
    store = store_named("embedded")
    bucket = new_bucket(store)
    # However slow the machine is, no form is refused for being slow.
    proxy = in_front_of(store, bucket, tmp_path, Settings(
        writes=4, writes_per_client=4, strangers=8, body_least_rate="0", body_idle_timeout=600))
    url, form = f"{proxy.url}/{bucket}", [*signed(bucket, {"key": "form"}), FILE]
    idle = []
    for number in range(200):
        sending = Sending(proxy, bucket, 1000)
        if number % 2:
            sending.send(b"--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk")
        idle.append(sending)
    for number in range(20):
        assert proxy.raw().put(f"/{bucket}/write-{number}", b"x").status == 200, number
    # The form that has waited longest loses its slot; but for a second, all slots may be taken.
    deadline = time.monotonic() + HANGS
    while (answer := post(url, form)).status != 204:
        assert (answer.status, answer.code) == (503, "SlowDown"), str(answer)
        assert answer.headers["retry-after"] == "1"
        assert time.monotonic() < deadline
        time.sleep(float(answer.headers["retry-after"]))
    # An authenticated sender waits among the writes, not among the strangers.
    head, known = start(bucket, {"key": "known"}), []

    def all_are_taken() -> bool:
        """Four of them; one that came while our own write had the place is refused, and comes again."""
        for sending in [*known]:
            if select.select([sending.socket], [], [], 0)[0]:
                assert sending.answer() == (503, "SlowDown")
                known.remove(sending)
        while len(known) < 4:
            known.append(Sending(proxy, bucket, len(head) + 100))
            known[-1].send(head)
        return proxy.raw().put(f"/{bucket}/one-more", b"x").code == "SlowDown"

    until(all_are_taken)
    for sending in known:
        sending.send(b"x" * 93 + b"\r\n--B--")
    assert [sending.answer()[0] for sending in known] == [204] * 4
    for sending in idle:
        sending.socket.close()
    proxy.stop()


# The gate.


def test_a_form_waits_for_a_write_and_a_write_for_a_form(store_named, tmp_path):
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    relay = Relay(store.url)
    proxy = Proxy(tmp_path, store, Settings(lease_wait=1), backend_url=relay.url)
    proxy.wait_writable(bucket)
    raw, url, path = proxy.raw(), f"{proxy.url}/{bucket}", f"/{bucket}/held"
    first = raw.put(path, b"first")
    held_put, form = f"PUT {path} ".encode(), [*signed(bucket, {"key": "held"}), FILE]
    with ThreadPoolExecutor(1) as pool:
        relay.hold_requests(held_put)
        writing = pool.submit(raw.put, path, b"second", headers={"If-Match": first.etag})
        assert relay.held.wait(20)
        busy = post(url, form)
        assert (busy.status, busy.code) == (503, "ServiceUnavailable")
        relay.release()
        second = writing.result(20)
        assert second.status == 200
        relay.hold_requests(held_put)
        posting = pool.submit(post, url, form)
        assert relay.held.wait(20)
        answer = raw.put(path, b"third", headers={"If-Match": second.etag})
        assert (answer.status, answer.code) == (409, "ConditionalRequestConflict")
        relay.release()
        assert posting.result(20).status == 204
    assert raw.put(path, b"third", headers={"If-Match": second.etag}).status == 412
    assert content(proxy, bucket, "held") == b"meow"
    proxy.stop()
    relay.close()


def test_a_form_is_never_overwritten_by_a_write_that_has_not_seen_it(store_named, tmp_path):
    """All race from one state. The form has no condition, so it lands, and a write that lands before it
    is overwritten; a write that comes after it has not seen it. In any order the form's file is left."""
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings())
    raw, url, writers = proxy.raw(), f"{proxy.url}/{bucket}", 5
    orders, turn = set(), 0
    with ThreadPoolExecutor(writers + 1) as pool:
        while turn < 25 or (len(orders) < 2 and turn < 250):
            turn += 1
            key = f"race-{turn}"
            path, seen = f"/{bucket}/{key}", raw.put(f"/{bucket}/{key}", b"seen").etag
            start = threading.Barrier(writers + 1)

            def write(number, path=path, seen=seen, start=start):
                start.wait(20)
                return raw.put(path, f"writer {number}".encode(), headers={"If-Match": seen})

            def upload(key=key, start=start):
                parts = [*signed(bucket, {"key": key}), ("file", ("f", b"form"))]
                start.wait(20)
                return post(url, parts)

            writes = [pool.submit(write, number) for number in range(writers)]
            form = pool.submit(upload)
            assert form.result(60).status == 204
            statuses = sorted(write.result(60).status for write in writes)
            assert set(statuses) <= {200, 412, 409} and statuses.count(200) <= 1, statuses
            assert content(proxy, bucket, key) == b"form", statuses
            orders.add("a write came first" if 200 in statuses else "the form came first")
    assert len(orders) == 2, f"{turn} turns were no race: always {orders}"
    proxy.stop()

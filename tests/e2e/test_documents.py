"""Documents: read and judged here, written anew for the store (`signatures = "resign"`), or let
through in the one spelling that every store reads alike (`"passthrough"`); see docs/documents.md."""

from __future__ import annotations

import base64
import hashlib
import time
import xml.etree.ElementTree as ElementTree

import pytest

from clients import UNSIGNED, Answer, boto, code_of
from conftest import new_bucket
from proxies import Settings, in_front_of
from stores import Store

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DIFFERING = ["moto", "s3rver", "swift", "ceph"]
"""Each reads XML in a way of its own: expat, a reader in JavaScript, libxml2, expat again."""


def post(raw, target: str, body: bytes | str, **headers) -> Answer:
    body = body if isinstance(body, bytes) else body.encode()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    return raw.request("POST", target, {"Content-MD5": md5, **headers}, body, payload=UNSIGNED)


def delete_of(key: str) -> str:
    return f"<Delete><Object><Key>{key}</Key></Object></Delete>"


class Scene:
    def __init__(self, store: Store, directory, **settings):
        self.store, self.bucket = store, new_bucket(store)
        # A doubt would show: the test does not wait for it to end by itself.
        self.proxy = in_front_of(store, self.bucket, directory, Settings(
            settle_long=20, lease_wait=0.5, **settings))
        self.raw, self.s3 = self.proxy.raw(), self.proxy.boto()
        self.store_s3 = boto(store.url, store.access_key, store.secret_key)

    def keys(self) -> set[str]:
        listed = self.store_s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {entry["Key"] for entry in listed} - {".writable"}

    def target(self, key: str) -> str:
        return f"/{self.bucket}/{key}"


@pytest.fixture(scope="module", params=DIFFERING)
def resigned(request, store_named, tmp_path_factory):
    scene = Scene(store_named(request.param), tmp_path_factory.mktemp(request.param))
    yield scene
    scene.proxy.stop()


@pytest.fixture(scope="module", params=DIFFERING)
def passed(request, store_named, tmp_path_factory):
    scene = Scene(store_named(request.param), tmp_path_factory.mktemp(request.param),
                  signatures="passthrough", domains=())
    yield scene
    scene.proxy.stop()


# === written anew ===

def test_a_wrong_complete_leaves_its_key_free_and_its_upload_whole(resigned):
    s3, name = resigned.s3, {"Bucket": resigned.bucket, "Key": "completed"}
    upload = s3.create_multipart_upload(**name)["UploadId"]
    etag = s3.upload_part(**name, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    began = time.monotonic()
    for inside, code in [
            ("", "MalformedXML"), ("garbage", "MalformedXML"), (part + "garbage", "MalformedXML"),
            (part.replace(">1<", ">0<"), "InvalidArgument"),
            (part.replace(">1<", ">10001<"), "InvalidArgument"),
            (part + part, "InvalidPartOrder"),
            ("<Part><PartNumber>1</PartNumber></Part>", "MalformedXML"),
            (part.replace("</Part>", "<!---->&#1;</Part>"), "MalformedXML")]:
        answer = post(resigned.raw, resigned.target("completed") + f"?uploadId={upload}",
                      f"<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>")
        assert (answer.status, answer.code) == (400, code), f"{inside}: {answer}"
        put = resigned.raw.put(resigned.target("completed"), b"meanwhile")
        assert put.status == 200, f"the key is shut after {inside}: {put}"
    assert time.monotonic() - began < 20
    # A comment, CDATA and white space have no meaning to any reader.
    odd = part.replace(">1<", "> <!-- one -->1 <").replace(etag, f"<![CDATA[{etag}]]>")
    done = post(resigned.raw, resigned.target("completed") + f"?uploadId={upload}",
                f"<a:CompleteMultipartUpload xmlns:a='x'>\n{odd}</a:CompleteMultipartUpload>")
    assert done.status == 200, done
    got = s3.get_object(**name)
    assert got["Body"].read() == b"part"
    root = ElementTree.fromstring(done.body)
    [told] = [child.text for child in root if child.tag.endswith("ETag")]
    assert told == got["ETag"] and told.startswith('"'), done.body


def test_a_batch_is_read_as_xml_is_and_by_nobody_else(resigned):
    for key in ("plain", "other"):
        resigned.s3.put_object(Bucket=resigned.bucket, Key=key, Body=b"x")
    target = f"/{resigned.bucket}?delete"
    for document in [delete_of("pl<!-- -->ain"), delete_of("<![CDATA[plain]]>"),
                     delete_of("pl&#x61;in")]:
        answer = post(resigned.raw, target, document)
        assert answer.status == 200 and b"<Key>plain</Key>" in answer.body, answer
        assert "plain" not in resigned.keys()
        resigned.s3.put_object(Bucket=resigned.bucket, Key="plain", Body=b"x")
    for document in [delete_of("pl&#x1;ain"), delete_of("pl\x0bain"),
                     '<?xml version="1.0" encoding="UTF-7"?>' + delete_of("+AG8-ther"),
                     '<?xml version="1.0" encoding="ISO-8859-1"?>' + delete_of("plain"),
                     '\n<?xml version="1.0"?>' + delete_of("plain"), delete_of("plain]]>"),
                     delete_of("plain<!-- a -- b -->"), delete_of("plain").replace("Key>", "a:Key>"),
                     delete_of("plain").replace("<Key>", "<Key a='<'>")]:
        answer = post(resigned.raw, target, document)
        assert (answer.status, answer.code) == (400, "MalformedXML"), f"{document}: {answer}"
    assert {"plain", "other"} <= resigned.keys()


def test_a_batch_says_a_digest_of_itself(resigned):
    document = delete_of("kept").encode()
    resigned.s3.put_object(Bucket=resigned.bucket, Key="kept", Body=b"x")
    target = f"/{resigned.bucket}?delete"
    for payload in (UNSIGNED, hashlib.sha256(document).hexdigest()):
        answer = resigned.raw.request("POST", target, body=document, payload=payload)
        assert (answer.status, answer.code) == (400, "InvalidRequest")
        assert answer.fields["Message"] == "Missing required header for this request: Content-MD5"
    assert "kept" in resigned.keys()
    checksum = base64.b64encode(hashlib.sha256(document).digest()).decode()
    answer = resigned.raw.request("POST", target, {"x-amz-checksum-sha256": checksum}, document)
    assert answer.status == 200 and "kept" not in resigned.keys(), answer


@pytest.mark.parametrize("keys", [1, 40])
def test_a_batch_in_a_bucket_that_is_not_there(resigned, keys):
    entries = "".join(f"<Object><Key>k{index}</Key></Object>" for index in range(keys))
    answer = post(resigned.raw, "/no-such-bucket-here?delete", f"<Delete>{entries}</Delete>")
    assert (answer.status, answer.code) == (404, "NoSuchBucket"), answer


def test_wrong_arguments_are_refused_and_leave_no_doubt(resigned):
    put = lambda query, **headers: resigned.raw.put(
        resigned.target("k") + query, b"x", headers={n.replace("_", "-"): v for n, v in headers.items()})
    for answer, code in [
            (put("?partNumber=0&uploadId=u"), "InvalidArgument"),
            (put("?partNumber=10001&uploadId=u"), "InvalidArgument"),
            (put("?partNumber=abc&uploadId=u"), "InvalidArgument"),
            (put("", x_amz_tagging="a=1&a=2"), "InvalidArgument"),
            (put("", x_amz_meta_a="v" * 2048), "MetadataTooLarge"),
            (put("", x_amz_object_lock_mode="GOVERNANCE"), "InvalidArgument"),
            (put("", x_amz_server_side_encryption_customer_key="a"), "InvalidArgument"),
            (put("", x_amz_website_redirect_location="elsewhere"), "InvalidRedirectLocation"),
            (put("", x_amz_checksum_crc99="AAAA"), "InvalidRequest"),
            (put("", x_amz_acl="everybody"), "InvalidArgument"),
            (put("", x_amz_grant_read="everybody"), "InvalidArgument"),
            (put("", x_amz_checksum_type="NONE"), "InvalidRequest"),
            (put("", x_amz_tagging="aws:a=1"), "InvalidTag"),
            (put("", x_amz_copy_source=f"{resigned.bucket}/k?versionId=a%20b"), "InvalidArgument"),
            (put("", Content_MD5="garbage"), "InvalidDigest"),
            (put("?tagging"), "MalformedXML"),
            (put("?retention"), "MalformedXML"),
            (put("?acl"), "MalformedXML")]:
        assert (answer.status, answer.code) == (400, code), answer
    unknown = put("?partNumber=1&uploadId=a%20b")
    assert (unknown.status, unknown.code) == (404, "NoSuchUpload"), unknown
    assert put("").status == 200, "the key is shut"
    versioning = resigned.raw.put(f"/{resigned.bucket}?versioning", b"")
    assert (versioning.status, versioning.code) == (400, "MalformedXML"), versioning
    for target in (f"/{resigned.bucket}?max-keys=abc", f"/{resigned.bucket}?uploads&max-uploads=-1",
                   f"/{resigned.bucket}?list-type=2&max-keys=99999999999",
                   f"/{resigned.bucket}?versions&encoding-type=gzip",
                   resigned.target("k") + "?uploadId=u&max-parts=x"):
        listed = resigned.raw.get(target)
        assert (listed.status, listed.code) == (400, "InvalidArgument"), f"{target}: {listed}"
    for name, value in [("x-amz-checksum-algorithm", "CRC99"), ("x-amz-checksum-type", "x")]:
        created = resigned.raw.request("POST", resigned.target("k") + "?uploads", {name: value})
        assert (created.status, created.code) == (400, "InvalidRequest"), created
    for bad in ("bytes=0-", "bytes=5-1", "0-5", "bytes=-1"):
        upload = resigned.raw.put(resigned.target("k") + "?partNumber=1&uploadId=u", headers={
            "x-amz-copy-source": f"{resigned.bucket}/k", "x-amz-copy-source-range": bad})
        assert (upload.status, upload.code) == (400, "InvalidArgument"), f"{bad}: {upload}"


@pytest.mark.parametrize("name", ["moto", "ceph", "swift"])
def test_configuration_is_kept_as_it_was_written(store_named, tmp_path, name):
    scene = Scene(store_named(name), tmp_path)
    s3, where = scene.s3, {"Bucket": scene.bucket}
    s3.put_object(**where, Key="k", Body=b"x")
    if name != "swift":
        tags = [{"Key": "a b", "Value": "1+2@x"}, {"Key": "ü", "Value": ""}]
        s3.put_object_tagging(**where, Key="k", Tagging={"TagSet": tags})
        told = s3.get_object_tagging(**where, Key="k")["TagSet"]
        assert sorted(told, key=lambda tag: tag["Key"]) == tags
        rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://a.test"], "MaxAgeSeconds": 5}
        s3.put_bucket_cors(**where, CORSConfiguration={"CORSRules": [rule]})
        [told] = s3.get_bucket_cors(**where)["CORSRules"]
        assert {each: told[each] for each in rule} == rule
    if name == "ceph":  # moto leaves groups out
        grants = s3.get_object_acl(**where, Key="k")
        grants["Grants"].append({"Permission": "READ", "Grantee": {
            "Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}})
        s3.put_object_acl(**where, Key="k", AccessControlPolicy={
            "Grants": grants["Grants"], "Owner": grants["Owner"]})
        told = s3.get_object_acl(**where, Key="k")["Grants"]
        assert ["READ"] == [each["Permission"] for each in told
                            if each["Grantee"].get("URI", "").endswith("AllUsers")]
    s3.put_bucket_versioning(**where, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(**where)["Status"] == "Enabled"
    scene.proxy.stop()


# === in one spelling ===

UNCANONICAL = {
    "a comment": delete_of("vic<!-- -->tim"),
    "a CDATA section": delete_of("<![CDATA[victim]]>"),
    "a processing instruction": delete_of("vic<?a b?>tim"),
    "white space ahead": delete_of(" victim"),
    "white space behind": delete_of("victim\n"),
    "white space as a reference": delete_of("victim&#32;"),
    "a document type": "<!DOCTYPE Delete>" + delete_of("victim"),
    "an entity": "<!DOCTYPE Delete [<!ENTITY v 'victim'>]>" + delete_of("&v;"),
    "UTF-7": '<?xml version="1.0" encoding="UTF-7"?>' + delete_of("+AHY-ictim"),
    "ISO-8859-1": '<?xml version="1.0" encoding="ISO-8859-1"?>' + delete_of("victim"),
    "UTF-16": delete_of("victim").encode("utf-16"),
    "a byte order mark": "\ufeff" + delete_of("victim"),
    "version 1.1": '<?xml version="1.1"?>' + delete_of("victim"),
    "standalone": '<?xml version="1.0" standalone="yes"?>' + delete_of("victim"),
    "an attribute": delete_of("victim").replace("<Key>", '<Key xml:space="preserve">'),
    "a prefix": f'<a:Delete xmlns:a="{NAMESPACE}"><a:Object><a:Key>victim</a:Key></a:Object>'
                "</a:Delete>",
    "another namespace": delete_of("victim").replace("<Delete>", '<Delete xmlns="other">'),
    "a key twice": delete_of("other</Key><Key>victim"),
    "an unknown element": delete_of("victim</Key><Other>1</Other><Key>victim"),
    "an element in the key": delete_of("victim<b/>"),
    "text beside elements": delete_of("victim").replace("<Key>", "text<Key>"),
    "text behind": delete_of("victim") + "text",
    "a carriage return": delete_of("vic\rtim"),
    "an entity of HTML": delete_of("vic&nbsp;tim"),
    "a number that HTML reads otherwise": delete_of("vic&#x92;tim"),
    "a number": delete_of("007"),
    "an empty version": delete_of("victim</Key><VersionId></VersionId><Key>"),
}


@pytest.mark.parametrize("name", UNCANONICAL)
def test_only_one_spelling_goes_on_as_it_was_signed(passed, name):
    passed.store_s3.put_object(Bucket=passed.bucket, Key="victim", Body=b"x")
    answer = post(passed.raw, f"/{passed.bucket}?delete", UNCANONICAL[name])
    assert (answer.status, answer.code) == (400, "MalformedXML"), answer
    # Clients show the message alone.
    assert ": " in answer.fields["Message"], answer
    assert "victim" in passed.keys()


@pytest.mark.parametrize("document", [
    delete_of("victim"),
    f'<?xml version="1.0" encoding="UTF-8"?>\n<Delete xmlns="{NAMESPACE}">\n  <Object>'
    "<Key>victim</Key>\n</Object><Quiet>false</Quiet></Delete>\n",
    f"<?xml version='1.0' encoding='utf-8'?><Delete xmlns='{NAMESPACE}'><Quiet>true</Quiet>"
    "<Object><Key>victim</Key></Object></Delete>",
])
def test_the_canonical_spelling_goes_on(passed, document):
    passed.store_s3.put_object(Bucket=passed.bucket, Key="victim", Body=b"x")
    answer = post(passed.raw, f"/{passed.bucket}?delete", document)
    assert answer.status == 200, answer
    assert "victim" not in passed.keys()


def test_completes_go_on_in_one_spelling(passed):
    s3, name = passed.s3, {"Bucket": passed.bucket, "Key": "completed"}
    upload = s3.create_multipart_upload(**name)["UploadId"]
    etag = s3.upload_part(**name, UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    for inside, code in [
            ("", "MalformedXML"), (part + part, "InvalidPartOrder"),
            (part.replace(">1<", ">01<"), "MalformedXML"),
            (part.replace(">1<", "> 1<"), "MalformedXML"),
            (part.replace(">1<", "><!-- -->1<"), "MalformedXML"),
            (part.replace(">1<", ">0<"), "InvalidArgument")]:
        answer = post(passed.raw, passed.target("completed") + f"?uploadId={upload}",
                      f"<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>")
        assert (answer.status, answer.code) == (400, code), f"{inside}: {answer}"
    s3.complete_multipart_upload(**name, UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert s3.get_object(**name)["Body"].read() == b"part"


def test_a_501_says_why_in_its_message(passed):
    answer = post(passed.raw, f"/{passed.bucket}?delete",
                  "<Delete><Object><Key>a</Key></Object><Object><Key>b</Key></Object></Delete>")
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert "name one key in each request" in answer.fields["Message"]

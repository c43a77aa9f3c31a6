"""Keys with a segment `.` or `..`: names like others where the store keeps them apart and the operator
says so (`backend.dot_segments = "keep"`); refused everywhere else. Before each store that keeps them,
signed anew and passed through."""

from __future__ import annotations

import pytest
import urllib3

from botocore.exceptions import ClientError

from clients import UNSIGNED, boto, code_of
from conftest import new_bucket
from proxies import Settings, in_front_of
from test_forms import FILE, post, signed
from test_key_aliases import GROUPS, Names

DOTTED = ["a/../b", "./a", "..", "a/.", ".", "../b", "a/b/..", "../../b", "a/./../b"]
PLAIN = ["a", "b", "a/b"]


class Way:
    """A proxy before a store that keeps segments of dots, and a bucket."""

    def __init__(self, store, signatures: str, directory):
        self.store, self.bucket = store, new_bucket(store)
        self.resigns = signatures == "resign"
        self.conditions = self.resigns or store.name == "moto"
        """Swift and Ceph refuse conditions that hold, where these reach them."""
        settings = Settings(signatures=signatures, dot_segments="keep",
                            **({} if self.resigns else {"domains": ()}))
        self.proxy = in_front_of(store, self.bucket, directory, settings)
        self.raw, self.s3 = self.proxy.raw(), self.proxy.boto()
        self.store_s3 = boto(store.url, store.access_key, store.secret_key)

    def path(self, key: str) -> str:
        return f"/{self.bucket}/{key}"

    def at_the_store(self) -> set[str]:
        """The keys that are really there, by the store's own listing."""
        listed = self.store_s3.list_objects_v2(Bucket=self.bucket).get("Contents", [])
        return {entry["Key"] for entry in listed} - {".writable"}

    def put_all(self, keys) -> None:
        for key in keys:
            answer = self.raw.put(self.path(key), key.encode(), payload=UNSIGNED)
            assert answer.status == 200, f"{key}: {answer}"

    def empty(self) -> None:
        for key in self.at_the_store():
            self.store_s3.delete_object(Bucket=self.bucket, Key=key)


@pytest.fixture(scope="module", params=[
    (store, signatures) for store in ("moto", "swift", "ceph")
    for signatures in ("resign", "passthrough")], ids="-".join)
def standing(request, store_named, tmp_path_factory):
    name, signatures = request.param
    way = Way(store_named(name), signatures, tmp_path_factory.mktemp("-".join(request.param)))
    yield way
    way.proxy.stop()


@pytest.fixture
def way(standing):
    standing.empty()
    return standing


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
def test_every_name_is_an_object_of_its_own(way, backwards):
    names = Names(way.raw, way.bucket)
    wanted = sorted({*GROUPS["dots"], *DOTTED, *PLAIN}, reverse=backwards)
    assert names.accepted(wanted) == wanted
    assert not names.folded(wanted)
    assert way.at_the_store() == set(wanted), "they reach the store as they are"


def test_an_encoded_dot_is_a_dot(way):
    """One key, one lock, however it is spelled. (What passes is signed as it is spelled, and how a
    store checks that is its own affair.)"""
    for key, spelled in (("a/../b", "a/%2e%2e/b"), ("./a", "%2E/a"), ("..", "%2e."),
                         ("x/../y", "x%2F..%2Fy")):
        head = way.raw.signed("PUT", way.path(key if way.resigns else spelled),
                              {"If-None-Match": "*"} if way.conditions else {}, payload=UNSIGNED)
        answer = way.raw.send("PUT", way.path(spelled), head, b"once")
        if not way.resigns and answer.status == 403:
            assert way.at_the_store() == set(), f"{spelled}: refused, nothing written"
            answer = way.raw.put(way.path(key), b"once")
        assert answer.status == 200, f"{spelled}: {answer}"
        assert way.at_the_store() == {key}, spelled
        again = way.raw.put(way.path(key), b"twice", headers={"If-None-Match": "*"})
        assert (again.status, again.code) == (412, "PreconditionFailed"), f"{spelled}: {again}"
        assert way.raw.get(way.path(key)).body == b"once"
        way.empty()


def test_conditions_are_judged_by_the_very_name(way):
    way.put_all(PLAIN)
    for key in DOTTED:
        target = way.path(key)
        missing = way.raw.put(target, b"x", headers={"If-Match": '"0"'})
        assert (missing.status, missing.code) == (404, "NoSuchKey"), f"{key}: {missing}"
        create = {"If-None-Match": "*"} if way.conditions else {}
        made = way.raw.put(target, b"1", headers=create)
        assert made.status == 200, f"{key}: {made}"
        assert way.raw.put(target, b"2", headers={"If-None-Match": "*"}).status == 412, key
        replace = {"If-Match": made.etag} if way.conditions else {}
        assert way.raw.put(target, b"3", headers=replace).status == 200, key
        assert way.raw.delete(target, headers={"If-Match": made.etag}).status == 412, key
        assert (way.raw.get(target).body, way.raw.head(target).status) == (b"3", 200), key
    for key in DOTTED:
        assert way.raw.delete(way.path(key)).status == 204, key
    assert way.at_the_store() == set(PLAIN), "no other name was touched"


def test_batches_delete_the_very_names(way):
    if not way.resigns and way.store.name == "swift":
        pytest.skip("Swift wants Content-MD5 of a batch, which boto3 does not send")
    way.put_all([*PLAIN, *DOTTED])
    # What is signed for the store cannot be divided: there, one key at a time.
    batches = [DOTTED] if way.resigns else [[key] for key in DOTTED]
    for keys in batches:
        deleted = way.s3.delete_objects(
            Bucket=way.bucket, Delete={"Objects": [{"Key": key} for key in keys]})
        assert "Errors" not in deleted, deleted
        assert {entry["Key"] for entry in deleted["Deleted"]} == set(keys)
    assert way.at_the_store() == set(PLAIN)


def test_copies_read_and_write_the_very_names(way):
    way.put_all([*PLAIN, *DOTTED])
    for key in DOTTED:
        name = {"Bucket": way.bucket, "CopySource": f"{way.bucket}/{key}"}
        way.s3.copy_object(Key="copy", **name)
        assert way.raw.get(way.path("copy")).body == key.encode()
    way.s3.copy_object(Bucket=way.bucket, Key="x/../copy", CopySource=f"{way.bucket}/b")
    assert way.raw.get(way.path("x/../copy")).body == b"b"
    assert way.at_the_store() == {*PLAIN, *DOTTED, "copy", "x/../copy"}


def test_listings_name_them(way):
    way.put_all([*PLAIN, *DOTTED])
    for more in ({}, {"Prefix": "a/."}, {"Prefix": ".."}, {"Prefix": "../", "Delimiter": "/"}):
        through, direct = (s3.list_objects_v2(Bucket=way.bucket, **more)
                           for s3 in (way.s3, way.store_s3))
        for part, name in (("Contents", "Key"), ("CommonPrefixes", "Prefix")):
            assert ([entry[name] for entry in through.get(part, [])]
                    == [entry[name] for entry in direct.get(part, [])]), more


def test_an_upload_of_one_is_completed_once(way):
    way.put_all(PLAIN)
    name = {"Bucket": way.bucket, "Key": "a/../b"}
    upload_id = way.s3.create_multipart_upload(**name)["UploadId"]
    part = way.s3.upload_part(**name, UploadId=upload_id, PartNumber=1, Body=b"part")
    way.s3.complete_multipart_upload(
        **name, UploadId=upload_id, IfNoneMatch="*",
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert way.s3.get_object(**name)["Body"].read() == b"part"
    assert way.raw.get(way.path("b")).body == b"b"


def test_a_form_names_one(way):
    if not way.resigns and way.store.name != "moto":
        pytest.skip("a form that passes is signed for the store itself; moto takes it unsigned")
    way.put_all(PLAIN)
    for key in ("a/../b", "..", "./${filename}"):
        fields = (signed(way.bucket, {"key": key}, [["starts-with", "$key", "."]] if "$" in key
                         else None) if way.resigns else [("key", key)])
        if not way.resigns and "$" in key:
            continue
        answer = post(f"{way.proxy.url}/{way.bucket}", [*fields, FILE])
        assert answer.status in (200, 204), f"{key}: {answer}"
        key = key.replace("${filename}", "cat.txt")
        assert way.raw.get(way.path(key)).body == b"meow", key
    assert way.raw.get(way.path("b")).body == b"b"


def test_a_presigned_url_names_one(way, signing):
    way.put_all(["b", "a/../b"])
    s3 = way.proxy.boto(config=signing)
    url = s3.generate_presigned_url(
        "get_object", Params={"Bucket": way.bucket, "Key": "a/../b"})
    split = urllib3.util.parse_url(way.proxy.url)
    # urllib3 resolves such a path before it asks; what is asked here is what was signed.
    target = url.removeprefix(way.proxy.url)
    answer = way.raw.send("GET", target, {"Host": f"{split.host}:{split.port}"}, b"")
    assert (answer.status, answer.body) == (200, b"a/../b"), str(answer)


def test_by_default_they_are_refused_and_the_setting_is_named(front_on):
    for store in ("moto", "s3rver"):
        front = front_on(store, "memory", "exclusive" if store == "moto" else "shared")
        for key in DOTTED:
            answer = front.raw.put(front.path(key), b"x", payload=UNSIGNED)
            assert (answer.status, answer.code) == (400, "InvalidArgument"), f"{key}: {answer}"
            assert "backend.dot_segments" in answer.fields["Message"]
        deleted = front.s3.delete_objects(Bucket=front.bucket, Delete={"Objects": [{"Key": "../b"}]})
        assert "backend.dot_segments" in deleted["Errors"][0]["Message"]
        with pytest.raises(ClientError) as refused:
            front.s3.copy_object(Bucket=front.bucket, Key="k", CopySource=f"{front.bucket}/../x/y")
        assert code_of(refused.value) == (400, "InvalidArgument")

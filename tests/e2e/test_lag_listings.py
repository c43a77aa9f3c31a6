"""Listings over a store that lags: what was acknowledged through any proxy is listed by any other, what was deleted
is not, page by page, for all clients. Without the rule a listing is the store's, byte for byte."""

from __future__ import annotations

import hashlib
import http.client
import itertools
import json
import random
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote_plus, urlencode

import pytest
import urllib3

from clients import Answer, Raw, boto
from conftest import new_bucket
from endpoint import Endpoint
from processes import ROOT
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings
from redis_server import RedisServer
from stores import embedded

sys.path.append(str(Path(__file__).parent / "clients"))
from test_aws_cli import aws  # noqa: E402
from test_rclone import done, rclone  # noqa: E402
from test_s3fs import PYTHON  # noqa: E402

LAG = 1.0
GUARDED = """
[[rule]]
buckets = ["*"]
consistency = "guarded"
"""
TOLD = Settings(writers="exclusive", lag=LAG * 1.25, lease_wait=8, rules=GUARDED, admin="127.0.0.1:0")


@pytest.fixture(scope="module")
def lagging(tmp_path_factory):
    store = embedded(tmp_path_factory.mktemp("store"), ignore_conditions=True, lag=LAG)
    yield store
    store.stop()


@pytest.fixture(scope="module")
def buckets(lagging):
    """Empty buckets, which have been there for so long that the store shows them."""
    made = [new_bucket(lagging) for _ in range(40)]
    threading.Event().wait(LAG * 1.1)
    return iter(made)


def two_proxies(directory: Path, store, register: str, settings: Settings = TOLD) -> list[Proxy]:
    """Two proxies with one register, whose quarantine is over."""
    settings = replace(settings, register=register)
    pair = [Proxy(directory / str(number), store, settings, f"lag-{number}") for number in range(2)]
    pair[0].skip_quarantine()
    # That leaves the lag.
    pair[0].wait_writable(new_bucket(store))
    return pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory, lagging):
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    proxies = two_proxies(tmp_path_factory.mktemp("pair"), lagging, redis.new_database())
    yield proxies
    for proxy in proxies:
        proxy.stop()
    redis.stop()


@dataclass
class Page:
    """A page, parsed: the names in the order of the document, each with its ETag, or None for a common prefix."""

    answer: Answer
    entries: list[tuple[str, str | None]]
    next: str | None

    @classmethod
    def of(cls, answer: Answer, version: int) -> "Page":
        assert answer.status == 200, answer
        root = ElementTree.fromstring(answer.body)

        def text(of, name: str) -> str | None:
            found = of.find(f"{{*}}{name}")
            return None if found is None else found.text or ""

        encoded = text(root, "EncodingType") == "url"

        def name(text: str) -> str:
            return unquote_plus(text) if encoded else text
        entries = [(name(text(row, "Key")), text(row, "ETag")) for row in root.iterfind("{*}Contents")]
        for row in root.iterfind("{*}Contents"):
            assert text(row, "Size").isdigit() and text(row, "LastModified").endswith("Z"), answer
        entries += [(name(text(row, "Prefix")), None) for row in root.iterfind("{*}CommonPrefixes")]
        truncated = text(root, "IsTruncated") == "true"
        following = text(root, "NextContinuationToken" if version == 2 else "NextMarker")
        if version == 2:
            assert int(text(root, "KeyCount")) == len(entries)
            assert truncated == (following is not None)
        elif truncated and following is None:
            following = text(root.findall("{*}Contents")[-1], "Key")
        return cls(answer, entries, name(following) if truncated and version == 1 else following if truncated else None)


def pages(doors: Iterator[Raw], bucket: str, version: int, **wanted: str) -> Iterator[Page]:
    """All pages of a listing, each asked at the next door."""
    query = {**({"list-type": "2"} if version == 2 else {}), "encoding-type": "url", **wanted}
    while True:
        target = f"/{bucket}?{urlencode(query, quote_via=quote)}"
        page = Page.of(next(doors).get(target), version)
        yield page
        if page.next is None:
            return
        query["continuation-token" if version == 2 else "marker"] = page.next


def expected(keys: dict[str, str], prefix: str, delimiter: str) -> list[tuple[str, str | None]]:
    found: dict[str, str | None] = {}
    for key, etag in keys.items():
        end = key.find(delimiter, len(prefix)) if delimiter and key.startswith(prefix) else -1
        if end >= 0:
            found[key[:end + len(delimiter)]] = None
        elif key.startswith(prefix):
            found[key] = etag
    return sorted(found.items(), key=lambda entry: entry[0].encode())


class Writer:
    """Changes random keys in all ways there are, through any of the doors, and remembers what was acknowledged."""

    def __init__(self, dice: random.Random, proxies: list[Proxy], bucket: str):
        self.dice, self.bucket = dice, bucket
        self.clients = [proxy.boto() for proxy in proxies]
        self.keys: dict[str, str] = {}

    def key(self) -> str:
        return "".join(self.dice.choice("ab/0 +%\u00e4") for _ in range(self.dice.randint(1, 5)))

    def change(self) -> None:
        s3, key = self.dice.choice(self.clients), self.key()
        name = {"Bucket": self.bucket, "Key": key}
        way = self.dice.choice(["put", "put", "put", "delete", "delete", "batch", "copy", "complete"])
        if way == "put":
            self.keys[key] = s3.put_object(**name, Body=self.dice.randbytes(9))["ETag"]
        elif way == "delete" or not self.keys:
            gone = self.dice.choice([key, *self.keys])
            s3.delete_object(Bucket=self.bucket, Key=gone)
            self.keys.pop(gone, None)
        elif way == "batch":
            gone = self.dice.sample(sorted(self.keys), min(3, len(self.keys)))
            s3.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": each} for each in gone]})
            for each in gone:
                del self.keys[each]
        elif way == "copy":
            source = {"Bucket": self.bucket, "Key": self.dice.choice(sorted(self.keys))}
            self.keys[key] = s3.copy_object(**name, CopySource=source)["CopyObjectResult"]["ETag"]
        else:
            upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
            part = s3.upload_part(**upload, PartNumber=1, Body=self.dice.randbytes(5))["ETag"]
            parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
            self.keys[key] = s3.complete_multipart_upload(**upload, MultipartUpload=parts)["ETag"]


def chaos(store) -> dict:
    return json.loads(urllib3.PoolManager().request("GET", f"{store.url}/-/chaos").data)


def wishes(dice: random.Random) -> dict[str, str]:
    wanted = {"prefix": dice.choice(["", "", "a", "a/", "b", "/"]), "delimiter": dice.choice(["", "/", "/", "b/"]),
              "max-keys": str(dice.choice([1, 2, 5, 1000]))}
    return {name: value for name, value in wanted.items() if value}


def story(proxies: list[Proxy], bucket: str, seed: int, steps: int) -> int:
    """Writes and lists in turn; the number of listings that were not what was acknowledged."""
    dice = random.Random(seed)
    writer, wrong = Writer(dice, proxies, bucket), 0
    for _ in range(steps):
        for _ in range(dice.randint(1, 4)):
            writer.change()
        version, wanted = dice.choice([1, 2]), wishes(dice)
        doors = itertools.cycle(proxy.raw() for proxy in dice.sample(proxies, len(proxies)))
        listed = []
        for page in pages(doors, bucket, version, **wanted):
            assert len(page.entries) <= int(wanted["max-keys"])
            in_order = sorted(page.entries, key=lambda entry: entry[0].encode())
            if listed and in_order:
                assert listed[-1][0].encode() < in_order[0][0].encode()
            listed += in_order
        wrong += listed != expected(writer.keys, wanted.get("prefix", ""), wanted.get("delimiter", ""))
    return wrong


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_acknowledged_is_listed_and_what_was_deleted_is_not(pair, lagging, buckets, seed):
    """In all kinds of writes, with both kinds of listings, each page asked at another proxy than the one before."""
    before = chaos(lagging)["lagging_listings"]
    merged = sum(proxy.metric("ifmatch_guarded_listings_total", outcome="merged") for proxy in pair)
    assert story(pair, next(buckets), seed, 40) == 0
    assert chaos(lagging)["lagging_listings"] > before, "the store's listings did not lag"
    assert sum(proxy.metric("ifmatch_guarded_listings_total", outcome="merged") for proxy in pair) > merged
    assert not any(proxy.metric("ifmatch_guarded_listings_total", outcome="given_up") for proxy in pair)


@pytest.mark.parametrize("settings", [replace(TOLD, rules=""), replace(TOLD, lag=LAG / 50)],
                         ids=["without-the-rule", "lag-too-short"])
def test_without_the_rule_or_the_lag_listings_are_wrong(tmp_path, lagging, redis_server, settings, buckets):
    """So the test above finds what is wrong."""
    proxies = two_proxies(tmp_path, lagging, redis_server.new_database(), settings)
    bucket, s3 = next(buckets), [proxy.boto() for proxy in proxies]
    wrong = 0
    for number in range(40):
        s3[0].put_object(Bucket=bucket, Key=str(number), Body=b"x")
        listed = s3[1].list_objects_v2(Bucket=bucket).get("Contents", [])
        wrong += len(listed) != number + 1
    assert wrong > 0
    for proxy in proxies:
        proxy.stop()


def test_every_page_says_that_it_is_guarded(pair, buckets):
    bucket = next(buckets)
    doors = [proxy.raw() for proxy in pair]
    for number in range(5):
        doors[0].put(f"/{bucket}/key-{number}", b"x")
    for version in (1, 2):
        found = list(pages(itertools.cycle(doors), bucket, version, **{"max-keys": "2"}))
        assert [len(page.entries) for page in found] == [2, 2, 1]
        assert {page.answer.headers["x-ifmatch-consistency"] for page in found} == {"guarded"}
    versions = doors[1].get(f"/{bucket}?versions")
    assert versions.headers["x-ifmatch-consistency"] == "guarded"


def test_what_a_listing_is_not_about_is_not_guarded(pair, buckets):
    bucket, [near, far] = next(buckets), [proxy.raw() for proxy in pair]
    near.put(f"/{bucket}/key", b"x")
    for query in ("", "list-type=2"):
        missing = far.get(f"/no-such-bucket?{query}")
        assert (missing.status, missing.headers["x-ifmatch-consistency"]) == (404, "store")
        # Pages are read here, so they are not asked for in another coding.
        zipped = far.get(f"/{bucket}?{query}", headers={"accept-encoding": "gzip", "range": "bytes=0-3"})
        assert [name for name, _ in Page.of(zipped, 2 if query else 1).entries] == ["key"]
        assert zipped.headers["x-ifmatch-consistency"] == "guarded"
    own = next(pages(itertools.cycle([far]), bucket, 2, **{"max-keys": "1"}))
    assert own.next is None
    near.put(f"/{bucket}/more", b"x")
    token = next(pages(itertools.cycle([far]), bucket, 2, **{"max-keys": "1"})).next
    none = far.get(f"/{bucket}?list-type=2&max-keys=0&continuation-token={token}")
    assert none.status == 200 and Page.of(none, 2).entries == []


def test_a_key_that_xml_cannot_hold_is_not_listed_under_another_name(pair, buckets):
    bucket, [near, far] = next(buckets), [proxy.raw() for proxy in pair]
    near.put(f"/{bucket}/a%01b", b"x")
    for query in ("", "list-type=2"):
        answer = far.get(f"/{bucket}?{query}")
        assert answer.headers["x-ifmatch-consistency"] == "store" and "\ufffd" not in answer.body.decode()
        [(name, _)] = Page.of(far.get(f"/{bucket}?encoding-type=url&{query}".rstrip("&")), 2 if query else 1).entries
        assert name == "a\x01b"


def test_a_class_that_is_not_known_is_not_made_up(pair, buckets):
    bucket, [near, far] = next(buckets), [proxy.boto() for proxy in pair]
    near.put_object(Bucket=bucket, Key="a", Body=b"x")
    near.put_object(Bucket=bucket, Key="b", Body=b"x", StorageClass="STANDARD_IA")
    near.put_object(Bucket=bucket, Key="b", Body=b"longer", StorageClass="STANDARD_IA")
    [plain, other] = far.list_objects_v2(Bucket=bucket)["Contents"]
    assert plain["StorageClass"] == "STANDARD"
    assert other["Size"] == 6 and other.get("StorageClass") in (None, "STANDARD_IA")


def bodies(door: Raw, bucket: str) -> list[bytes]:
    """What listings of all kinds answer."""
    queries = ["", "list-type=2", "prefix=a%2F", "delimiter=%2F&max-keys=2", "list-type=2&delimiter=%2F",
               "marker=a%2F&delimiter=%2F", "list-type=2&start-after=b", "encoding-type=url&max-keys=0"]
    return [door.get(f"/{bucket}?{query}").body for query in queries]


@pytest.mark.parametrize("rules", ["", GUARDED], ids=["without-the-rule", "nothing-young"])
def test_an_old_listing_is_the_store_s_byte_for_byte(tmp_path, lagging, redis_server, rules, buckets):
    proxies = two_proxies(tmp_path, lagging, redis_server.new_database(), replace(TOLD, rules=rules))
    bucket = next(buckets)
    alone = boto(lagging.url, lagging.access_key, lagging.secret_key)
    for key in ("a/1", "a/2", "b", "c \u00e4&<>", "d"):
        alone.put_object(Bucket=bucket, Key=key, Body=b"x")
    direct = Raw(lagging.url, lagging.access_key, lagging.secret_key)
    threading.Event().wait(LAG * 1.1)
    assert bodies(proxies[0].raw(), bucket) == bodies(direct, bucket)
    [first, second] = pages(itertools.cycle(proxy.raw() for proxy in proxies), bucket, 2,
                            **{"max-keys": "4"})
    assert [name for name, _ in first.entries + second.entries] == ["a/1", "a/2", "b", "c \u00e4&<>", "d"]
    for proxy in proxies:
        proxy.stop()


def test_a_token_of_before_the_rule_and_one_of_after_it_go_on(tmp_path, lagging, redis_server, buckets):
    """A reload that brings the rule, or takes it away, breaks no listing that is under way."""
    register = redis_server.new_database()
    proxies = two_proxies(tmp_path, lagging, register)
    bare = Proxy(tmp_path / "bare", lagging, replace(TOLD, rules="", register=register), "bare")
    bucket = next(buckets)
    for number in range(6):
        proxies[0].raw().put(f"/{bucket}/key-{number}", b"x")
    names = [f"key-{number}" for number in range(6)]
    threading.Event().wait(LAG * 1.3)
    for doors in ([bare.raw(), proxies[0].raw(), proxies[1].raw()], [proxies[0].raw(), bare.raw(), proxies[1].raw()]):
        found = list(pages(itertools.cycle(doors), bucket, 2, **{"max-keys": "2"}))
        assert [name for page in found for name, _ in page.entries] == names
    refused = bare.raw().get(f"/{bucket}?list-type=2&continuation-token=ifmatch1.x")
    assert (refused.status, refused.code) == (400, "InvalidArgument")
    for proxy in (*proxies, bare):
        proxy.stop()


def test_after_a_loss_of_the_register_listings_heal_by_themselves(tmp_path, lagging, buckets):
    redis = RedisServer(tmp_path / "redis")
    proxies = two_proxies(tmp_path, lagging, redis.new_database())
    bucket, doors = next(buckets), [proxy.raw() for proxy in proxies]
    word = "x-ifmatch-consistency"
    doors[0].put(f"/{bucket}/key", b"x")
    assert doors[1].get(f"/{bucket}?list-type=2").headers[word] == "guarded"
    redis.flush_all()
    assert doors[1].get(f"/{bucket}?list-type=2").headers[word] == "store"
    assert doors[0].get(f"/{bucket}").headers[word] == "store"
    proxies[0].wait_writable(bucket)
    page = Page.of(doors[1].get(f"/{bucket}?list-type=2"), 2)
    assert page.answer.headers[word] == "guarded"
    assert [name for name, _ in page.entries] == [".writable", "key"]
    redis.kill9()
    assert {door.get(f"/{bucket}?list-type=2").headers[word] for door in doors} == {"store"}
    for proxy in proxies:
        proxy.stop()
    redis.stop()


def test_what_a_killed_proxy_acknowledged_is_listed(tmp_path, lagging, redis_server, buckets):
    """Writers write until their proxy is killed; what they were told is listed by the other at once."""
    proxies = two_proxies(tmp_path, lagging, redis_server.new_database())
    for turn in range(3):
        bucket, told = next(buckets), []
        writing = threading.Barrier(5)

        def write(number: int, door: Raw) -> None:
            writing.wait()
            for count in itertools.count():
                key = f"{number}-{count}"
                try:
                    answer = door.put(f"/{bucket}/{key}", b"x")
                except OSError:
                    return
                if answer.status == 200:
                    told.append(key)

        writers = [threading.Thread(target=write, args=(number, proxies[0].raw())) for number in range(4)]
        for each in writers:
            each.start()
        writing.wait()
        while len(told) < 40:
            threading.Event().wait(0.01)
        proxies[0].kill9()
        for each in writers:
            each.join()
        listed = [name for page in pages(itertools.cycle([proxies[1].raw()]), bucket, 2) for name, _ in page.entries]
        assert sorted(set(told) - set(listed)) == [], f"turn {turn}"
        proxies[0].start()
    for proxy in proxies:
        proxy.stop()


# Clients, each with its default settings.

@pytest.fixture
def place(pair, buckets) -> list[Endpoint]:
    """A bucket, behind each of the two proxies."""
    bucket = next(buckets)
    return [Endpoint(proxy.url, ACCESS_KEY, CLIENT_SECRET, bucket) for proxy in pair]


NAMES = ["a b", "a+b", "a%20b", "\u00e4", "\U0010ffff", "'q'", "#hash", "x/y", "x/y z/1", "x/y z/2", "<x>&amp;"]


def test_boto3_lists_what_was_just_written(place):
    writer, reader = (endpoint.boto() for endpoint in place)
    for name in NAMES:
        writer.put_object(Bucket=place[0].bucket, Key=name, Body=name.encode())
    for operation, size in itertools.product(("list_objects", "list_objects_v2"), (1, 3, 1000)):
        found = reader.get_paginator(operation).paginate(Bucket=place[0].bucket, PaginationConfig={"PageSize": size})
        keys = {each["Key"]: each["Size"] for page in found for each in page.get("Contents", [])}
        assert keys == {name: len(name.encode()) for name in NAMES}
        found = reader.get_paginator(operation).paginate(Bucket=place[0].bucket, Prefix="x/", Delimiter="/",
                                                         PaginationConfig={"PageSize": size})
        assert [each["Prefix"] for page in found for each in page.get("CommonPrefixes", [])] == ["x/y z/"]
    for name in NAMES:
        writer.delete_object(Bucket=place[0].bucket, Key=name)
    assert reader.list_objects_v2(Bucket=place[0].bucket)["KeyCount"] == 0


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def write_files(directory: Path) -> Path:
    for name in NAMES:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(name.encode() * 100)
    return directory


def test_aws_s3_sync_brings_a_tree_there_and_at_once_back(place, tmp_path):
    source, there = write_files(tmp_path / "source"), f"s3://{place[0].bucket}/at"
    done(aws(place[0], "s3", "sync", str(source), there))
    done(aws(place[1], "s3", "sync", there, str(tmp_path / "back")))
    assert files_of(tmp_path / "back") == files_of(source)
    (source / "x" / "y").unlink()
    (source / "a b").write_bytes(b"changed, and of another length")
    done(aws(place[1], "s3", "sync", str(source), there, "--delete"))
    done(aws(place[0], "s3", "sync", there, str(tmp_path / "back"), "--delete"))
    assert files_of(tmp_path / "back") == files_of(source)
    done(aws(place[0], "s3", "rm", f"s3://{place[0].bucket}", "--recursive"))
    assert done(aws(place[1], "s3", "ls", f"s3://{place[0].bucket}", "--recursive")) == ""


def test_rclone_sync_brings_a_tree_there_and_at_once_back(place, tmp_path):
    source, there = write_files(tmp_path / "source"), f"store:{place[0].bucket}/at"

    def sync(endpoint: Endpoint, one: object, other: object):
        return rclone(endpoint, "sync", "--no-unicode-normalization", str(one), str(other))

    done(sync(place[0], source, there))
    done(rclone(place[1], "check", "--no-unicode-normalization", str(source), there, "--download"))
    (source / "x" / "y").unlink()
    (source / "a b").write_bytes(b"changed, and of another length")
    done(sync(place[1], source, there))
    done(sync(place[0], there, tmp_path / "back"))
    assert files_of(tmp_path / "back") == files_of(source)


S3FS = '''
import json, os, sys
import s3fs
bucket, other = sys.argv[1:]
fs, far = (s3fs.S3FileSystem(endpoint_url=url, use_listings_cache=False, skip_instance_cache=True)
           for url in (os.environ["AWS_ENDPOINT_URL"], other))
told = []
fs.pipe({f"{bucket}/many/{number}": b"x" for number in range(20)})
told.append(len(far.ls(f"{bucket}/many")))
fs.mv(f"{bucket}/many/7", f"{bucket}/moved/7")
told.append([far.exists(f"{bucket}/many/7"), far.find(f"{bucket}/moved"), len(far.find(f"{bucket}/many"))])
fs.rm(f"{bucket}/many", recursive=True)
told.append([far.isdir(f"{bucket}/many"), far.isdir(f"{bucket}/moved"), far.du(f"{bucket}/moved")])
print(json.dumps(told))
'''


def test_s3fs_finds_what_was_just_written(place):
    result = place[0].run(PYTHON, "-c", S3FS, place[0].bucket, place[1].url)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [20, [False, [f"{place[0].bucket}/moved/7"], 19], [False, True, 1]]


def test_obstore_lists_what_was_just_written(place):
    import obstore
    from test_obstore import store_at
    near, far = (store_at(endpoint) for endpoint in place)
    names = ["a b", "a+b", "deep/er/1", "deep/er/2", "deep/3"]
    for name in names:
        obstore.put(near, name, name.encode())
    assert sorted(each["path"] for each in obstore.list(far).collect()) == sorted(names)
    level = obstore.list_with_delimiter(far, "deep")
    assert (level["common_prefixes"], [each["path"] for each in level["objects"]]) == (["deep/er"], ["deep/3"])
    obstore.delete(near, names)
    assert obstore.list(far).collect() == []


JS = '''
import { createRequire } from "node:module";
const require = createRequire(`${process.argv[2]}/`);
const { S3Client, PutObjectCommand, DeleteObjectCommand, paginateListObjectsV2 } = require("@aws-sdk/client-s3");
const [near, far] = process.argv.slice(3).map((endpoint) => new S3Client({ endpoint, forcePathStyle: true }));
const Bucket = process.env.BUCKET;
async function listed(client) {
  const keys = [];
  for await (const page of paginateListObjectsV2({ client, pageSize: 2 }, { Bucket })) {
    for (const each of page.Contents ?? []) keys.push(each.Key);
  }
  return keys;
}
const names = ["1", "a b", "a+b", "z"];
for (const Key of names) await near.send(new PutObjectCommand({ Bucket, Key, Body: Key }));
console.log(JSON.stringify(await listed(far)));
await near.send(new DeleteObjectCommand({ Bucket, Key: "a b" }));
console.log(JSON.stringify(await listed(far)));
'''


def test_the_sdk_for_javascript_lists_what_was_just_written(place, tmp_path):
    script = tmp_path / "list.mjs"
    script.write_text(JS)
    result = place[0].run("node", str(script), str(ROOT / ".node"), place[0].url, place[1].url)
    assert result.returncode == 0, result.stdout + result.stderr
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert told == [["1", "a b", "a+b", "z"], ["1", "a+b", "z"]]


# All of it at once, while processes die.

@dataclass
class Change:
    """A write of a key: what it leaves, an ETag or nothing, when it was asked, and when it was acknowledged, if it was."""

    key: str
    leaves: str | None
    asked: float
    told: float | None


@dataclass
class Listing:
    """What a guarded listing showed, when it was asked, and when it was there."""

    shown: dict[str, str]
    asked: float
    there: float


def stale(changes: list[Change], listings: list[Listing]) -> list[tuple[str, str | None, Listing]]:
    """What listings showed although something later had been acknowledged before they were asked."""
    by_key: dict[str, list[Change]] = {}
    for change in changes:
        by_key.setdefault(change.key, []).append(change)
    found = []
    for listing in listings:
        for key, writes in by_key.items():
            done_before = [write for write in writes if write.told is not None and write.told < listing.asked]
            # A write is overwritten by one that was asked after it was acknowledged, and acknowledged in time.
            current = [write for write in writes if write.asked < listing.there and not any(
                write.told is not None and write.told < later.asked for later in done_before)]
            allowed = {write.leaves for write in current} | (set() if done_before else {None})
            if listing.shown.get(key) not in allowed:
                found.append((key, listing.shown.get(key), listing))
    return found


def test_a_stale_listing_is_found_out():
    """The judge of the test below."""
    changes = [Change("a", "one", 0, 1), Change("a", None, 2, 3), Change("a", "two", 4, None)]
    for shown, asked, there, right in [({"a": "one"}, 1.5, 1.8, True), ({}, 0.5, 0.6, True), ({}, 1.5, 1.8, False),
                                       ({"a": "one"}, 2.5, 2.8, True), ({}, 2.5, 2.8, True),
                                       ({"a": "one"}, 3.5, 3.8, False), ({"a": "two"}, 3.5, 3.8, False),
                                       ({"a": "two"}, 5, 6, True), ({}, 5, 6, True), ({"a": "one"}, 5, 6, False)]:
        assert (stale(changes, [Listing(shown, asked, there)]) == []) == right, (shown, asked)


class Load:
    """Clients that write and list until they are told to stop."""

    KEYS = [f"{folder}{number}" for folder in ("", "x/", "y/") for number in range(4)]

    def __init__(self, proxies: list[Proxy], bucket: str, seed: int):
        self.proxies, self.bucket, self.dice = proxies, bucket, random.Random(seed)
        self.changes: list[Change] = []
        self.listings: list[Listing] = []
        self.unguarded = 0
        self.stop = threading.Event()
        clients = [(self.write, number) for number in range(3)] + [(self.list, number) for number in range(3, 5)]
        self.threads = [threading.Thread(target=client, args=(random.Random(seed * 10 + number),))
                        for client, number in clients]

    def door(self, dice: random.Random) -> Raw:
        return dice.choice(self.proxies).raw(timeout=20)

    def write(self, dice: random.Random) -> None:
        while not self.stop.is_set():
            key, body = dice.choice(self.KEYS), dice.randbytes(8)
            gone = dice.random() < 0.3
            leaves = None if gone else f'"{hashlib.md5(body).hexdigest()}"'
            change = Change(key, leaves, time.monotonic(), None)
            self.changes.append(change)
            try:
                door, path = self.door(dice), f"/{self.bucket}/{key}"
                answer = door.delete(path) if gone else door.put(path, body)
            except OSError:
                continue
            if answer.status in (200, 204):
                change.told = time.monotonic()

    def list(self, dice: random.Random) -> None:
        while not self.stop.is_set():
            version, asked, shown = dice.choice([1, 2]), time.monotonic(), {}
            doors = (self.door(dice) for _ in itertools.count())
            try:
                for page in pages(doors, self.bucket, version, **{"max-keys": dice.choice(["3", "1000"])}):
                    if page.answer.headers["x-ifmatch-consistency"] != "guarded":
                        raise Unguarded
                    shown.update(page.entries)
            except (OSError, AssertionError, http.client.HTTPException, Unguarded):
                self.unguarded += 1
                continue
            self.listings.append(Listing(shown, asked, time.monotonic()))


class Unguarded(Exception):
    """The store's word counts."""


@pytest.mark.parametrize("seed", [1, 2])
def test_no_guarded_listing_is_stale_while_processes_die(tmp_path, lagging, buckets, seed):
    """kill -9 of proxies and of Redis, and FLUSHALL, under load. Pages that say `store` do not count."""
    redis = RedisServer(tmp_path / "redis")
    settings = replace(TOLD, lease=1, grace=0.5, settle=0.5)
    proxies = two_proxies(tmp_path, lagging, redis.new_database(), settings)
    bucket = next(buckets)
    load = Load(proxies, bucket, seed)
    for each in load.threads:
        each.start()
    for fault in ("kill", "flush", "kill", "restart", "kill"):
        before = len(load.listings)
        while len(load.listings) < before + 20:
            assert all(each.is_alive() for each in load.threads)
            load.stop.wait(0.05)
        if fault == "kill":
            proxy = load.dice.choice(proxies)
            proxy.kill9()
            proxy.start()
        elif fault == "flush":
            redis.flush_all()
        else:
            redis.kill9()
            redis.start()
    load.stop.set()
    for each in load.threads:
        each.join()
    acknowledged = sum(change.told is not None for change in load.changes)
    assert stale(load.changes, load.listings) == [], f"{acknowledged} writes, {len(load.listings)} listings"
    assert acknowledged > 50 and load.unguarded > 0
    for proxy in proxies:
        proxy.stop()
    redis.stop()

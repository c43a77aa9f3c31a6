"""The embedded store killed in the middle of writes, again and again, and read while it is written."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from botocore.exceptions import FlexibleChecksumError

from clients import UNSIGNED, Raw
from embedded import MIB, PART, Bucket
from processes import NotReady, Process
from redis_server import until
from stores import BINARY, SECRET, Store

WRITES = int(os.environ.get("E2E_WRITES", "10000"))
WRITERS = 6
KEYS = 20
"""Of each writer. It writes them again and again."""
ENV = {"IFMATCH_STORE_ACCESS_KEY_ID": "storekey", "IFMATCH_STORE_SECRET_ACCESS_KEY": SECRET}


def serve(directory: Path, fsync: str = "never") -> Store:
    argv = [str(BINARY), "store", str(directory), "--listen", "127.0.0.1:0", "--fsync", fsync]
    process = Process(f"store-{fsync}", argv, env=ENV)
    url = process.wait_for_line(r"listening on (http://\S+)")[1]
    return Store("store", url, "storekey", SECRET, [process])


class Lost(Exception):
    """The store went before it answered."""


class Line:
    """A connection that is kept."""

    def __init__(self, store: Store):
        self.answers = 0
        self.raw = Raw(store.url, store.access_key, store.secret_key)
        self.connection = http.client.HTTPConnection(self.raw.host, self.raw.port, timeout=60)

    def ask(self, method: str, target: str, body: bytes = b"", headers=None, sent=lambda: None):
        """The answer's headers and body; `sent` is called when the request is on its way."""
        try:
            signed = self.raw.signed(method, target, headers, payload=UNSIGNED)
            self.connection.request(method, target, body, signed)
            sent()
            answer = self.connection.getresponse()
            document = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Lost from error
        assert answer.status in (200, 204), (method, target, answer.status, document)
        assert b"<Error>" not in document, document
        self.answers += 1
        return answer.headers, document


@dataclass
class Kill:
    """When the store is to go: as a request of a kind has been sent, after so many answers."""

    kind: str
    answers: int
    moment: threading.Event = field(default_factory=threading.Event)


@dataclass
class Writer:
    """One of several, each with keys of its own, so that what must be there is known exactly."""

    number: int
    random: random.Random
    told: dict[str, bytes | None] = field(default_factory=dict)
    """What the store has said of each key: its bytes, or that it is deleted."""
    doubtful: dict[str, bytes | None] = field(default_factory=dict)
    """What may be there instead: the answer to it was lost."""
    versions: dict[tuple[str, str], bytes] = field(default_factory=dict)
    """Versions that the store has said it has."""

    def key(self) -> str:
        return f"writer {self.number}/{self.random.randrange(KEYS)}"

    def new_body(self) -> bytes:
        size = self.random.choice([0, 1, 100, 1000, 1000, 4096, 300_000])
        return self.random.randbytes(min(size, 64)) * (size // min(size, 64) if size else 0)

    def write(self, line: Line, sent) -> None:
        """One write of a random kind. If its answer is lost, both outcomes are right."""
        kind = self.random.choices(["put", "copy", "complete", "delete", "version", "abort"], [8, 4, 4, 3, 1, 1])[0]
        getattr(self, kind)(line, lambda: sent(kind))

    def change(self, key: str, body: bytes | None, ask) -> None:
        self.doubtful[key] = body
        ask()
        self.told[key] = body
        del self.doubtful[key]

    def put(self, line: Line, sent) -> None:
        key, body = self.key(), self.new_body()
        self.change(key, body, lambda: line.ask("PUT", f"/plain/{quote(key)}", body, sent=sent))

    def copy(self, line: Line, sent) -> None:
        source, key = self.key(), self.key()
        body = self.told.get(source)
        if body is not None and source != key:
            headers = {"x-amz-copy-source": f"plain/{quote(source)}"}
            self.change(key, body, lambda: line.ask("PUT", f"/plain/{quote(key)}", headers=headers, sent=sent))

    def complete(self, line: Line, sent) -> None:
        key, body = self.key(), self.new_body()
        target, document = self.upload(line, key, [body])
        self.change(key, body, lambda: line.ask("POST", target, document, sent=sent))

    def upload(self, line: Line, key: str, bodies: list[bytes]) -> tuple[str, bytes]:
        """Begins an upload and sends its parts, one of them twice; returns how it is completed."""
        _, begun = line.ask("POST", f"/plain/{quote(key)}?uploads=")
        upload = begun.partition(b"<UploadId>")[2].partition(b"</UploadId>")[0].decode()
        target = f"/plain/{quote(key)}?partNumber={{}}&uploadId={upload}"
        line.ask("PUT", target.format(1), b"replaced")
        line.ask("PUT", target.format(9), b"not listed")
        told = [line.ask("PUT", target.format(number), body)[0]["ETag"] for number, body in enumerate(bodies, 1)]
        parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
                        for number, etag in enumerate(told, 1))
        document = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>"
        return f"/plain/{quote(key)}?uploadId={upload}", document.encode()

    def abort(self, line: Line, sent) -> None:
        target, _ = self.upload(line, self.key(), [b"aborted"])
        line.ask("DELETE", target, sent=sent)

    def delete(self, line: Line, sent) -> None:
        key = self.key()
        self.change(key, None, lambda: line.ask("DELETE", f"/plain/{quote(key)}", sent=sent))

    def version(self, line: Line, sent) -> None:
        key, body = self.key(), self.new_body()
        headers, _ = line.ask("PUT", f"/versioned/{quote(key)}", body, sent=sent)
        self.versions[key, headers["x-amz-version-id"]] = body


def write_until_killed(store: Store, writers: list[Writer], kill: Kill) -> int:
    """All write at once until the store is gone; returns how many requests were answered."""
    lines = [Line(store) for _ in writers]

    def answers() -> int:
        return sum(line.answers for line in lines)

    def sent(kind: str) -> None:
        if kind == kill.kind and answers() >= kill.answers:
            kill.moment.set()

    def run(writer: Writer, line: Line) -> None:
        try:
            while True:
                writer.write(line, sent)
        except Lost:
            assert kill.moment.is_set(), "the store went by itself"
        finally:
            kill.moment.set()
            line.connection.close()

    with ThreadPoolExecutor(len(writers)) as pool:
        running = [pool.submit(run, *each) for each in zip(writers, lines)]
        assert kill.moment.wait(120)
        store.processes[0].kill9()
        for each in running:
            each.result()
    return answers()


def get(bucket: Bucket, each: dict) -> bytes:
    """A listed version, which must be what its listing says."""
    told = bucket("get_object", each["Key"], VersionId=each["VersionId"])
    body = told["Body"].read()
    assert len(body) == each["Size"] == told["ContentLength"], each
    digest = hashlib.md5(body)
    if "-1" in each["ETag"]:
        digest = hashlib.md5(digest.digest())
    assert each["ETag"].strip('"').removesuffix("-1") == digest.hexdigest(), each
    return body


def listed(bucket: Bucket) -> list[dict]:
    pages = bucket.s3.get_paginator("list_object_versions").paginate(Bucket=bucket.name)
    return [each for page in pages for each in page.get("Versions", [])]


def check(plain: Bucket, versioned: Bucket, writers: list[Writer]) -> None:
    """Every acknowledged write is there and whole, and so is whatever else is."""
    versions = listed(versioned)
    objects = listed(plain)
    with ThreadPoolExecutor(4) as pool:
        there = dict(zip([each["Key"] for each in objects], pool.map(lambda each: get(plain, each), objects)))
        kept = dict(zip([(each["Key"], each["VersionId"]) for each in versions],
                        pool.map(lambda each: get(versioned, each), versions)))
    for writer in writers:
        for key in writer.told.keys() | writer.doubtful.keys():
            right = [writer.told.get(key)] + ([writer.doubtful[key]] if key in writer.doubtful else [])
            assert there.get(key) in right, f"{key}: {there.get(key, b'')[:20]!r}"
            writer.told[key] = there.get(key)
        writer.doubtful.clear()
        for version, body in writer.versions.items():
            assert kept.get(version) == body, version
    assert there.keys() <= {key for writer in writers for key in writer.told}
    known = {version for writer in writers for version in writer.versions}
    assert len(kept.keys() - known) <= 5 * len(writers), "more than were under way when the store was killed"


def files_needed(*buckets: Bucket) -> int:
    """How many files the objects and the unfinished uploads consist of. An empty one has none."""
    count = 0
    for bucket in buckets:
        for each in listed(bucket):
            count += int(each["ETag"].strip('"').partition("-")[2] or 1) if each["Size"] else 0
        pages = bucket.s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket.name)
        for upload in (each for page in pages for each in page.get("Uploads", [])):
            parts = bucket("list_parts", upload["Key"], UploadId=upload["UploadId"]).get("Parts", [])
            count += sum(part["Size"] > 0 for part in parts)
    return count


def files_in(directory: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(directory / "objects"))


@pytest.mark.parametrize("fsync, writes, kinds", [
    ("always", WRITES // 4, ["put", "complete", "delete"]),
    ("never", WRITES * 3 // 4, ["copy", "version", "complete"])], ids=["always", "never"])
def test_every_acknowledged_write_survives_kills_and_nothing_is_left_over(tmp_path, fsync, writes, kinds):
    store = serve(tmp_path / "store", fsync)
    for name in ("plain", "versioned"):
        Bucket(store, name)("create_bucket")
    Bucket(store, "versioned").versioned()
    writers = [Writer(number, random.Random(number)) for number in range(WRITERS)]
    for kind in kinds:
        answered = write_until_killed(store, writers, Kill(kind, writes // len(kinds)))
        assert answered >= writes // len(kinds)
        (tmp_path / "store" / "objects" / "00" / f"{0:028x}").write_bytes(b"x")
        store = serve(tmp_path / "store", fsync)
        plain, versioned = Bucket(store, "plain"), Bucket(store, "versioned")
        check(plain, versioned, writers)
        needed = files_needed(plain, versioned)
        until(f"{needed} files and no more", lambda: files_in(tmp_path / "store") == needed)
    store.processes[0].kill9()
    for _ in range(3):  # killed as soon as it serves, while it still clears up
        serve(tmp_path / "store", fsync).processes[0].kill9()
    store = serve(tmp_path / "store", fsync)
    check(Bucket(store, "plain"), Bucket(store, "versioned"), writers)
    assert store.processes[0].stop() == 0
    store = serve(tmp_path / "store", fsync)
    check(Bucket(store, "plain"), Bucket(store, "versioned"), writers)
    assert files_in(tmp_path / "store") == files_needed(Bucket(store, "plain"), Bucket(store, "versioned"))
    store.stop()


def test_the_test_of_kills_sees_a_lost_and_a_torn_object(tmp_path):
    """What it would say if the store were worse."""
    store = serve(tmp_path / "store")
    plain, versioned = Bucket(store, "plain"), Bucket(store, "versioned")
    plain("create_bucket"), versioned("create_bucket")
    writer = Writer(0, random.Random(0))
    writer.put(Line(store), lambda: None)
    check(plain, versioned, [writer])
    [(key, body)] = writer.told.items()
    plain.put(key, body + b"!")
    with pytest.raises(AssertionError, match="writer 0"):
        check(plain, versioned, [writer])
    plain.put(key, b"x" * 100)
    until("what was replaced is gone", lambda: files_in(tmp_path / "store") == 1)
    [file] = [Path(root, name) for root, _, names in os.walk(tmp_path / "store" / "objects") for name in names]
    file.write_bytes(b"y" * 100)
    with pytest.raises(FlexibleChecksumError):
        check(plain, versioned, [writer])
    store.stop()


# === reading what is being replaced ===

SIZE = 6 * MIB
TURNS = 100
LARGE, BOUND = 96 * MIB, 48 * MIB


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    directory = tmp_path_factory.mktemp("busy")
    store = serve(directory)
    yield Bucket.new(store), store.processes[0], directory
    store.stop()


def memory_of(process: Process, name: str) -> int:
    """In bytes; VmRSS is now, VmHWM the most there ever was."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def forget_peak(process: Process) -> None:
    """The most memory there ever was is what there is now."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def version(turn: int, size: int = SIZE) -> bytes:
    return turn.to_bytes(8, "big") * (size // 8)


class SlowReader:
    """Asks for an object and reads no more of it than it is told to."""

    def __init__(self, bucket: Bucket, key: str):
        raw = bucket.raw
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self.socket.connect((raw.host, raw.port))
        signed = raw.signed("GET", bucket.path(key), payload=UNSIGNED)
        lines = [f"GET {bucket.path(key)} HTTP/1.1", *(f"{name}: {value}" for name, value in signed.items()), "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        self.answer = http.client.HTTPResponse(self.socket)
        self.answer.begin()
        self.start = self.answer.read(1000)

    def rest(self) -> bytes:
        body = self.start + self.answer.read()
        self.answer.close(), self.socket.close()
        return body


@pytest.mark.parametrize("in_parts", [False, True], ids=["in one piece", "in parts"])
def test_a_reader_gets_the_whole_object_that_he_began_to_read(busy, in_parts):
    bucket, process, directory = busy
    key = f"read slowly, {in_parts}"
    first = version(0)
    if in_parts:
        bucket.put_in_parts(key, first[:PART], first[PART:])
    else:
        bucket.put(key, first)
    before = memory_of(process, "VmRSS")
    readers = [SlowReader(bucket, key) for _ in range(20)]
    hung_up = SlowReader(bucket, key)
    for turn in range(1, TURNS + 1):
        bucket.put(key, version(turn, 64 * 1024))
        if turn == TURNS // 2:
            readers.append(SlowReader(bucket, key))
    bucket("delete_object", key)
    hung_up.answer.close(), hung_up.socket.close()
    assert memory_of(process, "VmRSS") - before < 64 * MIB, "twenty readers want 120 MiB between them"
    *slow, late = (reader.rest() for reader in readers)
    assert all(body == first for body in slow)
    assert late == version(TURNS // 2, 64 * 1024)
    until("what nobody reads is removed", lambda: files_in(directory) == files_needed(bucket))
    until("and is closed", lambda: not open_but_removed(process))


def open_but_removed(process: Process) -> list[str]:
    descriptors = Path(f"/proc/{process.pid}/fd").iterdir()
    targets = [os.readlink(each) for each in descriptors if each.is_symlink()]
    return [each for each in targets if each.endswith("(deleted)")]


def test_readers_see_one_of_the_versions_while_it_is_replaced_a_hundred_times(busy):
    bucket, process, directory = busy
    key, seen, over = "replaced", Counter(), threading.Event()
    bucket.put(key, version(0))
    forget_peak(process)
    before = memory_of(process, "VmHWM")

    def read() -> None:
        while not over.is_set():
            told = bucket("get_object", key)
            body = told["Body"].read()
            turn = int.from_bytes(body[:8], "big")
            assert body == version(turn) and told["ContentLength"] == SIZE
            seen[turn] += 1

    def replace() -> None:
        try:
            for turn in range(1, TURNS + 1):
                if turn % 10 == 0:
                    whole = version(turn)
                    bucket.put_in_parts(key, whole[:PART], whole[PART:])
                elif turn % 10 == 5:
                    bucket.put("source", version(turn))
                    bucket("copy_object", key, CopySource=f"{bucket.name}/source")
                else:
                    bucket.put(key, version(turn))
        finally:
            over.set()

    with ThreadPoolExecutor(3) as pool:
        for each in [pool.submit(read), pool.submit(read), pool.submit(replace)]:
            each.result()
    assert len(seen) > 5, "the readers saw it change"
    assert memory_of(process, "VmHWM") - before < 64 * MIB
    until("what is replaced is removed", lambda: files_in(directory) == files_needed(bucket))


def test_no_object_is_in_memory_as_a_whole_however_it_comes_or_goes(busy):
    """Each is larger than the memory that all of them may take."""
    bucket, process, _ = busy
    whole, half = version(1, LARGE), LARGE // 2
    forget_peak(process)
    before = memory_of(process, "VmHWM")
    bucket.put("large", whole)
    slow = SlowReader(bucket, "large")
    bucket.put_in_parts("large", whole[:half], whole[half:])
    assert slow.rest() == whole, "it was replaced while it was read"
    bucket("copy_object", "of parts", CopySource=f"{bucket.name}/large")
    upload = bucket.begin("of one part")
    part = bucket("upload_part_copy", "of one part", UploadId=upload, PartNumber=1, CopySource=f"{bucket.name}/large")
    bucket.complete("of one part", upload, [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}])
    for key in ("large", "of parts", "of one part"):
        assert bucket.body(key) == whole
    took = memory_of(process, "VmHWM") - before
    assert took < BOUND < LARGE, f"{took / MIB} MiB"


# === the directory ===

def test_one_process_at_a_time_has_the_directory(tmp_path):
    store = serve(tmp_path / "store")
    Bucket(store, "plain")("create_bucket")
    with pytest.raises(NotReady, match="cannot hold the store"):
        serve(tmp_path / "store")
    Bucket(store, "plain").put("key", b"x")
    assert Bucket(store, "plain").body("key") == b"x"
    store.stop()


def test_a_directory_with_other_content_is_not_taken_over(tmp_path):
    (tmp_path / "bucket").mkdir()
    (tmp_path / "bucket" / "object").write_bytes(b"of an older version")
    with pytest.raises(NotReady, match="cannot hold the store"):
        serve(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bucket"]

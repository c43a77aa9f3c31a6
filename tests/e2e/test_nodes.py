"""Several nodes of one store: relays in front of one store are its nodes, which the tests cut, freeze
and heal."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from botocore.config import Config

from conftest import new_bucket
from hammer import CasCounter
from proxies import Proxy, Settings, in_front_of
from redis_server import until
from relay import Relay

STORE = "embedded-ignoring"
PART = 5 << 20


class Node(Relay):
    """A node of the store, with the heads of the requests that came to it."""

    def __init__(self, target_url: str):
        self.heads: list[str] = []
        super().__init__(target_url)

    def _requests(self, client: socket.socket, target: socket.socket) -> None:
        super()._requests(_Listened(client, self.heads), target)

    def cut_off(self) -> None:
        """As a node whose process was killed."""
        self.refuse()
        self.cut()

    def asked(self, method: str, key: str) -> int:
        return sum(head.startswith(f"{method} ") and f"/{key}" in head for head in list(self.heads))


class _Listened:
    """A socket whose reader notes the first line of what it reads."""

    def __init__(self, connection: socket.socket, heads: list[str]):
        self._connection, self._heads = connection, heads

    def recv(self, size: int) -> bytes:
        data = self._connection.recv(size)
        line = data.partition(b"\r\n")[0]
        if line.endswith(b" HTTP/1.1"):
            self._heads.append(line.decode())
        return data

    def __getattr__(self, name: str):
        return getattr(self._connection, name)


@pytest.fixture
def nodes(store_named):
    """Three nodes of one store."""
    made = [Node(store_named(STORE).url) for _ in range(3)]
    yield made
    for node in made:
        node.close()


@pytest.fixture
def bucket(store_named):
    return new_bucket(store_named(STORE))


@pytest.fixture
def start(store_named, bucket, nodes, redis_server, tmp_path):
    """Starts proxies in front of the nodes, which end with the test."""
    running: list[Proxy] = []
    register = redis_server.new_database()

    def make(**settings) -> Proxy:
        wanted = Settings(register=register, nodes=tuple(node.url for node in nodes),
                          admin="127.0.0.1:0", dialect="rfc", **settings)
        number = len(running)
        make_proxy = in_front_of if number == 0 else _beside
        proxy = make_proxy(store_named(STORE), bucket, tmp_path / str(number), wanted,
                           f"ifmatch-{number}")
        running.append(proxy)
        return proxy

    yield make
    for proxy in running:
        proxy.stop()


def _beside(store, bucket, directory, settings, name) -> Proxy:
    return Proxy(directory, store, settings, name)


def state_of(proxy: Proxy, node: Relay) -> str:
    [found] = [each for each in json.loads(proxy.admin("/status.json")[1])["store"]["nodes"]
               if each["node"] == node.url]
    return found["state"]


def wait_for(proxy: Proxy, node: Relay, state: str) -> None:
    until(f"{node.url} is {state}", lambda: state_of(proxy, node) == state)


def node_of(nodes: list[Node], key: str) -> Node:
    """The one node that got the writes of this key."""
    [found] = [node for node in nodes if node.asked("PUT", key)]
    return found


# === which node ===


def test_what_is_about_a_key_goes_to_one_node_and_keys_are_spread(start, nodes, bucket):
    proxies = [start(), start()]
    keys = [f"key-{number}" for number in range(24)]
    for turn in range(2):
        for number, key in enumerate(keys):
            raw = proxies[(number + turn) % 2].raw()
            condition = {"if-none-match": "*"} if turn == 0 else {"if-match": "*"}
            assert raw.put(f"/{bucket}/{key}", b"x", headers=condition).status == 200
    first = {key: node_of(nodes, key + " ") for key in keys}
    assert {node.url for node in first.values()} == {node.url for node in nodes}, "all have a share"
    for key in keys:
        # Each condition was judged by a HEAD, at the node that got the write.
        assert first[key].asked("HEAD", key + " ") == sum(
            node.asked("HEAD", key + " ") for node in nodes) >= 2


def test_the_parts_of_an_upload_go_to_the_node_of_its_key(start, nodes, bucket):
    proxy = start()
    s3 = proxy.boto(config=Config(retries={"total_max_attempts": 1}))
    for number in range(4):
        key = f"parts-{number}"
        upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
        parts = []
        for part in (1, 2):
            done = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=part,
                                  Body=b"p" * (PART if part == 1 else 9))
            parts.append({"PartNumber": part, "ETag": done["ETag"]})
        s3.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload,
                                     MultipartUpload={"Parts": parts})
        node = node_of(nodes, key)
        assert (node.asked("POST", key), node.asked("PUT", key)) == (2, 2)


def test_reads_are_spread_over_the_nodes(start, nodes, bucket):
    proxy = start()
    raw = proxy.raw()
    assert raw.put(f"/{bucket}/read", b"x").status == 200
    for _ in range(30):
        assert raw.get(f"/{bucket}/read").body == b"x"
    # A read may begin before the one before it has ended, so that its node counts as busier.
    counts = [node.asked("GET", "read") for node in nodes]
    assert sum(counts) == 30 and min(counts) >= 6, counts
    for node, count in zip(nodes, counts):
        assert proxy.metric("ifmatch_backend_node_requests_total", node=node.url) >= count
        assert proxy.metric("ifmatch_backend_node_up", node=node.url) == 1


# === a node that fails ===


@contextmanager
def reading(proxy: Proxy, bucket: str, key: str, threads: int = 4):
    """Reads without a pause meanwhile; yields the statuses."""
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        raw = proxy.raw()
        while not done.is_set():
            seen.append(raw.get(f"/{bucket}/{key}").status)

    with ThreadPoolExecutor(threads) as pool:
        readers = [pool.submit(read) for _ in range(threads)]
        try:
            yield seen
        finally:
            done.set()
        for reader in readers:
            reader.result(60)


def goes_down_under_reads(proxy, node, strike, statuses) -> None:
    until("there are reads", lambda: len(statuses) > 20)
    strike()
    wait_for(proxy, node, "down")
    so_far = len(statuses)
    until("reads go on", lambda: len(statuses) > so_far + 50)


def test_no_read_fails_when_a_node_dies_and_its_keys_move_and_come_back(start, nodes, bucket):
    proxy = start()
    raw = proxy.raw()
    assert raw.put(f"/{bucket}/key", b"0").status == 200
    first = node_of(nodes, "key ")
    with reading(proxy, bucket, "key") as statuses:
        goes_down_under_reads(proxy, first, first.cut_off, statuses)
        # The write goes to another node, also while the first is only about to be taken out.
        assert raw.put(f"/{bucket}/key", b"1", headers={"if-match": "*"}).status == 200
    assert set(statuses) == {200}, "no read failed, and none was tried again by its client"
    second = node_of([node for node in nodes if node is not first], "key ")
    proxy.process.wait_for_line(f'"node":"{first.url}","from":"up","to":"down"')
    assert proxy.metric("ifmatch_backend_node_up", node=first.url) == 0
    assert proxy.metric("ifmatch_backend_node_changes_total", node=first.url) == 1
    assert proxy.admin("/readyz")[0] == 200
    first.listen()
    wait_for(proxy, first, "up")
    proxy.process.wait_for_line(f'"node":"{first.url}","from":"down","to":"up"')
    before = first.asked("PUT", "key "), second.asked("PUT", "key ")
    assert raw.put(f"/{bucket}/key", b"2", headers={"if-match": "*"}).status == 200
    assert (first.asked("PUT", "key "), second.asked("PUT", "key ")) == (before[0] + 1, before[1])


def test_a_write_is_sent_to_the_next_node_where_no_connection_could_be_opened(start, nodes, bucket):
    """No check has seen it yet: they come once a minute here."""
    proxy = start(health_interval=60)
    raw = proxy.raw()
    assert raw.put(f"/{bucket}/key", b"0").status == 200
    first = node_of(nodes, "key ")
    first.cut_off()
    for number in range(2):
        assert raw.put(f"/{bucket}/key", b"1", headers={"if-match": "*"}).status == 200, number
    upload = raw.request("POST", f"/{bucket}/key?uploads=")
    assert upload.status == 200, upload
    # Three connections in a row could not be opened: that is as good as three checks.
    wait_for(proxy, first, "down")


def test_a_streamed_part_is_sent_to_the_next_node(start, nodes, bucket):
    proxy = start(health_interval=60)
    s3 = proxy.boto(config=Config(retries={"total_max_attempts": 1}))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    [first] = [node for node in nodes if node.asked("POST", "key")]
    first.cut_off()
    part = s3.upload_part(Bucket=bucket, Key="key", UploadId=upload, PartNumber=1, Body=b"p" * 99)
    done = s3.complete_multipart_upload(
        Bucket=bucket, Key="key", UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert done["ETag"]


def test_a_node_that_accepts_and_never_answers_is_taken_out(start, nodes, bucket):
    proxy = start()
    raw = proxy.raw()
    assert raw.put(f"/{bucket}/key", b"0").status == 200
    first = node_of(nodes, "key ")
    with reading(proxy, bucket, "key") as statuses:
        goes_down_under_reads(proxy, first, first.hold_all, statuses)
        assert raw.put(f"/{bucket}/key", b"1", headers={"if-match": "*"}).status == 200
    # Those that waited for the frozen node were asked elsewhere when it was taken out.
    assert set(statuses) == {200}
    first.cut()
    wait_for(proxy, first, "up")


def test_without_any_node_the_error_says_so_and_the_process_is_not_ready(start, nodes, bucket):
    proxy = start()
    raw = proxy.raw()
    assert raw.put(f"/{bucket}/key", b"0").status == 200
    for node in nodes:
        node.cut_off()
    for node in nodes:
        wait_for(proxy, node, "down")
    began = time.monotonic()
    read, write = raw.get(f"/{bucket}/key"), raw.put(f"/{bucket}/key", b"1")
    assert time.monotonic() - began < 2, "at once"
    assert (read.status, read.code) == (503, "ServiceUnavailable"), read
    assert (write.status, write.code) == (503, "ServiceUnavailable"), write
    proxy.process.wait_for_line("no node of the store is up")
    assert proxy.admin("/readyz") == (503, "not ok: nodes: no node of the store is up\n")
    nodes[1].listen()
    wait_for(proxy, nodes[1], "up")
    assert proxy.admin("/readyz")[0] == 200
    assert raw.get(f"/{bucket}/key").status == 200
    proxy.wait_writable(bucket)


def test_a_proxy_starts_without_one_of_the_nodes_and_not_without_all(start, nodes, bucket,
                                                                      store_named, tmp_path):
    nodes[0].cut_off()
    proxy = start()
    assert state_of(proxy, nodes[0]) == "down"
    nodes[0].listen()
    wait_for(proxy, nodes[0], "up")
    for node in nodes:
        node.cut_off()
    refused = proxy.command("serve", "--config", str(proxy.config))
    assert refused.returncode == 1, refused
    for node in nodes:
        assert node.url in refused.stderr, refused


# === doubt ===


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_a_write_whose_answer_is_lost_with_its_node_is_settled(start, nodes, bucket, fault):
    """It has landed, and is seen to have landed at another node. One that was sent over a connection
    that had been used before, which then broke, is sent once more, to another node."""
    proxy = start(writers="exclusive", lease_wait=15, threads=1)
    raw = proxy.raw()
    old = raw.put(f"/{bucket}/key", b"0").etag
    first = node_of(nodes, "key ")
    first.hold_answers(b"PUT ")
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(raw.put, f"/{bucket}/key", b"1", headers={"if-match": old})
        assert first.held.wait(20)
        first.cut_off() if fault == "killed" else first.hold_all()
        answer = lost.result(60)
    assert answer.status == 200, answer
    replayed = "true" if fault == "frozen" else None
    assert answer.headers.get("x-ifmatch-replayed") == replayed, answer
    stale = raw.put(f"/{bucket}/key", b"2", headers={"if-match": old})
    assert stale.code == "PreconditionFailed", stale
    assert raw.get(f"/{bucket}/key").body == b"1"


def test_a_write_that_was_lost_before_it_landed_is_not_overtaken(start, nodes, bucket):
    """Its node has read it, dies, and hands it to the store a moment later: within `settle`."""
    proxy = start(settle=3, lease_wait=20)
    raw = proxy.raw()
    old = raw.put(f"/{bucket}/key", b"0").etag
    first = node_of(nodes, "key ")
    first.hold_requests(b"PUT ")
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        lost = pool.submit(raw.put, f"/{bucket}/key", b"1", headers={"if-match": old})
        assert first.held.wait(20)
        first.refuse()
        # The proxy learns that the connection is dead; what the node has read lands all the same.
        for client, _ in list(first._pairs):
            client.shutdown(socket.SHUT_RDWR)
        wait_for(proxy, first, "down")
        other = pool.submit(raw.put, f"/{bucket}/key", b"2", headers={"if-match": old})
        first.release()
        answers = [lost.result(90), other.result(90)]
    # A little less than `settle`: the register counts by the wall clock, which NTP may turn a little faster.
    assert time.monotonic() - began > 2.9, "no write of the key was sent while the first could land"
    landed = [answer for answer in answers if answer.status == 200]
    assert len(landed) <= 1, [str(answer) for answer in answers]
    body = raw.get(f"/{bucket}/key").body
    assert body == b"1", f"{body}: {[str(answer) for answer in answers]}"


def test_clocks_get_their_room_around_a_write_that_goes_to_another_node(start, nodes, bucket):
    skew = 0.6
    proxy = start(clock_skew=skew, settle=1)
    raw = proxy.raw()
    assert raw.put(f"/{bucket}/key", b"0").status == 200
    first = node_of(nodes, "key ")
    began = time.monotonic()
    assert raw.put(f"/{bucket}/key", b"1").status == 200
    assert time.monotonic() - began < skew, "a write to the first node does not wait"
    first.cut_off()
    wait_for(proxy, first, "down")
    began = time.monotonic()
    assert raw.put(f"/{bucket}/key", b"2").status == 200
    assert time.monotonic() - began >= 2 * skew


@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_no_update_is_lost_when_nodes_die_under_load(start, nodes, bucket, fault):
    proxies = [start(lease_wait=20), start(lease_wait=20)]
    counter = CasCounter([proxy.boto() for proxy in proxies], bucket, "counter").create()
    counter.start(8)
    try:
        for turn in range(4):
            counter.wait_more(15, 90)
            # The node of the counter is among them.
            node = nodes[turn % 3]
            if fault == "killed":
                node.cut_off()
                for proxy in proxies:
                    wait_for(proxy, node, "down")
            else:
                node.hold_all()
                for proxy in proxies:
                    wait_for(proxy, node, "down")
                node.refuse()
            counter.wait_more(10, 90)
            node.cut()
            node.listen()
            for proxy in proxies:
                wait_for(proxy, node, "up")
    finally:
        counter.stop()
    counter.check()
    assert len(counter.acknowledged) >= 100


# === figures ===


@pytest.mark.skipif("NODES_FIGURES" not in os.environ,
                    reason="measures minutes for docs/operations.md: NODES_FIGURES=1, with -s")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", ["killed", "frozen"])
def test_how_long_reads_and_writes_stop(start, nodes, bucket, fault):
    """With the default times: prints the figures of docs/operations.md."""
    proxy = start(lease=6, grace=3, settle=10, settle_long=300, lease_wait=30, health_interval=5,
                  health_timeout=2, clock_skew=0.25, writers="exclusive")
    keys = [f"figure-{number}" for number in range(12)]
    for key in keys:
        assert proxy.raw().put(f"/{bucket}/{key}", b"0").status == 200
    struck = node_of(nodes, keys[0] + " ")
    own = {key for key in keys if struck.asked("PUT", key + " ")}
    succeeded: dict[str, list[float]] = {}
    failed: list[str] = []
    done = threading.Event()

    def work(name: str, key: str, method: str) -> None:
        raw = proxy.raw()
        times = succeeded.setdefault(name, [])
        while not done.is_set():
            headers = {"if-match": "*"} if method == "PUT" else None
            answer = raw.request(method, f"/{bucket}/{key}", headers=headers,
                                 body=b"1" if method == "PUT" else b"")
            if answer.status == 200:
                times.append(time.monotonic())
            else:
                failed.append(f"{name} {answer}")

    jobs = [(f"write {key}", key, "PUT") for key in keys]
    jobs += [(f"read {number}", keys[0], "GET") for number in range(4)]
    with ThreadPoolExecutor(len(jobs)) as pool:
        running = [pool.submit(work, *job) for job in jobs]
        until("all are at work", lambda: len(succeeded) == len(jobs)
              and all(len(times) > 5 for times in succeeded.values()))
        strike = time.monotonic()
        struck.cut_off() if fault == "killed" else struck.hold_all()
        until("all go on", lambda: all(sum(at > strike for at in times) > 3
                                       for times in succeeded.values()), 120)
        done.set()
        for job in running:
            job.result(90)

    def stopped(names: list[str]) -> list[float]:
        """The longest time between two successes of each, since the strike."""
        ends = {name: [at for at in succeeded[name] if at > strike] for name in names}
        begins = {name: [strike, *ends[name]] for name in names}
        return sorted(max(end - begin for begin, end in zip(begins[name], ends[name]))
                      for name in names)

    for what, names in [
        ("reads", [name for name in succeeded if name.startswith("read")]),
        ("writes of other keys", [f"write {key}" for key in keys if key not in own]),
        ("writes of its keys", [f"write {key}" for key in keys if key in own]),
    ]:
        gaps = stopped(names)
        print(f"{fault}: {what}: median {gaps[len(gaps) // 2]:.2f} s, longest {gaps[-1]:.2f} s")
    print(f"{fault}: failed: {[line[:90] for line in failed]}")
    assert not [line for line in failed if line.startswith("read")]
    struck.cut()

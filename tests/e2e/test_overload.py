"""More than can be taken on: SlowDown, before the body, and nothing else suffers."""

from __future__ import annotations

import http.client
import resource
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import pytest

from clients import UNSIGNED, Raw
from proxies import LIMITED_BUCKET, LIMITED_KEY, LIMITED_SECRET, Proxy, Settings
from redis_server import until
from scripted import ScriptedStore

WRITES, PER_KEY = 4, 2


@pytest.fixture
def crowded(tmp_path):
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store,
                  Settings(settle=0, writes=WRITES, writes_per_client=WRITES,
                           writes_per_key=PER_KEY, lease_wait=20))
    proxy.wait_writable("bucket")
    yield store, proxy
    proxy.stop()
    store.stop()


class Stalled:
    """A store whose PUTs wait for the word; it says when one has come."""

    def __init__(self):
        self.go, self.come = threading.Event(), threading.Semaphore(0)

    def __call__(self, request):
        if request.method == "PUT":
            self.come.release()
            assert self.go.wait(30)
        return 200, {"ETag": '"e"'}, b""


class Upload:
    """A PUT whose body the client has not sent yet."""

    def __init__(self, proxy: Proxy, target: str, length: int = 1, raw: Raw | None = None):
        raw = raw or proxy.raw()
        headers = raw.signed("PUT", target, payload=UNSIGNED)
        self.connection = http.client.HTTPConnection(raw.host, raw.port, timeout=30)
        self.connection.putrequest("PUT", target, skip_host=True)
        for name, value in {**headers, "Content-Length": str(length), "Expect": "100-continue"}.items():
            self.connection.putheader(name, value)
        self.connection.endheaders()

    def is_waited_for(self) -> bool:
        """Until the proxy asks for the body (True), or answers at once."""
        return self.connection.sock.recv(25, 0x2).startswith(b"HTTP/1.1 100")

    def finish(self) -> tuple[int, dict[str, str], bytes]:
        if self.is_waited_for():
            self.connection.send(b"x")
        answer = self.connection.getresponse()
        body = answer.read()
        self.connection.close()
        return answer.status, {n.lower(): v for n, v in answer.getheaders()}, body


def test_no_more_writes_at_once_than_there_is_room_for(crowded):
    _, proxy = crowded
    slow = [Upload(proxy, f"/bucket/slow-{number}") for number in range(WRITES)]
    assert all(upload.is_waited_for() for upload in slow)
    refused = Upload(proxy, "/bucket/one-too-many")
    assert not refused.is_waited_for(), "refused before its body"
    status, headers, body = refused.finish()
    assert (status, headers["retry-after"]) == (503, "1") and b"<Code>SlowDown</Code>" in body
    assert proxy.raw().delete("/bucket/x").code == "SlowDown"
    assert proxy.raw().get("/bucket/x").status == 200, "reads are not counted"
    assert [upload.finish()[0] for upload in slow] == [200] * WRITES
    assert proxy.raw().put("/bucket/x", b"y").status == 200, "there is room again"


def test_no_more_writers_in_one_line_than_can_be_served(crowded):
    store, proxy = crowded
    store.answer = stalled = Stalled()

    def put(key: str):
        return proxy.raw().put(f"/bucket/{key}", b"x")

    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(put, "k")
        assert stalled.come.acquire(timeout=20)
        # One more waits; of two that come now, one is too many. Which, they settle themselves.
        others = [pool.submit(put, "k") for _ in range(PER_KEY)]
        refused = next(as_completed(others, timeout=20)).result()
        assert (refused.status, refused.code) == (503, "SlowDown"), str(refused)
        assert "Too many writes of this key" in refused.fields["Message"]
        other_key = pool.submit(put, "other")
        assert stalled.come.acquire(timeout=20), "another key is not held up"
        stalled.go.set()
        assert {first.result().status, other_key.result().status} == {200}
        assert sorted(each.result().status for each in others) == [200, 503]



# === the share of one client ===

SHARE = 1 << 20


@pytest.fixture
def shared(tmp_path, request):
    """A proxy of which one client may have a half, by default."""
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store, Settings(settle=0, **request.param))
    proxy.wait_writable("bucket")
    yield proxy
    proxy.stop()
    store.stop()


def other(proxy: Proxy) -> Raw:
    """Another client of the same proxy."""
    return proxy.raw(LIMITED_KEY, LIMITED_SECRET)


def is_of_one(upload: Upload, setting: str) -> bool:
    assert not upload.is_waited_for(), "refused before its body"
    status, headers, body = upload.finish()
    assert (status, headers["retry-after"]) == (503, "1"), body
    assert b"<Code>SlowDown</Code>" in body
    return setting.encode() in body


@pytest.mark.parametrize("shared", [{"writes": 4}], indirect=True)
def test_one_client_s_slow_bodies_stop_no_other_client_s_writes(shared):
    slow = [Upload(shared, f"/bucket/slow-{number}") for number in range(2)]
    assert all(upload.is_waited_for() for upload in slow)
    assert is_of_one(Upload(shared, "/bucket/one-too-many"), "limits.writes_per_client")
    assert shared.raw().delete("/bucket/x").code == "SlowDown"
    assert shared.raw().get("/bucket/x").status == 200, "reads are not counted"
    for number in range(10):
        assert other(shared).put(f"/{LIMITED_BUCKET}/{number}", b"x").status == 200
    also_slow = [Upload(shared, f"/{LIMITED_BUCKET}/slow-{number}", raw=other(shared))
                 for number in range(2)]
    assert all(upload.is_waited_for() for upload in also_slow)
    assert [upload.finish()[0] for upload in slow + also_slow] == [200] * 4
    assert shared.raw().put("/bucket/x", b"y").status == 200, "there is room again"


@pytest.mark.parametrize("shared", [{"writes": 4, "anonymous": ("open",), "anonymous_read_only": False}],
                         indirect=True)
def test_those_who_do_not_sign_are_one_client_together(shared):
    raw = shared.raw()

    def unsigned(method: str, key: str, length: int) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(raw.host, raw.port, timeout=30)
        connection.putrequest(method, f"/open/{key}")
        connection.putheader("Content-Length", str(length))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        return connection

    slow = [unsigned("PUT", f"slow-{number}", 1) for number in range(2)]
    assert all(each.sock.recv(25, socket.MSG_PEEK).startswith(b"HTTP/1.1 100") for each in slow)
    answer = unsigned("PUT", "one-too-many", 1).getresponse()
    assert answer.status == 503 and b"limits.writes_per_client" in answer.read()
    assert raw.put("/bucket/x", b"y").status == 200
    for each in slow:
        each.send(b"x")
        assert each.getresponse().status == 200


@pytest.mark.parametrize("shared", [{"signatures": "passthrough", "writes": 4}], indirect=True)
def test_whom_the_store_is_to_judge_has_the_share_of_whom_he_claims_to_be(shared):
    slow = [Upload(shared, f"/bucket/slow-{number}") for number in range(2)]
    assert all(upload.is_waited_for() for upload in slow)
    assert is_of_one(Upload(shared, "/bucket/one-too-many"), "limits.writes_per_client")
    assert shared.raw("somebody", "else").put("/bucket/x", b"y").status == 200
    assert [upload.finish()[0] for upload in slow] == [200] * 2


ON_DISK = {"body_memory": "0B", "body_memory_per_body": "0B", "body_spool": f"{2 * SHARE}B",
           "body_max": f"{SHARE}B"}


@pytest.mark.parametrize("shared", [ON_DISK], indirect=True)
def test_one_client_s_bodies_do_not_fill_the_disk(shared):
    half = SHARE // 2
    slow = [Upload(shared, f"/bucket/slow-{number}", half) for number in range(2)]
    assert all(upload.is_waited_for() for upload in slow)
    assert is_of_one(Upload(shared, "/bucket/one-too-many"), "body.spool_per_client")
    assert shared.raw().put("/bucket/x", b"y").code == "SlowDown"
    assert shared.raw().put("/bucket/empty", b"").status == 200, "it takes no disk"
    for number in range(10):
        content = bytes(SHARE)
        assert other(shared).put(f"/{LIMITED_BUCKET}/{number}", content).status == 200
    also_slow = Upload(shared, f"/{LIMITED_BUCKET}/slow", half, other(shared))
    assert also_slow.is_waited_for()
    for upload in slow:
        upload.connection.close()
    deadline = time.monotonic() + 10
    while shared.raw().put("/bucket/x", bytes(SHARE)).status != 200:
        assert time.monotonic() < deadline, "there is room again"
    also_slow.connection.close()


@pytest.mark.parametrize("shared", [{**ON_DISK, "signatures": "passthrough"}], indirect=True)
def test_a_length_that_is_only_claimed_takes_no_disk(shared):
    """A client that invents a key for each request has as many shares, and could fill the disk with nothing."""
    claims = [Upload(shared, f"/bucket/slow-{number}", SHARE, shared.raw(f"name-{number}", "made-up"))
              for number in range(8)]
    assert all(upload.is_waited_for() for upload in claims)
    assert shared.raw().put("/bucket/x", bytes(SHARE)).status == 200
    for upload in claims:
        upload.connection.close()


@pytest.mark.parametrize("shared", [{**ON_DISK, "body_max": "5GiB"}], indirect=True)
def test_a_body_for_which_there_is_never_room_is_too_large(shared):
    """It would be told to come again for ever."""
    upload = Upload(shared, "/bucket/large", 2 * SHARE + 1)
    assert not upload.is_waited_for(), "refused before its body"
    status, _, body = upload.finish()
    assert status == 400 and b"<Code>EntityTooLarge</Code>" in body
    assert f"<MaxSizeAllowed>{2 * SHARE}</MaxSizeAllowed>".encode() in body


@pytest.mark.parametrize("shared", [
    {**ON_DISK, "body_memory": "4MiB", "body_memory_per_body": "1MiB"}], indirect=True)
def test_one_client_s_bodies_do_not_fill_the_memory(shared):
    """Two of them are in memory, one on disk, and for another client there are both."""
    slow = [Upload(shared, f"/bucket/slow-{number}", SHARE) for number in range(3)]
    assert all(upload.is_waited_for() for upload in slow)
    assert is_of_one(Upload(shared, "/bucket/one-too-many", SHARE), "body.spool_per_client")
    others = [Upload(shared, f"/{LIMITED_BUCKET}/slow-{number}", SHARE, other(shared))
              for number in range(3)]
    assert all(upload.is_waited_for() for upload in others)
    for upload in slow + others:
        upload.connection.close()


# === connections ===

CONNECTIONS, PER_ADDRESS = 20, 8


@pytest.fixture
def filled(tmp_path):
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store, Settings(
        settle=0, connections=CONNECTIONS, connections_per_address=PER_ADDRESS,
        admin="127.0.0.1:0"))
    proxy.wait_writable("bucket")
    # The proxy learns a moment later that this connection has ended. Until then it counts.
    until("no connection is left", lambda: proxy.metric("ifmatch_in_flight", kind="connections") == 0)
    yield proxy
    proxy.stop()
    store.stop()


def connect(proxy: Proxy, address: str) -> http.client.HTTPConnection:
    raw = proxy.raw()
    connection = http.client.HTTPConnection(raw.host, raw.port, timeout=20,
                                            source_address=(address, 0))
    connection.connect()
    return connection


def get(proxy: Proxy, connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    target = "/bucket/x"
    try:
        connection.request("GET", target, headers=proxy.raw().signed("GET", target))
    except (BrokenPipeError, ConnectionResetError):
        pass
    answer = connection.getresponse()
    return answer.status, answer.read()


def served_at(proxy: Proxy, address: str) -> http.client.HTTPConnection:
    """A connection that has been served. The proxy learns a moment later than its client that an earlier one has
    ended, so this one may be refused at first."""
    deadline = time.monotonic() + 5
    while get(proxy, connection := connect(proxy, address))[0] != 200:
        assert time.monotonic() < deadline, "there is room again"
    return connection


def is_closed(connection: http.client.HTTPConnection) -> bool:
    connection.sock.settimeout(0.1)
    try:
        return connection.sock.recv(1, socket.MSG_PEEK) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_one_address_has_its_share_of_the_connections(filled):
    here = [served_at(filled, "127.0.0.1") for _ in range(PER_ADDRESS)]
    status, body = get(filled, connect(filled, "127.0.0.1"))
    assert status == 503 and b"<Code>SlowDown</Code>" in body and b"this address" in body
    assert get(filled, connect(filled, "127.0.0.2"))[0] == 200, "others have theirs"
    assert [get(filled, each)[0] for each in here] == [200] * PER_ADDRESS, "these are kept"
    filled.process.wait_for_line(r"no room for another connection.*limits.connections_per_address"
                                 r"|limits.connections_per_address.*no room for another connection")
    here.pop().close()
    served_at(filled, "127.0.0.1")


def test_who_waits_longest_for_a_request_makes_room_for_a_new_connection(filled):
    idle = [connect(filled, f"127.0.0.{2 + number // PER_ADDRESS}")
            for number in range(CONNECTIONS)]
    assert [get(filled, each)[0] for each in idle] == [200] * CONNECTIONS
    assert get(filled, idle[0])[0] == 200  # not the longest any more
    assert get(filled, connect(filled, "127.0.0.9"))[0] == 200
    # A client may have its answer a moment before the proxy begins to wait for what it asks next, and two workers
    # serve: so it is one of the first.
    [closed] = [number for number, each in enumerate(idle) if is_closed(each)]
    assert 1 <= closed < PER_ADDRESS


def served(proxy: Proxy, number: int) -> http.client.HTTPConnection:
    """A connection whose request is under way: its body is waited for."""
    connection = connect(proxy, f"127.0.0.{2 + number // PER_ADDRESS}")
    target = f"/bucket/slow-{number}"
    connection.putrequest("PUT", target, skip_host=True)
    head = {**proxy.raw().signed("PUT", target, payload=UNSIGNED), "Content-Length": "1",
            "Expect": "100-continue"}
    for name, value in head.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock.recv(25, socket.MSG_PEEK).startswith(b"HTTP/1.1 100")
    return connection


def test_where_all_are_being_served_a_new_connection_is_refused(filled):
    busy = [served(filled, number) for number in range(CONNECTIONS)]
    status, body = get(filled, connect(filled, "127.0.0.9"))
    assert status == 503 and b"<Code>SlowDown</Code>" in body
    for connection in busy:
        connection.send(b"x")
        assert connection.getresponse().status == 200, "a request that is being served is not disturbed"
        connection.close()
    deadline = time.monotonic() + 5
    while get(filled, connect(filled, "127.0.0.9"))[0] != 200:
        assert time.monotonic() < deadline, "there is room again"


def test_half_heads_keep_nobody_out(filled):
    """Their senders are not known, and they may take a minute to arrive."""
    halves = []
    for number in range(CONNECTIONS):
        halves.append(connect(filled, f"127.0.0.{2 + number // PER_ADDRESS}"))
        halves[-1].sock.sendall(b"GET / HTTP/1.1\r\nHost: h\r\na: ")
    others, deadline = [], time.monotonic() + 10
    while len(others) < 4:
        # While the halves are still being accepted, this may be the one that has waited longest.
        other = connect(filled, "127.0.0.9")
        try:
            if get(filled, other)[0] == 200:
                others.append(other)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            pass
        assert time.monotonic() < deadline, "kept out"
    told = readable([half.sock for half in halves])
    left = [half for half in halves if half.sock not in told]
    assert told and left
    for half in halves:
        if half.sock in told:
            answer = half.sock.recv(4096)
            assert answer.startswith(b"HTTP/1.1 503") and b"too many connections" in answer
    # A head is finished on the connection where it began.
    left[-1].sock.sendall(b"\r\n\r\n")
    assert left[-1].sock.recv(12) == b"HTTP/1.1 403"


def test_heads_under_way_are_bounded_in_memory(crowded):
    """1,500 clients send 60 KiB of a head and stop: most are told that there are too many."""
    _, proxy = crowded
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    raw = proxy.raw()
    proxy.memory_peak_reset()
    before = proxy.memory_peak_bytes()
    head = b"GET / HTTP/1.1\r\nHost: h\r\na: " + b"x" * 60_000
    crowd, told = [], []
    for _ in range(1500):
        connection = socket.create_connection((raw.host, raw.port), 20)
        try:
            connection.sendall(head)
        except (BrokenPipeError, ConnectionResetError):
            pass
        crowd.append(connection)
    refused, deadline = 0, time.monotonic() + 20
    while refused <= 900 and time.monotonic() < deadline:
        for connection in readable(crowd):
            try:
                refused += connection.recv(12) == b"HTTP/1.1 503"
            except ConnectionResetError:
                refused += 1
            crowd.remove(connection)
            told.append(connection)
    grown = proxy.memory_peak_bytes() - before
    assert refused > 900, refused
    assert grown < 160 << 20, f"{grown >> 20} MiB"
    assert raw.get("/bucket/x").status == 200, "small heads are taken"
    assert raw.put("/bucket/x", b"y").status == 200
    for connection in (*crowd, *told):
        connection.close()


def readable(connections: list[socket.socket]) -> list[socket.socket]:
    poll = select.poll()
    by_number = {connection.fileno(): connection for connection in connections}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(1000)]


def test_a_body_that_trickles_gives_its_place_back(tmp_path):
    """A client that sends a byte now and then could hold a slot of the writes for ever."""
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store, Settings(
        settle=0, writes=WRITES, writes_per_client=WRITES, body_idle_timeout=2))
    proxy.wait_writable("bucket")
    slow = [Upload(proxy, f"/bucket/slow-{number}", 100_000) for number in range(WRITES)]
    assert [upload.is_waited_for() for upload in slow] == [True] * WRITES, slow[0].finish()
    assert proxy.raw().put("/bucket/x", b"y").code == "SlowDown"
    stop = threading.Event()

    def trickle(upload: Upload) -> None:
        while not stop.wait(0.2):
            try:
                upload.connection.sock.sendall(b"x")
            except OSError:
                return

    pool = ThreadPoolExecutor(WRITES)
    for upload in slow:
        pool.submit(trickle, upload)
    deadline = time.monotonic() + 10
    while proxy.raw().put("/bucket/x", b"y").status != 200:
        assert time.monotonic() < deadline, "the places are held"
        time.sleep(0.1)
    stop.set()
    pool.shutdown()
    proxy.stop()
    store.stop()

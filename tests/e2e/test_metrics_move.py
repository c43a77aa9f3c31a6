"""Every metric moves when what it is about happens: each is provoked here, and the last test looks for one that
never moved."""

from __future__ import annotations

import resource
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from certificates import DAY, Authority
from clients import Wire
from conftest import new_bucket
from proxies import Proxy, Settings
from redis_server import until
from relay import Relay
from scripted import Request, ScriptedStore
from secured import Served
from stores import TRACES_BINARY
from test_lag import GUARDED
from test_listing_memory import LARGE, unread
from test_reload import change, reload

MIB = 1 << 20
KNOWN: set[str] = set()
"""The families of all processes: some are there only where there is something to tell."""
MOVED: set[str] = set()
PLAYED: set[str] = set()
OTHERWISE = {
    "ifmatch_build_info": "is the same as long as the process runs",
    "process_start_time_seconds": "is the same as long as the process runs",
    "ifmatch_backend_contradictions":
        "is set before clients are served; test_what_the_store_does_otherwise_is_told_or_refused reads it",
    "ifmatch_register_clock_jump_seconds":
        "no test sets the machine's clock; a_clock_that_jumps_ends_the_epoch_and_grants_nothing has a clock of its own",
}
if TRACES_BINARY is None:
    OTHERWISE["ifmatch_trace_spans_total"] = "only a build with traces counts them (make traces)"

Samples = dict[str, dict[str, str]]


def samples(proxy: Proxy) -> Samples:
    """The lines of each family."""
    found: Samples = {}
    family: dict[str, str] = {}
    for line in proxy.admin("/metrics")[1].splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            family = found.setdefault(name, {})
        elif not line.startswith("#"):
            sample, _, value = line.rpartition(" ")
            family[sample] = value
    return found


class Watch:
    """What moved in one process since the test began."""

    def __init__(self, proxy: Proxy):
        self.proxy, self.begin = proxy, samples(proxy)

    def look(self) -> None:
        for family, now in samples(self.proxy).items():
            KNOWN.add(family)
            if now != self.begin.get(family, {}):
                MOVED.add(family)

    def until(self, expected: float, name: str, **labels: str) -> None:
        """Waits for this value: what a request did is counted right after its answer."""
        last = [None]

        def is_there() -> bool:
            last[0] = self.proxy.metric(name, **labels)
            return last[0] == expected

        try:
            until(name, is_there, 15)
        except AssertionError:
            raise AssertionError(f"{name}{labels} is {last[0]} and not {expected}") from None
        self.look()

    def more(self, name: str, than: float = 0, **labels: str) -> None:
        until(f"{name}{labels} is more than {than}", lambda: self.proxy.metric(name, **labels) > than)
        self.look()


@pytest.fixture
def watch(request):
    """Watches a proxy for the test that asks."""
    watching: list[Watch] = []

    def begin(proxy: Proxy) -> Watch:
        watching.append(Watch(proxy))
        return watching[-1]

    yield begin
    for each in watching:
        if each.proxy.process.running():
            each.look()
    PLAYED.add(request.node.name)


@pytest.fixture
def start(tmp_path):
    running: list[Proxy] = []

    def make(store, bucket: str = "bucket", backend_url: str | None = None, **settings) -> Proxy:
        wanted = Settings(admin="127.0.0.1:0", **settings)
        proxy = Proxy(tmp_path / str(len(running)), store, wanted, backend_url=backend_url)
        running.append(proxy)
        if wanted.register != "memory:":
            proxy.skip_quarantine()
        proxy.wait_writable(bucket)
        return proxy

    yield make
    for proxy in running:
        proxy.stop()


class Keeping(ScriptedStore):
    """Keeps the ETags of objects. A PUT may be held up, and its answer may be lost, with or without its effect."""

    def __init__(self):
        super().__init__()
        self.etags: dict[str, str] = {}
        self.lost: list[bool] = []
        """Of the next PUTs whose answer is lost: whether each is done."""
        self.hides: set[str] = set()
        """What no HEAD shows."""
        self.go, self.come = threading.Event(), threading.Semaphore(0)
        self.go.set()
        self.answer = self._answered

    def hold(self) -> None:
        self.go.clear()

    def _answered(self, request: Request):
        path = request.target.partition("?")[0]
        if request.method == "PUT":
            self.come.release()
            assert self.go.wait(60)
            loses = bool(self.lost)
            if not loses or self.lost.pop(0):
                self.etags[path] = f'"{len(self.etags)}-{time.monotonic_ns()}"'
            if loses:
                return 500, {}, b""
        if path.count("/") < 2:
            return 200, {}, b""
        if path not in self.etags or path in self.hides:
            return 404, {}, b""
        body = b"" if request.method == "PUT" else b"content"
        return 200, {"ETag": self.etags[path]}, body


@pytest.fixture
def store():
    store = Keeping()
    yield store
    store.go.set()
    store.stop()


# === the store ===


def test_connections_to_the_store(watch, start, store):
    """With one thread a connection is used again by the next request."""
    relay = Relay(store.store.url)
    proxy = start(store.store, backend_url=relay.url, threads=1)
    raw, seen = proxy.raw(), watch(proxy)
    opened = proxy.metric("ifmatch_backend_connecting_total", state="opened")
    reused = proxy.metric("ifmatch_backend_connecting_total", state="reused")
    assert raw.get("/bucket/a").status == 404
    seen.until(reused + 1, "ifmatch_backend_connecting_total", state="reused")
    seen.until(0, "ifmatch_backend_connections_in_use")
    store.hold()
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(raw.put, "/bucket/a", b"x")
        assert store.come.acquire(timeout=30)
        seen.until(1, "ifmatch_backend_connections_in_use")
        store.go.set()
        assert put.result(30).status == 200
    seen.until(0, "ifmatch_backend_connections_in_use")
    relay.refuse()
    relay.cut()
    assert raw.get("/bucket/a").status == 503
    seen.until(0, "ifmatch_backend_up")
    seen.more("ifmatch_backend_connecting_total", state="failed")
    relay.listen()
    assert raw.get("/bucket/a").status == 200
    seen.until(1, "ifmatch_backend_up")
    seen.more("ifmatch_backend_connecting_total", opened, state="opened")
    seen.more("ifmatch_backend_request_seconds_count", operation_class="read")
    relay.close()


def test_a_request_is_sent_again(watch, start, store):
    """The store closes a connection that was kept, in the moment in which a request comes."""
    proxy = start(store.store, threads=1)
    seen = watch(proxy)
    assert proxy.raw().get("/bucket/a").status == 404
    answered, closed = store.answer, []

    def once(request: Request):
        if closed:
            return answered(request)
        closed.append(request)
        raise ConnectionAbortedError("as a server that closes idle connections")

    store.answer = once
    assert proxy.raw().get("/bucket/a").status == 404
    seen.until(1, "ifmatch_backend_resends_total")
    assert closed


def test_nodes_of_the_store(watch, start, store):
    nodes = [Relay(store.store.url) for _ in range(2)]
    proxy = start(store.store, nodes=tuple(node.url for node in nodes))
    seen, dead = watch(proxy), nodes[0]
    for number in range(8):
        assert proxy.raw().put(f"/bucket/{number}", b"x").status == 200
    for node in nodes:
        seen.more("ifmatch_backend_node_requests_total", node=node.url)
    seen.until(1, "ifmatch_backend_node_up", node=dead.url)
    before = proxy.metric("ifmatch_backend_node_changes_total", node=dead.url)
    dead.refuse()
    dead.cut()
    seen.until(0, "ifmatch_backend_node_up", node=dead.url)
    dead.listen()
    seen.until(1, "ifmatch_backend_node_up", node=dead.url)
    seen.until(before + 2, "ifmatch_backend_node_changes_total", node=dead.url)
    for node in nodes:
        node.close()


# === writes ===


def test_what_is_under_way(watch, start, store):
    """One write is at the store, another waits for the same key; then all is at rest."""
    proxy = start(store.store)
    raw, seen = proxy.raw(), watch(proxy)
    waited = proxy.metric("ifmatch_gate_wait_seconds_count")
    store.hold()
    with ThreadPoolExecutor(2) as pool:
        writes = [pool.submit(raw.put, "/bucket/a", body) for body in (b"1", b"2")]
        assert store.come.acquire(timeout=30)
        for kind, count in (("writes", 2), ("requests", 2), ("connections", 2)):
            seen.until(count, "ifmatch_in_flight", kind=kind)
        seen.until(1, "ifmatch_leases")
        seen.until(1, "ifmatch_gate_waiting")
        store.go.set()
        assert [write.result(30).status for write in writes] == [200, 200]
    for kind in ("writes", "requests", "connections"):
        seen.until(0, "ifmatch_in_flight", kind=kind)
    seen.until(0, "ifmatch_leases")
    seen.until(0, "ifmatch_gate_waiting")
    seen.until(waited + 2, "ifmatch_gate_wait_seconds_count")
    seen.more("ifmatch_lease_held_seconds_count")
    half = socket.create_connection((raw.host, raw.port), timeout=30)
    half.sendall(b"POST /bucket HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\n"
                 b"Content-Length: 1000\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n")
    seen.until(1, "ifmatch_in_flight", kind="strangers")
    half.close()
    seen.until(0, "ifmatch_in_flight", kind="strangers")


def test_bodies(watch, start, store):
    """A small one is in memory, a large one on disk, and in the end none is anywhere."""
    proxy = start(store.store)
    raw, seen = proxy.raw(), watch(proxy)
    read, sent = (proxy.metric(name) for name in
                  ("ifmatch_request_bytes_total", "ifmatch_response_bytes_total"))
    for size, where in ((2 * MIB, "ifmatch_body_memory_bytes"), (12 * MIB, "ifmatch_spool_bytes")):
        with Wire(raw, "PUT", "/bucket/large", size) as wire:
            wire.send_body(bytes(size - 1))
            seen.more(where)
            wire.send_body(b"x")
            assert wire.read_answer().status == 200
        seen.until(0, "ifmatch_body_memory_bytes")
        seen.until(0, "ifmatch_spool_bytes")
    seen.until(read + 14 * MIB, "ifmatch_request_bytes_total")
    assert raw.get("/bucket/large").body == b"content"
    seen.until(sent + len(b"content"), "ifmatch_response_bytes_total")


def test_conditions_refusals_and_retries(watch, start, store):
    proxy = start(store.store)
    raw, seen = proxy.raw(), watch(proxy)
    create = {"If-None-Match": "*"}
    first = {**create, "amz-sdk-invocation-id": "one", "amz-sdk-request": "attempt=1"}
    again = {**first, "amz-sdk-request": "attempt=2"}
    assert raw.put("/bucket/a", b"x", headers=first).status == 200
    assert raw.put("/bucket/a", b"x", headers=again).headers["x-ifmatch-replayed"] == "true"
    seen.until(1, "ifmatch_replays_total")
    assert raw.put("/bucket/a", b"y", headers=create).status == 412
    seen.until(1, "ifmatch_refusals_total", by="gate", code="PreconditionFailed")
    seen.until(1, "ifmatch_conditions_total", kind="If-None-Match", verdict="failed")
    seen.until(1, "ifmatch_requests_total", operation="PutObject", outcome="replayed")
    seen.more("ifmatch_request_duration_seconds_count", operation_class="write")
    with socket.create_connection((raw.host, raw.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\nHost: x\n\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    seen.until(1, "ifmatch_rejected_heads_total", why="malformed")


def test_doubts(watch, start, store, redis_server):
    """The answer to a write is lost: it is in doubt until it is seen, judged again or sent again."""
    proxy = start(store.store, register=redis_server.new_database(), writers="exclusive", lease_wait=8)
    raw, seen = proxy.raw(), watch(proxy)
    settled = "ifmatch_doubts_settled_total"
    assert raw.put("/bucket/a", b"0").status == 200
    store.lost, shown = [True], store.etags["/bucket/a"]
    answered = store.answer
    hidden = threading.Event()

    def late(request: Request):
        """What stood there before is shown until the test has seen the doubt."""
        if request.method == "HEAD" and not hidden.is_set():
            return 200, {"ETag": shown}, b""
        return answered(request)

    store.answer = late
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(raw.put, "/bucket/a", b"1")
        seen.until(1, "ifmatch_doubts")
        hidden.set()
        assert put.result(60).status == 200
    seen.until(0, "ifmatch_doubts")
    seen.until(1, settled, how="landed")
    store.lost = [False]
    assert raw.put("/bucket/a", b"2").status == 200
    seen.until(1, settled, how="sent_again")
    store.lost = [False]
    assert raw.put("/bucket/b", b"1", headers={"If-None-Match": "*"}).status == 200
    seen.until(1, settled, how="not_applied")
    store.lost = [False] * 9
    assert raw.put("/bucket/c", b"1").status == 503
    seen.until(1, settled, how="unknown")


# === the register ===


def test_the_register(watch, start, store, own_redis):
    [relay], url = own_redis.relayed(own_redis.new_database())
    proxy = start(store.store, register=url, settle=2)
    raw, seen = proxy.raw(), watch(proxy)
    seen.until(1, "ifmatch_register_up")
    age = proxy.metric("ifmatch_epoch_age_seconds")
    seen.more("ifmatch_epoch_age_seconds", age)
    store.hold()
    with ThreadPoolExecutor(1) as pool:
        put = pool.submit(raw.put, "/bucket/a", b"x")
        assert store.come.acquire(timeout=30)
        seen.until(1, "ifmatch_register_leases")
        store.go.set()
        assert put.result(30).status == 200
    seen.until(0, "ifmatch_register_leases")
    seen.more("ifmatch_register_step_seconds_count", step="acquire", result="ok")
    relay.refuse()
    relay.cut()
    assert raw.put("/bucket/a", b"x").status == 503
    seen.more("ifmatch_register_failures_total", why="unreachable")
    seen.until(0, "ifmatch_register_up")
    relay.listen()
    seen.until(1, "ifmatch_register_up")
    until("writes are taken again", lambda: raw.put("/bucket/a", b"x").status == 200)
    seen.more("ifmatch_register_reconnects_total")
    own_redis.flush_all()
    seen.more("ifmatch_quarantine_seconds")
    seen.until(0, "ifmatch_quarantine_seconds")
    relay.close()


def test_a_store_that_shows_what_was_before(watch, start, store, redis_server):
    """First without being told of a lag, then although it was told of a short one."""
    create = {"If-None-Match": "*"}
    untold = start(store.store, register=redis_server.new_database(), writers="exclusive")
    seen = watch(untold)
    assert untold.raw().put("/bucket/a", b"x", headers=create).status == 200
    store.hides.add("/bucket/a")
    untold.raw().put("/bucket/a", b"y", headers=create)
    seen.until(1, "ifmatch_store_stale_heads_total", shows="absent")
    seen.until(1, "ifmatch_store_lag_seconds_count")
    untold.stop()
    told = start(store.store, register=redis_server.new_database(), writers="exclusive", lag=0.01)
    seen = watch(told)
    assert told.raw().put("/bucket/b", b"x", headers=create).status == 200
    store.hides.add("/bucket/b")
    until("it is an alarm", lambda: told.raw().put("/bucket/b", b"y", headers=create) and
          told.metric("ifmatch_alarms_total", which="lag_exceeded") > 0)
    seen.look()


def test_guarded_reads_and_listings(watch, start, store_named, redis_server):
    store = store_named("embedded")
    bucket = new_bucket(store)
    proxy = start(store, bucket, register=redis_server.new_database(), writers="exclusive", lag=0.5,
                  rules='[[rule]]\nbuckets = ["*"]\nconsistency = "guarded"\n')
    raw, seen = proxy.raw(), watch(proxy)
    assert raw.put(f"/{bucket}/a", b"x").status == 200
    assert raw.get(f"/{bucket}/a").headers["x-ifmatch-consistency"] == "guarded"
    seen.until(1, "ifmatch_guarded_reads_total", outcome="first")
    assert raw.get(f"/{bucket}?list-type=2").status == 200
    until("a page is counted", lambda: sum(
        proxy.metric("ifmatch_guarded_listings_total", outcome=outcome)
        for outcome in ("passed", "merged")) == 1)
    seen.look()


def test_memory_of_guarded_listings(watch, start, store):
    proxy = start(store.store, writers="exclusive", lag=0.5, rules=GUARDED, listing_memory="80MiB")
    store.answer = lambda _: (200, {"Content-Type": "application/xml"}, LARGE)
    seen = watch(proxy)
    with unread(proxy, "large"):
        seen.until(10 * len(LARGE), "ifmatch_listing_memory_bytes")
    seen.until(0, "ifmatch_listing_memory_bytes")
    change(proxy, ('listing_memory = "80MiB"', 'listing_memory = "96MiB"'))
    assert "limits.listing_memory" in reload(proxy)[-1]["changed"]
    seen.until(96 * MIB, "ifmatch_listing_memory_limit_bytes")


# === TLS, settings, the process ===


def test_tls(watch, start, store, tmp_path):
    authority = Authority(tmp_path / "authority")
    shown = authority.sign("listener")
    proxy = start(store.store, rules=f'[tls]\nlisten = "127.0.0.1:0"\nreload_interval = "100ms"\n{shown.tables()}')
    served = Served(proxy, proxy.process.wait_for_line(r"^listening on (https://\S+)")[1])
    seen = watch(proxy)
    context = ssl.create_default_context(cafile=str(authority.file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = None
    for _ in range(2):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", served.port), timeout=30),
                                 server_hostname="localhost", session=session) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 403")
            session = connection.session
    seen.until(2, "ifmatch_tls_handshake_seconds_count")
    seen.until(1, "ifmatch_tls_resumptions_total")
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(4096)
    seen.until(1, "ifmatch_tls_handshake_failures_total", reason="plain_http")
    expiry = {"use": "listener", "file": str(shown.cert)}
    before = proxy.metric("ifmatch_tls_certificate_expiry_timestamp_seconds", **expiry)
    later = Authority(tmp_path / "later").sign("later", lasts=100 * DAY)
    shown.replace(later)
    seen.more("ifmatch_tls_certificate_expiry_timestamp_seconds", before + DAY.total_seconds(), **expiry)
    shown.cert.write_text("half of one")
    seen.more("ifmatch_tls_reload_failures_total", use="listener")


def test_limits_that_a_reload_changes(watch, start, store):
    proxy = start(store.store, body_spool="1GiB")
    seen = watch(proxy)
    loaded = proxy.metric("ifmatch_config_last_reload_success_timestamp_seconds")
    until("a second has passed", lambda: time.time() > loaded + 1)
    change(proxy, ('memory = "64MiB"', 'memory = "32MiB"'), ('spool = "1GiB"', 'spool = "2GiB"'),
           ("connections = 16384", "connections = 99"), ('max = "5GiB"', 'max = "1GiB"'))
    assert "body.memory" in reload(proxy)[-1]["changed"]
    seen.until(32 * MIB, "ifmatch_body_memory_limit_bytes")
    seen.until(2048 * MIB, "ifmatch_spool_limit_bytes")
    seen.until(99, "ifmatch_in_flight_limit", kind="connections")
    seen.more("ifmatch_config_last_reload_success_timestamp_seconds", loaded)


def test_the_process(watch, start, store):
    proxy = start(store.store, body_memory_per_body="32MiB")
    raw, seen = proxy.raw(), watch(proxy)
    values = {name: proxy.metric(name) for name in (
        "process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
        "process_open_fds")}
    held = [socket.create_connection((raw.host, raw.port), timeout=30) for _ in range(20)]
    seen.more("process_open_fds", values["process_open_fds"] + 19)
    with Wire(raw, "PUT", "/bucket/large", 30 * MIB) as wire:
        wire.send_body(bytes(30 * MIB - 1))
        seen.more("process_resident_memory_bytes", values["process_resident_memory_bytes"] + 20 * MIB)
        seen.look()
        wire.send_body(b"x")
        assert wire.read_answer().status == 200

    def works() -> bool:
        raw.put("/bucket/small", b"x" * 1000)
        return proxy.metric("process_cpu_seconds_total") > values["process_cpu_seconds_total"]

    until("it takes time of a processor", works)
    tasks = Path(f"/proc/{proxy.process.pid}/task")
    until("all threads are counted",
          lambda: proxy.metric("process_threads") == len(list(tasks.iterdir())))
    soft, hard = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (soft - 7, hard - 7))
    seen.until(hard - 7, "process_max_fds")
    for each in held:
        each.close()


@pytest.mark.skipif(TRACES_BINARY is None, reason="there is no build with traces (make traces)")
def test_spans(watch, start, store):
    from collector import Collector

    collector = Collector()
    proxy = start(store.store, traces=f'endpoint = "{collector.url}"\nsample_ratio = 1.0')
    seen, exported = watch(proxy), {"result": "exported"}
    before = proxy.metric("ifmatch_trace_spans_total", **exported)
    assert proxy.raw().put("/bucket/a", b"x").status == 200
    seen.more("ifmatch_trace_spans_total", before, **exported)
    collector.stop()


def test_every_family_has_moved_or_has_a_reason(request):
    """The tests above have moved each of them."""
    here = {name for name, found in globals().items()
            if name.startswith("test_") and callable(found)} - {request.node.name}
    if TRACES_BINARY is None:
        here.discard("test_spans")
    if PLAYED != here:
        pytest.skip(f"not all of the others have run: {sorted(here - PLAYED)}")
    assert len(KNOWN) > 50
    still = KNOWN - MOVED
    assert still == set(OTHERWISE), f"never moved: {still - set(OTHERWISE)}; moved: {set(OTHERWISE) - still}"

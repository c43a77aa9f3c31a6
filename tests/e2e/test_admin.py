"""The admin listener: health checks, metrics, and what operators may do."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import redis

from conftest import new_bucket
from processes import NotReady, free_ports
from proxies import ADMIN_TOKEN, CLIENT_SECRET, Proxy, Settings, in_front_of
from redis_server import until
from scripted import ScriptedStore

LISTENING = Settings(admin="127.0.0.1:0")
TOLD = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
SERIES_MAX = 1_500


@pytest.fixture
def start(tmp_path):
    """Starts proxies that end with the test."""
    running: list[Proxy] = []

    def make(store, settings: Settings = LISTENING, **more) -> Proxy:
        proxy = Proxy(tmp_path / str(len(running)), store, settings, **more)
        running.append(proxy)
        return proxy

    yield make
    for proxy in running:
        proxy.stop()


def status_of(proxy: Proxy, target: str) -> int:
    return proxy.admin(target)[0]


# === health ===


def test_reads_are_ready_during_a_quarantine_and_writes_after_it(start, store):
    proxy = start(store.store, replace(LISTENING, settle=3))
    assert proxy.admin("/livez") == (200, "ok\n")
    assert proxy.admin("/healthz") == (200, "ok\n")
    assert proxy.admin("/readyz") == (200, "ok\n")
    status, why = proxy.admin("/readyz?writes=1")
    assert status == 503 and "grants no lease" in why, why
    assert proxy.metric("ifmatch_quarantine_seconds") > 0
    until("the quarantine ends", lambda: status_of(proxy, "/readyz?writes=1") == 200)
    assert proxy.metric("ifmatch_quarantine_seconds") == 0
    assert proxy.admin("/readyz?writes=1&verbose") == (
        200, "ok: serving\nok: register\nok: quarantine\n")


def test_a_register_that_is_gone_makes_only_writes_unready(start, store, own_redis):
    proxy = start(store.store, replace(LISTENING, register=own_redis.new_database()))
    proxy.skip_quarantine()
    until("writes are ready", lambda: status_of(proxy, "/readyz?writes=1") == 200)
    assert proxy.metric("ifmatch_register_up") == 1
    own_redis.process.kill9()
    until("that is noticed", lambda: status_of(proxy, "/readyz?writes=1") == 503)
    assert "cannot be reached" in proxy.admin("/readyz?writes=1")[1]
    assert proxy.admin("/readyz") == (200, "ok\n")
    assert proxy.metric("ifmatch_register_up") == 0


def test_the_store_counts_only_where_it_is_asked_for(start):
    store = ScriptedStore()
    proxy = start(store.store)
    assert status_of(proxy, "/readyz?store=1") == 200
    store.stop()
    until("that is noticed", lambda: status_of(proxy, "/readyz?store=1") == 503)
    assert "store" in proxy.admin("/readyz?store=1")[1]
    assert proxy.admin("/readyz") == (200, "ok\n")


def test_a_process_that_is_told_to_stop_is_unready_at_once_and_still_accepts(start, store):
    proxy = start(store.store, replace(LISTENING, shutdown_delay=3))
    proxy.process.signal(signal.SIGTERM)
    until("it is unready", lambda: status_of(proxy, "/readyz") == 503)
    assert proxy.admin("/readyz") == (503, "not ok: serving: the process is stopping\n")
    assert status_of(proxy, "/livez") == 200
    assert proxy.raw().get("/bucket/key").status == 200, "a new connection is accepted"
    assert proxy.process.child.wait(10) == 0


def test_a_second_signal_ends_the_delay(start, store):
    proxy = start(store.store, replace(LISTENING, shutdown_delay=60))
    proxy.process.signal(signal.SIGTERM)
    until("it is unready", lambda: status_of(proxy, "/readyz") == 503)
    proxy.process.signal(signal.SIGTERM)
    assert proxy.process.child.wait(10) == 0


def test_the_command_asks_for_the_health(start, store):
    port = free_ports(1)[0]
    proxy = start(store.store, replace(LISTENING, admin=f"127.0.0.1:{port}", settle=30,
                                       settle_long=30))
    assert proxy.admin_address[1] == port
    ready = proxy.command("health", "--config", str(proxy.config))
    assert (ready.returncode, ready.stdout) == (0, "ok: serving\n"), ready
    url = f"http://localhost:{port}"
    writes = proxy.command("health", "--writes", "--url", url)
    assert writes.returncode == 1 and "grants no lease" in writes.stderr, writes
    assert proxy.stop() == 0
    gone = proxy.command("health", "--url", url)
    assert gone.returncode == 1 and "no answer" in gone.stderr, gone
    assert proxy.command("health", "--url", "ftp://x").returncode == 2


def test_it_is_alive_while_every_limit_is_reached(start, store):
    """Requests wait for the store: no connection and no write more is taken at the clients' port."""
    go, come = threading.Event(), threading.Semaphore(0)

    def stalled(_):
        come.release()
        assert go.wait(60)
        return 200, {"ETag": '"e"'}, b""

    proxy = start(store.store, replace(LISTENING, connections=4, writes=2, writes_per_client=2))
    proxy.wait_writable("bucket")
    raw = proxy.raw()
    store.answer = stalled
    with ThreadPoolExecutor(4) as pool:
        try:
            asked = [pool.submit(raw.put, f"/bucket/{number}", b"x")
                     for number in range(2)]
            asked += [pool.submit(raw.get, f"/bucket/{number}") for number in range(2)]
            for _ in asked:
                assert come.acquire(timeout=30)
            refused = raw.get("/bucket/one-too-many")
            assert (refused.status, refused.code) == (503, "SlowDown")
            for kind, most in (("connections", 4), ("writes", 2)):
                assert proxy.metric("ifmatch_in_flight", kind=kind) == most
                assert proxy.metric("ifmatch_in_flight_limit", kind=kind) == most
            began = time.monotonic()
            for target in ("/livez", "/healthz", "/readyz"):
                assert proxy.admin(target) == (200, "ok\n")
            assert time.monotonic() - began < 5
        finally:
            go.set()
        assert [each.result(60).status for each in asked] == [200] * 4


def test_paths_of_the_admin_listener_are_buckets_like_any_other(start, store):
    """At the clients' port: there they belong to who owns such a bucket."""
    proxy = start(store.store)
    proxy.wait_writable("bucket")
    raw = proxy.raw()
    for name in ("livez", "readyz", "healthz", "metrics", "config", "status.json"):
        store.take()
        assert raw.put(f"/{name}/key", b"x").status == 200
        assert raw.get(f"/{name}").status == 200
        assert {(each.method, each.target.partition("?")[0]) for each in store.take()} >= {
            ("PUT", f"/{name}/key"), ("GET", f"/{name}")}
        strangers = http.client.HTTPConnection(raw.host, raw.port, timeout=30)
        strangers.request("GET", f"/{name}")
        answer = strangers.getresponse()
        assert answer.status == 403 and b"<Code>AccessDenied</Code>" in answer.read()
        assert store.take() == [], "nobody has signed it"
        strangers.close()


# === who may read, and do what ===


def test_a_page_of_another_site_reads_nothing(start, store):
    proxy = start(store.store)
    for target in ("/", "/metrics", "/status.json", "/config"):
        assert status_of(proxy, target) == 200
        assert proxy.admin(target, Host="evil.example")[0] == 421
    assert proxy.admin("/readyz", Host="evil.example")[0] == 200
    status, _ = proxy.admin("/drain", "POST")
    assert status == 403, "there is no token"


def test_what_changes_something_needs_the_token(start, store):
    proxy = start(store.store, replace(LISTENING, admin_token=True))
    assert proxy.admin("/log-level", "POST", b"debug")[0] == 401
    assert proxy.admin("/log-level", "POST", b"debug", Authorization="Bearer no")[0] == 401
    assert proxy.admin("/log-level", "POST", b"error", **TOLD) == (200, "log.level is now error\n")
    assert proxy.admin("/log-level", "POST", b"info\n", **TOLD)[0] == 200
    # Each change is told by a warning, as far as the new level lets it.
    proxy.process.wait_for_line('changed the level of the log","directives":"info"')
    assert '"directives":"error"' not in "".join(proxy.process.lines)
    status, why = proxy.admin("/log-level", "POST", b"info,=x=y", **TOLD)
    assert status == 400 and "log.level" in why, why
    assert proxy.admin("/log-level", "POST", b"x" * 5000, **TOLD)[0] == 400
    assert proxy.admin("/drain", "GET", **TOLD)[0] == 405
    assert proxy.admin("/drain", "POST", **TOLD)[0] == 202
    assert proxy.process.child.wait(10) == 0


def test_the_configuration_is_read_again(start, store):
    proxy = start(store.store, replace(LISTENING, admin_token=True))
    loaded = "ifmatch_config_last_reload_success_timestamp_seconds"
    before = proxy.metric(loaded)
    assert proxy.admin("/reload", "POST")[0] == 401
    whole = proxy.config.read_text()
    proxy.config.write_text(whole.replace('dialect = "aws"', 'dialect = "rfc"'))
    until("a second has passed", lambda: time.time() > before + 1)
    status, text = proxy.admin("/reload", "POST", **TOLD)
    assert (status, json.loads(text)) == (200, {"applied": ["dialect"], "needs_restart": []})
    assert proxy.metric(loaded) > before
    assert 'dialect = "rfc"' in proxy.admin("/config")[1]
    proxy.config.write_text(whole.replace('dialect = "aws"', 'dialect = "none"'))
    status, text = proxy.admin("/reload", "POST", **TOLD)
    assert status == 422 and "dialect" in text, text
    assert 'dialect = "rfc"' in proxy.admin("/config")[1]


def test_other_machines_see_the_health_and_the_rest_with_the_token(start, store):
    warned = start(store.store, replace(LISTENING, admin="0.0.0.0:0"))
    warned.process.wait_for_line("only health checks are answered there")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        # Nothing is sent: this only asks the kernel for this machine's own address.
        outward.connect(("192.0.2.1", 9))
        own = outward.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("this machine has no address but its own")

    def asked(proxy: Proxy, target: str, **headers: str) -> int:
        connection = http.client.HTTPConnection(own, proxy.admin_address[1], timeout=30)
        connection.request("GET", target, headers=headers)
        status = connection.getresponse().status
        connection.close()
        return status

    assert (asked(warned, "/readyz"), asked(warned, "/metrics")) == (200, 403)
    told = start(store.store, replace(LISTENING, admin="0.0.0.0:0", admin_token=True))
    assert (asked(told, "/readyz"), asked(told, "/metrics")) == (200, 401)
    assert asked(told, "/metrics", **TOLD) == 200


def test_no_secret_and_no_old_answer_is_shown(start, store):
    proxy = start(store.store, replace(LISTENING, admin_token=True))
    connection = http.client.HTTPConnection(*proxy.admin_address, timeout=30)
    for target in ("/config", "/status.json", "/metrics"):
        connection.request("GET", target)
        answer = connection.getresponse()
        text = answer.read().decode()
        for secret in (CLIENT_SECRET, ADMIN_TOKEN, store.store.secret_key):
            assert secret not in text
        assert answer.getheader("cache-control") == "no-store"
        assert answer.getheader("x-content-type-options") == "nosniff"
        assert answer.getheader("content-security-policy") == "default-src 'none'"
        connection.close()
    status = json.loads(proxy.admin("/status.json")[1])
    assert (status["phase"], status["pid"]) == ("serving", proxy.process.pid)
    assert 'lease = "2s"' in proxy.admin("/config")[1]


# === limits ===


def test_a_slow_client_holds_nothing_and_not_for_long(start, store):
    proxy = start(store.store)
    slow = [socket.create_connection(proxy.admin_address) for _ in range(20)]
    for connection in slow:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-")
    assert status_of(proxy, "/livez") == 200
    for connection in slow:
        connection.settimeout(20)
        # An answer 408, or nothing; then the end.
        while connection.recv(4096):
            pass
        connection.close()
    assert status_of(proxy, "/livez") == 200


def test_a_head_that_is_too_large_is_refused(start, store):
    proxy = start(store.store)
    with socket.create_connection(proxy.admin_address, timeout=20) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 70_000)
        try:
            answer = connection.recv(4096)
        except ConnectionResetError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431"), answer
    assert status_of(proxy, "/livez") == 200


def test_more_connections_than_there_may_be_are_closed_and_the_rest_served(start, store):
    proxy = start(store.store)
    address = proxy.admin_address
    held = [socket.create_connection(address) for _ in range(80)]
    closed = 0
    for connection in held[64:]:
        connection.settimeout(5)
        try:
            closed += connection.recv(1) == b""
        except ConnectionResetError:
            closed += 1
    assert closed == 16
    for connection in held:
        connection.close()
    until("there is room again", lambda: answers(proxy))


def answers(proxy: Proxy) -> bool:
    try:
        return status_of(proxy, "/livez") == 200
    except (OSError, http.client.HTTPException):
        return False


# === the port ===


def test_a_port_that_is_taken_is_told_in_a_sentence(start, store):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(NotReady) as refused:
            start(store.store, replace(LISTENING, admin=f"127.0.0.1:{port}"))
    told = str(refused.value)
    assert "ended with 1" in told, told
    assert f"the admin listener cannot listen on 127.0.0.1:{port}" in told, told
    assert "Choose another with admin.listen" in told


def test_the_admin_port_goes_to_the_new_process_too(start, store, redis_server, tmp_path):
    port = free_ports(1)[0]
    settings = replace(LISTENING, admin=f"127.0.0.1:{port}", register=redis_server.new_database(),
                       upgrade_socket=tmp_path / "private" / "upgrade.sock")
    old = start(store.store, settings, name="old")
    assert json.loads(old.admin("/status.json")[1])["pid"] == old.process.pid
    new = start(store.store, settings, name="new", arguments=("--upgrade",))
    assert new.admin_address[1] == port
    status = json.loads(new.admin("/status.json")[1])
    assert (status["pid"], status["phase"]) == (new.process.pid, "serving")
    assert new.admin("/readyz")[0] == 200
    assert old.process.child.wait(10) == 0


# === metrics ===


def test_a_scrape_asks_neither_the_store_nor_redis(start, store, own_redis):
    """Between two surveys of the register, which come every third of a lease."""
    settings = replace(LISTENING, register=own_redis.new_database(), lease=90, settle=90,
                       settle_long=90)
    proxy = start(store.store, settings)
    with redis.Redis(port=own_redis.port) as asked:
        def commands() -> int:
            return asked.info("stats")["total_commands_processed"]

        proxy.admin("/metrics")
        store.take()
        before = commands()
        between = commands() - before
        for _ in range(20):
            for target in ("/", "/metrics", "/status.json", "/config", "/readyz?writes=1",
                           "/livez"):
                proxy.admin(target)
        assert commands() - before - between == between
    assert store.take() == []


def test_requests_writes_and_refusals_are_counted(store_named, tmp_path, redis_server):
    store = store_named("embedded")
    bucket = new_bucket(store)
    settings = replace(LISTENING, register=redis_server.new_database())
    proxy = in_front_of(store, bucket, tmp_path, settings)
    try:
        raw = proxy.raw()
        assert raw.put(f"/{bucket}/a", b"12345", headers={"If-None-Match": "*"}).status == 200
        assert raw.put(f"/{bucket}/a", b"2", headers={"If-None-Match": "*"}).status == 412
        assert raw.get(f"/{bucket}/a").status == 200
        assert raw.get(f"/{bucket}/missing").status == 404
        assert proxy.raw(secret_key="wrong").get(f"/{bucket}/a").status == 403
        assert proxy.raw("readerkey", "reader-secret-0123456789").put(
            f"/{bucket}/a", b"3").status == 403
        for expected, name, labels in [
            (2, "ifmatch_requests_total", {"operation": "PutObject", "outcome": "refused"}),
            (1, "ifmatch_refusals_total", {"by": "gate", "code": "PreconditionFailed"}),
            (1, "ifmatch_refusals_total", {"by": "store", "code": "NoSuchKey"}),
            (1, "ifmatch_refusals_total", {"by": "signature", "code": "SignatureDoesNotMatch"}),
            (1, "ifmatch_refusals_total", {"by": "access", "code": "AccessDenied"}),
            (1, "ifmatch_conditions_total", {"kind": "If-None-Match", "verdict": "held"}),
            (1, "ifmatch_conditions_total", {"kind": "If-None-Match", "verdict": "failed"}),
            (1, "ifmatch_backend_up", {}),
            (0, "ifmatch_leases", {}),
            (0, "ifmatch_doubts", {}),
        ]:
            # The line of a request is written, and the request counted, after its answer.
            until(f"{name} {labels} {proxy.metric(name, **labels)}",
                  lambda: proxy.metric(name, **labels) == expected)
        put = {"operation": "PutObject", "outcome": "ok"}
        # Its bucket was found to be writable before.
        until("each write is counted",
              lambda: proxy.metric("ifmatch_requests_total", **put) == 2)
        assert proxy.metric("ifmatch_gate_wait_seconds_count") >= 2
        assert proxy.metric("ifmatch_lease_held_seconds_count") >= 2
        assert proxy.metric("ifmatch_request_bytes_total") >= 6
        assert proxy.metric("ifmatch_register_step_seconds_count", step="acquire", result="ok") >= 2
        assert proxy.metric("ifmatch_backend_request_seconds_count", operation_class="write") >= 1
        assert proxy.metric("ifmatch_epoch_age_seconds") > 0
        assert proxy.metric("process_open_fds") > 5
        assert abs(proxy.metric("process_start_time_seconds") - time.time()) < 120
        assert abs(proxy.metric("ifmatch_config_last_reload_success_timestamp_seconds")
                   - time.time()) < 120
    finally:
        proxy.stop()


def test_a_head_that_cannot_be_read_is_counted(start, store):
    proxy = start(store.store)
    raw = proxy.raw()
    with socket.create_connection((raw.host, raw.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\nHost: x\n\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    until("it is counted",
          lambda: proxy.metric("ifmatch_rejected_heads_total", why="malformed") == 1)


def test_openmetrics_for_whom_asks_for_it(start, store):
    proxy = start(store.store)
    plain = proxy.admin("/metrics")[1]
    open_metrics = proxy.admin("/metrics", Accept="application/openmetrics-text")[1]
    assert open_metrics.endswith("# EOF\n") and "# EOF" not in plain
    assert "# UNIT ifmatch_gate_wait_seconds seconds" in open_metrics


OPERATIONS = [
    (method, target) for method in ("GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS")
    for target in ("/", "/bucket", "/bucket/{key}", "/bucket/{key}?versionId=v",
                   *(f"/bucket/{{key}}?{name}" for name in (
                       "acl", "tagging", "retention", "legal-hold", "torrent", "attributes",
                       "uploads", "uploadId=u", "uploadId=u&partNumber=1", "restore",
                       "select&select-type=2", "append", "renameObject", "annotation", "odd")),
                   *(f"/bucket?{name}" for name in (
                       "acl", "cors", "delete", "lifecycle", "location", "policy", "replication",
                       "session", "tagging", "uploads", "versioning", "versions", "list-type=2",
                       "odd")))
]


def test_there_are_few_series_whatever_clients_ask(start, store):
    answers = [(200, {"ETag": '"e"'}, b""), (404, {}, b""), (503, {}, b""), (304, {}, b""),
               (400, {}, b"<Error><Code>AStoresOwnCode</Code></Error>")]
    store.answer = lambda request: (
        answers[0] if "writable" in request.target else answers[len(request.target) % 5])
    proxy = start(store.store, replace(LISTENING, lease_wait=0.1,
                                       log_level="error,ifmatch::admin=info"))
    proxy.wait_writable("bucket")

    def ask(client: int) -> None:
        raw = (proxy.raw() if client % 3 else proxy.raw(f"stranger-{client}", "secret"))
        for number, (method, target) in enumerate(OPERATIONS):
            target = target.format(key=f"key-{client}-{number}" + "x" * (client % 5))
            condition = {"If-None-Match": "*"} if number % 2 and method == "PUT" else {}
            raw.request(method, target, headers=condition)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    text = proxy.admin("/metrics")[1]
    series = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(series) < SERIES_MAX
    assert not re.search(r"key-\d|stranger-\d|AStoresOwnCode", text)
    operations = {line.split('operation="')[1].split('"')[0] for line in series
                  if line.startswith("ifmatch_requests_total")}
    assert len(operations) > 35, operations

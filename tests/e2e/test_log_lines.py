"""One line per request, with what a person wants to know."""

from __future__ import annotations

import http.client
import os
import re
import resource
import socket
import struct
import time

import pytest

from clients import UNSIGNED
from conftest import new_bucket
from listener import accept_each
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings, in_front_of
from stores import Store

FIELDS = {"operation", "bucket", "key", "status", "outcome", "decided_by", "waited_ms", "held_ms"}


@pytest.mark.parametrize("register", ["memory", "redis"])
def test_a_write_tells_who_decided_and_how_long_it_took(front_on, register):
    front = front_on("embedded", register)
    key = front.new_key("logged/with a space")
    path = front.path(key.replace(" ", "%20"))
    front.raw.put(path, b"1", headers={"If-None-Match": "*"})
    landed = front.proxy.request_logged(key=key, status=200)
    assert landed.keys() >= FIELDS, landed
    assert (landed["operation"], landed["bucket"]) == ("PutObject", front.bucket)
    assert landed["decided_by"] in ("gate", "backend")
    assert float(landed["waited_ms"]) >= 0 and float(landed["held_ms"]) > 0
    front.raw.put(path, b"2", headers={"If-None-Match": "*"})
    refused = front.proxy.request_logged(key=key, status=412)
    assert refused["decided_by"] in ("early", "gate")
    assert refused["code"] == "PreconditionFailed"
    front.raw.delete(path)
    deleted = front.proxy.request_logged(key=key, status=204)
    assert deleted["operation"] == "DeleteObject"


# === clients that hang up, and stores that do ===

CHUNK = 64 * 1024
ANNOUNCED = 64 * 1024 * 1024
"""More than the sockets on the way hold: the sender notices that it is not read."""


class RawStore:
    """Sends what the test tells it to, byte by byte, and ends each connection then."""

    def __init__(self):
        self.says: bytes = b""
        self.goes_on = False
        """Whether it sends on until it is not read any more."""
        self._listener = accept_each(self._serve)
        self.store = Store("raw", f"http://127.0.0.1:{self._listener.getsockname()[1]}", "k", "s")

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests:
            head = []
            while (line := requests.readline()).strip():
                head.append(line)
            length = [int(line.split(b":")[1]) for line in head
                      if line.lower().startswith(b"content-length:")]
            try:
                requests.read(length[0] if length else 0)
            except ConnectionResetError:
                return
            answer = (b"HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 0\r\n"
                      b"Connection: close\r\n\r\n")
            is_read = head and head[0].startswith(b"GET /bucket")
            try:
                connection.sendall(self.says if is_read else answer)
                while is_read and self.goes_on:
                    connection.sendall(b"x" * CHUNK)
            except OSError:
                pass

    def stop(self) -> None:
        self._listener.close()


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    store = RawStore()
    proxy = Proxy(tmp_path_factory.mktemp("raw"), store.store, Settings(settle=0))
    proxy.wait_writable("bucket")
    yield store, proxy
    assert proxy.stop() == 0
    store.stop()


def connected(proxy, method: str, target: str, version: str = "HTTP/1.1", body: bytes = b"",
              **headers: str) -> socket.socket:
    """A connection on which a signed request has been sent."""
    raw = proxy.raw()
    signed = raw.signed(method, target, payload=UNSIGNED)
    lines = [f"{method} {target} {version}", *(f"{n}: {v}" for n, v in signed.items()),
             *(f"{n.replace('_', '-')}: {v}" for n, v in headers.items())]
    connection = socket.create_connection((raw.host, raw.port), 20)
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return connection


def hang_up(connection: socket.socket, how: str) -> None:
    if how == "RST":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def no_fault(proxy, mark: int) -> None:
    loud = [line for line in proxy.process.lines[mark:] if '"level":"ERROR"' in line
            or '"level":"WARN"' in line]
    assert not loud, loud


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_hangs_up_in_an_answer_is_one_quiet_line(raw, how, framing):
    store, proxy = raw
    mark, key = len(proxy.process.lines), f"{how}-{framing}"
    store.goes_on = framing == "length"
    if framing == "length":
        store.says = f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 40}\r\n\r\n".encode()
    else:
        store.says = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      + (b"10000\r\n" + b"x" * 65536 + b"\r\n") * 1024)
    connection = connected(proxy, "GET", f"/bucket/{key}")
    assert connection.recv(1024).startswith(b"HTTP/1.1 200")
    hang_up(connection, how)
    line = proxy.request_logged(key=key, timeout=20)
    assert (line["outcome"], line["status"], line["level"]) == ("client gone", 200, "INFO")
    store.goes_on = False
    no_fault(proxy, mark)


@pytest.mark.parametrize("how", ["FIN", "RST"])
@pytest.mark.parametrize("what", ["body", "part", "when told to go on", "batch"])
def test_a_client_that_hangs_up_in_its_body_is_one_quiet_line(raw, how, what):
    _, proxy = raw
    mark = len(proxy.process.lines)
    key = f"{how}-{what}".replace(" ", "-")
    query = "?partNumber=1&uploadId=u" if what == "part" else ""
    length = {"Content_Length": "100000"}
    if what == "batch":
        connection = connected(proxy, "POST", "/bucket?delete", body=b"<Delete>", **length,
                               Content_MD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    elif what == "when told to go on":
        connection = connected(proxy, "PUT", f"/bucket/{key}", **length, Expect="100-continue")
        assert connection.recv(1024).startswith(b"HTTP/1.1 100")
    else:
        connection = connected(proxy, "PUT", f"/bucket/{key}{query}", body=b"x" * 1000, **length)
    time.sleep(0.1)  # what was sent is being read
    hang_up(connection, how)
    wanted = {"operation": "DeleteObjects"} if what == "batch" else {"key": key}
    deadline = time.monotonic() + 20
    while not (found := [line for line in proxy.requests_logged()
                         if all(line.get(n) == v for n, v in wanted.items())]):
        assert time.monotonic() < deadline, "no line"
        time.sleep(0.05)
    assert [line["outcome"] for line in found[-1:]] == ["client gone"], found
    no_fault(proxy, mark)


BROKEN_OFF = {
    "before its length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 50,
    "a long one": f"HTTP/1.1 200 OK\r\nContent-Length: {ANNOUNCED}\r\n\r\n".encode() + b"x" * 500_000,
    "in a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + b"x" * 50,
    "before the last chunk":
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n",
    "with a last chunk that is none":
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32\r\n" + b"x" * 50 + b"\r\n\r\n\r\n",
    "with an extension that hides a line":
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n32;a\nb\r\n" + b"x" * 50
        + b"\r\n0\r\n\r\n",
}
NOT_BEGUN = {
    "before anything": b"HTTP/1.1 200 OK\r\nETag: ",
    "after its head": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "in the size of its first chunk":
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n32;a\nb\r\n" + b"x" * 50,
}


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_an_answer_that_the_store_breaks_off_is_broken_off(raw, name):
    """The client notices, whatever the framing; and the log does not say "ok"."""
    store, proxy = raw
    key = "broken-" + name.replace(" ", "-")
    store.says = BROKEN_OFF[name]
    with connected(proxy, "GET", f"/bucket/{key}") as connection:
        response = http.client.HTTPResponse(connection, method="GET")
        response.begin()
        assert response.status == 200
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            response.read()
    line = proxy.request_logged(key=key)
    assert (line["outcome"], line["status"]) == ("store broke off", 200), line


@pytest.mark.parametrize("name", NOT_BEGUN)
def test_an_answer_that_the_store_breaks_off_before_its_content_is_an_error(raw, name):
    """The client has seen nothing of it, and gets an answer that it can act upon."""
    store, proxy = raw
    key = "begun-" + name.replace(" ", "-")
    store.says = NOT_BEGUN[name]
    with connected(proxy, "GET", f"/bucket/{key}") as connection:
        response = http.client.HTTPResponse(connection, method="GET")
        response.begin()
        assert response.status == 503 and b"ServiceUnavailable" in response.read()
    line = proxy.request_logged(key=key)
    assert (line["outcome"], line["status"]) == ("failed", 503), line


@pytest.mark.parametrize("name", BROKEN_OFF)
def test_to_a_client_that_cannot_notice_it_is_not_sent(raw, name):
    """HTTP/1.0 knows no chunks, and would take the end of the connection for the end of the body."""
    store, proxy = raw
    key = "old-" + name.replace(" ", "-")
    store.says = BROKEN_OFF[name]
    with connected(proxy, "GET", f"/bucket/{key}", version="HTTP/1.0") as connection:
        response = http.client.HTTPResponse(connection, method="GET")
        response.begin()
        if b"Content-Length" in store.says:
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                response.read()
        else:
            assert response.status == 503 and b"ServiceUnavailable" in response.read()


def test_a_chunked_answer_is_given_to_http_1_0_with_its_length(raw):
    store, proxy = raw
    store.says = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                  b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
    with connected(proxy, "GET", "/bucket/old", version="HTTP/1.0") as connection:
        response = http.client.HTTPResponse(connection, method="GET")
        response.begin()
        assert (response.getheader("content-length"), response.read()) == ("11", b"hello world")


# === descriptors ===

def descriptors_limited(proxy, spare: int) -> None:
    """So many more than it has now."""
    now = len(os.listdir(f"/proc/{proxy.process.pid}/fd"))
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (now + spare, now + spare))


OUT = "no file descriptor is left"


@pytest.fixture
def limited(store_named, tmp_path):
    store = store_named("embedded")
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings(body_memory="8MiB"))
    yield proxy, bucket
    assert proxy.stop() == 0


def test_a_lack_of_descriptors_is_told_to_operators_once(limited):
    proxy, bucket = limited
    raw = proxy.raw()
    descriptors_limited(proxy, 8)
    mark = len(proxy.process.lines)
    crowd = [socket.create_connection((raw.host, raw.port), 20) for _ in range(40)]
    said = proxy.process.wait_for_line(OUT, since=mark)
    assert '"level":"ERROR"' in said.string and "LimitNOFILE" in said.string
    time.sleep(3)
    lines = [line for line in proxy.process.lines[mark:] if OUT in line]
    assert len(lines) == 1, lines
    for each in crowd:
        each.close()
    assert raw.put(f"/{bucket}/after", b"x").status == 200, "it serves on"


@pytest.mark.parametrize("wanted", ["a connection to the store", "a body on disk"])
def test_a_request_for_which_no_descriptor_is_left_is_told_so(limited, tmp_path, wanted):
    """Its own connection is there already."""
    proxy, bucket = limited
    store = None
    if "store" in wanted:  # one that closes after each answer
        store = RawStore()
        (tmp_path / "raw").mkdir()
        proxy, bucket = Proxy(tmp_path / "raw", store.store, Settings(settle=0)), "bucket"
    connection = http.client.HTTPConnection(proxy.raw().host, proxy.raw().port, timeout=20)
    connection.connect()
    connection.request("GET", "/")
    connection.getresponse().read()
    body = b"x" * (9 << 20) if "disk" in wanted else b"x"
    descriptors_limited(proxy, 0)
    mark = len(proxy.process.lines)
    # Whatever was given back meanwhile is taken, too.
    crowd = [socket.create_connection((proxy.raw().host, proxy.raw().port), 20) for _ in range(8)]
    proxy.process.wait_for_line(OUT, since=mark)
    target = f"/{bucket}/wanted"
    connection.request("PUT", target, body, proxy.raw().signed("PUT", target, payload=UNSIGNED))
    answer = connection.getresponse()
    assert answer.status == 503 and answer.getheader("retry-after"), answer.read()
    for each in (*crowd, connection):
        each.close()
    if store:
        proxy.stop()
        store.stop()


def test_the_limit_is_raised_to_what_can_be_had(limited):
    proxy, _ = limited
    soft, hard = resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


# === whoever is refused ===


def test_a_refused_signature_names_the_client_it_claims_and_where_it_came_from(front_on):
    front = front_on("embedded", "memory")
    key = front.new_key("refused")
    path = front.path(key)
    front.proxy.raw(ACCESS_KEY, "another-secret").put(path, b"1")
    front.proxy.raw(ACCESS_KEY, CLIENT_SECRET).put(path, b"1")
    refused = front.proxy.request_logged(key=key, code="SignatureDoesNotMatch")
    assert refused["claimed_access_key_id"] == ACCESS_KEY and "access_key_id" not in refused
    assert (refused["address"], refused["refused_by"]) == ("127.0.0.1", "signature")
    landed = front.proxy.request_logged(key=key, status=200)
    assert (landed["access_key_id"], landed["address"]) == (ACCESS_KEY, "127.0.0.1")
    assert "claimed_access_key_id" not in landed and "refused_by" not in landed
    # Somebody has written the secret in the place of the key.
    front.proxy.raw(CLIENT_SECRET, ACCESS_KEY).put(path, b"1")
    stranger = front.proxy.request_logged(key=key, code="InvalidAccessKeyId")
    assert "claimed_access_key_id" not in stranger
    assert CLIENT_SECRET not in str(stranger) and stranger["refused_by"] == "signature"


def test_a_head_that_cannot_be_read_is_logged_with_where_it_came_from(front_on):
    proxy = front_on("embedded", "memory").proxy
    raw = proxy.raw()
    with socket.create_connection((raw.host, raw.port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nno colon\r\n\r\n")
        [request_id] = re.findall(rb"(?i)^x-amz-request-id: (\w+)\r$", client.recv(65536), re.MULTILINE)
    line = proxy.request_logged(request_id=request_id.decode())
    assert (line["address"], line["status"]) == ("127.0.0.1", 400)


def test_a_line_says_what_has_refused_the_request(tmp_path, store_named):
    store = store_named("embedded")
    client = """[[client]]
access_key_id = "reader"
secret_access_key_env = "E2E_CLIENT_SECRET"
read_only = true

[[rule]]
buckets = ["*"]
prefix = "log/"
require = "create-only"
"""
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, Settings(settle=0, rules=client))
    try:
        ours = proxy.raw()
        proxy.raw("reader", CLIENT_SECRET).put(f"/{bucket}/a", b"1")
        ours.put(f"/{bucket}/log/a", b"1")
        ours.put(f"/{bucket}/absent", b"1", headers={"If-Match": '"none"'})
        ours.get(f"/{bucket}/gone")
        for key, refused_by in ("a", "access"), ("log/a", "rule"), ("absent", "gate"), ("gone", "store"):
            line = proxy.request_logged(bucket=bucket, key=key)
            assert line["refused_by"] == refused_by, line
    finally:
        proxy.stop()

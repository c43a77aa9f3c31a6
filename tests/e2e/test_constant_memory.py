"""The memory of the process is what the configuration says, however many come at once."""

from __future__ import annotations

import base64
import hashlib
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from amounts import amount
from clients import UNSIGNED
from crowd import Plan
from processes import Process
from proxies import Proxy, Settings
from redis_server import until
from stores import Store

MIB = 1 << 20
CROWD = 200
SIZE = amount(16, 64) * MIB
"""Of each body. All of them together are many times what the memory may hold."""

BODY_MEMORY = 64 * MIB
CONNECTION_BYTES = 640 * 1024
"""What a connection with a body under way may take beside the budget: Pingora's buffers of 64 KiB
towards either side, a spool's 256 KiB before they are written, a piece of 128 KiB on its way."""
PROCESS_BYTES = 48 * MIB
"""What a process that does nothing takes, and what its allocator keeps for later."""

SCRIPT = str(Path(__file__).with_name("crowd.py"))

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def store():
    """A store that costs nothing and keeps nothing. It and the proxies may have many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    process = Process("crowd-store", [sys.executable, SCRIPT, "store"])
    url = process.wait_for_line(r"listening on (http://\S+)")[1]
    yield Store("crowd", url, "storekey", "storesecret", [process])
    process.stop()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def proxy(store, tmp_path):
    """A new one for each test: an allocator keeps for later what a process once had."""
    # A crowd of which all are to stop halfway takes its time, on two cores.
    # One client may have half of the spool, for which all its uploads are counted with their whole length.
    settings = Settings(body_memory=f"{BODY_MEMORY // MIB}MiB", body_spool="32GiB",
                        body_idle_timeout=300, log_level="info")
    proxy = Proxy(tmp_path, store, settings)
    proxy.wait_writable("bucket")
    yield proxy
    assert proxy.stop() == 0


class Crowd:
    """The clients, in a process of their own."""

    def __init__(self, plan: Plan):
        self.child = subprocess.Popen([sys.executable, SCRIPT, "clients"], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.child.stdin.write(plan.to_line() + "\n")
        self.child.stdin.flush()

    def line(self) -> str:
        return self.child.stdout.readline().strip()

    def go_on(self) -> None:
        self.child.stdin.write("\n")
        self.child.stdin.flush()

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_) -> None:
        self.child.kill()
        self.child.wait()


def heads(proxy: Proxy, method: str, target: str, count: int, length: int | None) -> list[str]:
    made = []
    for number in range(count):
        path = target.format(number=number)
        signed = proxy.raw().signed(method, path, payload=UNSIGNED)
        if length is not None:
            signed["Content-Length"] = str(length)
        fields = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        made.append(f"{method} {path} HTTP/1.1\r\n{fields}\r\n")
    return made


def port_of(proxy: Proxy) -> int:
    return int(proxy.url.rpartition(":")[2])


def spooled(proxy: Proxy) -> list[int]:
    """The lengths of the bodies on disk: unnamed files that the process has open."""
    lengths, spool = [], str(proxy.directory / "spool")
    for fd in Path(f"/proc/{proxy.process.pid}/fd").iterdir():
        try:
            if os.readlink(fd).startswith(spool):
                lengths.append(fd.stat().st_size)
        except FileNotFoundError:
            pass
    return lengths


def resident(proxy: Proxy) -> int:
    text = Path(f"/proc/{proxy.process.pid}/statm").read_text()
    return int(text.split()[1]) * os.sysconf("SC_PAGESIZE")


def report(capsys, what: str, before: int, peak: int, allowed: int) -> None:
    with capsys.disabled():
        print(f"\n  {what}: {before / MIB:.0f} MiB resident before, {peak / MIB:.0f} MiB at most, "
              f"{allowed / MIB:.0f} MiB allowed")
    assert peak < allowed


def test_200_uploads_at_once(proxy, capsys):
    before, allowed = resident(proxy), PROCESS_BYTES + BODY_MEMORY + CROWD * CONNECTION_BYTES
    free = os.statvfs(proxy.directory)
    if free.f_bavail * free.f_frsize < 1.5 * CROWD * SIZE / 2:
        pytest.skip("not enough disk for the bodies of 200 uploads")
    proxy.memory_peak_reset()
    put = heads(proxy, "PUT", "/bucket/upload-{number}", CROWD, SIZE)
    with Crowd(Plan(port_of(proxy), put, SIZE)) as crowd:
        assert crowd.line() == f"halfway: {CROWD}"
        halves = spooled(proxy)
        assert len(halves) == CROWD, "all are under way at this moment"
        assert min(halves) > SIZE // 4
        crowd.go_on()
        assert crowd.line() == f'ended: {{"200": {CROWD}}}'
    report(capsys, f"{CROWD} uploads of {SIZE // MIB} MiB", before, proxy.memory_peak_bytes(),
           allowed)
    # Files are closed in the background.
    until("the files are closed", lambda: not spooled(proxy))


def test_200_downloads_at_once(proxy, capsys):
    before, allowed = resident(proxy), PROCESS_BYTES + BODY_MEMORY + CROWD * CONNECTION_BYTES
    proxy.memory_peak_reset()
    get = heads(proxy, "GET", f"/bucket/made-up-{SIZE}?number={{number}}", CROWD, None)
    with Crowd(Plan(port_of(proxy), get, SIZE)) as crowd:
        assert crowd.line() == f"halfway: {CROWD}"
        crowd.go_on()
        assert crowd.line() == f'ended: {{"200": {CROWD}}}'
    report(capsys, f"{CROWD} downloads of {SIZE // MIB} MiB", before, proxy.memory_peak_bytes(),
           allowed)


def test_1000_uploads_take_what_has_come_and_it_is_given_back(proxy, capsys):
    """Their clients have sent one half, and go away."""
    before, count, half = resident(proxy), 1000, 64 * 1024
    put = heads(proxy, "PUT", "/bucket/upload-{number}", count, 2 * half)
    allowed = int(1.3 * count * half) + count * 32 * 1024

    def grown() -> int:
        return resident(proxy) - before

    uploads = []
    for head in put:
        uploads.append(socket.create_connection(("127.0.0.1", port_of(proxy)), timeout=30))
        uploads[-1].sendall(head.encode() + bytes(half))
    until("all that was sent is there", lambda: grown() > 0.95 * count * half)
    assert proxy.raw().put("/bucket/meanwhile", b"served").status == 200
    with capsys.disabled():
        print(f"\n  {count} uploads, of each {half // 1024} KiB: {grown() / MIB:.0f} MiB, "
              f"{allowed / MIB:.0f} MiB allowed")
    assert grown() < allowed
    for upload in uploads:
        upload.close()
    # A process that does nothing gives nothing back by itself.
    until("it is given back", lambda: grown() < 0.4 * count * half, timeout=8)


def test_2000_connections_that_say_little(proxy, capsys):
    """Half a head each; nothing of a body can be on its way."""
    before, count = resident(proxy), 2000
    allowed = PROCESS_BYTES + BODY_MEMORY + count * 32 * 1024
    proxy.memory_peak_reset()
    half = ["GET /bucket/key HTTP/1.1\r\nHost: h\r\na: " + "b" * 1000] * count
    with Crowd(Plan(port_of(proxy), half, at_a_time=100)) as crowd:
        assert crowd.line() == f"halfway: {count}"
        assert proxy.raw().put("/bucket/meanwhile", b"served").status == 200
        report(capsys, f"{count} connections", before, proxy.memory_peak_bytes(), allowed)


def test_2000_strangers_with_half_a_form(proxy, capsys):
    """Their fields are kept in memory; a form that has lost its slot is told so, and not kept."""
    before, count = resident(proxy), 2000
    allowed = PROCESS_BYTES + BODY_MEMORY + count * 32 * 1024
    proxy.memory_peak_reset()
    half = ["POST /bucket HTTP/1.1\r\nHost: h\r\nContent-Type: multipart/form-data; boundary=B\r\n"
            "Content-Length: 1000000\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\n"
            + "k" * 19_000] * count
    with Crowd(Plan(port_of(proxy), half, at_a_time=100)) as crowd:
        assert crowd.line() == f"halfway: {count}"
        assert proxy.raw().put("/bucket/meanwhile", b"served").status == 200
        report(capsys, f"{count} strangers", before, proxy.memory_peak_bytes(), allowed)


def test_10000_keys_deleted_in_batches(proxy, capsys):
    before = resident(proxy)
    allowed = PROCESS_BYTES + BODY_MEMORY + 10_000 * 2048
    proxy.memory_peak_reset()
    for batch in range(10):
        keys = "".join(f"<Object><Key>{'k' * 200}-{batch}-{number}</Key></Object>"
                       for number in range(1000))
        body = f"<Delete>{keys}</Delete>".encode()
        md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
        answer = proxy.raw().request("POST", "/bucket?delete", {"Content-MD5": md5}, body)
        assert answer.status == 200, str(answer)
        assert len(ElementTree.fromstring(answer.body)) == 1000
    report(capsys, "10,000 keys in batches", before, proxy.memory_peak_bytes(), allowed)

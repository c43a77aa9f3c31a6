"""A connection by TLS for each request: what wrk cannot do, which keeps its connections, and which continues
an earlier session whenever it can."""

from __future__ import annotations

import itertools
import multiprocessing
import socket
import ssl
import statistics
import time
from pathlib import Path
from urllib.parse import urlsplit

from drives import Driven

CLIENTS = 4
"""Processes, each with one connection at a time."""


def read_requests(file: Path) -> list[bytes]:
    """As replay.lua reads them."""
    content, requests = memoryview(file.read_bytes()), []
    while content:
        digits = bytes(content[:16]).partition(b"\n")[0]
        start = len(digits) + 1
        requests.append(bytes(content[start:start + int(digits)]))
        content = content[start + int(digits):]
    return requests


def ask(context: ssl.SSLContext, address: tuple[str, int], request: bytes,
        session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
    """One request on a connection of its own: whether all was as it should be, and the session."""
    with context.wrap_socket(socket.create_connection(address, 10), session=session) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        is_good = answer.split(b" ", 2)[1:2] == [b"200"]
        return is_good and connection.session_reused == bool(session), connection.session


def client(address: tuple[str, int], requests: list[bytes], seconds: float, continues: bool,
           results) -> None:
    # A real client verifies the certificate; here that would only take time from the proxies.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    errors, times, session = 0, [], None
    end = time.monotonic() + seconds
    for request in itertools.cycle(requests):
        began = time.monotonic()
        if began > end:
            break
        is_good, new = ask(context, address, request, session)
        errors += not is_good
        times.append(time.monotonic() - began)
        session = new if continues else None
    results.put((errors, times))


def load(url: str, requests: Path, seconds: float, continues: bool) -> Driven:
    parts = urlsplit(url)
    address, each = (parts.hostname, parts.port), read_requests(requests)
    forked = multiprocessing.get_context("fork")
    results = forked.Queue()
    arguments = (address, each, seconds, continues, results)
    began = time.monotonic()
    clients = [forked.Process(target=client, args=arguments) for _ in range(CLIENTS)]
    for one in clients:
        one.start()
    found = [results.get(timeout=seconds + 30) for _ in clients]
    took = time.monotonic() - began
    for one in clients:
        one.join()
    errors, times = sum(errors for errors, _ in found), sorted(t for _, times in found for t in times)
    if errors or len(times) < 2:
        raise SystemExit(f"{errors} of {len(times)} requests to {url} failed")
    return Driven(len(times), took, statistics.median(times) * 1e3, times[len(times) * 99 // 100] * 1e3)


def whole(urls: list[str], requests: Path, seconds: float) -> Driven:
    """Each handshake is a whole one."""
    return load(urls[0], requests, seconds, continues=False)


def continued(urls: list[str], requests: Path, seconds: float) -> Driven:
    """Each handshake continues the session before it."""
    return load(urls[0], requests, seconds, continues=True)

"""What a test puts between two parties: a relay that holds and cuts, and a TLS front."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from urllib.parse import urlsplit


class Relay:
    """Forwards TCP to `target_url`.

    A request is matched by bytes in its head. `hold_requests` stops it before the target has seen
    a byte; `hold_answers` lets it reach the target and stops what the target answers. `hold_all`
    stops everything, both ways or one, without a word, as a network does that loses packets.
    """

    def __init__(self, target_url: str):
        self.retarget(target_url)
        self._request_pattern: bytes | None = None
        self._answer_pattern: bytes | None = None
        self._holds_requests = self._holds_answers = False
        self._open = threading.Event()
        self._open.set()
        self.held = threading.Event()
        """Set once something that matches has been stopped."""
        self.connections = 0
        """How many were accepted so far."""
        self.delay = 0.0
        """Seconds for which each piece is kept back, either way."""
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._held_targets: set[socket.socket] = set()
        # Bound and never listening, it keeps the port while `refuse` has closed the listener.
        self._reserved = _bound(0)
        self._port = self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self.listen()

    def listen(self) -> None:
        """Accepts connections, again after `refuse`."""
        self._listener = _bound(self._port)
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Refuses new connections, as a host does on which nothing listens."""
        # Unlike close() alone, this wakes accept().
        _close(self._listener)

    def retarget(self, target_url: str) -> None:
        """Where connections go from now on."""
        parts = urlsplit(target_url)
        self._target = (parts.hostname, parts.port)

    def hold_requests(self, pattern: bytes) -> None:
        self._request_pattern, self._answer_pattern = pattern, None
        self.held.clear()
        self._open.clear()

    def hold_answers(self, pattern: bytes) -> None:
        self._answer_pattern, self._request_pattern = pattern, None
        self.held.clear()
        self._open.clear()

    def hold_all(self, requests: bool = True, answers: bool = True) -> None:
        self._open.clear()
        self._holds_requests, self._holds_answers = requests, answers

    def release(self) -> None:
        """Sends on the held bytes, even if their sender is gone."""
        self._request_pattern = self._answer_pattern = None
        self._holds_requests = self._holds_answers = False
        self._open.set()

    def cut(self) -> None:
        """Drops every connection, and what is held on it, for good."""
        self._request_pattern = self._answer_pattern = None
        pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for each in pair:
                _close(each)
        self._holds_requests = self._holds_answers = False
        self._open.set()

    def close(self) -> None:
        self.refuse()
        self._reserved.close()
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self.connections += 1
        try:
            target = socket.create_connection(self._target, 10)
            target.settimeout(None)
        except OSError:
            _close(client)
            return
        for each in (client, target):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pairs.add((client, target))
        threading.Thread(target=self._answers, args=(target, client), daemon=True).start()
        self._requests(client, target)

    def _requests(self, client: socket.socket, target: socket.socket) -> None:
        was_held = False
        try:
            while data := _received(client):
                was_held |= self._hold_back(self._holds_requests)
                if self._request_pattern and self._request_pattern in data:
                    was_held = True
                    self.held.set()
                    self._open.wait()
                elif self._answer_pattern and self._answer_pattern in data:
                    self._held_targets.add(target)
                # Fails when cut() has closed the socket meanwhile, which is the point of it.
                target.sendall(data)
            # The sender of a held request may be dead, which the target is not to learn: some
            # stores drop a request whose sender has hung up. Its answer ends the connection.
            if not was_held:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            _close(target)

    def _answers(self, target: socket.socket, client: socket.socket) -> None:
        try:
            while data := target.recv(65536):
                self._hold_back(self._holds_answers)
                if target in self._held_targets:
                    self.held.set()
                    self._open.wait()
                    self._held_targets.discard(target)
                client.sendall(data)
        except OSError:
            pass
        self._pairs.discard((client, target))
        _close(client)
        _close(target)

    def _hold_back(self, holds: bool) -> bool:
        """Delays a piece, and stops it where it is to be held; whether it was."""
        if self.delay:
            time.sleep(self.delay)
        if holds:
            self.held.set()
            self._open.wait()
        return holds


def _received(client: socket.socket) -> bytes:
    """The next bytes. A connection that was reset has ended: what it sent before is on its way."""
    try:
        return client.recv(65536)
    except ConnectionResetError:
        return b""


def _bound(port: int) -> socket.socket:
    each = socket.socket()
    each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    each.bind(("127.0.0.1", port))
    return each


def _close(each: socket.socket) -> None:
    try:
        each.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    each.close()


class TlsFront:
    """Takes TLS off and forwards: SDKs send checksums as trailers over https only."""

    def __init__(self, target_url: str, certificate: str, key: str, client_authority: str | None = None):
        """`client_authority`: clients must show a certificate that it has signed."""
        parts = urlsplit(target_url)
        self._target = (parts.hostname, parts.port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self.shown: list[str] = []
        """The serial numbers of the clients' certificates, connection by connection."""
        if client_authority:
            self._context.load_verify_locations(client_authority)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context), self._loop
        ).result(10)
        self.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader, writer) -> None:
        if certificate := writer.get_extra_info("peercert"):
            self.shown.append(certificate["serialNumber"])
        target_reader, target_writer = await asyncio.open_connection(*self._target)
        pipes = [asyncio.create_task(_pipe(reader, target_writer)),
                 asyncio.create_task(_pipe(target_reader, writer))]
        # Either side's end is the end: these connections carry no half-closed requests.
        await asyncio.wait(pipes, return_when=asyncio.FIRST_COMPLETED)
        for pipe in pipes:
            pipe.cancel()
        for each in (writer, target_writer):
            each.close()

    def show(self, certificate: str, key: str) -> None:
        """Shows this certificate on connections from now on."""
        self._between_handshakes(self._context.load_cert_chain, certificate, key)

    def trust(self, client_authority: str) -> None:
        """Accepts clients of this authority, too."""
        self._between_handshakes(self._context.load_verify_locations, client_authority)

    def _between_handshakes(self, load, *arguments: str) -> None:
        """A certificate is loaded before its key: a handshake between the two would fail."""
        async def loaded() -> None:
            load(*arguments)

        asyncio.run_coroutine_threadsafe(loaded(), self._loop).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end_connections(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end_connections(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(reader, writer) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass

"""A store that answers each request with the same bytes, as cheaply as Python can: for measurements of
what the proxy costs."""

from __future__ import annotations

import hashlib
import re
import socket

from listener import accept_each
from stores import Store


class CannedStore:
    """A PUT is read and answered 200 with the ETag of `content`, a GET or a HEAD with `content`'s head."""

    def __init__(self, content: bytes):
        etag = f'"{hashlib.md5(content).hexdigest()}"'.encode()
        common = (b"Server: canned\r\nDate: Mon, 30 Nov 2026 12:00:00 GMT\r\nETag: " + etag
                  + b"\r\nConnection: keep-alive\r\n")
        self.etag = etag.decode()
        self._put = b"HTTP/1.1 200 OK\r\n" + common + b"Content-Length: 0\r\n\r\n"
        self._head = (b"HTTP/1.1 200 OK\r\n" + common
                      + b"Content-Type: binary/octet-stream\r\nAccept-Ranges: bytes\r\n"
                      + b"Last-Modified: Mon, 30 Nov 2026 12:00:00 GMT\r\n"
                      + b"Content-Length: %d\r\n\r\n" % len(content))
        self._get = self._head + content
        self._listener = accept_each(self._serve)
        url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.store = Store("canned", url, "storekey", "storesecret")

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        came = b""

        def more() -> bytes:
            try:
                return connection.recv(64 * 1024)
            except ConnectionError:
                return b""

        with connection:
            while True:
                while b"\r\n\r\n" not in came:
                    piece = more()
                    if not piece:
                        return
                    came += piece
                head, _, came = came.partition(b"\r\n\r\n")
                said = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                length = int(said[1]) if said else 0
                while len(came) < length:
                    piece = more()
                    if not piece:
                        return
                    came += piece
                came = came[length:]
                method = head.split(b" ", 1)[0]
                answers = {b"GET": self._get, b"HEAD": self._head}
                connection.sendall(answers.get(method, self._put))

    def stop(self) -> None:
        self._listener.close()

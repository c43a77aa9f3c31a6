"""A store that answers what the test tells it to, and remembers what it was asked."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable

from stores import Store

Response = tuple[int, dict[str, str], bytes]


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    """By lower-case names."""
    body: bytes


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    """With the few that are usual, a crowd's connections wait for seconds."""

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class ScriptedStore:
    """`answer` is called for each request; to begin with everything is there and is empty."""

    def __init__(self, address: tuple[str, int] = ("127.0.0.1", 0)):
        self.answer: Callable[[Request], Response] = lambda _: (200, {"ETag": '"e"'}, b"")
        self.ahead_s = 0
        """By how many seconds the dates of answers are ahead."""
        self._seen: list[Request] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Request(self.command, self.path, headers, body)
                scripted._seen.append(request)
                status, headers, body = scripted.answer(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status not in (204, 304):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD" and status not in (204, 304):
                    self.wfile.write(body)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = handle_any

            def date_time_string(self, timestamp=None):
                return super().date_time_string(time.time() + scripted.ahead_s)

            def log_message(self, *_):
                pass

        self._server = Server(address, Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.port = self._server.server_port
        url = f"http://{address[0]}:{self.port}"
        self.store = Store("scripted", url, "storekey", "storesecret")

    def take(self) -> list[Request]:
        """What was asked since the last time."""
        taken, self._seen = self._seen, []
        return taken

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

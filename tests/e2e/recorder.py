"""A store that remembers what it was asked."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stores import Store


@dataclass
class Recorder:
    """Answers everything with 200 and an ETag, and remembers what it was asked."""

    seen: list = field(default_factory=list)
    hang_up: bool = False
    """Whether a request is read and its connection then closed without a word."""

    def __post_init__(self):
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                # A header that comes twice is seen as one with two values, and fits no expectation.
                headers = {name: ", ".join(self.headers.get_all(name)) for name in self.headers}
                recorder.seen.append((self.command, self.path, headers, body))
                if recorder.hang_up:
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("ETag", '"e"')
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_PUT = do_HEAD = do_DELETE = do_OPTIONS = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    @property
    def store(self) -> Store:
        return Store(name="recorder", url=self.url, access_key="storekey",
                     secret_key="storesecret")

    def close(self) -> None:
        self.server.shutdown()

    def take(self) -> list:
        taken, self.seen[:] = list(self.seen), []
        return taken


def lower(headers: dict) -> dict:
    return {name.lower(): value for name, value in headers.items()}

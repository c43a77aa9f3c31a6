"""A store that only remembers what it was asked, over TLS too."""

from __future__ import annotations

import hashlib
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from stores import Store


@dataclass
class Recorder:
    """Answers everything with 200 and an ETag, and remembers what it was asked."""

    certificate: tuple[str, str] | None = None
    """PEM files of a certificate and its key: it then speaks TLS."""
    client_authority: str | None = None
    """A PEM file: clients must then show a certificate that it has signed."""
    context: ssl.SSLContext | None = None
    """Of TLS. A certificate that is loaded into it is used for connections from then on."""
    seen: list = field(default_factory=list)
    server_names: list = field(default_factory=list)
    """What TLS asked for, connection by connection."""
    hang_up: bool = False
    """Whether a request is read and its connection then closed without a word."""

    def __post_init__(self):
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
                body = (self.chunks() if chunked
                        else self.rfile.read(int(self.headers.get("Content-Length", 0))))
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

            def chunks(self) -> bytes:
                body = b""
                while size := int(self.rfile.readline().strip(), 16):
                    body += self.rfile.read(size)
                    assert self.rfile.readline() == b"\r\n"
                assert self.rfile.readline() == b"\r\n"
                return body

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
            if self.client_authority:
                context.load_verify_locations(self.client_authority)
                context.verify_mode = ssl.CERT_REQUIRED
            self.context = context
            context.sni_callback = lambda _, name, __: self.server_names.append(name)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return self.server.server_port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> Store:
        return Store(name="recorder", url=self.url, access_key="storekey",
                     secret_key="storesecret")

    def stop(self) -> None:
        self.server.shutdown()

    def take(self) -> list:
        taken, self.seen[:] = list(self.seen), []
        return taken


def lower(headers: dict) -> dict:
    return {name.lower(): value for name, value in headers.items()}


def is_signed_by(request: tuple, access_key: str, secret_key: str) -> bool:
    """Whether a recorded request carries a valid signature, body included, of this key."""
    method, target, headers, body = request
    headers = lower(headers)
    claim = dict(part.strip().split("=", 1) for part in
                 headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(","))
    key, _, region, service, _ = claim["Credential"].split("/")
    signer = S3SigV4Auth(Credentials(access_key, secret_key), service, region)
    signed = {name: headers[name] for name in claim["SignedHeaders"].split(";")}
    again = AWSRequest(method, f"http://{headers['host']}{target}", headers=signed)
    again.context["timestamp"] = headers["x-amz-date"]
    payload = headers["x-amz-content-sha256"]
    text = signer.string_to_sign(again, signer.canonical_request(again))
    return (key == access_key and signer.signature(text, again) == claim["Signature"]
            and payload in ("UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()))

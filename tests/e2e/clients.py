"""Clients: boto3 as everybody has it, and signed raw requests where boto3 hides what is seen."""

from __future__ import annotations

import datetime
import http.client
import socket
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from unittest import mock
from urllib.parse import urlsplit

import boto3
import botocore.auth
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

REGION = "us-east-1"
SIGNING = {"as-it-comes": None, "s3v4": Config(signature_version="s3v4")}
"""How boto3 presigns: by default, against an endpoint that is not AWS's, by Version 2."""
UNSIGNED = "UNSIGNED-PAYLOAD"


def boto(url: str, access_key: str, secret_key: str, **more):
    """A boto3 client with its default settings: retries, checksums, signatures, trailers."""
    return boto3.client("s3", endpoint_url=url, region_name=REGION, aws_access_key_id=access_key,
                        aws_secret_access_key=secret_key, **more)


def code_of(error: ClientError) -> tuple[int, str]:
    return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]


def attempts_of(error: ClientError) -> int:
    return error.response["ResponseMetadata"].get("RetryAttempts", 0) + 1


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The fields of an S3 error document; empty when the body is none."""
        try:
            root = ElementTree.fromstring(self.body)
        except ElementTree.ParseError:
            return {}
        plain = {child.tag.rpartition("}")[2]: child.text or "" for child in root}
        return plain if root.tag.rpartition("}")[2] == "Error" else {}

    @property
    def code(self) -> str | None:
        return self.fields.get("Code")

    @property
    def etag(self) -> str | None:
        return self.headers.get("etag")

    def __str__(self) -> str:
        return f"{self.status} {self.code or ''} {self.body[:300]!r}"


class _Signer(S3SigV4Auth):
    """S3's own signer, with the body's digest (or its stand-in) given by the caller."""

    def __init__(self, credentials, payload: str | None):
        super().__init__(credentials, "s3", REGION)
        self._given = payload

    def payload(self, request):
        return self._given if self._given is not None else super().payload(request)


class Raw:
    """Signed requests exactly as a test writes them: one attempt, one connection, no retries."""

    def __init__(self, url: str, access_key: str, secret_key: str, timeout: float = 60,
                 token: str | None = None):
        parts = urlsplit(url)
        self.url, self.host, self.port = url, parts.hostname, parts.port
        self.credentials = Credentials(access_key, secret_key, token)
        self.timeout = timeout

    def signed(self, method: str, target: str, headers=None, body: bytes = b"",
               payload: str | None = None, clock_offset: float = 0) -> dict[str, str]:
        """The headers of the request, signature included. `target` is sent as it is."""
        request = AWSRequest(method=method, url=self.url + target, data=body,
                             headers=dict(headers or {}))
        signer = _Signer(self.credentials, payload)
        if clock_offset:
            now = datetime.datetime.now(datetime.timezone.utc)
            clock = now + datetime.timedelta(seconds=clock_offset)
            clock = clock.replace(tzinfo=None)
            # Not for threads: they would put back each other's clocks.
            with mock.patch.object(botocore.auth, "get_current_datetime", lambda *_, **__: clock):
                signer.add_auth(request)
        else:
            signer.add_auth(request)
        signed = dict(request.headers.items())
        signed.setdefault("Host", f"{self.host}:{self.port}")
        return signed

    def request(self, method: str, target: str, headers=None, body=b"", payload=None,
                clock_offset: float = 0, unsigned=None, sent_body=None) -> Answer:
        """`unsigned` headers are added after signing; `sent_body` replaces the signed body."""
        signed = self.signed(method, target, headers, body, payload, clock_offset)
        signed.update(unsigned or {})
        return self.send(method, target, signed, body if sent_body is None else sent_body)

    def send(self, method: str, target: str, headers: dict[str, str], body) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if "content-length" not in {name.lower() for name in headers} and (
                    body or method in ("PUT", "POST")):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            try:
                if isinstance(body, (bytes, bytearray)):
                    connection.send(body)
                else:
                    for chunk in body:
                        connection.send(chunk)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the body was read: the answer may still be there
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, response.read())
        finally:
            connection.close()

    def get(self, target: str, **more) -> Answer:
        return self.request("GET", target, **more)

    def head(self, target: str, **more) -> Answer:
        return self.request("HEAD", target, **more)

    def put(self, target: str, body: bytes = b"", **more) -> Answer:
        return self.request("PUT", target, body=body, **more)

    def delete(self, target: str, **more) -> Answer:
        return self.request("DELETE", target, **more)


class Wire:
    """One request on a bare socket, for tests that care about every byte and its moment."""

    def __init__(self, raw: Raw, method: str, target: str, length: int, headers=None,
                 unsigned=None):
        signed = raw.signed(method, target, headers, payload=UNSIGNED)
        signed.update(unsigned or {})
        signed["Content-Length"] = str(length)
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in signed.items()), "", ""]
        self.sent_body_bytes = 0
        self._buffer = b""
        self.socket = socket.create_connection((raw.host, raw.port), raw.timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall("\r\n".join(lines).encode())

    def send_body(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.sent_body_bytes += len(data)

    def trickle(self, data: bytes, seconds_per_byte: float) -> None:
        """Sends the bytes one by one, at the pace of a very slow line."""
        for index in range(len(data)):
            self.send_body(data[index:index + 1])
            if index + 1 < len(data):
                time.sleep(seconds_per_byte)

    def read_answer(self) -> Answer:
        """Reads one answer, an interim one (100 Continue) included."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers = {}
        for line in rest:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = b"" if status < 200 or status in (204, 304) else self._read_body(headers)
        return Answer(status, headers, body)

    def _read_body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while not self._buffer.endswith(b"0\r\n\r\n"):
                self._fill()
            body, rest = b"", self._buffer
            while True:
                size, _, rest = rest.partition(b"\r\n")
                if not int(size, 16):
                    return body
                body, rest = body + rest[:int(size, 16)], rest[int(size, 16) + 2:]
        length = headers.get("content-length")
        try:
            while length is None or len(self._buffer) < int(length):
                self._fill()
        except EOFError:
            if length is not None:
                raise
        return self._buffer

    def _fill(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the connection was closed after {self._buffer!r}")
        self._buffer += data

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_) -> None:
        self.close()

"""HAProxy, nginx and Envoy with the configurations that packaging/balancers has, in front of proxies."""

from __future__ import annotations

import re
import shutil
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from processes import ROOT, NotReady, Process, free_ports, wait_for_port
from proxies import Proxy

SHIPPED = ROOT / "packaging" / "balancers"


@dataclass(frozen=True)
class Target:
    """A process behind the balancer."""

    port: int
    admin: int
    """The port of its health checks."""

    @classmethod
    def of(cls, proxy: Proxy) -> "Target":
        return cls(proxy.raw().port, proxy.admin_address[1])


def pointed(name: str, port: int, targets: tuple[Target, Target]) -> str:
    """The shipped configuration with this port and these processes."""
    text = (SHIPPED / name).read_text()

    def put(pattern: str, *replacements: str) -> None:
        nonlocal text
        left = list(replacements)
        text, count = re.subn(pattern, lambda _: left.pop(0) if len(left) > 1 else left[0], text)
        assert count == len(replacements), (name, pattern, count)

    if name == "envoy.yaml":
        put(r"address: 0\.0\.0\.0, port_value: 9000", f"address: 127.0.0.1, port_value: {port}")
        put(r"10\.0\.0\.[12], port_value: 9000",
            *(f"127.0.0.1, port_value: {target.port}" for target in targets))
        put(r"port_value: 9001", *(f"port_value: {target.admin}" for target in targets))
        return text
    put(r"(?<=bind )\S*:9000|(?<=listen )9000", f"127.0.0.1:{port}")
    if name == "haproxy.cfg":
        # Here the two have one address, and so a port for checks each.
        put(r"10\.0\.0\.[12]:9000",
            *(f"127.0.0.1:{target.port} port {target.admin}" for target in targets))
        put(r"check port 9001", "check")
    else:
        put(r"10\.0\.0\.[12]:9000", *(f"127.0.0.1:{target.port}" for target in targets))
    return text


def _haproxy(directory: Path, port: int, targets: tuple[Target, Target]) -> list[str]:
    config = directory / "haproxy.cfg"
    log = "global\n    log stderr format raw local0\n"
    config.write_text(log + pointed("haproxy.cfg", port, targets))
    return ["haproxy", "-db", "-f", str(config)]


def _nginx(directory: Path, port: int, targets: tuple[Target, Target]) -> list[str]:
    config = directory / "nginx.conf"
    temporary = "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    server = pointed("nginx.conf", port, targets)
    config.write_text(f"daemon off; pid {directory}/pid; error_log stderr;\nworker_processes 1;\n"
                      f"events {{}}\nhttp {{ access_log off;\n{temporary}\n{server}\n}}\n")
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(config)]


def _envoy(directory: Path, port: int, targets: tuple[Target, Target]) -> list[str]:
    config = directory / "envoy.yaml"
    config.write_text(pointed("envoy.yaml", port, targets))
    # Processes of other tests are not to be taken for older ones of this.
    return [program("envoy") or "envoy", "-c", str(config), "--disable-hot-restart",
            "--concurrency", "1", "--log-level", "warning"]


def program(kind: str) -> str | None:
    """Envoy comes as a Python package; the others are Debian's."""
    beside = Path(sys.executable).parent / kind
    return str(beside) if beside.exists() else shutil.which(kind)


KINDS = {"envoy": _envoy, "haproxy": _haproxy, "nginx": _nginx}


class AlwaysReady:
    """Health checks of something that has none of its own."""

    def __init__(self):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Balancer:
    """One of them in front of two processes, or of one that stands for both."""

    def __init__(self, kind: str, directory: Path, one: Target, two: Target | None = None):
        if program(kind) is None:
            pytest.skip(f"{kind} is not installed (scripts/setup test)")
        directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(5):
            port = free_ports(1)[0]
            self.process = Process(kind, KINDS[kind](directory, port, (one, two or one)))
            try:
                wait_for_port(port, [self.process], 10)
                break
            except NotReady:
                if attempt == 4:
                    raise
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        self.process.stop()

"""HAProxy and nginx with the configurations that packaging/balancers has, in front of a proxy."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from processes import ROOT, NotReady, Process, free_ports, wait_for_port

SHIPPED = ROOT / "packaging" / "balancers"


def pointed(name: str, port: int, target: str) -> str:
    """The shipped configuration with this port. Both of its processes are the same one."""
    text = (SHIPPED / name).read_text()
    changes = (
        (r"bind :9000", f"bind 127.0.0.1:{port}"),
        (r"listen 9000", f"listen 127.0.0.1:{port}"),
        (r"10\.0\.0\.[12]:9000", target),
    )
    made = 0
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text)
        made += count
    assert made == 3, name
    return text


def _haproxy(directory: Path, port: int, target: str) -> list[str]:
    config = directory / "haproxy.cfg"
    log = "global\n    log stderr format raw local0\n"
    config.write_text(log + pointed("haproxy.cfg", port, target))
    return ["haproxy", "-db", "-f", str(config)]


def _nginx(directory: Path, port: int, target: str) -> list[str]:
    config = directory / "nginx.conf"
    temporary = "\n".join(f"{kind}_temp_path {directory}/{kind};" for kind in
                          ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    server = pointed("nginx.conf", port, target)
    config.write_text(f"daemon off; pid {directory}/pid; error_log stderr;\nworker_processes 1;\n"
                      f"events {{}}\nhttp {{ access_log off;\n{temporary}\n{server}\n}}\n")
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(config)]


KINDS = {"haproxy": _haproxy, "nginx": _nginx}


class Balancer:
    """One of them in front of `target`, an address and port."""

    def __init__(self, kind: str, directory: Path, target: str):
        if shutil.which(kind) is None:
            pytest.skip(f"{kind} is not installed (scripts/setup test)")
        directory.mkdir(parents=True, exist_ok=True)
        for attempt in range(5):
            port = free_ports(1)[0]
            self.process = Process(kind, KINDS[kind](directory, port, target))
            try:
                wait_for_port(port, [self.process], 10)
                break
            except NotReady:
                if attempt == 4:
                    raise
        self.port, self.url = port, f"http://127.0.0.1:{port}"

    def stop(self) -> None:
        self.process.stop()

"""The service as the Debian package configures it, pointed at a store and a free port."""

from __future__ import annotations

from clients import Raw
from machine import Machine
from processes import free_ports
from stores import Store

ACCESS_KEY = "app"
SECRET = "app-secret-0123456789"
CONFIGURATION = "etc/ifmatch/ifmatch.toml"
SHORT = """lease = "3s"
grace = "1s"
settle = "1s"
"""
"""A quarantine that a test can wait for."""


def configure(machine: Machine, store: Store, register: str = "memory:") -> str:
    """Writes the secrets, and the packaged configuration with the addresses of this test; returns
    the URL of the service."""
    for name, secret in (("backend", store.secret_key), ("app", SECRET)):
        file = machine.root / "etc/ifmatch/secrets" / name
        file.write_text(secret + "\n")
        file.chmod(0o600)
    port = free_ports(1)[0]
    file = machine.root / CONFIGURATION
    text = file.read_text()
    for old, new in (
        ("127.0.0.1:9000", f"127.0.0.1:{port}"),
        ("http://127.0.0.1:3900", store.url),
        ('"storekey"', f'"{store.access_key}"'),
        ('"memory:"\n', f'"{register}"\n{SHORT}'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    file.write_text(text)
    return f"http://127.0.0.1:{port}"


def client(url: str) -> Raw:
    return Raw(url, ACCESS_KEY, SECRET)


def wait_writable(machine: Machine, app: Raw, bucket: str) -> None:
    """Waits for the service, and for the end of its quarantine; makes the bucket."""
    def accepts() -> bool:
        try:
            made = app.put(f"/{bucket}").status
            return made in (200, 409) and app.put(f"/{bucket}/.writable").status == 200
        except OSError:
            return False
    machine.wait_until(accepts, "writable")

"""Secrets and certificates of the service: who can read them, and how new ones come into effect."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from clients import Raw
from machine import Machine
from processes import free_ports
from service import ACCESS_KEY, CONFIGURATION, client, configure, wait_writable

GROUP = "ifmatch-files"
DROP_IN = f"[Service]\nSupplementaryGroups={GROUP}\n"


@pytest.fixture(scope="module")
def installed(machine, package, store, redis_server):
    machine.install(package)
    return configure(machine, store, redis_server.new_database())


@pytest.fixture
def configuration(machine, installed):
    file = machine.root / CONFIGURATION
    text = file.read_text()
    yield file
    file.write_text(text)
    for unit in ("ifmatch", "ifmatch@blue", "ifmatch@green"):
        machine.run("systemctl", "stop", unit)


def accepts(url: str, secret: str) -> bool:
    return Raw(url, ACCESS_KEY, secret).get("/").status == 200


def test_a_changed_secret_comes_into_effect_with_the_next_instance(machine, installed, configuration):
    machine.run("systemctl", "start", "ifmatch@blue")
    wait_writable(machine, client(installed), "rotation")
    secrets = machine.root / "etc/ifmatch/secrets"
    shutil.copy(secrets / "app", secrets / "app-previous")
    old = (secrets / "app").read_text().strip()
    (secrets / "app").write_text("another-secret-0123456789\n")
    configuration.write_text(configuration.read_text() + 'previous_secret_access_key_file = '
                             '"$CREDENTIALS_DIRECTORY/secret_app-previous"\n')
    # What systemd has loaded for a running process does not change, so a reload finds no such file.
    machine.run("systemctl", "reload", "ifmatch@blue")
    machine.wait_until(lambda: "was not reloaded" in machine.journal(), "refused")
    assert accepts(installed, old) and not accepts(installed, "another-secret-0123456789")
    machine.run("systemctl", "start", "ifmatch@green")
    machine.wait_until(lambda: machine.state("ifmatch@blue") == "inactive", "left")
    assert accepts(installed, old) and accepts(installed, "another-secret-0123456789")


def sign(directory: Path, name: str) -> int:
    """A certificate and its key, which the group can read; returns the serial number."""
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-days", "30", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    told = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", cert], check=True,
                          capture_output=True, text=True)
    return int(told.stdout.strip().removeprefix("serial="), 16)


def shown(port: int) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10)) as connection:
        pem = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True))
    told = subprocess.run(["openssl", "x509", "-noout", "-serial"], input=pem, check=True,
                          capture_output=True, text=True)
    return int(told.stdout.strip().removeprefix("serial="), 16)


def hand_over(machine: Machine, directory: Path, name: str) -> None:
    """Puts them where the service reads them: the key as root's, readable by the group."""
    inside = machine.root / "etc/ifmatch/tls"
    for suffix, mode in (("key", "640"), ("crt", "644")):
        shutil.copy(directory / f"{name}.{suffix}", inside / f"new.{suffix}")
        machine.run("chown", f"root:{GROUP}", f"/etc/ifmatch/tls/new.{suffix}")
        machine.run("chmod", mode, f"/etc/ifmatch/tls/new.{suffix}")
        machine.run("mv", f"/etc/ifmatch/tls/new.{suffix}", f"/etc/ifmatch/tls/tls.{suffix}")


def test_a_certificate_is_renewed_while_the_service_runs(machine, installed, configuration, tmp_path):
    """With the drop-in that docs/operations.md names."""
    machine.run("groupadd", "--system", GROUP)
    (machine.root / "etc/ifmatch/tls").mkdir()
    drop_in = machine.root / "etc/systemd/system/ifmatch.service.d/files.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(DROP_IN)
    machine.run("systemctl", "daemon-reload")
    first, second = sign(tmp_path, "first"), sign(tmp_path, "second")
    hand_over(machine, tmp_path, "first")
    port = free_ports(1)[0]
    configuration.write_text(configuration.read_text() + f"""
[tls]
listen = "127.0.0.1:{port}"
cert_file = "/etc/ifmatch/tls/tls.crt"
key_file = "/etc/ifmatch/tls/tls.key"
reload_interval = "200ms"
""")
    machine.run("systemctl", "start", "ifmatch")
    process = machine.show("ifmatch", "MainPID")
    assert shown(port) == first
    hand_over(machine, tmp_path, "second")
    machine.wait_until(lambda: shown(port) == second, "shown")
    assert machine.show("ifmatch", "MainPID") == process
    # Without the drop-in the key is for root alone, and the service says so.
    machine.run("systemctl", "stop", "ifmatch")
    drop_in.unlink()
    machine.run("systemctl", "daemon-reload")
    machine.try_run("systemctl", "start", "ifmatch")
    machine.wait_until(lambda: machine.state("ifmatch") == "failed", "failed")
    assert machine.show("ifmatch", "ExecMainStatus") == "2"
    assert "/etc/ifmatch/tls/tls.key" in machine.journal()
    machine.run("systemctl", "reset-failed", "ifmatch")

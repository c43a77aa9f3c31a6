"""The units: what they allow the process, and how one instance takes over from another."""

from __future__ import annotations

import difflib
import socket
import subprocess
import threading
import time

import pytest

from processes import ROOT
from service import CONFIGURATION, client, configure, wait_writable

UNITS = ROOT / "packaging/systemd"
EXPOSURE_MAX = 15
"""Tenths of the points that systemd counts, from 0 (closed) to 100."""


@pytest.fixture(scope="module")
def installed(machine, package, store, redis_server):
    machine.install(package)
    return configure(machine, store, redis_server.new_database())


@pytest.mark.parametrize("unit", ["ifmatch.service", "ifmatch@.service"])
def test_a_unit_allows_little(unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager",
                           f"--threshold={EXPOSURE_MAX}", UNITS / unit],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout


def test_the_two_units_differ_in_how_they_start_alone():
    one, other = ((UNITS / name).read_text().splitlines()
                  for name in ("ifmatch.service", "ifmatch@.service"))
    changed = [line for line in difflib.ndiff(one, other)
               if line[0] in "+-" and not line[2:].startswith("#")]
    assert sorted({line[2:].split("=")[0] for line in changed}) == ["Description", "ExecStart"]


def test_systemd_understands_every_line(machine, installed):
    for unit in ("ifmatch.service", "ifmatch@blue.service"):
        done = machine.try_run("systemd-analyze", "verify", "--man=no", unit)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_process_is_confined(machine, installed):
    machine.run("systemctl", "start", "ifmatch")
    wait_writable(machine, client(installed), "confined")
    process = machine.show("ifmatch", "MainPID")
    status = dict(line.split(":\t", 1) for line in
                  machine.run("cat", f"/proc/{process}/status").splitlines())
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert "0" not in status["Uid"].split()
    machine.run("systemctl", "stop", "ifmatch")


def test_an_instance_takes_over_without_a_failed_request(machine, installed):
    machine.run("systemctl", "start", "ifmatch@blue")
    app = client(installed)
    wait_writable(machine, app, "handover")
    statuses: list[int | str] = []
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            try:
                statuses.append(app.put("/handover/key", b"x").status)
            except OSError as error:
                statuses.append(repr(error))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        machine.run("systemctl", "start", "ifmatch@green")
        machine.wait_until(lambda: machine.state("ifmatch@blue") == "inactive", "left")
        so_far = len(statuses)
        machine.wait_until(lambda: len(statuses) > so_far + 10, "served by the successor")
    finally:
        done.set()
        writer.join()
    assert set(statuses) == {200}
    assert machine.state("ifmatch@green") == "active"
    assert machine.show("ifmatch@blue", "Result") == "success"
    machine.run("systemctl", "stop", "ifmatch@green")
    assert machine.show("ifmatch@green", "Result") == "success"


def test_a_drop_in_opens_a_port_below_1024(machine, installed):
    """The one that docs/operations.md names."""
    drop_in = machine.root / "etc/systemd/system/ifmatch.service.d/port.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("""[Service]
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE
PrivateUsers=no
""")
    file = machine.root / CONFIGURATION
    text = file.read_text()
    port = free_low_port()
    file.write_text(text.replace(installed.removeprefix("http://"), f"127.0.0.1:{port}"))
    machine.run("systemctl", "daemon-reload")
    try:
        machine.run("systemctl", "start", "ifmatch")
        wait_writable(machine, client(f"http://127.0.0.1:{port}"), "low-port")
    finally:
        drop_in.unlink()
        file.write_text(text)
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "stop", "ifmatch")


def free_low_port() -> int:
    """One that was free a moment ago: the kernel gives none of these by itself."""
    for port in range(1023, 700, -1):
        try:
            socket.create_server(("127.0.0.1", port)).close()
            return port
        except OSError:
            continue
    raise AssertionError("all of them are taken")


def test_a_reload_puts_a_changed_file_into_effect(machine, installed):
    machine.run("systemctl", "start", "ifmatch")
    app = client(installed)
    wait_writable(machine, app, "reload")
    process = machine.show("ifmatch", "MainPID")
    file = machine.root / CONFIGURATION
    text = file.read_text()
    file.write_text(text + 'read_only = true\n')
    try:
        machine.run("systemctl", "reload", "ifmatch")
        machine.wait_until(lambda: app.put("/reload/key").status == 403, "refused since the reload")
        assert machine.show("ifmatch", "MainPID") == process
    finally:
        file.write_text(text)
        machine.run("systemctl", "stop", "ifmatch")


def test_a_process_that_dies_is_started_again(machine, installed):
    machine.run("systemctl", "start", "ifmatch")
    process = machine.show("ifmatch", "MainPID")
    machine.run("systemctl", "kill", "--signal=KILL", "ifmatch")
    machine.wait_until(
        lambda: machine.state("ifmatch") == "active" and
        machine.show("ifmatch", "MainPID") not in ("0", process), "started again")
    machine.run("systemctl", "stop", "ifmatch")


def test_systemd_is_told_what_the_process_does(machine, installed):
    """And starts it again if it stands still: with a shorter time, by a drop-in."""
    drop_in = machine.root / "etc/systemd/system/ifmatch.service.d/watchdog.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\n")
    machine.run("systemctl", "daemon-reload")
    try:
        machine.run("systemctl", "start", "ifmatch")
        assert client(installed).get("/").status == 200, "started, and not served"
        machine.wait_until(lambda: machine.show("ifmatch", "StatusText") == "serving", "told")
        process = machine.show("ifmatch", "MainPID")
        machine.run("systemctl", "kill", "--signal=STOP", "ifmatch")
        machine.wait_until(
            lambda: machine.state("ifmatch") == "active" and
            machine.show("ifmatch", "MainPID") not in ("0", process), "started again")
    finally:
        drop_in.unlink()
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "stop", "ifmatch")


def test_a_wrong_configuration_is_told_once(machine, installed):
    file = machine.root / CONFIGURATION
    right = file.read_text()
    file.write_text(right.replace("[register]", "[registre]"))
    try:
        machine.try_run("systemctl", "start", "ifmatch")
        machine.wait_until(lambda: machine.state("ifmatch") == "failed", "failed")
        assert machine.show("ifmatch", "ExecMainStatus") == "2"
        assert "registre" in machine.journal()
        assert machine.show("ifmatch", "NRestarts") == "0"
    finally:
        file.write_text(right)
        machine.run("systemctl", "reset-failed", "ifmatch")


def test_removal_of_the_package_stops_instances(machine, installed):
    machine.run("systemctl", "start", "ifmatch@blue")
    wait_writable(machine, client(installed), "removal")
    machine.run("dpkg", "--remove", "ifmatch")
    assert "ifmatch" not in machine.programs()

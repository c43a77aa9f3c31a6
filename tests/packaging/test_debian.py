"""The Debian package: built, checked, installed, upgraded, removed and purged in a real Debian."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess

from conftest import built
from processes import ROOT
from service import CONFIGURATION, SECRET, client, configure, wait_writable


def test_lintian_finds_nothing(package):
    done = subprocess.run(["lintian", "--fail-on=error,warning", "--allow-root", package],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_program_gives_the_same_package(package, tmp_path):
    digests = {hashlib.sha256(path.read_bytes()).hexdigest()
               for path in (package, built(tmp_path, 1))}
    assert len(digests) == 1


def test_it_holds_what_an_operator_looks_for(package):
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True,
                            check=True).stdout
    paths = {line.split()[5].removeprefix(".") for line in listed.splitlines()}
    for wanted in (
        "/usr/bin/ifmatch",
        "/etc/ifmatch/ifmatch.toml",
        "/lib/systemd/system/ifmatch.service",
        "/lib/systemd/system/ifmatch@.service",
        "/usr/share/man/man1/ifmatch.1.gz",
        "/usr/share/man/man1/ifmatch-serve.1.gz",
        "/usr/share/bash-completion/completions/ifmatch",
        "/usr/share/zsh/vendor-completions/_ifmatch",
        "/usr/share/fish/vendor_completions.d/ifmatch.fish",
        "/usr/share/ifmatch/ifmatch.schema.json",
        "/usr/share/doc/ifmatch/copyright",
        "/usr/share/doc/ifmatch/changelog.gz",
        "/usr/share/doc/ifmatch/examples/ifmatch.toml",
    ):
        assert wanted in paths or f"/usr{wanted}" in paths, wanted


def test_pages_lead_to_pages_that_are_there_too(package):
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True,
                            check=True).stdout
    pages = set(re.findall(r"/usr/share/doc/ifmatch/(\w+\.md)", listed))
    assert "operations.md" in pages
    for page in pages - {"README.md"}:
        leads_to = set(re.findall(r"\]\((\w+\.md)", (ROOT / "docs" / page).read_text()))
        assert leads_to <= pages, f"{page}: {leads_to - pages}"


def test_the_life_of_an_installation(package, newer_package, machine, store):
    """In one test: each step starts from what the step before has left."""
    machine.install(package)
    version = machine.run("ifmatch", "--version")
    assert "\ncommit " in version and "\nbuilt by rustc " in version, version
    assert machine.state("ifmatch") == "inactive"
    assert machine.try_run("systemctl", "is-enabled", "ifmatch").stdout.strip() == "disabled"

    # As it is packaged, the secrets are missing: the log says so.
    machine.try_run("systemctl", "start", "ifmatch")
    machine.wait_until(lambda: machine.state("ifmatch") == "failed", "failed")
    assert "secret_backend" in machine.journal()

    url = configure(machine, store)
    machine.run("systemctl", "enable", "--now", "ifmatch")
    app = client(url)
    wait_writable(machine, app, "life")
    created = {"If-None-Match": "*"}
    assert app.put("/life/lock", b"1", headers=created).status == 200
    assert app.put("/life/lock", b"2", headers=created).status == 412
    process = machine.show("ifmatch", "MainPID")
    environment = machine.run("cat", f"/proc/{process}/environ")
    assert SECRET not in environment and "CREDENTIALS_DIRECTORY" in environment

    # An upgrade keeps the configuration as the operator has it, and starts the new program.
    changed = (machine.root / CONFIGURATION).read_text()
    machine.install(newer_package)
    assert (machine.root / CONFIGURATION).read_text() == changed
    assert machine.state("ifmatch") == "active"
    assert machine.show("ifmatch", "MainPID") != process
    wait_writable(machine, app, "life")
    assert app.get("/life/lock").body == b"1"

    # Removed, it has stopped and left the configuration; purged, nothing.
    machine.run("dpkg", "--remove", "ifmatch")
    assert (machine.root / CONFIGURATION).read_text() == changed
    assert "ifmatch" not in machine.programs()
    machine.run("dpkg", "--purge", "ifmatch")
    assert left_behind(machine.root) == []


def left_behind(root) -> list[str]:
    """Files and directories with the program's name, outside of what is not the package's: the
    packages that were copied in, the journal, and what the kernel shows."""
    found = []
    for directory, names, files in os.walk(root):
        inside = "/" + os.path.relpath(directory, root)
        if inside in ("/root", "/var/log", "/proc", "/sys", "/run", "/tmp"):
            names.clear()
            continue
        found += [f"{inside}/{name}" for name in (*names, *files) if "ifmatch" in name]
    return found

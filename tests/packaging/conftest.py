"""Fixtures: the Debian package, and a booted Debian."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import processes
import stores
from machine import ORIGIN, Machine
from processes import ROOT
from redis_server import RedisServer

BINARY = stores.BINARY.resolve()
for name in [name for name in os.environ if name.startswith(("AWS_", "IFMATCH_"))]:
    del os.environ[name]


def pytest_sessionfinish(session) -> None:
    processes.stop_all()


def built(directory: Path, revision: int) -> Path:
    """The Debian package of the program under test."""
    # Quickly: what xz would save is not tested.
    quick = {**os.environ, "DPKG_DEB_COMPRESSOR_TYPE": "gzip", "DPKG_DEB_COMPRESSOR_LEVEL": "1"}
    subprocess.run([ROOT / "packaging/debian/build", BINARY, directory, str(revision)], check=True,
                   env=quick)
    return next(directory.glob(f"ifmatch_*-{revision}_*.deb"))


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("package"), 1)


@pytest.fixture(scope="session")
def newer_package(tmp_path_factory) -> Path:
    return built(tmp_path_factory.mktemp("newer-package"), 2)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """A Debian of its own for each file of tests."""
    if os.geteuid() != 0:
        pytest.skip("only root can start a container")
    assert ORIGIN.is_dir(), f"{ORIGIN} is missing: run scripts/setup packages"
    booted = Machine(tmp_path_factory.mktemp("machine"))
    yield booted
    booted.stop()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    running = stores.embedded(tmp_path_factory.mktemp("store"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory):
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()

@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A certificate and its key."""
    directory = tmp_path_factory.mktemp("tls")
    made = (directory / "certificate.pem", directory / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-nodes",
                    "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=ifmatch",
                    "-addext", "subjectAltName=DNS:ifmatch",
                    "-days", "2", "-out", made[0], "-keyout", made[1]],
                   check=True, capture_output=True)
    return made

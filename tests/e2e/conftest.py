"""Fixtures: stores, registers and proxies, started on demand and ended with the run."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

import processes
import stores
from clients import Raw, boto
from proxies import Proxy, Settings, in_front_of
from redis_server import RedisServer

# Nothing of the machine's own set-up may reach the clients or the proxies. (IFMATCH_BIN has been
# read by now; the program refuses a variable of its name space that is no setting.)
for name in [name for name in os.environ if name.startswith(("AWS_", "IFMATCH_"))]:
    del os.environ[name]
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull,
                  AWS_EC2_METADATA_DISABLED="true")

STORES = ("s3s-fs", "s3s-fs-ignoring", "moto", "swift")
_numbers = itertools.count(1)


def pytest_sessionstart(session) -> None:
    shutil.rmtree(processes.LOGS, ignore_errors=True)


def pytest_sessionfinish(session) -> None:
    processes.stop_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    item.log_positions = processes.log_positions()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for name, text in processes.log_news(item.log_positions):
            report.sections.append((f"log of {name}", text))
    return report


class StoreShelf:
    """The stores by name; each is started when first asked for."""

    def __init__(self, directory: Path):
        self._directory = directory
        self._running: dict[str, stores.Store] = {}

    def __call__(self, name: str) -> stores.Store:
        if name not in self._running:
            directory = self._directory / name
            self._running[name] = {
                "s3s-fs": lambda: stores.s3s_fs(directory),
                "s3s-fs-ignoring": lambda: stores.s3s_fs(directory, ignore_conditions=True),
                "moto": lambda: stores.moto(directory),
                "swift": lambda: stores.swift(directory),
            }[name]()
        return self._running[name]

    def stop(self) -> None:
        for store in self._running.values():
            store.stop()


@pytest.fixture(scope="session")
def store_named(tmp_path_factory):
    shelf = StoreShelf(tmp_path_factory.mktemp("stores"))
    yield shelf
    shelf.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A Redis for all tests that do not harm it; every proxy set takes a database of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path, request):
    """A Redis for one test to break; parametrize indirectly with True for an append-only one."""
    server = RedisServer(tmp_path / "redis", appendonly=getattr(request, "param", False))
    yield server
    server.stop()


def new_bucket(store: stores.Store) -> str:
    """A bucket that nobody else uses, made at the store itself."""
    name = f"e2e-bucket-{next(_numbers)}"
    boto(store.url, store.access_key, store.secret_key).create_bucket(Bucket=name)
    return name


def make_sure_of_bucket(store: stores.Store, name: str) -> None:
    """A bucket that several tests of a store use."""
    s3 = boto(store.url, store.access_key, store.secret_key)
    if name not in {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}:
        s3.create_bucket(Bucket=name)


@dataclass
class Front:
    """A proxy before a store, and a bucket."""

    proxy: Proxy
    store: stores.Store
    bucket: str

    @cached_property
    def s3(self):
        return self.proxy.boto()

    @cached_property
    def raw(self) -> Raw:
        return self.proxy.raw()

    @cached_property
    def store_s3(self):
        """The store without the proxy, to see what is really there."""
        return boto(self.store.url, self.store.access_key, self.store.secret_key)

    def new_key(self, stem: str = "key") -> str:
        return f"{stem}-{next(_numbers)}"

    def path(self, key: str) -> str:
        return f"/{self.bucket}/{key}"


@pytest.fixture(scope="session")
def front_on(store_named, redis_server, tmp_path_factory):
    """Makes a `Front`: front_on("moto", register="redis", writers="shared")."""
    running: dict[tuple, Front] = {}

    def make(store_name: str, register: str = "memory", writers: str = "shared") -> Front:
        wanted = (store_name, register, writers)
        if wanted not in running:
            store = store_named(store_name)
            url = redis_server.new_database() if register == "redis" else "memory:"
            bucket = new_bucket(store)
            settings = Settings(register=url, writers=writers)
            directory = tmp_path_factory.mktemp("-".join(wanted))
            proxy = in_front_of(store, bucket, directory, settings, "ifmatch-" + "-".join(wanted))
            running[wanted] = Front(proxy, store, bucket)
        return running[wanted]

    yield make
    for front in running.values():
        front.proxy.stop()


def front_matrix() -> list:
    """Every store with every register, and both ways to believe the register."""
    return [
        pytest.param((store, register, writers), id=f"{store}-{register}-{writers}")
        for store in STORES for register in ("memory", "redis")
        for writers in ("shared", "exclusive")
    ]


@pytest.fixture(scope="module", params=front_matrix())
def front(request, front_on) -> Front:
    return front_on(*request.param)


@pytest.fixture(scope="session")
def plain_front(front_on) -> Front:
    """One ordinary front, for what does not depend on the store."""
    return front_on("s3s-fs", "memory", "shared")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> tuple[str, str]:
    """A certificate for 127.0.0.1 and its key, as two PEM files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(
            [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    directory = tmp_path_factory.mktemp("tls")
    pem = directory / "certificate.pem"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_pem = directory / "key.pem"
    key_pem.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    return str(pem), str(key_pem)

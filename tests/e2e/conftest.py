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
from again import pytest_runtest_protocol  # noqa: F401 (a hook)
from certificates import Authority
from clients import SIGNING, Raw, boto
from embedded import Bucket
from endpoint import Endpoint
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings, in_front_of
from recipes.scene import pair  # noqa: F401 (a fixture)
from redis_server import RedisServer
from scripted import ScriptedStore
from secured import Served
from store_ceph import ceph
from store_swift import swift

# Nothing of the machine's own set-up may reach the clients or the proxies. (IFMATCH_BIN has been
# read by now; the program refuses a variable of its name space that is no setting.)
for name in [name for name in os.environ if name.startswith(("AWS_", "IFMATCH_"))]:
    del os.environ[name]
os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull,
                  AWS_EC2_METADATA_DISABLED="true")

EVERYDAY = ("embedded", "embedded-ignoring", "moto", "s3rver")
FULL = (*EVERYDAY, "swift", "ceph")
FRONTS = {
    "embedded": ("memory-shared", "memory-exclusive", "redis-shared", "redis-exclusive"),
    "embedded-ignoring": ("memory-shared", "memory-exclusive", "redis-shared", "redis-exclusive"),
    "moto": ("memory-exclusive", "redis-shared"),
    "s3rver": ("memory-shared", "redis-exclusive"),
    "swift": ("memory-shared", "redis-exclusive"),
    "ceph": ("memory-exclusive", "redis-shared"),
}
"""Register and writers in front of each store: each register, and each way to believe it, before
every store; all four combinations where a request costs little."""
_numbers = itertools.count(1)


def pytest_addoption(parser) -> None:
    parser.addoption("--stores", default="everyday", metavar="everyday|full|NAME,...",
                     help=f"the stores to test against: everyday ({', '.join(EVERYDAY)}), "
                          f"full (with {', '.join(FULL[len(EVERYDAY):])} too), or names")


def stores_wanted(config) -> tuple[str, ...]:
    wanted = config.getoption("--stores")
    chosen = {"everyday": EVERYDAY, "full": FULL}.get(wanted) or tuple(wanted.split(","))
    if unknown := set(chosen) - set(FULL):
        raise pytest.UsageError(f"--stores: no such store: {', '.join(sorted(unknown))}; "
                                f"there are {', '.join(FULL)}, and everyday and full")
    return chosen


def pytest_configure(config) -> None:
    stores_wanted(config)
    if not hasattr(config, "workerinput"):
        shutil.rmtree(processes.ALL_LOGS, ignore_errors=True)


def pytest_generate_tests(metafunc) -> None:
    """One test for each front (`front`) or each store (`store_front`) wanted."""
    wanted = stores_wanted(metafunc.config)
    if "front_names" in metafunc.fixturenames:
        metafunc.parametrize("front_names", [
            pytest.param((store, *kind.split("-")), id=f"{store}-{kind}")
            for store in wanted for kind in FRONTS[store]], scope="module")
    if "store_name" in metafunc.fixturenames:
        metafunc.parametrize("store_name", wanted, scope="module")


def pytest_sessionfinish(session) -> None:
    processes.stop_all()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for name, text in processes.log_news(item.log_positions):
            report.sections.append((f"log of {name}", text))
    return report


class StoreShelf:
    """The stores by name; each is started when first asked for. Without one that takes long to
    start, and is not among those wanted, a test is skipped."""

    def __init__(self, directory: Path, wanted: tuple[str, ...]):
        self._directory = directory
        self._allowed = {*EVERYDAY, *wanted}
        self._running: dict[str, stores.Store] = {}

    def __call__(self, name: str) -> stores.Store:
        if name not in self._allowed:
            pytest.skip(f"{name} is not among the stores wanted (--stores)")
        if name not in self._running:
            directory = self._directory / name
            self._running[name] = {
                "embedded": lambda: stores.embedded(directory),
                "embedded-ignoring": lambda: stores.embedded(directory, ignore_conditions=True),
                "moto": lambda: stores.moto(directory),
                "s3rver": lambda: stores.s3rver(directory),
                "swift": lambda: swift(directory),
                "ceph": lambda: ceph(directory),
            }[name]()
        return self._running[name]

    def stop(self) -> None:
        for store in self._running.values():
            store.stop()


@pytest.fixture(scope="session")
def store_named(tmp_path_factory, request):
    shelf = StoreShelf(tmp_path_factory.mktemp("stores"), stores_wanted(request.config))
    yield shelf
    shelf.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    """A Redis for all tests that do not harm it; every proxy set takes a database of its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


@pytest.fixture
def store():
    """A scripted store of the test's own."""
    scripted = ScriptedStore()
    yield scripted
    scripted.stop()


@pytest.fixture
def proxy(store, tmp_path):
    """A proxy in front of it, which ends in good order."""
    proxy = Proxy(tmp_path, store.store, Settings(settle=0))
    proxy.wait_writable("bucket")
    yield proxy
    assert proxy.stop() == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def other_authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other-authority"), "other-authority")


@pytest.fixture
def serve(store, tmp_path):
    """Starts a proxy with this `[tls]`, and more tables after it."""
    running: list[Proxy] = []

    def start(tls: str, more: str = "", ports: int = 1, **settings) -> Served:
        listen = '"127.0.0.1:0"' if ports == 1 else str(["127.0.0.1:0"] * ports)
        text = f'[tls]\nlisten = {listen}\n{tls}\n{more}'
        proxy = Proxy(tmp_path / str(len(running)), store.store,
                      Settings(settle=0, rules=text, **settings))
        running.append(proxy)
        return Served(proxy, proxy.process.wait_for_line(r"^listening on (https://\S+)")[1])

    yield start
    for proxy in running:
        proxy.stop()


@pytest.fixture(params=SIGNING)
def signing(request):
    """The configuration of a boto3 that presigns: its default, and Version 4."""
    return SIGNING[request.param]


@pytest.fixture
def own_redis(tmp_path, request):
    """A Redis for one test to break; parametrize indirectly with True for an append-only one."""
    server = RedisServer(tmp_path / "redis", appendonly=getattr(request, "param", False))
    yield server
    server.stop()


def new_bucket(store: stores.Store) -> str:
    """A bucket for one test, made at the store itself."""
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
            settings = Settings(register=url, writers=writers, configure=True)
            directory = tmp_path_factory.mktemp("-".join(wanted))
            proxy = in_front_of(store, bucket, directory, settings, "ifmatch-" + "-".join(wanted))
            running[wanted] = Front(proxy, store, bucket)
        return running[wanted]

    yield make
    for front in running.values():
        front.proxy.stop()


@pytest.fixture(scope="module")
def front(front_names, front_on) -> Front:
    """Every store with every register, and both ways to believe the register."""
    return front_on(*front_names)


@pytest.fixture(scope="module")
def store_front(store_name, front_on) -> Front:
    """Every store once, for what does not depend on the register."""
    return front_on(store_name, *FRONTS[store_name][0].split("-"))


@pytest.fixture(scope="session")
def plain_front(front_on) -> Front:
    """One ordinary front, for what does not depend on the store."""
    return front_on("embedded", "memory", "shared")


@pytest.fixture(scope="session")
def guarded(front_on) -> Front:
    """A store that ignores conditions, with the proxy that does not."""
    return front_on("embedded-ignoring", "redis", "shared")


@pytest.fixture(scope="session")
def proxied(guarded) -> Endpoint:
    """What the clients are sent to."""
    return Endpoint(guarded.proxy.url, ACCESS_KEY, CLIENT_SECRET, guarded.bucket)


@pytest.fixture(scope="session")
def alone(guarded) -> Endpoint:
    """The same store without the proxy: what a test expects of the proxy must fail here."""
    store = guarded.store
    return Endpoint(store.url, store.access_key, store.secret_key, guarded.bucket)


@pytest.fixture(scope="session", params=["proxy", "store"])
def judging(request) -> Endpoint:
    """What judges conditions: the proxy in front of a store that does not, and the embedded store without one."""
    if request.param == "proxy":
        return request.getfixturevalue("proxied")
    store = request.getfixturevalue("store_named")("embedded")
    return Endpoint(store.url, store.access_key, store.secret_key, new_bucket(store))


@pytest.fixture
def embedded(store_named) -> Bucket:
    """A new bucket of the embedded store, without a proxy."""
    return Bucket.new(store_named("embedded"))


@pytest.fixture
def new_key(guarded):
    return guarded.new_key


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

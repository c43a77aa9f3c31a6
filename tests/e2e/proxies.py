"""The program under test: its configuration, its start, its end."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from clients import Raw, boto
from processes import Process
from stores import BINARY, TRACES_BINARY, Store

ACCESS_KEY = "clientkey"
CLIENT_SECRET = "client-secret-0123456789"
READER_KEY = "readerkey"
READER_SECRET = "reader-secret-0123456789"
LIMITED_KEY = "limitedkey"
LIMITED_SECRET = "limited-secret-0123456789"
LIMITED_BUCKET = "only-this-bucket"
TEMPORARY_KEY = "temporarykey"
TEMPORARY_SECRET = "temporary-secret-0123456789"
TEMPORARY_TOKEN = "temporary-token/0123456789+=="
DOMAIN = "s3.localhost"
ADMIN_TOKEN = "admin-token-0123456789"


@dataclass(frozen=True)
class Settings:
    """What the tests vary. Times in seconds, short: a test waits for them again and again."""

    register: str = "memory:"
    nodes: tuple[str, ...] = ()
    """The URLs of the store's nodes, where it has several."""
    health_interval: float = 0.2
    """Of checks of the nodes; with several nodes only. So are the next two."""
    health_timeout: float = 0.5
    clock_skew: float = 0.05
    health_bucket: str | None = None
    resolve_interval: float | None = None
    """As it is by default, where it is not given."""
    connect_timeout: float = 5
    writers: str = "shared"
    dialect: str = "aws"
    lease: float = 2
    grace: float = 1
    settle: float = 1
    settle_long: float = 3
    failover_lag: float | None = None
    """As it follows from the rest, where it is not given."""
    lag: float = 0
    spacing: float = 0
    read_patience: float = 5
    listing_memory: str | None = None
    """As it is by default, where it is not given."""
    lease_wait: float = 5
    body_memory: str = "64MiB"
    body_memory_per_body: str = "8MiB"
    body_spool: str | None = None
    """As it follows from the rest, where it is not given; so are the shares of a client."""
    body_max: str = "5GiB"
    body_idle_timeout: float = 60
    early_answer: str = "close"
    body_least_rate: str = "1KiB"
    """A second."""
    log_level: str = "info"
    log_access: str | None = None
    """As it is by default, where it is not given."""
    anonymous: tuple[str, ...] = ()
    """Buckets open to all."""
    anonymous_read_only: bool = True
    addressing: str = "path"
    signatures: str = "resign"
    signature_v2: str | None = None
    unknown_length: str | None = None
    domains: tuple[str, ...] = (DOMAIN,)
    ca_file: str | None = None
    client_certificate: tuple[str, str] | None = None
    """The files of the certificate that is shown to the store, and of its key."""
    checksums: str = "send"
    dot_segments: str = "refuse"
    deletes_at_once: int = 16
    configure: bool = False
    """Whether the ordinary client may let the store act on its own."""
    subresources: str | list[str] = "seen"
    reserved: list[str] | None = None
    """As it is by default, where it is not given."""
    write_ids: bool = False
    strong_headers: tuple[str, ...] = ()
    probe_at_start: str | None = None
    """As it is by default, where it is not given; "off"."""
    probe_bucket: str = "probed"
    probe_timeout: float = 5
    writes: int = 4096
    writes_per_client: int | None = None
    writes_per_key: int = 256
    strangers: int = 256
    connections: int = 16384
    connections_per_address: int | None = None
    rules: str = ""
    """`[[rule]]` tables as the file has them."""
    upgrade_socket: Path | None = None
    marker: str | None = None
    """Bucket and key."""
    register_tls: str = ""
    """The keys of `[register]` that are about TLS to Redis, as the file has them."""
    admin: str | None = None
    """Where the admin listener listens, if there is to be one."""
    admin_token: bool = False
    """Whether it has a token, `ADMIN_TOKEN`."""
    shutdown_delay: float = 0
    threads: int = 0
    """0 is one for each core. With one, a connection to the store is used again by the next request."""
    traces: str = ""
    """The keys of the table `[traces]`; the build with traces is then run."""

    @property
    def quarantine(self) -> float:
        return self.lease + self.grace + self.settle + (self.failover_lag or 0) + self.lag


def config_text(store_url: str, store_key: str, settings: Settings, directory: Path,
                empty_segments: str = "keep") -> str:
    def quoted(value) -> str:
        return json.dumps(str(value))

    def optional(name: str, value: str | None) -> str:
        return f"{name} = {quoted(value)}" if value else ""

    def seconds(value: float) -> str:
        return quoted(f"{round(value * 1000)}ms")

    # What belongs to one kind of register is refused with the other.
    if settings.register == "memory:":
        register = f"lock_file = {quoted(directory / 'register.lock')}"
    else:
        register = f"timeout = {seconds(settings.lease / 4)}"
        if settings.failover_lag is not None:
            register += f"\nfailover_lag = {seconds(settings.failover_lag)}"
    register += f"\n{settings.register_tls}"
    if settings.marker:
        register += f"\nmarker = {quoted(settings.marker)}"
    clients = "" if settings.signatures == "passthrough" else f"""
[[client]]
access_key_id = {quoted(ACCESS_KEY)}
secret_access_key_env = "E2E_CLIENT_SECRET"
configure = {json.dumps(settings.configure)}

[[client]]
access_key_id = {quoted(READER_KEY)}
secret_access_key_env = "E2E_READER_SECRET"
read_only = true

[[client]]
access_key_id = {quoted(LIMITED_KEY)}
secret_access_key_env = "E2E_LIMITED_SECRET"
buckets = [{quoted(LIMITED_BUCKET)}]

[[client]]
access_key_id = {quoted(TEMPORARY_KEY)}
secret_access_key_env = "E2E_TEMPORARY_SECRET"
session_token_env = "E2E_TEMPORARY_TOKEN"
"""
    anonymous = "" if not settings.anonymous else f"""
[anonymous]
buckets = {json.dumps(settings.anonymous)}
read_only = {json.dumps(settings.anonymous_read_only)}"""
    reserved = ("" if settings.reserved is None
                else f"reserved = {json.dumps(settings.reserved)}")
    per_address = (f"connections_per_address = {settings.connections_per_address}"
                   if settings.connections_per_address else "")
    per_client = (f"writes_per_client = {settings.writes_per_client}"
                  if settings.writes_per_client else "")
    ca_file = f"ca_file = {quoted(settings.ca_file)}" if settings.ca_file else ""
    if settings.client_certificate:
        cert, key = map(quoted, settings.client_certificate)
        ca_file += f"\nclient_cert_file = {cert}\nclient_key_file = {key}"
    probe = "" if not settings.probe_at_start else f"""\
probe_at_start = {quoted(settings.probe_at_start)}
probe_bucket = {quoted(settings.probe_bucket)}
probe_timeout = {seconds(settings.probe_timeout)}"""
    nodes = "" if not settings.nodes else f"""\
urls = {json.dumps(settings.nodes)}
health_interval = {seconds(settings.health_interval)}
health_timeout = {seconds(settings.health_timeout)}
clock_skew = {seconds(settings.clock_skew)}
{optional("health_bucket", settings.health_bucket)}"""
    resolve = (f"resolve_interval = {seconds(settings.resolve_interval)}"
               if settings.resolve_interval else "")
    traces = f"[traces]\n{settings.traces}\n" if settings.traces else ""
    upgrade_socket = (f"upgrade_socket = {quoted(settings.upgrade_socket)}"
                      if settings.upgrade_socket else "")
    return f"""\
listen = "127.0.0.1:0"
threads = {settings.threads}
shutdown_delay = {seconds(settings.shutdown_delay)}
{upgrade_socket}
domains = {json.dumps(settings.domains)}
signatures = {quoted(settings.signatures)}
{optional("signature_v2", settings.signature_v2)}
writers = {quoted(settings.writers)}
dialect = {quoted(settings.dialect)}

[backend]
{nodes or f"url = {quoted(store_url)}"}
{resolve}
connect_timeout = {seconds(settings.connect_timeout)}
read_patience = {seconds(settings.read_patience)}
region = "us-east-1"
access_key_id = {quoted(store_key)}
secret_access_key_env = "E2E_BACKEND_SECRET"
empty_segments = {quoted(empty_segments)}
dot_segments = {quoted(settings.dot_segments)}
deletes_at_once = {settings.deletes_at_once}
addressing = {quoted(settings.addressing)}
checksums = {quoted(settings.checksums)}
write_ids = {json.dumps(settings.write_ids)}
strong_headers = {json.dumps(settings.strong_headers)}
subresources = {json.dumps(settings.subresources)}
{reserved}
{probe}
{ca_file}

[register]
url = {quoted(settings.register)}
lease = {seconds(settings.lease)}
grace = {seconds(settings.grace)}
settle = {seconds(settings.settle)}
settle_long = {seconds(settings.settle_long)}
lag = {seconds(settings.lag)}
spacing = {seconds(settings.spacing)}
lease_wait = {seconds(settings.lease_wait)}
{register}

[body]
memory = {quoted(settings.body_memory)}
memory_per_body = {quoted(settings.body_memory_per_body)}
{optional("spool", settings.body_spool)}
max = {quoted(settings.body_max)}
idle_timeout = {seconds(settings.body_idle_timeout)}
least_rate = {quoted(settings.body_least_rate)}
early_answer = {quoted(settings.early_answer)}
{optional("unknown_length", settings.unknown_length)}
spool_dir = {quoted(directory / "spool")}

[limits]
writes = {settings.writes}
{per_client}
writes_per_key = {settings.writes_per_key}
strangers = {settings.strangers}
connections = {settings.connections}
{optional("listing_memory", settings.listing_memory)}
{per_address}

[log]
format = "json"
level = {quoted(settings.log_level)}
{optional("access", settings.log_access)}

[admin]
{optional("listen", settings.admin)}
{optional("token_env", "E2E_ADMIN_TOKEN" if settings.admin_token else None)}

{traces}
{clients}{anonymous}

{settings.rules}
"""


def secrets_env(store: Store) -> dict[str, str]:
    return {"E2E_BACKEND_SECRET": store.secret_key, "E2E_CLIENT_SECRET": CLIENT_SECRET,
            "E2E_READER_SECRET": READER_SECRET, "E2E_LIMITED_SECRET": LIMITED_SECRET,
            "E2E_TEMPORARY_SECRET": TEMPORARY_SECRET, "E2E_TEMPORARY_TOKEN": TEMPORARY_TOKEN,
            "E2E_ADMIN_TOKEN": ADMIN_TOKEN,
            **({"IFMATCH_BACKEND_SESSION_TOKEN": store.session_token} if store.session_token
               else {})}


class Proxy:
    """One `ifmatch serve` in front of `store`, or of `backend_url` (a relay before the store)."""

    def __init__(self, directory: Path, store: Store, settings: Settings = Settings(),
                 name: str = "ifmatch", backend_url: str | None = None,
                 arguments: tuple[str, ...] = (), within: tuple[str, ...] = ()):
        """`within`: a command that runs the program, such as one that changes what it sees."""
        self.directory, self.store, self.settings, self.name = directory, store, settings, name
        self.arguments, self.within = arguments, within
        (directory / "spool").mkdir(parents=True, exist_ok=True)
        self.config = directory / "ifmatch.toml"
        self.config.write_text(config_text(backend_url or store.url, store.access_key, settings,
                                           directory, store.empty_segments))
        passes = settings.signatures == "passthrough"
        self.user = (store.access_key, store.secret_key) if passes else (ACCESS_KEY, CLIENT_SECRET)
        """The client, unless a test says otherwise."""
        self.process: Process | None = None
        self.url = ""
        self.start()

    def start(self) -> None:
        binary = TRACES_BINARY if self.settings.traces else BINARY
        command = [*self.within, str(binary), "serve", "--config", str(self.config), *self.arguments]
        self.process = Process(self.name, command, env=secrets_env(self.store))
        self.url = self.process.wait_for_line(r"^listening on (http://\S+)")[1]

    @property
    def admin_address(self) -> tuple[str, int]:
        """Where the admin listener listens, once it does."""
        pattern = r'the admin listener serves".*"listen":"([^"]+):(\d+)"'
        found = self.process.wait_for_line(pattern)
        return found[1], int(found[2])

    def admin(self, target: str, method: str = "GET", body: bytes | None = None,
              **headers: str) -> tuple[int, str]:
        """Status and text of an answer of the admin listener."""
        connection = http.client.HTTPConnection(*self.admin_address, timeout=30)
        connection.request(method, target, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def metric(self, name: str, **labels: str) -> float:
        """One sample of the metrics; 0 where there is none."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for line in self.admin("/metrics")[1].splitlines():
            found, _, rest = line.partition("{" if labels else " ")
            if found != name:
                continue
            if not labels:
                return float(rest)
            inside, _, value = rest.rpartition("} ")
            if wanted <= set(inside.split(",")):
                return float(value)
        return 0.0

    def command(self, *arguments: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(BINARY), *arguments], capture_output=True, text=True,
                              timeout=timeout, env={**os.environ, **secrets_env(self.store)})

    def skip_quarantine(self, timeout: float = 30) -> None:
        """As an operator does it: again where a slow register did not answer in time."""
        began = time.monotonic()
        while True:
            done = self.command("register", "skip-quarantine", "--config", str(self.config))
            if done.returncode == 0:
                return
            late = time.monotonic() - began > timeout
            assert not late, f"skip-quarantine: {done.stdout}{done.stderr}"
            time.sleep(0.1)

    def wait_writable(self, bucket: str, timeout: float = 30) -> float:
        """Waits until a write is accepted; returns how long that took."""
        began = time.monotonic()
        while True:
            answer = self.raw().put(f"/{bucket}/.writable", b"probe")
            if answer.status == 200:
                return time.monotonic() - began
            assert answer.status == 503, f"while waiting for the quarantine to end: {answer}"
            assert time.monotonic() - began < timeout, f"still refusing writes: {answer}"
            time.sleep(0.1)

    def boto(self, access_key: str | None = None, secret_key: str | None = None, **more):
        return boto(self.url, access_key or self.user[0], secret_key or self.user[1], **more)

    def raw(self, access_key: str | None = None, secret_key: str | None = None, **more) -> Raw:
        return Raw(self.url, access_key or self.user[0], secret_key or self.user[1], **more)

    def requests_logged(self) -> list[dict]:
        """The request lines of the log so far, fields flat."""
        found = []
        for line in list(self.process.lines):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            fields = {**record, **record.get("fields", {})} if isinstance(record, dict) else {}
            if fields.get("message") == "request":
                found.append(fields)
        return found

    def request_logged(self, timeout: float = 5, **wanted) -> dict:
        """The one request line with these fields; it is written after the answer."""
        deadline = time.monotonic() + timeout
        while True:
            found = [line for line in self.requests_logged()
                     if all(str(line.get(name)) == str(value) for name, value in wanted.items())]
            if found:
                assert len(found) == 1, found
                return found[0]
            assert time.monotonic() < deadline, f"no request line with {wanted}"
            time.sleep(0.05)

    def memory_peak_reset(self) -> None:
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def memory_peak_bytes(self) -> int:
        """The most memory that was resident since the reset."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM in /proc")

    def kill9(self) -> None:
        self.process.kill9()

    def stop(self) -> int:
        return self.process.stop()


def in_front_of(store: Store, bucket: str, directory: Path, settings: Settings,
                name: str = "ifmatch") -> Proxy:
    """A proxy that already accepts writes to `bucket`."""
    proxy = Proxy(directory, store, settings, name)
    if settings.register != "memory:":
        proxy.skip_quarantine()
    proxy.wait_writable(bucket)
    return proxy


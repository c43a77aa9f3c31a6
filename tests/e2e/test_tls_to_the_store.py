"""TLS to the store: its certificate is always verified, ours is shown, and both can be replaced."""

from __future__ import annotations

import re
import ssl
import subprocess
import textwrap
import time
import urllib.error
import urllib.request

import pytest

from certificates import Authority, Signed
from processes import ROOT, NotReady
from proxies import Proxy, Settings
from recorder import Recorder
from stores import Store


@pytest.fixture
def authorities(tmp_path) -> list[Authority]:
    return [Authority(tmp_path / name, name) for name in ("one", "another")]


@pytest.fixture
def recorders():
    running: list[Recorder] = []

    def start(signed, **more) -> Recorder:
        running.append(Recorder(certificate=(str(signed.cert), str(signed.key)), **more))
        return running[-1]

    yield start
    for recorder in running:
        recorder.stop()


@pytest.fixture
def proxy_to(tmp_path):
    running: list[Proxy] = []

    def start(recorder: Recorder, ca_file, client=None, tls: str = "", host: str = "127.0.0.1"):
        store = Store("recorder", f"https://{host}:{recorder.port}", "storekey", "storesecret")
        shown = (str(client.cert), str(client.key)) if client else None
        # One thread, so that there is one set of connections to the store, and each request finds those that are open.
        settings = Settings(settle=0, ca_file=str(ca_file), client_certificate=shown, rules=tls, threads=1)
        running.append(Proxy(tmp_path / f"proxy-{len(running)}", store, settings))
        return running[-1]

    yield start
    for proxy in running:
        proxy.stop()


def statuses(proxy: Proxy) -> set[int]:
    """Of a write, a read and an upload part, which take different ways to the store."""
    raw = proxy.raw()
    return {raw.put("/bucket/key", b"x").status, raw.get("/bucket/key").status,
            raw.put("/bucket/key?partNumber=1&uploadId=u", b"x").status}


def test_a_client_certificate_is_shown_on_every_way(authorities, recorders, proxy_to):
    ours, other = authorities
    store = recorders(ours.sign("store"), client_authority=str(ours.file))
    assert statuses(proxy_to(store, ours.file, ours.sign("client"))) == {200}
    for client in (None, other.sign("stranger")):
        with pytest.raises(NotReady, match="the store at https://127.0.0.1:.* cannot be used"):
            proxy_to(store, ours.file, client)


def test_the_certificate_that_the_manual_makes(recorders, proxy_to, tmp_path):
    """With the commands of docs/operations.md: good for a store, and for clients."""
    page = (ROOT / "docs/operations.md").read_text()
    commands = re.search(r"^    openssl req -x509 -newkey.*?-out tls\.crt$", page, re.DOTALL | re.MULTILINE)
    subprocess.run(["sh", "-ec", textwrap.dedent(commands[0])], cwd=tmp_path, check=True,
                   capture_output=True)
    made, ca = Signed(tmp_path / "tls.crt", tmp_path / "tls.key", 0), tmp_path / "ca.pem"
    for host in "localhost", "127.0.0.1":
        proxy = proxy_to(recorders(made), ca, host=host, tls=f"""[tls]
listen = "127.0.0.1:0"
cert_file = "{made.cert}"
key_file = "{made.key}"
""")
        assert statuses(proxy) == {200}
        url = proxy.process.wait_for_line(r"^listening on (https://\S+)")[1]
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(url, context=ssl.create_default_context(cafile=ca), timeout=10)
    # The authority's own certificate is for no server.
    with pytest.raises(NotReady, match="cannot be used: .*CaUsedAsEndEntity"):
        proxy_to(recorders(Signed(ca, tmp_path / "ca.key", 0)), ca, host="localhost")


def test_a_certificate_for_another_name_or_of_another_authority_is_refused(
        authorities, recorders, proxy_to):
    ours, other = authorities
    store = recorders(ours.sign("store", dns=("store.test",), ips=("127.0.0.1",)))
    assert statuses(proxy_to(store, ours.file)) == {200}
    with pytest.raises(NotReady, match="cannot be used: .*not valid for name"):
        proxy_to(store, ours.file, host="localhost")
    with pytest.raises(NotReady, match="cannot be used: .*UnknownIssuer"):
        proxy_to(store, other.file)


def test_files_for_the_store_are_read_again(authorities, recorders, proxy_to, tmp_path):
    ours, other = authorities
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(ours.file.read_bytes())
    store = recorders(ours.sign("store"))
    proxy = proxy_to(store, ca_file, tls='[tls]\nreload_interval = "100ms"')
    assert statuses(proxy) == {200}
    # The store has a new authority. Connections that are open go on.
    new = other.sign("store")
    store.context.load_cert_chain(str(new.cert), str(new.key))
    assert statuses(proxy) == {200}
    handshakes = len(store.server_names)
    ca_file.write_bytes(other.file.read_bytes())
    deadline = time.monotonic() + 20
    while len(store.server_names) == handshakes:
        assert statuses(proxy) <= {200, 503} and time.monotonic() < deadline
        time.sleep(0.05)
    assert statuses(proxy) == {200}
    ca_file.write_bytes(ours.file.read_bytes())
    while statuses(proxy) != {503}:
        assert time.monotonic() < deadline, "the old authority is trusted"
        time.sleep(0.05)

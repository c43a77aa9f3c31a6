"""All that expires is replaced while clients write and read by TLS, and no request fails."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from certificates import Authority, Signed
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings
from recorder import is_signed_by
from relay import TlsFront
from scripted import Request, ScriptedStore
from secured import Load, Served, serial, wait_until
from stores import Store
from test_reload import change, reload

NEW_SECRET = "the-client-s-new-secret"


class Keeping(ScriptedStore):
    """Keeps objects, and knows some credentials, by which every request must be signed."""

    def __init__(self):
        super().__init__()
        self.credentials = {self.store.access_key: self.store.secret_key}
        self.refused: list[str] = []
        self._objects: dict[str, bytes] = {}
        self.writes: list[tuple[str, bytes]] = []
        self._lock = threading.Lock()
        self.answer = self._answered

    def _answered(self, request: Request):
        asked = (request.method, request.target, request.headers, request.body)
        if not any(is_signed_by(asked, *known) for known in list(self.credentials.items())):
            self.refused.append(request.headers.get("authorization", ""))
            return 403, {}, b"<Error><Code>InvalidAccessKeyId</Code></Error>"
        with self._lock:
            if request.method == "PUT":
                self._objects[request.target] = request.body
                self.writes.append((request.target, request.body))
            found = self._objects.get(request.target)
        if request.target.count("/") < 2:
            return 200, {}, b""
        if found is None:
            return 404, {}, b"" if request.method == "HEAD" else b"<Error><Code>NoSuchKey</Code></Error>"
        tag = {"ETag": f'"{hashlib.md5(found).hexdigest()}"'}
        return 200, tag, b"" if request.method == "PUT" else found


class Mounted:
    """A directory as Kubernetes mounts a Secret: the files are links into `..data`, a link that is replaced."""

    def __init__(self, directory: Path, signed: Signed):
        self.directory, self._count = directory, 0
        directory.mkdir()
        self.show(signed)
        for name in ("tls.crt", "tls.key"):
            (directory / name).symlink_to(Path("..data") / name)

    def show(self, signed: Signed) -> None:
        self._count += 1
        data = self.directory / f"..{self._count}"
        data.mkdir()
        (data / "tls.crt").write_bytes(signed.cert.read_bytes())
        (data / "tls.key").write_bytes(signed.key.read_bytes())
        link = self.directory / "..data_tmp"
        link.symlink_to(data.name)
        os.replace(link, self.directory / "..data")

    def tables(self) -> str:
        return Signed(self.directory / "tls.crt", self.directory / "tls.key", 0).tables()


@pytest.fixture
def scene(tmp_path, authority, redis_server):
    """A proxy with TLS on both sides. The store asks it for a certificate."""
    store, inside = Keeping(), tmp_path / "inside"
    inside.mkdir()
    ca_file, ours = inside / "ca.pem", Signed(inside / "client.pem", inside / "client.key", 0)
    ca_file.write_bytes(authority.file.read_bytes())
    ours.replace(authority.sign("client"))
    of_store = authority.sign("store")
    front = TlsFront(store.store.url, str(of_store.cert), str(of_store.key), str(authority.file))
    mounted = Mounted(tmp_path / "mounted", authority.sign("listener"))
    secrets = tmp_path / "secret", tmp_path / "previous"
    secrets[0].write_text(CLIENT_SECRET)
    settings = Settings(
        register=redis_server.new_database(), ca_file=str(ca_file),
        client_certificate=(str(ours.cert), str(ours.key)),
        rules=f'[tls]\nlisten = "127.0.0.1:0"\nreload_interval = "100ms"\n{mounted.tables()}')
    behind = Store("keeping", front.url, store.store.access_key, store.store.secret_key)
    proxy = Proxy(tmp_path / "proxy", behind, settings)
    change(proxy, ('secret_access_key_env = "E2E_CLIENT_SECRET"',
                   f'secret_access_key_file = "{secrets[0]}"'))
    reload(proxy)
    proxy.skip_quarantine()
    proxy.wait_writable("bucket")
    served = Served(proxy, proxy.process.wait_for_line(r"^listening on (https://\S+)")[1])
    yield served, store, front, mounted, (ca_file, ours), secrets
    assert proxy.stop() == 0
    front.close()
    store.stop()


def test_everything_is_replaced_under_load_and_no_request_fails(scene, authority, other_authority):
    served, store, front, mounted, (ca_file, ours), (secret, previous) = scene
    proxy = served.proxy
    load = Load(served.raw(), authority.file, reads_back=True)
    try:
        load.wait_more()
        # The certificate that clients are shown, by one swap of a link.
        for number in range(2):
            new = authority.sign(f"listener-{number}")
            mounted.show(new)
            wait_until(lambda: serial(served) == new.serial)
            load.wait_more()
        # The client's secret: both are good, the client changes, the old one is taken away.
        secret.write_text(NEW_SECRET)
        previous.write_text(CLIENT_SECRET)
        line = f'secret_access_key_file = "{secret}"'
        change(proxy, (line, f'{line}\nprevious_secret_access_key_file = "{previous}"'))
        assert reload(proxy)[-1]["changed"] == f"client {ACCESS_KEY}"
        load.wait_more()
        load.raw = served.raw(NEW_SECRET)
        load.wait_more()
        change(proxy, (f'previous_secret_access_key_file = "{previous}"', ""))
        reload(proxy)
        load.wait_more()
        # The store's own credential.
        store.credentials["successor"] = store.store.secret_key
        change(proxy, ('access_key_id = "storekey"', 'access_key_id = "successor"'))
        assert reload(proxy)[-1]["changed"] == "backend.access_key_id"
        load.wait_more()
        del store.credentials["storekey"]
        load.wait_more()
        # The store's authority: both are trusted while its certificate changes, then the new one alone.
        ca_file.write_bytes(authority.file.read_bytes() + other_authority.file.read_bytes())
        reload(proxy)
        of_store = other_authority.sign("store-next")
        front.show(str(of_store.cert), str(of_store.key))
        ca_file.write_bytes(other_authority.file.read_bytes())
        connections = len(front.shown)
        reload(proxy)
        wait_until(lambda: len(front.shown) > connections)
        load.wait_more()
        # The certificate that the store is shown, of another authority.
        front.trust(str(other_authority.file))
        shown = other_authority.sign("client-next")
        ours.replace(shown)
        wait_until(lambda: int(front.shown[-1], 16) == shown.serial)
        load.wait_more()
    finally:
        load.end()
    assert not load.failures, (load.failures[:5], store.writes[-200:])
    assert not store.refused
    # What was replaced is of no use any more.
    assert proxy.raw().get("/bucket/load-0").status == 403
    assert proxy.raw(secret_key=NEW_SECRET).get("/bucket/load-0").status == 200

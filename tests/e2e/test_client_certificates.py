"""`certificate_names` of a client: its key is of no use without a certificate that has one of them."""

from __future__ import annotations

import http.client
import json
import socket
import ssl

import pytest
import urllib3
from botocore.config import Config

from certificates import Authority, Signed
from clients import Answer, Raw, boto
from proxies import ACCESS_KEY, CLIENT_SECRET
from secured import Served, wait_until
from test_forms import FILE, signed as signed_form
from test_reload import change, reload

NAMES = '["DNS:App.Test", "URI:spiffe://test/app"]'
CLIENTS = f"""
[[client]]
access_key_id = "app"
secret_access_key_env = "E2E_CLIENT_SECRET"
certificate_names = {NAMES}

[[client]]
access_key_id = "other"
secret_access_key_env = "E2E_CLIENT_SECRET"
certificate_names = ["DNS:other.test"]
"""


class Connection:
    """A connection by TLS, which is kept; with a certificate if one is given."""

    def __init__(self, served: Served, authority: Authority, shown: Signed | None = None,
                 version: ssl.TLSVersion | None = None):
        self.served = served
        self.context = ssl.create_default_context(cafile=str(authority.file))
        if version:
            self.context.minimum_version = self.context.maximum_version = version
        if shown:
            self.context.load_cert_chain(shown.cert, shown.key)
        self.open(None)

    def open(self, session: ssl.SSLSession | None) -> None:
        address = ("127.0.0.1", self.served.port)
        self.client = http.client.HTTPSConnection(*address, context=self.context)
        self.client.sock = self.context.wrap_socket(
            socket.create_connection(address, 20), server_hostname="127.0.0.1", session=session)

    def ask(self, access_key: str = "app", method: str = "GET", target: str = "/bucket/key",
            secret: str = CLIENT_SECRET) -> Answer:
        headers = Raw(self.served.url, access_key, secret).signed(method, target)
        self.client.request(method, target, headers=headers)
        got = self.client.getresponse()
        return Answer(got.status, {}, got.read())

    def status(self, *arguments, **more) -> int:
        return self.ask(*arguments, **more).status


@pytest.fixture
def served(serve, authority, tmp_path) -> Served:
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority.file.read_bytes())
    served = serve(f'{authority.sign("server").tables()}client_ca_file = "{clients}"\n'
                   'client_auth = "optional"\nreload_interval = "100ms"', CLIENTS,
                   admin="127.0.0.1:0")
    served.proxy.wait_writable("bucket")
    return served


@pytest.fixture(scope="module")
def app(authority) -> Signed:
    return authority.sign("app", dns=("unused.test", "app.test"))


def test_a_key_is_of_no_use_without_its_certificate(served, authority, app):
    by_uri = authority.sign("by-uri", dns=(), ips=(), uris=("spiffe://test/app",))
    for right in (app, by_uri):
        connection = Connection(served, authority, right)
        assert connection.status() == 200
        assert connection.status("app", "PUT") == 200
        # The signature counts as before.
        assert connection.ask(secret="wrong").code == "SignatureDoesNotMatch"
        # A certificate is not a key: it does not make other clients' keys usable, or unusable.
        assert connection.status("other") == 403
        assert connection.status(ACCESS_KEY) == 200
    common_name = authority.sign("app.test", dns=("localhost",))
    longer = authority.sign("longer", dns=("a.app.test",), uris=("spiffe://test/app/2",))
    for wrong, why in ((None, "has shown no client certificate"),
                       (common_name, "has other names"), (longer, "has other names")):
        connection = Connection(served, authority, wrong)
        for method in ("GET", "PUT", "DELETE"):
            refused = connection.ask("app", method)
            assert (refused.status, refused.code) == (403, "AccessDenied"), refused
            assert why in refused.fields["Message"], refused
        assert connection.status(ACCESS_KEY) == 200
    # Without TLS no certificate can be shown.
    assert served.proxy.raw("app").get("/bucket/key").status == 403
    for client, why in (("app", "has shown no client certificate"), ("other", "has other names")):
        said = served.said(f'proves no name of the client.*"access_key_id":"{client}"')
        assert why in json.loads(said.string)["why"], said.string


def test_a_certificate_of_another_authority_proves_nothing(served, authority, other_authority):
    stranger = other_authority.sign("stranger", dns=("app.test",))
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        Connection(served, authority, stranger).ask()


def test_presigned_urls_and_forms_need_it_too(served, authority, app):
    client = boto(served.url, "app", CLIENT_SECRET, verify=str(authority.file),
                  config=Config(signature_version="s3v4", s3={"addressing_style": "path"}))
    url = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})
    form = signed_form("bucket", {"key": "form"}, key_id="app")
    for shown, expected in ((app, (200, 204)), (None, (403, 403))):
        files = {"cert_file": str(shown.cert), "key_file": str(shown.key)} if shown else {}
        pool = urllib3.PoolManager(ca_certs=str(authority.file), retries=False, **files)
        got = pool.request("GET", url)
        posted = pool.request("POST", f"{served.url}/bucket", fields=[*form, FILE])
        assert (got.status, posted.status) == expected, (got.data, posted.data)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_that_is_continued_proves_what_its_first_handshake_did(
        served, authority, app, version):
    for shown, expected in ((app, 200), (None, 403)):
        connection = Connection(served, authority, shown, version)
        assert connection.status() == expected
        session = connection.client.sock.session
        before = served.proxy.metric("ifmatch_tls_resumptions_total")
        connection.open(session)
        assert connection.status() == expected
        assert connection.client.sock.session_reused
        assert served.proxy.metric("ifmatch_tls_resumptions_total") == before + 1


def test_a_name_that_is_removed_counts_for_open_connections(served, authority, app):
    connection = Connection(served, authority, app)
    address = connection.client.sock.getsockname()
    assert connection.status() == 200
    change(served.proxy, (NAMES, '["URI:spiffe://test/app"]'))
    assert reload(served.proxy)[-1]["changed"] == "client app"
    assert connection.status() == 403
    change(served.proxy, ('["URI:spiffe://test/app"]', NAMES))
    reload(served.proxy)
    assert connection.status() == 200
    assert connection.client.sock.getsockname() == address
    # The last name cannot be removed by accident.
    change(served.proxy, (NAMES, "[]"))
    assert "certificate_names: is empty" in reload(served.proxy)[0]["message"]
    assert connection.status() == 200


def test_an_authority_that_is_removed_counts_for_open_connections(
        served, authority, other_authority, app, tmp_path):
    connection = Connection(served, authority, app)
    assert connection.status() == 200
    clients = tmp_path / "clients.pem"
    both = authority.file.read_bytes() + other_authority.file.read_bytes()
    stranger = other_authority.sign("known-now", dns=("app.test",))
    clients.write_bytes(both)
    wait_until(lambda: is_accepted(served, authority, stranger))
    assert connection.status() == 200
    clients.write_bytes(other_authority.file.read_bytes())
    wait_until(lambda: connection.status() == 403)
    assert "is no longer trusted" in connection.ask().fields["Message"]
    # Its other requests go on.
    assert connection.status(ACCESS_KEY) == 200


def is_accepted(served: Served, authority: Authority, shown: Signed) -> bool:
    try:
        return Connection(served, authority, shown).status() == 200
    except (OSError, http.client.HTTPException):
        return False

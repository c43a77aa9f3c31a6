"""TLS to Redis through the program: what each setting of `[register]` lets in and keeps out."""

from __future__ import annotations

import shutil

import pytest

from certificates import Authority, Signed
from processes import NotReady
from proxies import Proxy, Settings, in_front_of
from redis_server import TlsRedis, until
from secured import Load
from test_reload import reload


@pytest.fixture
def redis_by_tls(tmp_path):
    running: list[TlsRedis] = []

    def start(signed: Signed, authority: Authority, clients: str = "yes") -> TlsRedis:
        running.append(TlsRedis(tmp_path / f"redis-{len(running)}", signed, authority.file, clients))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def start(store, tmp_path):
    """Starts a proxy with this register, and these keys of `[register]` about TLS."""
    running: list[Proxy] = []

    def make(register: str, tls: str) -> Proxy:
        settings = Settings(register=register, register_tls=tls, settle=0)
        running.append(in_front_of(store.store, "bucket", tmp_path / f"proxy-{len(running)}", settings))
        return running[-1]

    yield make
    for proxy in running:
        proxy.stop()


def keys(ca: Authority | None = None, client: Signed | None = None, name: str | None = None) -> str:
    """The keys of `[register]`."""
    found = {"ca_file": ca and ca.file, "client_cert_file": client and client.cert,
             "client_key_file": client and client.key, "server_name": name}
    return "".join(f'{key} = "{value}"\n' for key, value in found.items() if value)


def test_redis_is_reached_with_a_certificate_on_both_sides_and_not_without(
        redis_by_tls, start, authority, other_authority):
    """Its certificate is for a name that is not in the URL, and it asks for one of the client."""
    redis = redis_by_tls(authority.sign("redis", dns=("redis.test",), ips=()), authority)
    ours, stranger = authority.sign("proxy"), other_authority.sign("stranger")
    url = redis.new_database()
    proxy = start(url, keys(authority, ours, "redis.test"))
    raw = proxy.raw()
    assert raw.put("/bucket/key", b"x").status == 200
    assert raw.put("/bucket/key", b"y", headers={"If-None-Match": "*"}).status == 412
    # So do the commands that look at the register.
    status = proxy.command("register", "status", "--config", str(proxy.config))
    assert status.returncode == 0 and "leases held" in status.stdout, status
    asked = redis.client().client_list()
    assert len(asked) >= 2, "the proxy, and this question"
    for wrong, words in (
            (keys(other_authority, ours, "redis.test"), "not signed by an authority of ca_file"),
            (keys(None, ours, "redis.test"), "not signed by an authority"),
            (keys(authority, None, "redis.test"), "asks for a client certificate"),
            (keys(authority, stranger, "redis.test"), "does not accept our client certificate"),
            (keys(authority, ours), "is for redis.test, not for 127.0.0.1"),
            (keys(authority, ours, "other.test"), "is for redis.test, not for other.test")):
        with pytest.raises(NotReady) as refused:
            start(url, wrong)
        told = str(refused.value)
        assert "ended with 1" in told and words in told, told
        assert f"rediss://127.0.0.1:{redis.tls_port}" in told, told


def test_a_port_for_tls_and_a_plain_one_are_told_apart(redis_by_tls, start, authority):
    redis = redis_by_tls(authority.sign("told-apart"), authority, clients="no")
    url = redis.new_database()
    assert start(url, keys(authority)).raw().put("/bucket/key", b"x").status == 200
    for wrong, tls, words in (
            (url.replace("rediss:", "redis:"), "", "rediss://"),
            (url.replace(str(redis.tls_port), str(redis.port)), keys(authority), "does not speak TLS")):
        with pytest.raises(NotReady, match="ended with 1") as refused:
            start(wrong, tls)
        assert words in str(refused.value)


def test_all_certificates_are_replaced_under_load_and_no_request_fails(
        redis_by_tls, start, tmp_path, authority, other_authority):
    """First the proxy trusts both authorities, then both sides show certificates of the new one, then the old one
    is trusted no more. Each time Redis ends the connections, so that the next ones are made with the new files."""
    inside = tmp_path / "inside"
    inside.mkdir()
    ca_file = inside / "ca.pem"
    shutil.copy(authority.file, ca_file)
    old = authority.sign("old-client")
    ours = Signed(inside / "client.pem", inside / "client.key", 0)
    ours.replace(old)
    redis = redis_by_tls(authority.sign("old-redis"), authority)
    proxy = start(redis.new_database(), f'ca_file = "{ca_file}"\nclient_cert_file = "{ours.cert}"\n'
                                        f'client_key_file = "{ours.key}"\n')
    both = tmp_path / "both.pem"
    both.write_bytes(authority.file.read_bytes() + other_authority.file.read_bytes())

    def connections() -> set[int]:
        return {int(each["id"]) for each in redis.client().client_list()
                if each["laddr"].endswith(f":{redis.tls_port}")}

    def end_connections() -> None:
        before = connections()
        assert before
        for each in before:
            redis.client().client_kill_filter(_id=each)
        until("others are there", lambda: connections() and not connections() & before)

    load = Load(proxy.raw())
    try:
        load.wait_more()
        ca_file.write_bytes(both.read_bytes())
        reload(proxy)
        redis.replace(other_authority.sign("new-redis"), both)
        end_connections()
        load.wait_more()
        ours.replace(other_authority.sign("new-client"))
        reload(proxy)
        redis.replace(other_authority.sign("new-redis"), other_authority.file)
        end_connections()
        load.wait_more()
        ca_file.write_bytes(other_authority.file.read_bytes())
        reload(proxy)
        end_connections()
        load.wait_more()
    finally:
        load.end()
    assert not load.failures, load.failures[:5]
    # A file that is wrong is told, and what was read before is used on.
    ca_file.write_text("nothing")
    assert "holds no certificate" in reload(proxy)[0]["message"]
    end_connections()
    assert proxy.raw().put("/bucket/after", b"x").status == 200

"""TLS towards clients: each setting is shown by a handshake that succeeds and by one that fails."""

from __future__ import annotations

import datetime
import json
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from clients import boto
from endpoint import Endpoint
from processes import ROOT, Process
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings, secrets_env
from secured import Load, Served, serial, shown, wait_until
from stores import BINARY
from test_reload import change, reload

AWS = Path(sys.executable).parent / "aws"


def test_clients_of_all_kinds(plain_front, authority, tmp_path):
    signed = authority.sign("kinds")
    proxy = Proxy(tmp_path, plain_front.store, Settings(
        settle=0, configure=True, rules=f'[tls]\nlisten = "127.0.0.1:0"\n{signed.tables()}'))
    url = proxy.process.wait_for_line(r"^listening on (https://\S+)")[1]
    place = Endpoint(url, ACCESS_KEY, CLIENT_SECRET, plain_front.bucket)
    ca, key = str(authority.file), plain_front.new_key("tls")
    object_url = f"{url}/{place.bucket}/{key}"
    try:
        client = boto(url, ACCESS_KEY, CLIENT_SECRET, verify=ca)
        client.put_object(Bucket=place.bucket, Key=key, Body=b"one", IfNoneMatch="*")
        with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
            client.put_object(Bucket=place.bucket, Key=key, Body=b"two", IfNoneMatch="*")
        large = bytes(3 << 20)
        client.put_object(Bucket=place.bucket, Key=key + "-large", Body=large)
        assert client.get_object(Bucket=place.bucket, Key=key + "-large")["Body"].read() == large
        upload = client.create_multipart_upload(Bucket=place.bucket, Key=key)["UploadId"]
        part = client.upload_part(Bucket=place.bucket, Key=key, UploadId=upload, PartNumber=1,
                                  Body=bytes(5 << 20))
        done = client.complete_multipart_upload(
            Bucket=place.bucket, Key=key, UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        assert done["Location"] == object_url
        presigned = client.generate_presigned_url(
            "get_object", Params={"Bucket": place.bucket, "Key": key})
        got = subprocess.run(["curl", "-sS", "--cacert", ca, presigned], capture_output=True)
        assert got.stdout == bytes(5 << 20), got.stderr
        cli = place.run(AWS, "s3api", "head-object", "--bucket", place.bucket, "--key", key,
                        AWS_CA_BUNDLE=ca)
        assert cli.returncode == 0, cli.stderr
        js = place.run("node", ROOT / "tests/e2e/node/conditional.mjs", ROOT / ".node",
                       key + "-js", NODE_EXTRA_CA_CERTS=ca)
        assert '["kept","two"]' in js.stdout, js.stdout + js.stderr
        remote = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "true", "ENDPOINT": url}
        rclone = place.run("rclone", "--config", "/dev/null", "--ca-cert", ca, "cat",
                           f"store:{place.bucket}/{key}-js",
                           **{f"RCLONE_CONFIG_STORE_{name}": value for name, value in remote.items()})
        assert rclone.stdout == "two", rclone.stderr
        # None of them accepts a certificate that it does not know.
        distrusting = subprocess.run(["curl", "-sS", url], capture_output=True, text=True)
        assert distrusting.returncode == 60, distrusting.stderr
        proxy.process.wait_for_line("it does not trust this proxy's certificate", timeout=10)
    finally:
        proxy.stop()


def test_versions(serve, authority):
    tables = authority.sign("versions").tables()
    both = serve(tables)
    assert both.is_served("-tls1_2") and both.is_served("-tls1_3")
    assert not both.is_served("-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
    newer = serve(tables + 'min_version = "1.3"')
    assert newer.is_served("-tls1_3") and not newer.is_served("-tls1_2")
    newer.said("no version or cipher of TLS in common")


def test_only_http_1_1_is_agreed_on(serve, authority):
    served = serve(authority.sign("alpn").tables())
    assert "ALPN protocol: http/1.1" in served.handshake("-alpn", "h2,http/1.1")
    assert served.is_served()
    assert not served.is_served("-alpn", "h2")
    served.said("it does not speak HTTP/1.1")


def test_client_certificates(serve, authority, other_authority):
    tables = authority.sign("server").tables()
    ours, other = authority.sign("client"), other_authority.sign("stranger")
    with_ca = f'{tables}client_ca_file = "{authority.file}"\n'
    off = serve(tables)
    assert off.is_served() and off.is_served(*shown(other))
    assert "No client certificate CA names sent" in off.handshake()
    optional = serve(with_ca + 'client_auth = "optional"')
    assert optional.is_served() and optional.is_served(*shown(ours))
    assert not optional.is_served(*shown(other))
    optional.said("its certificate was not signed by an authority of client_ca_file")
    required = serve(with_ca + 'client_auth = "required"')
    for version in ("-tls1_2", "-tls1_3"):
        assert required.is_served(version, *shown(ours))
        assert not required.is_served(version, *shown(other))
        assert not required.is_served(version)
    required.said("its certificate was not signed|it shows no certificate")


def test_a_certificate_is_chosen_by_name(serve, authority):
    first = authority.sign("first", dns=("s3.test",))
    wild = authority.sign("wild", dns=("*.s3.test",))
    named = authority.sign("named", dns=("unused.test",))
    old = authority.sign("old", dns=("*.s3.test",), kind="rsa")
    exact = authority.sign("exact", dns=("bucket.s3.test",))
    served = serve(first.tables(), f"""
[[certificate]]
{wild.tables()}
[[certificate]]
{named.tables()}names = ["Other.Test"]
[[certificate]]
{old.tables()}
[[certificate]]
{exact.tables()}""")
    for name, expected in (
            ("s3.test", first), ("photos.s3.test", wild), ("bucket.s3.test", exact),
            ("other.test", named), ("unused.test", first), ("a.b.s3.test", first), (None, first)):
        assert serial(served, name) == expected.serial, name
    # A client that can verify RSA only.
    assert serial(served, "photos.s3.test", "-sigalgs", "RSA-PSS+SHA256") == old.serial


def test_http_at_the_port_for_tls_is_told_so(serve, authority):
    served = serve(authority.sign("plain").tables())
    with socket.create_connection(("127.0.0.1", served.port), 10) as client:
        client.sendall(b"GET /bucket/key HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert b"<Code>BadRequest</Code>" in answer and b"This port speaks TLS" in answer, answer
    # The plain port is as it was.
    assert served.proxy.raw().get("/bucket/key").status in (200, 404)
    with socket.create_connection(("127.0.0.1", served.port), 10) as client:
        client.sendall(b"\x00\x01\x02" * 10)
        assert b"HTTP" not in client.recv(100)
    served.said("it does not speak TLS")


def test_a_handshake_has_a_time_limit(serve, authority):
    served = serve(authority.sign("slow").tables() + 'handshake_timeout = "300ms"')
    for said in (b"", b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", served.port), 10) as client:
            client.sendall(said)
            assert client.recv(100) == b""
    served.said("it did not complete the handshake in time")
    assert served.is_served()


def test_several_addresses_speak_tls(serve, authority):
    """`tls.listen` is a list, as `listen` is."""
    first = serve(authority.sign("several").tables(), ports=2)

    def urls() -> set[str]:
        return {json.loads(line)["message"].split()[-1] for line in list(first.proxy.process.lines)
                if "listening on https://" in line}

    wait_until(lambda: len(urls()) == 2)
    for url in urls():
        assert Served(first.proxy, url).is_served()


def test_tls_alone(serve, authority):
    """`listen = []` opens no port without TLS, and neither does its default beside `tls.listen`."""
    proxy = serve(authority.sign("alone").tables()).proxy
    proxy.stop()
    text = proxy.config.read_text()
    for listen in ("listen = []", ""):
        proxy.config.write_text(text.replace('listen = "127.0.0.1:0"', listen, 1))
        command = [str(BINARY), "serve", "--config", str(proxy.config)]
        alone = Process("ifmatch-alone", command, env=secrets_env(proxy.store))
        try:
            url = alone.wait_for_line(r"^listening on (https://\S+)")[1]
            assert Served(proxy, url).is_served()
            assert not [line for line in alone.lines if "listening on http://" in line]
        finally:
            alone.stop()


def test_certificates_are_replaced_without_a_failed_request(serve, authority, other_authority):
    inside = authority.sign("inside")
    served = serve(inside.tables() + 'reload_interval = "100ms"')
    load = Load(served.raw(), authority.file)
    try:
        for number in range(3):
            new = authority.sign(f"new-{number}", kind="rsa" if number == 1 else "ec")
            assert serial(served) != new.serial
            inside.replace(new)
            wait_until(lambda: serial(served) == new.serial)
        load.wait_more()
        # What cannot be used changes nothing, whatever it is.
        good = (inside.cert.read_bytes(), inside.key.read_bytes())
        expired = authority.sign("expired", lasts=-datetime.timedelta(hours=1))
        for cert, key, words in (
                (b"", good[1], "holds no certificate"),
                (good[0], b"", "holds no private key"),
                (good[0], authority.sign("x").key.read_bytes(), "holds another key than that"),
                (expired.cert.read_bytes(), expired.key.read_bytes(), "has expired on")):
            since = len(served.proxy.process.lines)
            inside.cert.write_bytes(cert)
            inside.key.write_bytes(key)
            served.said(words + ".*remain in use", since)
            assert serial(served) == new.serial
    finally:
        load.end()
    assert not load.failures, load.failures[:5]


def test_a_new_certificate_is_logged_whatever_brought_it(serve, authority):
    inside = authority.sign("inside")
    served = serve(inside.tables() + 'reload_interval = "1h"')
    inside.replace(authority.sign("by-signal", lasts=datetime.timedelta(days=50)))
    new, reloaded = reload(served.proxy)
    assert new["message"] == "new connections use a new certificate"
    assert (new["side"], new["file"]) == ("listener", str(inside.cert))
    assert reloaded["changed"] == ""
    change(served.proxy, ('"1h"', '"100ms"'))
    reload(served.proxy)
    since = len(served.proxy.process.lines)
    inside.replace(authority.sign("by-time", lasts=datetime.timedelta(days=70)))
    served.said("new connections use a new certificate", since)


def test_settings_of_tls_are_replaced_without_a_failed_request(
        serve, authority, other_authority):
    first, second = authority.sign("first-set"), authority.sign("second-set")
    named = authority.sign("named-set", dns=("named.test",))
    served = serve(first.tables())
    proxy, load = served.proxy, Load(served.raw(), authority.file)
    try:
        assert served.is_served("-tls1_2") and serial(served) == first.serial
        change(proxy, (first.tables(), f"""{second.tables()}min_version = "1.3"
client_ca_file = "{other_authority.file}"
client_auth = "optional"
[[certificate]]
{named.tables()}"""))
        changed = reload(proxy)[-1]["changed"].split(", ")
        assert changed == ["tls.cert_file", "tls.client_auth", "tls.client_ca_file",
                           "tls.key_file", "tls.min_version", "certificate"], changed
        assert serial(served) == second.serial
        assert serial(served, "named.test") == named.serial
        assert served.is_served("-tls1_3") and not served.is_served("-tls1_2")
        assert not served.is_served(*shown(authority.sign("stranger-set")))
        assert served.is_served(*shown(other_authority.sign("client-set")))
        # What cannot be used refuses all of it, with everything else that has changed.
        good = proxy.config.read_text()
        expired = authority.sign("expired-set", lasts=-datetime.timedelta(hours=1))
        for wrong, words in ((f'cert_file = "{authority.directory}/absent.pem"', "absent.pem"),
                             (f'cert_file = "{first.cert}"', "holds another key than that"),
                             (expired.tables(), "has expired on")):
            right = second.tables() if wrong == expired.tables() else f'cert_file = "{second.cert}"'
            proxy.config.write_text(good)
            change(proxy, (right, wrong), ('min_version = "1.3"', 'min_version = "1.2"'))
            told = reload(proxy)
            assert words in told[0]["message"] and told[-1]["level"] == "ERROR", told
            assert serial(served) == second.serial and not served.is_served("-tls1_2")
        # Files behind the new paths are read again, as those before them were.
        proxy.config.write_text(good)
        change(proxy, ("[tls]", '[tls]\nreload_interval = "100ms"'))
        assert reload(proxy)[-1]["changed"] == "tls.reload_interval"
        second.replace(authority.sign("third-set"))
        wait_until(lambda: serial(served) not in (first.serial, second.serial))
        load.wait_more()
    finally:
        load.end()
    assert not load.failures, load.failures[:5]
    # An address is bound at the start.
    since = len(proxy.process.lines)
    change(proxy, ('[tls]\nreload_interval = "100ms"\nlisten = "127.0.0.1:0"',
                   '[tls]\nreload_interval = "100ms"\nlisten = "127.0.0.1:1"'))
    reload(proxy)
    assert '"settings":"tls.listen"' in served.said("needs a restart", since).string


def test_handshakes_and_certificates_are_counted(serve, authority, other_authority):
    signed = authority.sign("counted", lasts=datetime.timedelta(days=30))
    served = serve(f'{signed.tables()}client_ca_file = "{authority.file}"\n'
                   'client_auth = "required"\nreload_interval = "100ms"\n'
                   'handshake_timeout = "300ms"', admin="127.0.0.1:0")
    metric = served.proxy.metric
    failures = "ifmatch_tls_handshake_failures_total"
    ours = authority.sign("counted-client")
    assert served.is_served(*shown(ours))
    assert metric("ifmatch_tls_handshake_seconds_count") == 1
    assert metric(failures, reason="no_certificate") == 0
    assert not served.is_served()
    assert not served.is_served(*shown(other_authority.sign("counted-stranger")))
    for said in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x00\x01\x02" * 10, b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", served.port), 10) as client:
            client.sendall(said)
            client.recv(1000)
    for reason in ("no_certificate", "unknown_authority", "plain_http", "not_tls", "timeout"):
        wait_until(lambda: metric(failures, reason=reason) == 1)
    assert metric("ifmatch_tls_handshake_seconds_count") == 1
    expiry = "ifmatch_tls_certificate_expiry_timestamp_seconds"
    known = {"use": "listener", "file": str(signed.cert)}
    days = (metric(expiry, **known) - time.time()) / 86400
    assert 29.9 < days < 30.1
    [told] = json.loads(served.proxy.admin("/status.json")[1])["certificates"]
    assert told["names"] == ["localhost", "127.0.0.1"] and told["use"] == "listener", told
    assert told["not_after_s"] == metric(expiry, **known) and told["not_after"].endswith("Z"), told
    not_read = "ifmatch_tls_reload_failures_total"
    assert metric(not_read, use="listener") == 0
    signed.cert.write_text("half a file")
    wait_until(lambda: metric(not_read, use="listener") > 0)
    assert metric(expiry, **known) == told["not_after_s"], "what was read before is in use"


def test_the_authorities_of_clients_are_replaced(serve, authority, other_authority, tmp_path):
    ca_file = tmp_path / "clients.pem"
    ca_file.write_bytes(authority.file.read_bytes())
    served = serve(f'{authority.sign("server").tables()}client_ca_file = "{ca_file}"\n'
                   'client_auth = "required"\nreload_interval = "100ms"')
    ours, other = authority.sign("client"), other_authority.sign("stranger")
    assert served.is_served(*shown(ours)) and not served.is_served(*shown(other))
    ca_file.write_bytes(other_authority.file.read_bytes())
    wait_until(lambda: served.is_served(*shown(other)))
    assert not served.is_served(*shown(ours))


def test_a_certificate_that_expires_soon_is_told_of(serve, authority):
    soon = authority.sign("soon", lasts=datetime.timedelta(days=3))
    served = serve(soon.tables())
    served.said(r"the certificate in \S+soon.pem \(localhost, 127.0.0.1\) expires on")
    checked = served.proxy.command("check-config", "--config", str(served.proxy.config))
    assert checked.returncode == 0 and "expires on" in checked.stdout + checked.stderr


def test_a_successor_takes_over_all_addresses_and_opens_new_ones(
        store, redis_server, authority, tmp_path):
    """Clients move from one port to the other, and no connection is refused."""
    settings = Settings(register=redis_server.new_database(), lease=4, settle=2,
                        upgrade_socket=tmp_path / "private" / "upgrade.sock")
    plain = Proxy(tmp_path / "0", store.store, settings, "ifmatch-0")
    tls = f'[tls]\nlisten = "127.0.0.1:0"\n{authority.sign("upgrade").tables()}'
    both = Proxy(tmp_path / "1", store.store, replace(settings, rules=tls), "ifmatch-1",
                 arguments=("--upgrade",))
    third = None
    try:
        assert both.url == plain.url
        served = Served(both, both.process.wait_for_line(r"^listening on (https://\S+)")[1])
        assert served.is_served()
        plain.process.child.wait(30)
        third = Proxy(tmp_path / "2", store.store, replace(settings, rules=tls), "ifmatch-2",
                      arguments=("--upgrade",))
        assert third.url == plain.url
        again = third.process.wait_for_line(r"^listening on (https://\S+)")[1]
        assert again == served.url and Served(third, again).is_served()
    finally:
        for proxy in (plain, both, third):
            if proxy:
                proxy.stop()

"""Behind HAProxy, nginx and Envoy, with the configurations that packaging/balancers has, clients see what
they see without: conditions, long completes, large bodies, connections that stay."""

from __future__ import annotations

import http.client
import signal
import socket
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from balancers import KINDS, AlwaysReady, Balancer, Target
from clients import Raw, Wire, boto, code_of
from conftest import Front, new_bucket
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings, in_front_of
from secured import Load
from stores import Store
from test_slow_answers import DECLARATION, DONE, Completing, SlowStore

ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=15)


def raw(balancer: Balancer) -> Raw:
    return Raw(balancer.url, ACCESS_KEY, CLIENT_SECRET, timeout=15)


@pytest.fixture(scope="module")
def behind(store_named, tmp_path_factory):
    """The proxy that the balancers are in front of."""
    store = store_named("embedded-ignoring")
    bucket = new_bucket(store)
    directory = tmp_path_factory.mktemp("behind")
    settings = Settings(early_answer="read", admin="127.0.0.1:0")
    proxy = in_front_of(store, bucket, directory, settings, "ifmatch-behind")
    yield Front(proxy, store, bucket)
    assert proxy.stop() == 0


@pytest.fixture(scope="module", params=sorted(KINDS))
def balancer(request, behind, tmp_path_factory):
    target = Target.of(behind.proxy)
    running = Balancer(request.param, tmp_path_factory.mktemp(request.param), target)
    yield running
    running.stop()


def test_conditions_hold_and_a_refusal_does_not_hang_the_next_call(balancer, behind):
    """boto3 waits for 100 Continue; small bodies and large ones."""
    s3 = boto(balancer.url, ACCESS_KEY, CLIENT_SECRET, config=ONCE)
    for body in (b"small", b"x" * (9 << 20)):
        key = behind.new_key()
        etag = s3.put_object(Bucket=behind.bucket, Key=key, Body=body, IfNoneMatch="*")["ETag"]
        for _ in range(3):
            with pytest.raises(ClientError) as refused:
                s3.put_object(Bucket=behind.bucket, Key=key, Body=body, IfNoneMatch="*")
            assert code_of(refused.value) == (412, "PreconditionFailed")
            assert s3.get_object(Bucket=behind.bucket, Key=key)["Body"].read() == body
        s3.put_object(Bucket=behind.bucket, Key=key, Body=b"new", IfMatch=etag)
        s3.delete_object(Bucket=behind.bucket, Key=key)


def test_names_and_metadata_are_passed_on_as_they_were_signed(balancer, behind):
    s3 = boto(balancer.url, ACCESS_KEY, CLIENT_SECRET, config=ONCE)
    for key in ("a//b c+d", "é/%2F", "under_score"):
        s3.put_object(Bucket=behind.bucket, Key=key, Body=b"1", Metadata={"under_score": "kept"})
        assert s3.head_object(Bucket=behind.bucket, Key=key)["Metadata"] == {"under_score": "kept"}
        [listed] = behind.store_s3.list_objects_v2(Bucket=behind.bucket, Prefix=key)["Contents"]
        assert listed["Key"] == key


def test_an_upload_in_parts(balancer, behind):
    s3 = boto(balancer.url, ACCESS_KEY, CLIENT_SECRET, config=ONCE)
    key = behind.new_key()
    upload = s3.create_multipart_upload(Bucket=behind.bucket, Key=key)["UploadId"]
    where = {"Bucket": behind.bucket, "Key": key, "UploadId": upload}
    part = s3.upload_part(PartNumber=1, Body=b"x" * (6 << 20), **where)["ETag"]
    s3.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]},
                                 IfNoneMatch="*", **where)
    assert s3.head_object(Bucket=behind.bucket, Key=key)["ContentLength"] == 6 << 20


def test_a_body_is_passed_on_while_it_comes(balancer, behind):
    """The proxy has most of what was sent, although the client has not sent all."""
    half = 16 << 20
    before = written_so_far(behind.proxy)
    with Wire(raw(balancer), "PUT", behind.path(behind.new_key()), 2 * half) as wire:
        wire.send_body(bytes(half))
        deadline = time.monotonic() + 20
        # Sockets and balancers hold some of it.
        while written_so_far(behind.proxy) - before < half // 2:
            assert time.monotonic() < deadline, "the body does not arrive before its end"
            time.sleep(0.05)
        wire.send_body(bytes(half))
        assert wire.read_answer().status == 200


def written_so_far(proxy: Proxy) -> int:
    """Bytes that the process has written to files: a body of this size goes to one as it comes."""
    fields = dict(line.split(": ") for line in
                  Path(f"/proc/{proxy.process.pid}/io").read_text().splitlines())
    return int(fields["wchar"])


def test_the_client_keeps_its_connection_through_refusals(balancer, behind):
    client = raw(balancer)
    created = {"If-None-Match": "*"}
    path = behind.path(behind.new_key())
    with closing(http.client.HTTPConnection(client.host, client.port, timeout=15)) as connection:
        connection.connect()
        first = connection.sock
        for number in range(20):
            headers = client.signed("PUT", path, created, b"body")
            connection.request("PUT", path, b"body", headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == (412 if number else 200)
            assert connection.sock is first


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_white_space_of_a_long_complete_comes_at_once(kind, tmp_path):
    store = SlowStore()
    url = f"http://127.0.0.1:{store.server.server_port}"
    slow = Store(url=url, access_key="storekey", secret_key="storesecret", name="slow store")
    settings = Settings(lease=6, grace=0, settle=0, settle_long=0.5, lease_wait=0,
                        admin="127.0.0.1:0")
    proxy = Proxy(tmp_path / "proxy", slow, settings)
    proxy.wait_writable("bucket")
    balancer = Balancer(kind, tmp_path / kind, Target.of(proxy))
    try:
        store.will_send(b" ", DECLARATION + DONE)
        with Completing(raw(balancer), "key") as client:
            early = client.read_until(DECLARATION)
            assert early.startswith(b"HTTP/1.1 200") and DONE not in early
            store.go_on.set()
            assert client.read_answer().body.strip().startswith(DECLARATION)
    finally:
        balancer.stop()
        proxy.stop()
        store.server.shutdown()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_write_is_sent_once(kind, tmp_path):
    """A process dies before it answers: the balancer does not ask the other one."""
    taken: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                head = connection.recv(65536)
                if head.startswith(b"PUT"):
                    taken.append(len(head))
                connection.close()
        threading.Thread(target=serve, daemon=True).start()
        health = AlwaysReady()
        balancer = Balancer(kind, tmp_path, Target(listening.getsockname()[1], health.port))
        try:
            # Envoy has another code for it.
            assert raw(balancer).put("/bucket/key", b"body").status in (502, 503)
        finally:
            balancer.stop()
            health.stop()
    assert len(taken) == 1


def test_nginx_leaves_out_a_process_that_is_gone(behind, tmp_path):
    """After the one request that found it gone."""
    with socket.socket() as gone:
        # Bound and not listening, it refuses.
        gone.bind(("127.0.0.1", 0))
        absent = Target(gone.getsockname()[1], 1)
        balancer = Balancer("nginx", tmp_path, absent, Target.of(behind.proxy))
        try:
            client = raw(balancer)
            answers = [client.put(behind.path("key"), b"x").status for _ in range(12)]
        finally:
            balancer.stop()
    assert answers.count(502) == 1 and answers.count(200) == 11, answers


@pytest.mark.full
@pytest.mark.parametrize("kind", ["envoy", "haproxy"])
def test_a_process_that_ends_is_left_out_before_it_is_gone(kind, store, redis_server, tmp_path):
    """Its health check says so at the admin port, and for `shutdown_delay` it serves on. nginx asks for no health."""
    settings = Settings(early_answer="read", admin="127.0.0.1:0", shutdown_delay=4, settle=0,
                        register=redis_server.new_database())
    proxies = [in_front_of(store.store, "bucket", tmp_path / name, settings, name)
               for name in ("leaves", "stays")]
    balancer = Balancer(kind, tmp_path / kind, *map(Target.of, proxies))
    load = Load(raw(balancer))
    try:
        load.wait_more()
        proxies[0].process.signal(signal.SIGTERM)
        assert proxies[0].process.child.wait(30) == 0
        load.wait_more()
    finally:
        load.end()
        balancer.stop()
        for proxy in proxies:
            proxy.stop()
    assert not load.failures, load.failures[:5]
    for proxy in proxies:
        served = [line for line in proxy.requests_logged() if str(line.get("key")).startswith("load-")]
        assert served, f"{proxy.name} was asked nothing"

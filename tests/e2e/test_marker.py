"""Two registers for one store: the marker object tells them apart."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from clients import boto, code_of
from conftest import new_bucket
from processes import NotReady
from proxies import Proxy, Settings
from redis_server import RedisServer

SOON = 10
"""Seconds for what the proxies do within a third of a lease, on a busy machine."""
KEY = "registers/.ifmatch"


@pytest.fixture
def other_redis(tmp_path):
    server = RedisServer(tmp_path / "other-redis")
    yield server
    server.stop()


class Scene:
    """A store, its bucket, and proxies that are ended with the test."""

    def __init__(self, store, settings: Settings, directory):
        self.store, self.bucket = store, new_bucket(store)
        self.marker = f"{self.bucket}/{KEY}"
        self.settings = replace(settings, marker=self.marker)
        self.directory = directory
        self.started: list[Proxy] = []

    def proxy(self, **changes) -> Proxy:
        number = len(self.started)
        proxy = Proxy(self.directory / str(number), self.store,
                      replace(self.settings, **changes), f"ifmatch-{number}")
        self.started.append(proxy)
        return proxy

    def first(self) -> Proxy:
        proxy = self.proxy()
        proxy.skip_quarantine()
        proxy.wait_writable(self.bucket)
        return proxy

    def refused(self, **changes) -> str:
        with pytest.raises(NotReady) as ended:
            self.proxy(**changes)
        return str(ended.value)

    @property
    def at_store(self):
        return boto(self.store.url, self.store.access_key, self.store.secret_key)

    def marked(self) -> str | None:
        try:
            return self.at_store.get_object(Bucket=self.bucket, Key=KEY)["Body"].read().decode()
        except ClientError as error:
            assert code_of(error)[0] == 404
            return None

    def adopt(self, proxy: Proxy):
        return proxy.command("register", "adopt", "--config", str(proxy.config))


@pytest.fixture
def scene(store_named, own_redis, tmp_path):
    settings = Settings(register=own_redis.new_database(), settle=0.5)
    made = Scene(store_named("embedded-ignoring"), settings, tmp_path)
    yield made
    for proxy in made.started:
        proxy.stop()


def eventually(holds, patience: float = SOON) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(0.1)


def test_a_fleet_with_another_register_is_refused(scene, other_redis):
    first = scene.first()
    text = scene.marked()
    assert text.startswith("ifmatch register ") and "register.marker" in text
    second = scene.proxy()
    assert second.raw().put(f"/{scene.bucket}/key", b"x").status == 200, "the same fleet"
    told = scene.refused(register=other_redis.new_database())
    assert "has no id" in told and "ifmatch register adopt" in told
    # The other register has an id of its own, from another store.
    elsewhere = new_bucket(scene.store)
    other = other_redis.new_database()
    foreign = Proxy(scene.directory / "elsewhere", scene.store, replace(
        scene.settings, register=other, marker=f"{elsewhere}/marker"))
    scene.started.append(foreign)
    foreign.skip_quarantine()
    foreign.wait_writable(elsewhere)
    told = scene.refused(register=other)
    assert "this store belongs to another register" in told
    assert text.split()[2] in told, "whom the marker names"
    assert first.raw().put(f"/{scene.bucket}/key", b"y").status == 200


def test_a_register_that_lost_everything_with_the_fleet_is_adopted_by_the_operator(
        scene, own_redis):
    first = scene.first()
    text = scene.marked()
    assert first.raw().put(f"/{scene.bucket}/key", b"x").status == 200
    first.stop()
    own_redis.flush_all()
    told = scene.refused()
    assert "has lost its memory, or it is another one" in told
    done = scene.adopt(first)
    assert done.returncode == 0 and "adopted" in done.stdout, done.stdout + done.stderr
    again = scene.proxy()
    again.wait_writable(scene.bucket)
    assert scene.marked() == text
    done = scene.adopt(first)
    assert done.returncode == 0 and "already" in done.stdout


def test_a_running_proxy_gives_a_flushed_register_its_id_again(scene, own_redis):
    first = scene.first()
    own_redis.flush_all()
    first.process.wait_for_line("was given it again")
    first.wait_writable(scene.bucket)
    second = scene.proxy()
    second.wait_writable(scene.bucket)


def test_a_marker_that_is_gone_is_written_again(scene):
    first = scene.first()
    text = scene.marked()
    first.stop()
    scene.at_store.delete_object(Bucket=scene.bucket, Key=KEY)
    second = scene.proxy()
    second.process.wait_for_line("it will be written again")
    eventually(lambda: scene.marked() == text)
    second.wait_writable(scene.bucket)


def test_a_proxy_stops_writing_while_the_marker_names_another_register(scene, own_redis):
    """It is looked at about once a minute, and when a new epoch begins."""
    proxy = scene.first()
    text = scene.marked()
    own = text.split()[2]
    path = f"/{scene.bucket}/key"
    assert proxy.raw().put(path, b"x").status == 200

    def mark(content: str) -> None:
        scene.at_store.put_object(Bucket=scene.bucket, Key=KEY, Body=content.encode())

    mark(text.replace(own, "0" * 32))
    own_redis.flush_all()
    proxy.process.wait_for_line("ALARM: this store has another register")
    proxy.skip_quarantine()
    refused = proxy.raw().put(path, b"y")
    assert refused.status == 503 and "retry-after" in refused.headers, str(refused)
    assert "is not, or not yet, the one that keeps the locks" in refused.fields["Message"]
    assert proxy.raw().get(path).body == b"x", "reads go on"
    mark(text)
    eventually(lambda: proxy.raw().put(path, b"z").status == 200, 10 + SOON)


def test_clients_may_read_the_marker_and_nothing_else(scene):
    proxy = scene.first()
    text = scene.marked()
    s3, path = proxy.boto(), f"/{scene.marker}"
    assert s3.get_object(Bucket=scene.bucket, Key=KEY)["Body"].read().decode() == text
    s3.put_object(Bucket=scene.bucket, Key="source", Body=b"x")
    refused = {
        "put": lambda: s3.put_object(Bucket=scene.bucket, Key=KEY, Body=b"x"),
        "conditional": lambda: s3.put_object(Bucket=scene.bucket, Key=KEY, Body=b"x",
                                             IfNoneMatch="*"),
        "delete": lambda: s3.delete_object(Bucket=scene.bucket, Key=KEY),
        "copy": lambda: s3.copy_object(Bucket=scene.bucket, Key=KEY,
                                       CopySource=f"{scene.bucket}/source"),
        "upload": lambda: s3.create_multipart_upload(Bucket=scene.bucket, Key=KEY),
        "tags": lambda: s3.put_object_tagging(Bucket=scene.bucket, Key=KEY,
                                              Tagging={"TagSet": []}),
    }
    for what, request in refused.items():
        with pytest.raises(ClientError) as error:
            request()
        assert code_of(error.value) == (403, "AccessDenied"), what
    batch = s3.delete_objects(Bucket=scene.bucket, Delete={
        "Objects": [{"Key": KEY}, {"Key": "source"}]})
    assert [(each["Key"], each["Code"]) for each in batch["Errors"]] == [(KEY, "AccessDenied")]
    assert [each["Key"] for each in batch["Deleted"]] == ["source"]
    spelt = path.replace("registers", "%72egisters")
    assert proxy.raw().put(spelt, b"x").status == 403, "however it is spelt"
    copied = s3.copy_object(Bucket=scene.bucket, Key="copy", CopySource=scene.marker)
    assert "CopyObjectResult" in copied, "it may be read"
    assert scene.marked() == text


def test_a_register_in_memory_keeps_its_id_in_its_lock_file(scene):
    first = scene.proxy(register="memory:")
    first.wait_writable(scene.bucket)
    text = scene.marked()
    assert first.stop() == 0
    first.start()
    first.wait_writable(scene.bucket)
    first.stop()
    (first.directory / "register.lock").unlink()
    told = scene.refused(register="memory:")
    assert "has no id" in told
    done = scene.adopt(first)
    assert done.returncode == 0, done.stderr
    first.start()
    first.wait_writable(scene.bucket)
    assert scene.marked() == text


def test_two_proxies_that_start_at_once_agree(scene):
    made: list[Proxy] = []

    def start(number: int) -> None:
        made.append(Proxy(scene.directory / f"at-once-{number}", scene.store, scene.settings,
                          f"ifmatch-at-once-{number}"))

    threads = [threading.Thread(target=start, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    scene.started += made
    assert len(made) == 3
    made[0].skip_quarantine()
    for proxy in made:
        proxy.wait_writable(scene.bucket)

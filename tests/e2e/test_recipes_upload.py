"""The upload page of examples/: it creates and never overwrites, from a real browser and from many clients."""

from __future__ import annotations

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from browser import CHROMIUM
from clients import boto
from conftest import new_bucket
from endpoint import Endpoint
from processes import Process
from proxies import ACCESS_KEY, CLIENT_SECRET
from recipes.page_driver import PageDriver
from recipes.scene import CREW, EXAMPLES
from relay import Relay

UPLOAD = EXAMPLES / "javascript" / "upload"


class Server:
    """The example's server, for one bucket behind this URL."""

    def __init__(self, endpoint: Endpoint):
        self.process = Process("upload", ["node", str(UPLOAD / "server.mjs"), "0"], env=endpoint.env)
        self.url = self.process.wait_for_line(r"listening on (http://\S+)")[1]

    def sign(self, name: str) -> dict:
        request = urllib.request.Request(self.url + "/sign", json.dumps({"name": name}).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)


@pytest.fixture
def front(front_on):
    """moto answers the preflights of browsers; one proxy, with the register in its memory."""
    return front_on("moto", "memory", "exclusive")


@pytest.fixture
def behind(front):
    """A bucket, and a relay before the proxy."""
    relay = Relay(front.proxy.url)
    yield relay, Endpoint(relay.url, ACCESS_KEY, CLIENT_SECRET, new_bucket(front.store))
    relay.close()


@pytest.fixture
def server(behind):
    started = Server(behind[1])
    yield started
    started.process.stop()


def put(signed: dict, body: bytes, headers=None) -> int:
    sent = signed["headers"] if headers is None else headers
    return urllib3.PoolManager(retries=False).request("PUT", signed["put"], body=body, headers=sent).status


def test_of_many_uploads_under_one_name_one_creates(behind, server):
    with ThreadPoolExecutor(CREW) as pool:
        told = list(pool.map(lambda n: put(server.sign("cat.txt"), str(n).encode()), range(CREW)))
    assert sorted(told) == [200] + [412] * (CREW - 1)
    assert behind[1].body("uploads/cat.txt").decode() == str(told.index(200))


def test_the_page_cannot_leave_out_the_condition(server):
    assert put(server.sign("dog.txt"), b"1") == 200
    signed = server.sign("dog.txt")
    without = {name: value for name, value in signed["headers"].items() if name != "if-none-match"}
    assert put(signed, b"2", without) == 403
    assert put(signed, b"2", {**signed["headers"], "x-amz-meta-upload": "another's"}) == 403


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_the_page_creates_and_never_overwrites(behind, server, front, tmp_path):
    relay, endpoint = behind
    driver = PageDriver(server.url)
    rules = json.loads((UPLOAD / "cors.json").read_text())
    rules["CORSRules"][0]["AllowedOrigins"] = [driver.origin]
    front.proxy.boto().put_bucket_cors(Bucket=endpoint.bucket, CORSConfiguration=rules)
    try:
        files = [("bird.txt", "first"), ("bird.txt", "second"), ("no good.txt", "x")]
        assert driver.uploads(files, tmp_path / "profile") == [
            "created", "exists", "failed: this name is not allowed"]
        assert endpoint.body("uploads/bird.txt") == b"first"
        # An answer is lost, and the page tries again.
        relay.hold_answers(b"PUT /" + endpoint.bucket.encode() + b"/uploads/fish.txt")
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(driver.uploads, [("fish.txt", "fish")], tmp_path / "profile")
            assert relay.held.wait(60)
            s3 = boto(front.proxy.url, ACCESS_KEY, CLIENT_SECRET)
            s3.get_waiter("object_exists").wait(Bucket=endpoint.bucket, Key="uploads/fish.txt")
            relay.cut()
            assert told.result() == ["created"]
    finally:
        driver.stop()

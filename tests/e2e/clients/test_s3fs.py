"""s3fs (fsspec): exclusive creation. It runs in a virtual environment of its own (.venv-s3fs)."""

from __future__ import annotations

import json

import pytest
import urllib3

from endpoint import Endpoint
from processes import ROOT

PYTHON = ROOT / ".venv-s3fs" / "bin" / "python"

SCRIPT = '''
import json, os, sys
import s3fs
way, path, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
fs = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
# By default it cuts at 50 MiB; what is small goes by its defaults.
small = size < 5 << 20

def open_xb(data):
    with fs.open(path, "xb", **({} if small else {"block_size": 5 << 20})) as file:
        file.write(data)

def pipe(data):
    fs.pipe_file(path, data, mode="create", **({} if small else {"chunksize": 5 << 20}))

outcomes = []
for data in (b"1" * size, b"2" * size):
    try:
        {"open": open_xb, "pipe": pipe}[way](data)
        outcomes.append("written")
    except Exception as error:
        outcomes.append(type(error).__name__)
print(json.dumps([outcomes, fs.cat_file(path, start=0, end=1).decode(), fs.info(path)["size"]]))
'''


def create_twice(endpoint: Endpoint, way: str, key: str, size: int) -> list:
    done = endpoint.run(PYTHON, "-c", SCRIPT, way, f"{endpoint.bucket}/{key}", size)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("size", [10, 11 << 20], ids=["small", "multipart"])
@pytest.mark.parametrize("way", ["open", "pipe"])
def test_exclusive_creation_raises_file_exists_error(proxied, new_key, way, size):
    assert create_twice(proxied, way, new_key(), size) == [
        ["written", "FileExistsError"], "1", size]


@pytest.mark.parametrize("size", [10, 11 << 20], ids=["small", "multipart"])
def test_the_store_alone_overwrites(alone, new_key, size):
    assert create_twice(alone, "open", new_key(), size) == [["written", "written"], "2", size]


URL = '''
import os, sys
import s3fs
fs = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
fs.pipe_file(sys.argv[1], b"read")
print(fs.url(sys.argv[1], expires=60))
print(fs.url(sys.argv[1], expires=60, client_method="put_object"))
'''


def test_urls_that_it_presigns_read_and_write(proxied, new_key):
    path = f"{proxied.bucket}/{new_key('s3fs')}/a b+c"
    done = proxied.run(PYTHON, "-c", URL, path)
    assert done.returncode == 0, done.stderr
    get, put = done.stdout.split()
    assert "AWSAccessKeyId=" in get, "Signature Version 2 by default"
    pool = urllib3.PoolManager(retries=False)
    answer = pool.request("GET", get)
    assert (answer.status, answer.data) == (200, b"read")
    once = {"If-None-Match": "*"}
    assert pool.request("PUT", put, body=b"x", headers=once).status == 412
    assert pool.request("PUT", put, body=b"written").status == 200
    assert pool.request("GET", get).data == b"written"

"""The recipes with s3fs: 16 processes create one file, and readers read one version while it is overwritten."""

from __future__ import annotations

import hashlib
import threading

import pytest

from endpoint import Endpoint
from processes import ROOT
from recipes.scene import CREW, EXAMPLES, Crew

PYTHON = ROOT / ".venv-s3fs" / "bin" / "python"
CREATE, VERSIONS = EXAMPLES / "python" / "s3fs_create.py", EXAMPLES / "python" / "s3fs_versions.py"


def test_one_process_creates_the_file(pair, tmp_path):
    with Crew(pair, [CREATE, "s3fs-created", "text of {n}"], tmp_path, imports=("s3fs",), python=str(PYTHON)) as crew:
        victim = crew.until(lambda: [n for n in crew.pids if not crew.lines(n)][:1], "one is at work")[0]
        crew.kill9(victim)
        crew.finish()
    winners = [number for number, status in crew.statuses.items() if status == 0]
    losers = [number for number, status in crew.statuses.items() if status == 3]
    assert len(winners) + len(losers) >= CREW - 1, crew.tails()
    # The one that was killed may have been the one that created it.
    creator = int(pair.body("s3fs-created").decode().split()[-1])
    assert winners == ([] if creator == victim and victim not in winners else [creator])


def test_an_empty_file_is_not_created(pair):
    done = pair.endpoint().run(PYTHON, CREATE, "s3fs-empty", "")
    assert done.returncode == 1 and "without a condition" in done.stderr


EMPTY = '''
import os, sys, s3fs
fs = s3fs.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
path = f"{os.environ['BUCKET']}/{sys.argv[1]}"
one, two = fs.open(path, "xb"), fs.open(path, "xb")
one.close(), two.close()
print("both")
'''


def test_s3fs_lets_two_create_an_empty_file(pair):
    """Why the recipe refuses. If this fails, s3fs has got better."""
    done = pair.endpoint().run(PYTHON, "-c", EMPTY, "s3fs-empty-twice")
    assert done.stdout == "both\n", done.stderr


@pytest.fixture
def versioned(plain_front) -> Endpoint:
    """A bucket with versions; one proxy, with the register in its memory."""
    from conftest import new_bucket
    from proxies import ACCESS_KEY, CLIENT_SECRET
    bucket = new_bucket(plain_front.store)
    plain_front.store_s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return Endpoint(plain_front.proxy.url, ACCESS_KEY, CLIENT_SECRET, bucket)


def test_a_reader_sees_one_version_while_others_overwrite(versioned, tmp_path):
    s3, digests, done = versioned.boto(), {}, threading.Event()

    def write(number: int) -> None:
        body = bytes([number % 256]) * (8 << 10)
        put = s3.put_object(Bucket=versioned.bucket, Key="book", Body=body)
        digests[put["VersionId"]] = hashlib.sha256(body).hexdigest()

    def overwrite() -> None:
        number = 0
        while not done.is_set():
            write(number := number + 1)

    write(0)
    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        with Crew(_One(versioned), [VERSIONS, "book", 512], tmp_path, 4, imports=("s3fs",), python=str(PYTHON)) as crew:
            crew.finish()
            assert not crew.failed()
    finally:
        done.set()
        writer.join()
    for number in crew.pids:
        version, digest = crew.lines(number)[-1].split()
        assert digests[version] == digest, "all pieces are of the version that was named"


class _One:
    """One endpoint for all of a crew."""

    def __init__(self, endpoint: Endpoint):
        self._endpoint = endpoint

    def endpoint(self, _: int) -> Endpoint:
        return self._endpoint

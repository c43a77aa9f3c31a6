"""s3fs-fuse: a bucket as a directory. It sends no conditions; what it does passes the gate."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from clients import REGION
from conftest import new_bucket
from proxies import ACCESS_KEY, CLIENT_SECRET
from endpoint import Endpoint

pytestmark = pytest.mark.skipif(
    not os.access("/dev/fuse", os.W_OK) or not shutil.which("fusermount"),
    reason="this machine does not allow mounts: no writable /dev/fuse, or no fusermount")


def mounted(endpoint: Endpoint, directory) -> None:
    directory.mkdir()
    password = directory.parent / f"{directory.name}.password"
    password.write_text(f"{endpoint.access_key}:{endpoint.secret_key}\n")
    password.chmod(0o600)
    done = endpoint.run("s3fs", endpoint.bucket, str(directory), "-o", f"url={endpoint.url}",
                        "-o", "use_path_request_style", "-o", f"passwd_file={password}",
                        "-o", f"endpoint={REGION}")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def mounts(front_on, tmp_path):
    """Two mounts of one bucket, before moto: the embedded store keeps no directory objects."""
    front = front_on("moto", "redis", "shared")
    endpoint = Endpoint(front.proxy.url, ACCESS_KEY, CLIENT_SECRET,
                        new_bucket(front.store))
    made = []
    try:
        for name in ("one", "two"):
            mounted(endpoint, tmp_path / name)
            made.append(tmp_path / name)
        yield endpoint, *made
    finally:
        for each in made:
            subprocess.run(["fusermount", "-uz", str(each)], check=False)


def test_files_are_written_read_renamed_and_removed(mounts):
    endpoint, one, two = mounts
    large = os.urandom(26 << 20)  # it uploads in parts from 25 MB on
    (one / "deep").mkdir()
    (one / "deep" / "small").write_text("small")
    (one / "large").write_bytes(large)
    assert (two / "large").read_bytes() == large
    assert endpoint.body("large") == large
    (one / "deep" / "small").rename(one / "renamed")
    assert endpoint.body("renamed") == b"small"
    (two / "renamed").write_text("changed by the other")
    assert endpoint.body("renamed") == b"changed by the other"
    shutil.rmtree(one / "deep")
    (one / "large").unlink()
    listed = endpoint.boto().list_objects_v2(Bucket=endpoint.bucket)["Contents"]
    assert [each["Key"] for each in listed if each["Key"] != ".writable"] == ["renamed"]

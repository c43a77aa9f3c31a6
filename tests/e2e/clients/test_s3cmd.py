"""s3cmd: a condition can be added as a header, for uploads in one piece."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import urllib3

from endpoint import Endpoint

S3CMD = Path(sys.executable).parent / "s3cmd"
CREATE = "--add-header=If-None-Match: *"
LARGE = bytes(16 << 20)
"""In two parts: it cuts at 15 MiB."""


@pytest.fixture
def s3cmd(tmp_path):
    def run(endpoint: Endpoint, *words: str):
        config = tmp_path / "s3cfg"
        config.write_text(f"[default]\naccess_key = {endpoint.access_key}\n"
                          f"secret_key = {endpoint.secret_key}\nhost_base = {endpoint.host}\n"
                          f"host_bucket = {endpoint.host}\nuse_https = False\n")
        return endpoint.run(S3CMD, "-c", str(config), *words)

    return run


def done(result) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_objects_are_put_read_listed_copied_and_deleted(judging, new_key, s3cmd, tmp_path):
    place = f"s3://{judging.bucket}/{new_key('s3cmd')}"
    source = tmp_path / "source"
    source.mkdir()
    (source / "small").write_text("small")
    (source / "large").write_bytes(LARGE)
    done(s3cmd(judging, "sync", f"{source}/", f"{place}/"))
    done(s3cmd(judging, "cp", f"{place}/small", f"{place}/copy"))
    listed = done(s3cmd(judging, "ls", "--recursive", place))
    assert [line.rsplit("/")[-1] for line in listed.splitlines()] == ["copy", "large", "small"]
    done(s3cmd(judging, "get", f"{place}/large", str(tmp_path / "back")))
    assert (tmp_path / "back").read_bytes() == LARGE
    done(s3cmd(judging, "del", "--recursive", "--force", f"{place}/"))
    assert done(s3cmd(judging, "ls", "--recursive", place)) == ""


def test_an_added_header_creates_once(proxied, alone, new_key, s3cmd, tmp_path):
    key = new_key("s3cmd")
    (tmp_path / "file").write_text("one")
    put = ("put", CREATE, str(tmp_path / "file"), f"s3://{proxied.bucket}/{key}")
    done(s3cmd(proxied, *put))
    (tmp_path / "file").write_text("two")
    refused = s3cmd(proxied, *put)
    assert refused.returncode != 0 and "412 (PreconditionFailed)" in refused.stderr
    assert proxied.body(key) == b"one"
    done(s3cmd(alone, *put))  # the store alone overwrites
    assert proxied.body(key) == b"two"


def test_an_added_header_is_lost_on_an_upload_in_parts(judging, new_key, s3cmd, tmp_path):
    """s3cmd sends it with CreateMultipartUpload, where it means nothing, and not with Complete."""
    (tmp_path / "file").write_bytes(LARGE)
    place = f"s3://{judging.bucket}/{new_key('s3cmd')}"
    put = ("put", CREATE, str(tmp_path / "file"), place)
    done(s3cmd(judging, *put))
    done(s3cmd(judging, *put))
    assert s3cmd(judging, "put", CREATE, "--disable-multipart", *put[2:]).returncode != 0


def test_a_url_that_it_signs_reads(judging, new_key, s3cmd):
    key = new_key("s3cmd") + "/a b+c"
    judging.boto().put_object(Bucket=judging.bucket, Key=key, Body=b"read")
    url = done(s3cmd(judging, "signurl", f"s3://{judging.bucket}/{key}", "+60")).strip()
    assert "AWSAccessKeyId=" in url, "Signature Version 2 by default"
    answer = urllib3.PoolManager(retries=False).request("GET", url)
    assert (answer.status, answer.data) == (200, b"read")


def test_requests_by_version_2_are_served(judging, new_key, s3cmd, tmp_path):
    place = f"s3://{judging.bucket}/{new_key('s3cmd')}/"
    (tmp_path / "a b+c").write_text("v2")
    v2 = ("--signature-v2",)
    done(s3cmd(judging, *v2, "put", str(tmp_path / "a b+c"), place))
    assert done(s3cmd(judging, *v2, "ls", place)).strip().endswith("/a b+c")
    done(s3cmd(judging, *v2, "get", f"{place}a b+c", str(tmp_path / "back")))
    assert (tmp_path / "back").read_text() == "v2"
    done(s3cmd(judging, *v2, "del", f"{place}a b+c"))

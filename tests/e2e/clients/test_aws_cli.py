"""aws-cli: s3api with conditions; s3 cp and s3 sync, which have none to give in version 1."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import urllib3

from endpoint import Endpoint

AWS = Path(sys.executable).parent / "aws"


def aws(endpoint: Endpoint, *words: str):
    return endpoint.run(AWS, *words)


def s3api(endpoint: Endpoint, operation: str, key: str, *words: str):
    return aws(endpoint, "s3api", operation, "--bucket", endpoint.bucket, "--key", key, *words)


def answer_of(done) -> dict:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "{}")


def refused(done) -> bool:
    return done.returncode != 0 and "(PreconditionFailed)" in done.stderr


def test_put_and_delete_object(proxied, alone, new_key, tmp_path):
    key, body = new_key(), tmp_path / "body"
    body.write_text("one")
    create = ("--body", str(body), "--if-none-match", "*")
    etag = answer_of(s3api(proxied, "put-object", key, *create))["ETag"]
    assert refused(s3api(proxied, "put-object", key, *create))
    body.write_text("two")
    replace = ("--body", str(body), "--if-match", etag)
    newer = answer_of(s3api(proxied, "put-object", key, *replace))["ETag"]
    assert refused(s3api(proxied, "put-object", key, *replace))
    assert refused(s3api(proxied, "delete-object", key, "--if-match", etag))
    assert proxied.body(key) == b"two"
    answer_of(s3api(alone, "put-object", key, *create))  # the store alone does not mind
    answer_of(s3api(proxied, "delete-object", key, "--if-match", newer))


def test_copy_object(proxied, new_key):
    source, target = new_key(), new_key()
    proxied.boto().put_object(Bucket=proxied.bucket, Key=source, Body=b"copied")
    copy = ("--copy-source", f"{proxied.bucket}/{source}", "--if-none-match", "*")
    answer_of(s3api(proxied, "copy-object", target, *copy))
    assert refused(s3api(proxied, "copy-object", target, *copy))


def test_complete_multipart_upload(proxied, new_key, tmp_path):
    key, part = new_key(), tmp_path / "part"
    part.write_text("the only part")
    upload = answer_of(s3api(proxied, "create-multipart-upload", key))["UploadId"]
    etag = answer_of(s3api(proxied, "upload-part", key, "--upload-id", upload,
                           "--part-number", "1", "--body", str(part)))["ETag"]
    parts = json.dumps({"Parts": [{"PartNumber": 1, "ETag": etag}]})
    complete = ("--upload-id", upload, "--multipart-upload", parts)
    assert "(NoSuchKey)" in s3api(proxied, "complete-multipart-upload", key, *complete,
                                  "--if-match", etag).stderr
    answer_of(s3api(proxied, "complete-multipart-upload", key, *complete, "--if-none-match", "*"))
    assert proxied.body(key) == b"the only part"


def test_cp_and_sync(proxied, new_key, tmp_path):
    place = f"s3://{proxied.bucket}/{new_key('cli')}"
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "deep").mkdir(parents=True)
    (source / "small").write_text("small")
    # Larger than the 8 MiB from which `aws s3` uploads in parts.
    (source / "deep" / "large").write_bytes(bytes(9 << 20))
    for words in (("sync", str(source), place), ("sync", place, str(back)),
                  ("mv", f"{place}/small", f"{place}/moved"), ("rm", place, "--recursive")):
        done = aws(proxied, "s3", *words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    assert (back / "deep" / "large").read_bytes() == bytes(9 << 20)
    assert aws(proxied, "s3", "ls", place, "--recursive").stdout == ""


def test_cp_has_no_condition(proxied, new_key, tmp_path):
    (tmp_path / "file").write_text("x")
    options = ("--no-overwrite", "--if-none-match", "*")
    done = aws(proxied, "s3", "cp", str(tmp_path / "file"), f"s3://{proxied.bucket}/never",
               *options)
    assert done.returncode != 0 and f"Unknown options: {options[0]}" in done.stderr, done.stderr


def test_a_url_that_it_presigns_reads(proxied, new_key):
    key = new_key("cli") + "/a b+c"
    proxied.boto().put_object(Bucket=proxied.bucket, Key=key, Body=b"read")
    done = aws(proxied, "s3", "presign", f"s3://{proxied.bucket}/{key}")
    assert done.returncode == 0, done.stderr
    url = done.stdout.strip()
    assert "AWSAccessKeyId=" in url, "Signature Version 2 by default"
    answer = urllib3.PoolManager(retries=False).request("GET", url)
    assert (answer.status, answer.data) == (200, b"read")
    spoilt = url.replace("/cli", "/clj")
    assert urllib3.PoolManager(retries=False).request("GET", spoilt).status == 403

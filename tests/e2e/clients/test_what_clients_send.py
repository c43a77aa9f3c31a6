"""What the clients' requests look like: the table of docs/clients.md, heard on the wire.

An invocation id lets the proxy recognise a retry of a write; `Expect: 100-continue` lets it
refuse one before the body is sent.
"""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import obstore
import pytest
from minio import Minio
from obstore.store import S3Store

from clients import REGION
from endpoint import Endpoint, Listener
from processes import ROOT

BODY = b"written for its head alone"
TOOLS = Path(sys.executable).parent


def boto3_bytes(at: Endpoint, key: str, _) -> None:
    at.boto().put_object(Bucket=at.bucket, Key=key, Body=BODY)


def boto3_file(at: Endpoint, key: str, file: Path) -> None:
    with file.open("rb") as body:
        at.boto().put_object(Bucket=at.bucket, Key=key, Body=body)


def boto3_upload_file(at: Endpoint, key: str, file: Path) -> None:
    at.boto().upload_file(str(file), at.bucket, key)


def aws_cli(at: Endpoint, key: str, file: Path) -> None:
    ok(at.run(TOOLS / "aws", "s3api", "put-object", "--bucket", at.bucket, "--key", key,
              "--body", file))


def object_store(at: Endpoint, key: str, _) -> None:
    store = S3Store(at.bucket, endpoint=at.url, region=REGION, access_key_id=at.access_key,
                    secret_access_key=at.secret_key, client_options={"allow_http": True})
    obstore.put(store, key, BODY, mode="create")


def s3fs(at: Endpoint, key: str, _) -> None:
    program = ("import os, sys, s3fs; s3fs.S3FileSystem(endpoint_url=os.environ"
               "['AWS_ENDPOINT_URL']).pipe_file(sys.argv[1], b'x', mode='create')")
    ok(at.run(ROOT / ".venv-s3fs" / "bin" / "python", "-c", program, f"{at.bucket}/{key}"))


def minio_py(at: Endpoint, key: str, _) -> None:
    client = Minio(endpoint=at.host, access_key=at.access_key, secret_key=at.secret_key,
                   secure=False)
    client.put_object(bucket_name=at.bucket, object_name=key, data=io.BytesIO(BODY),
                      length=len(BODY))


def js_sdk(at: Endpoint, key: str, _, size: int = len(BODY)) -> None:
    program = """
        const [home, Key, size] = process.argv.slice(1);
        const require_ = require("node:module").createRequire(home + "/package.json");
        const { S3Client, PutObjectCommand } = require_("@aws-sdk/client-s3");
        new S3Client({ forcePathStyle: true }).send(new PutObjectCommand({
          Bucket: process.env.BUCKET, Key, Body: Buffer.alloc(Number(size)) }));
    """
    ok(at.run("node", "-e", program, ROOT / ".node", key, size))


def js_sdk_3_mib(at: Endpoint, key: str, file: Path) -> None:
    js_sdk(at, key, file, 3 << 20)


def rclone(at: Endpoint, key: str, file: Path) -> None:
    ok(at.run("rclone", "--config", "/dev/null", "copyto", file, f"store:{at.bucket}/{key}",
              RCLONE_CONFIG_STORE_TYPE="s3", RCLONE_CONFIG_STORE_ENV_AUTH="true",
              RCLONE_CONFIG_STORE_ENDPOINT=at.url, RCLONE_CONFIG_STORE_PROVIDER="Other"))


def s3cmd(at: Endpoint, key: str, file: Path) -> None:
    ok(at.run(TOOLS / "s3cmd", "-c", "/dev/null", f"--access_key={at.access_key}",
              f"--secret_key={at.secret_key}", f"--host={at.host}", f"--host-bucket={at.host}",
              "--no-ssl", "put", file, f"s3://{at.bucket}/{key}"))


def restic(at: Endpoint, key: str, _) -> None:
    ok(at.run("restic", "--no-cache", "--repo", f"s3:{at.url}/{at.bucket}/{key}", "init",
              RESTIC_PASSWORD="e2e"))


def ok(done) -> None:
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Sends:
    """Of every PUT of this client, over plain HTTP."""

    put: Callable
    invocation_id: bool
    expect: bool
    """`Expect: 100-continue`."""


CLIENTS = [
    Sends(boto3_bytes, invocation_id=True, expect=True),
    Sends(boto3_file, invocation_id=True, expect=True),
    Sends(boto3_upload_file, invocation_id=True, expect=True),
    Sends(aws_cli, invocation_id=True, expect=True),
    Sends(s3fs, invocation_id=True, expect=True),
    Sends(js_sdk, invocation_id=True, expect=False),
    Sends(js_sdk_3_mib, invocation_id=True, expect=True),
    Sends(object_store, invocation_id=False, expect=False),
    Sends(minio_py, invocation_id=False, expect=False),
    Sends(rclone, invocation_id=False, expect=False),
    Sends(s3cmd, invocation_id=False, expect=False),
    Sends(restic, invocation_id=False, expect=False),
]


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.put.__name__)
def test_the_heads_of_a_put(client, proxied, new_key, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(BODY)
    listener = Listener(proxied.url)
    try:
        client.put(proxied.at(listener.url), new_key("heard"), file)
        heads = listener.heads("PUT")
    finally:
        listener.close()
    assert heads
    for head in heads:
        assert ("amz-sdk-invocation-id" in head) == client.invocation_id, head
        assert ("expect" in head) == client.expect, head

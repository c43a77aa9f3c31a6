"""The answer to a commit is lost, and the commit has landed: what delta-rs, icechunk and SlateDB make of it, and what
the recipes do. Their clients name no call across its retries, so that the proxy cannot tell a retry from a new write."""

from __future__ import annotations

import sys

import deltalake
import pyarrow
import pytest

from clients import REGION
from recipes.scene import EXAMPLES
from recipes.unheard import run_unheard

PYTHON = EXAMPLES / "python"
FIRST_APPEND = "_delta_log/00000000000000000001.json"
NAIVE = '''
import os, sys, pyarrow, deltalake
deltalake.write_deltalake(f"s3://{os.environ['BUCKET']}/{sys.argv[1]}", pyarrow.table({"job": ["naive"]}), mode="append")
'''


@pytest.fixture
def table(pair, request):
    """A name for a new Delta table; its rows and its version in the end."""
    endpoint = pair.endpoint()
    options = {"AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": endpoint.access_key,
               "AWS_SECRET_ACCESS_KEY": endpoint.secret_key, "AWS_REGION": REGION, "AWS_ALLOW_HTTP": "true"}
    name = f"unheard-{request.node.name}"
    uri = f"s3://{pair.bucket}/{name}"

    def state() -> tuple[list[str], int]:
        there = deltalake.DeltaTable(uri, storage_options=options)
        return there.to_pyarrow_table()["job"].to_pylist(), there.version()

    return name, uri, options, state


def test_delta_rs_alone_commits_twice(pair, table):
    """The second version has the same file, so that the rows are there once. If this fails, delta-rs has got better."""
    name, uri, options, state = table
    deltalake.DeltaTable.create(uri, pyarrow.schema([("job", pyarrow.string())]), storage_options=options)
    run_unheard(pair, f"{name}/{FIRST_APPEND}", sys.executable, "-c", NAIVE, name, AWS_ALLOW_HTTP="true")
    assert state() == (["naive"], 2)


def test_a_numbered_batch_is_committed_once(pair, table):
    name, _, _, state = table
    run_unheard(pair, f"{name}/{FIRST_APPEND}", PYTHON / "delta_append.py", name, "job", "1", "text",
                AWS_ALLOW_HTTP="true")
    assert state() == (["job"], 1)


def test_an_icechunk_commit_is_known_to_be_ours(pair):
    prefix = "unheard-icechunk"
    first = pair.endpoint().run(sys.executable, PYTHON / "icechunk_commit.py", prefix, "first")
    assert first.returncode == 0, first.stderr
    head = icechunk_branch(pair, prefix)
    said = run_unheard(pair, head, PYTHON / "icechunk_commit.py", prefix, "second")
    assert said == "committed second\n"


def icechunk_branch(pair, prefix: str) -> str:
    listed = pair.endpoint().boto().list_objects_v2(Bucket=pair.bucket, Prefix=prefix)["Contents"]
    [key] = [each["Key"] for each in listed if each["Key"].endswith("branch.main/ref.json")]
    return key


@pytest.mark.parametrize("file", ["wal/00000000000000000001.sst", "wal/00000000000000000002.sst"],
                         ids=["its place", "its data"])
def test_slatedb_knows_its_own_write(pair, file):
    path, writer = f"unheard-slatedb-{file[-5]}", PYTHON / "slatedb_writer.py"
    said = run_unheard(pair, f"{path}/{file}", writer, path, "colour=blue", AWS_ALLOW_HTTP="true")
    assert said == "written colour=blue\n"

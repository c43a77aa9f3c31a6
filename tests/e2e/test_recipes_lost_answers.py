"""The answer to a recipe's write is lost, and the write has landed: it is not taken for another's, nor done twice.
Clients try again of themselves, or (with AWS_MAX_ATTEMPTS=1) the recipe does."""

from __future__ import annotations

import json
import sys

import pytest
from botocore.exceptions import ClientError

from processes import ROOT
from recipes import languages
from recipes.scene import EXAMPLES
from recipes.unheard import run_unheard

PYTHON, SHELL = EXAMPLES / "python", EXAMPLES / "shell"
ATTEMPTS = pytest.mark.parametrize("attempts", [{}, {"AWS_MAX_ATTEMPTS": "1"}], ids=["client", "recipe"])


@ATTEMPTS
@pytest.mark.parametrize("counter", languages.of("counter"))
def test_a_counter_counts_once(pair, tmp_path, counter, attempts):
    key = f"unheard-{tmp_path.name}"
    assert run_unheard(pair, key, *counter(), key, "2", **attempts) == "1\n2\n"
    assert json.loads(pair.body(key))["value"] == 2


@ATTEMPTS
@pytest.mark.parametrize("lock", languages.of("lock"))
def test_a_lock_is_known_to_be_ours(pair, tmp_path, lock, attempts):
    key = f"unheard-{tmp_path.name}"
    assert run_unheard(pair, key, *lock(), key, "echo", "inside", **attempts) == "inside\n"
    try:
        assert pair.body(key) == b"", "released: empty"
    except ClientError as gone:
        assert gone.response["Error"]["Code"] == "NoSuchKey", "released: gone"


NAIVE = '''
import os, sys, boto3
from botocore.exceptions import BotoCoreError, ClientError
for attempt in range(2):
    try:
        boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key=sys.argv[1], Body="mine", IfNoneMatch="*")
        print("created")
    except BotoCoreError:
        continue
    except ClientError:
        print("exists")
'''


def test_a_create_that_does_not_look_is_wrong_about_itself(pair):
    """What the tests above would find."""
    said = run_unheard(pair, "unheard-naive", sys.executable, "-c", NAIVE, "unheard-naive", AWS_MAX_ATTEMPTS="1")
    assert said == "exists\n"
    assert pair.body("unheard-naive") == b"mine"


def test_a_lease_is_known_to_be_ours(pair):
    said = run_unheard(pair, "unheard-lease", PYTHON / "lease.py", "unheard-lease",
                       "sh", "-c", "echo token $LEASE_TOKEN", LEASE_TTL="4")
    assert said == "token 1\n"
    state = json.loads(pair.body("unheard-lease"))
    assert (state["owner"], state["token"]) == (None, 1)


@ATTEMPTS
def test_a_fenced_write_is_done_once(pair, attempts):
    key = f"unheard-fenced-{len(attempts)}"
    run_unheard(pair, key, PYTHON / "fenced.py", key, "line", LEASE_TOKEN="1", **attempts)
    assert pair.body(key) == b"line\n"


@ATTEMPTS
def test_a_file_is_known_to_be_created_by_us(pair, tmp_path, attempts):
    file = tmp_path / "file"
    file.write_text("text")
    key = f"unheard-create-{len(attempts)}"
    run_unheard(pair, key, SHELL / "create_once.sh", key, file, **attempts)
    assert pair.body(key) == b"text"


@ATTEMPTS
def test_s3fs_has_created_the_file(pair, attempts):
    key = f"unheard-s3fs-{len(attempts)}"
    said = run_unheard(pair, key, ROOT / ".venv-s3fs" / "bin" / "python", PYTHON / "s3fs_create.py", key, "the text",
                       body="the text", **attempts)
    assert said == "created\n"

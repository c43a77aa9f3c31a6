"""restic: no condition; its lock files have names of their own and never meet."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest


@pytest.fixture
def restic(proxied, new_key):
    repository = f"s3:{proxied.url}/{proxied.bucket}/{new_key('restic')}"

    def run(*words: str):
        return proxied.run("restic", "--no-cache", "--repo", repository, *words,
                           RESTIC_PASSWORD="e2e")

    return run


def done(result) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_backups_are_made_at_once_checked_restored_and_forgotten(restic, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "noise").write_bytes(os.urandom(3 << 20))
    done(restic("init"))
    with ThreadPoolExecutor(3) as pool:
        for backup in pool.map(lambda _: restic("backup", str(source)), range(3)):
            done(backup)
    snapshots = json.loads(done(restic("snapshots", "--json")))
    assert len(snapshots) == 3
    done(restic("check", "--read-data"))
    done(restic("forget", "--prune", "--keep-last", "1"))
    done(restic("check"))
    done(restic("restore", "latest", "--target", str(tmp_path / "back")))
    restored = tmp_path / "back" / source.relative_to("/") / "noise"
    assert restored.read_bytes() == (source / "noise").read_bytes()
    assert done(restic("list", "locks")) == "", "every lock was taken away again"


def test_a_second_init_is_refused_by_restic_itself(restic):
    done(restic("init"))
    refused = restic("init")
    assert refused.returncode != 0 and "already initialized" in refused.stderr

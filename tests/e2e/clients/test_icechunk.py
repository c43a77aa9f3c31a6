"""icechunk: a commit moves the branch with If-Match; a stale one is told, and may rebase."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import icechunk
import pytest
import zarr

from clients import REGION
from endpoint import Endpoint

WRITERS = 6


def storage_of(endpoint: Endpoint, prefix: str) -> icechunk.Storage:
    return icechunk.s3_storage(
        bucket=endpoint.bucket, prefix=prefix, endpoint_url=endpoint.url, allow_http=True,
        force_path_style=True, region=REGION, access_key_id=endpoint.access_key,
        secret_access_key=endpoint.secret_key)


def repository(endpoint: Endpoint, prefix: str) -> icechunk.Repository:
    return icechunk.Repository.open(storage_of(endpoint, prefix))


def new_repository(endpoint: Endpoint, prefix: str) -> None:
    """With the root group in it, which would be a conflict of its own if each writer made it."""
    made = icechunk.Repository.create(storage_of(endpoint, prefix))
    session = made.writable_session("main")
    zarr.create_group(session.store)
    session.commit("the root group")


def session_with_array(endpoint: Endpoint, prefix: str, name: str) -> icechunk.Session:
    session = repository(endpoint, prefix).writable_session("main")
    group = zarr.open_group(session.store, mode="r+")
    group.create_array(name, shape=(4,), chunks=(4,), dtype="i4")[:] = 1
    return session


def arrays(endpoint: Endpoint, prefix: str) -> list[str]:
    session = repository(endpoint, prefix).readonly_session("main")
    return sorted(zarr.open_group(session.store, mode="r").array_keys())


def commit_all_at_once(endpoint: Endpoint, prefix: str) -> None:
    new_repository(endpoint, prefix)
    start = Barrier(WRITERS)

    def commit(number: int) -> None:
        session = session_with_array(endpoint, prefix, f"array{number}")
        start.wait(60)
        session.commit(f"writer {number}", rebase_with=icechunk.ConflictDetector(),
                       rebase_tries=50)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(commit, range(WRITERS)))


def test_a_stale_commit_is_told_and_rebases(proxied, new_key):
    prefix = new_key("ice")
    new_repository(proxied, prefix)
    first, second = (session_with_array(proxied, prefix, name) for name in ("a", "b"))
    first.commit("first")
    with pytest.raises(icechunk.ConflictError):
        second.commit("second")
    second.rebase(icechunk.ConflictDetector())
    second.commit("second, after the first")
    assert arrays(proxied, prefix) == ["a", "b"]


def test_concurrent_commits_lose_nothing(proxied, new_key):
    prefix = new_key("ice")
    commit_all_at_once(proxied, prefix)
    assert arrays(proxied, prefix) == [f"array{number}" for number in range(WRITERS)]
    history = list(repository(proxied, prefix).ancestry(branch="main"))
    assert len(history) == 2 + WRITERS, "the first, the root group, one of each writer"


def test_the_store_alone_loses_commits(alone, new_key):
    prefix = new_key("ice")
    commit_all_at_once(alone, prefix)
    assert len(arrays(alone, prefix)) < WRITERS

"""icechunk: a commit moves the branch with If-Match; a stale one is told, and may rebase."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import icechunk
import pytest
import zarr

from clients import REGION
from endpoint import Endpoint
from relay import Relay

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


def commit_all_at_once(endpoint: Endpoint, prefix: str) -> list[str]:
    """The arrays whose writers were told that they are committed."""
    new_repository(endpoint, prefix)
    start = Barrier(WRITERS)

    def commit(name: str) -> str | None:
        session = session_with_array(endpoint, prefix, name)
        start.wait(60)
        try:
            session.commit(name, rebase_with=icechunk.ConflictDetector(), rebase_tries=50)
            return name
        except icechunk.IcechunkError as error:
            # A store may replace an object and its checksum in two steps: a reader between them finds a body
            # that is not what it was told. That is no acknowledged commit.
            assert "streaming error" in str(error), error
            return None

    with ThreadPoolExecutor(WRITERS) as pool:
        names = pool.map(commit, [f"array{number}" for number in range(WRITERS)])
        return [name for name in names if name]


def test_a_stale_commit_is_told_and_rebases(judging, new_key):
    prefix = new_key("ice")
    new_repository(judging, prefix)
    first, second = (session_with_array(judging, prefix, name) for name in ("a", "b"))
    first.commit("first")
    with pytest.raises(icechunk.ConflictError):
        second.commit("second")
    second.rebase(icechunk.ConflictDetector())
    second.commit("second, after the first")
    assert arrays(judging, prefix) == ["a", "b"]


def test_concurrent_commits_lose_nothing(judging, new_key):
    prefix = new_key("ice")
    committed = commit_all_at_once(judging, prefix)
    assert len(committed) > 1
    assert arrays(judging, prefix) == committed
    history = list(repository(judging, prefix).ancestry(branch="main"))
    assert len(history) == 2 + len(committed), "the first, the root group, one for each commit"


def overtaken_commit(endpoint: Endpoint, prefix: str) -> BaseException | None:
    """One writer's commit is held on its way while another's lands: what the first is told."""
    new_repository(endpoint, prefix)
    relay = Relay(endpoint.url)
    slow = session_with_array(endpoint.at(relay.url), prefix, "slow")
    quick = session_with_array(endpoint, prefix, "quick")
    relay.hold_requests(f"PUT /{endpoint.bucket}/{prefix}/refs/branch.main/ref.json".encode())
    with ThreadPoolExecutor(1) as pool:
        commit = pool.submit(slow.commit, "slow")
        try:
            assert relay.held.wait(30)
            quick.commit("quick")
            relay.release()
            return commit.exception(60)
        finally:
            relay.close()


def test_an_overtaken_commit_is_told(judging, new_key):
    prefix = new_key("ice")
    assert isinstance(overtaken_commit(judging, prefix), icechunk.ConflictError)
    assert arrays(judging, prefix) == ["quick"]


def test_the_store_alone_loses_the_commit_that_was_overtaken(alone, new_key):
    prefix = new_key("ice")
    assert overtaken_commit(alone, prefix) is None
    assert arrays(alone, prefix) == ["slow"], "the other was acknowledged, and is gone"

"""The recipes with delta-rs, icechunk and SlateDB: 16 processes write one table, some are killed, and what is there
is judged by what was acknowledged."""

from __future__ import annotations

import asyncio
import sys

import deltalake
import icechunk
import pytest
import zarr
from slatedb.uniffi import DbBuilder, KeyRange, ObjectStore

from clients import REGION
from recipes.judges import rows_wrong
from recipes.scene import CREW, EXAMPLES, Crew

PYTHON = EXAMPLES / "python"
KILLED = 3


def run_and_kill(pair, tmp_path, command: list, imports: tuple[str, ...]) -> tuple[list[int], list[int]]:
    """Those who ended well, and those of whom nobody knows: killed while others have already succeeded."""
    with Crew(pair, command, tmp_path / "crew", imports=imports, AWS_ALLOW_HTTP="true") as crew:
        crew.until(lambda: any(crew.lines(number) for number in crew.pids), "the first is done")
        victims = crew.kill_some(KILLED, lambda number: not crew.lines(number))
        crew.finish()
        assert not crew.failed(but=set(victims))
        well = [number for number, status in crew.statuses.items() if status == 0]
    open_ends = [number for number in crew.pids if number not in well]
    return well, open_ends


@pytest.fixture
def options(pair) -> dict[str, str]:
    endpoint = pair.endpoint()
    return {"AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_key, "AWS_REGION": REGION, "AWS_ALLOW_HTTP": "true"}


def delta_rows(pair, name: str, options) -> list[int]:
    table = deltalake.DeltaTable(f"s3://{pair.bucket}/{name}", storage_options=options)
    return [int(job) for job in table.to_pyarrow_table()["job"].to_pylist()]


def test_each_batch_is_in_the_delta_table_once(pair, tmp_path, options):
    name = "recipe-delta"
    command = [PYTHON / "delta_append.py", name, "{n}", "1", "text"]
    well, open_ends = run_and_kill(pair, tmp_path, command, imports=("pyarrow", "deltalake"))
    assert len(well) >= CREW - KILLED
    assert not rows_wrong(delta_rows(pair, name, options), well, open_ends)
    # Those who were killed run again, and one that was not.
    for number in [*open_ends, well[0]]:
        done = pair.endpoint().run(sys.executable, PYTHON / "delta_append.py",
                                   name, number, 1, "text", AWS_ALLOW_HTTP="true")
        assert done.returncode == 0, done.stderr
    assert done.stdout == "was there already\n"
    assert not rows_wrong(delta_rows(pair, name, options), list(range(CREW)), [])


def test_each_array_is_in_the_icechunk_repository(pair, tmp_path):
    prefix, endpoint = "recipe-icechunk", pair.endpoint()
    command = [PYTHON / "icechunk_commit.py", prefix, "array{n}"]
    well, open_ends = run_and_kill(pair, tmp_path, command, imports=("zarr", "icechunk"))
    # On a busy machine some lose every race for the branch, and give up.
    assert len(well) >= CREW // 2
    storage = icechunk.s3_storage(
        bucket=endpoint.bucket, prefix=prefix, endpoint_url=endpoint.url, allow_http=True, force_path_style=True,
        region=REGION, access_key_id=endpoint.access_key, secret_access_key=endpoint.secret_key)
    session = icechunk.Repository.open(storage).readonly_session("main")
    there = sorted(zarr.open_group(session.store, mode="r").array_keys())
    assert not rows_wrong(there, [f"array{number}" for number in well], [f"array{number}" for number in open_ends])


def written(crew: Crew) -> list[str]:
    """The pairs that a writer was told are written. Its other lines say that it was fenced."""
    return [line.split()[1] for number in crew.pids for line in crew.lines(number) if line.startswith("written")]


def test_what_a_slatedb_writer_was_told_is_written_is_there(pair, tmp_path, options, monkeypatch):
    path = "recipe-slatedb"
    command = [PYTHON / "slatedb_writer.py", path, *(f"key{{n}}-{turn}={{n}}" for turn in range(3))]
    with Crew(pair, command, tmp_path / "crew", imports=("slatedb.uniffi",), AWS_ALLOW_HTTP="true",
              SLATEDB_UNIFFI_RUNTIME_THREADS="1") as crew:
        crew.until(lambda: written(crew), "the first has written")
        victims = crew.kill_some(KILLED, lambda number: len(crew.lines(number)) < 3)
        crew.finish()
        fenced = {number for number, status in crew.statuses.items() if status == 3}
        assert not crew.failed(but=fenced | set(victims))
        told = written(crew)
    assert told and fenced, crew.statuses
    for name, value in options.items():
        monkeypatch.setenv(name, value)

    async def pairs() -> list[str]:
        db = await DbBuilder(path, ObjectStore.resolve(f"s3://{pair.bucket}")).build()
        found = []
        rows = await db.scan(KeyRange(start=None, start_inclusive=False, end=None, end_inclusive=False))
        while (row := await rows.next()) is not None:
            found.append(f"{row.key.decode()}={row.value.decode()}")
        await db.shutdown()
        return found

    every = [f"key{number}-{turn}={number}" for number in range(CREW) for turn in range(3)]
    assert not rows_wrong(asyncio.run(pairs()), told, every)

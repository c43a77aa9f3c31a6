"""deltalake (delta-rs): each commit is a PutObject with If-None-Match: * of the next log file."""

from __future__ import annotations

import json
import subprocess
import sys

import deltalake
import pyarrow

from clients import REGION
from endpoint import Endpoint

APPENDERS, APPENDS = 8, 3

# Run by each appender, a process of its own: says when it is ready, waits for the word to go.
SCRIPT = '''
import json, sys
import deltalake, pyarrow
uri, number, appends, options = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
patience = deltalake.CommitProperties(max_commit_retries=200)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(appends):
    rows = pyarrow.table({"appender": [number], "turn": [turn]})
    deltalake.write_deltalake(uri, rows, mode="append", storage_options=options,
                              commit_properties=patience)
'''


def options_of(endpoint: Endpoint) -> dict[str, str]:
    return {"AWS_ENDPOINT_URL": endpoint.url, "AWS_ACCESS_KEY_ID": endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": endpoint.secret_key, "AWS_REGION": REGION,
            "AWS_ALLOW_HTTP": "true"}


def append_all_at_once(endpoint: Endpoint, name: str) -> deltalake.DeltaTable:
    """Makes a table (version 0), lets all appenders loose on it, returns what became of it."""
    uri, options = f"s3://{endpoint.bucket}/{name}", options_of(endpoint)
    rows = pyarrow.table({"appender": [-1], "turn": [-1]})
    deltalake.write_deltalake(uri, rows, storage_options=options)
    appenders = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, uri, str(number), str(APPENDS),
                          json.dumps(options)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         text=True)
        for number in range(APPENDERS)]
    try:
        for each in appenders:
            assert each.stdout.readline() == "ready\n", each.communicate()
        for each in appenders:
            each.stdin.write("go\n")
            each.stdin.flush()
        for each in appenders:
            _, complaint = each.communicate(timeout=200)
            assert each.returncode == 0, complaint
    finally:
        for each in appenders:
            each.kill()
            each.wait()
    return deltalake.DeltaTable(uri, storage_options=options)


def rows_of(table: deltalake.DeltaTable) -> list[tuple[int, int]]:
    rows = table.to_pyarrow_table()
    return sorted(zip(rows["appender"].to_pylist(), rows["turn"].to_pylist()))


WRITTEN = sorted([(-1, -1), *((number, turn) for number in range(APPENDERS)
                              for turn in range(APPENDS))])


def test_eight_appenders_lose_nothing(proxied, new_key):
    table = append_all_at_once(proxied, new_key("delta"))
    assert rows_of(table) == WRITTEN
    assert table.version() == APPENDERS * APPENDS, "one version for each append"


def test_the_store_alone_loses_appends(alone, new_key):
    """All appenders are told of success; what they overwrote of each other is gone."""
    table = append_all_at_once(alone, new_key("delta"))
    assert len(rows_of(table)) < len(WRITTEN)
    assert table.version() < APPENDERS * APPENDS

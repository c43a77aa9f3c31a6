"""Lance (pylance): a commit creates the next manifest with If-None-Match: *."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import lance
import pyarrow

from clients import REGION
from endpoint import Endpoint

WRITERS, APPENDS = 6, 3


def append_all_at_once(endpoint: Endpoint, name: str) -> lance.LanceDataset:
    options = {"aws_endpoint": endpoint.url, "aws_access_key_id": endpoint.access_key,
               "aws_secret_access_key": endpoint.secret_key, "aws_region": REGION,
               "allow_http": "true"}
    uri = f"s3://{endpoint.bucket}/{name}.lance"
    lance.write_dataset(pyarrow.table({"writer": [-1]}), uri, storage_options=options)
    start = Barrier(WRITERS)

    def append(number: int) -> None:
        start.wait(30)
        for _ in range(APPENDS):
            lance.write_dataset(pyarrow.table({"writer": [number]}), uri, mode="append",
                                storage_options=options)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(append, range(WRITERS)))
    return lance.dataset(uri, storage_options=options)


def test_concurrent_appends_lose_nothing(proxied, new_key):
    dataset = append_all_at_once(proxied, new_key("lance"))
    rows = sorted(dataset.to_table()["writer"].to_pylist())
    assert rows == sorted([-1, *list(range(WRITERS)) * APPENDS])
    assert dataset.version == 1 + WRITERS * APPENDS


def test_the_store_alone_loses_appends(alone, new_key):
    dataset = append_all_at_once(alone, new_key("lance"))
    assert dataset.count_rows() < 1 + WRITERS * APPENDS

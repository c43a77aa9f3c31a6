"""Appends a batch to a Delta table exactly once, with delta-rs: many processes at a time, and retries.

    python delta_append.py TABLE JOB BATCH TEXT       BATCH: a number that grows, of this job

A commit is a PutObject with "If-None-Match: *" of the next file of the log. If the answer to it is lost, delta-rs
cannot tell its own commit from another's, and commits again. A job that was killed, or that got no answer at all,
cannot tell either, and appends its rows again when it runs again. The (job, batch) that is committed with the rows
prevents both.
"""

import os
import random
import sys
import time

import pyarrow
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, TableNotFoundError


def append_once(uri, rows, job, batch, timeout=120.0):
    """Whether it was appended now; False if the table has it already."""
    properties = CommitProperties(app_transactions=[Transaction(job, batch)], max_commit_retries=50)
    deadline = time.monotonic() + timeout
    while True:
        try:
            try:
                table = DeltaTable(uri)
                if (table.transaction_version(job) or 0) >= batch:
                    return False
            except TableNotFoundError:
                # Of those that create the table at the same time, one does; the rest append to it.
                create = pyarrow.schema(rows.schema)
                DeltaTable.create(uri, create, mode="ignore")
                continue
            write_deltalake(table, rows, mode="append", commit_properties=properties)
            return True
        except (CommitFailedError, OSError):  # another was first, or no answer: look again
            if time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.05, 0.5))


def main():
    name, job, batch, text = sys.argv[1:]
    rows = pyarrow.table({"job": [job], "batch": [int(batch)], "text": [text]})
    done = append_once(f"s3://{os.environ['BUCKET']}/{name}", rows, job, int(batch))
    print("appended" if done else "was there already", flush=True)


if __name__ == "__main__":
    main()

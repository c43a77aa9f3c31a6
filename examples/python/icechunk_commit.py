"""Adds an array to an icechunk repository beside other writers, with a commit that rebases.

    python icechunk_commit.py PREFIX ARRAY

A commit moves the branch with "If-Match". If another's was first, icechunk tells so, and the commit is tried again
on top of that. The id in the commit's metadata tells our own commit, where the answer to it was lost.
"""

import os
import random
import sys
import time
import uuid

import icechunk
import zarr


FAILURES = (icechunk.IcechunkError, icechunk.ConflictError, icechunk.RebaseFailedError)


def storage(prefix):
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    return icechunk.s3_storage(bucket=os.environ["BUCKET"], prefix=prefix, endpoint_url=endpoint, from_env=True,
                               allow_http=endpoint.startswith("http:"), force_path_style=True,
                               region=os.environ["AWS_REGION"])


def commit_array(prefix, name, timeout=120.0):
    mine, deadline = uuid.uuid4().hex, time.monotonic() + timeout
    while True:
        try:
            repository = icechunk.Repository.open_or_create(storage(prefix))
            if any(each.metadata.get("commit") == mine for each in repository.ancestry(branch="main")):
                return
            session = repository.writable_session("main")
            root = zarr.open_group(session.store, mode="a")  # of those that make it at the same time, one does
            root.create_array(name, shape=(4,), chunks=(4,), dtype="i4")[:] = 1
            session.commit(f"array {name}", metadata={"commit": mine},
                           rebase_with=icechunk.ConflictDetector(), rebase_tries=20)
            return
        except FAILURES:  # a conflict, or no answer: look again
            if time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.05, 0.5))


def main():
    commit_array(sys.argv[1], sys.argv[2])
    print(f"committed {sys.argv[2]}", flush=True)


if __name__ == "__main__":
    main()

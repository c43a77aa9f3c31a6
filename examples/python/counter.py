"""A counter: read, add one, write back what was read only if it is still that (compare and swap).

    python counter.py KEY [TIMES]        add one, so many times; print each number
"""

import json
import os
import random
import sys
import time
import uuid

import boto3
from botocore.exceptions import BotoCoreError, ClientError

KEPT = 100
"""The ids of so many increments stay in the object."""


class Unknown(Exception):
    """Nobody can tell any more whether the increment was counted: once at most."""


def increment(s3, bucket, key, timeout=60.0):
    """Adds one and returns the new number. The id of the increment is written beside the number, so that a
    retry sees whether an attempt before it has landed. It also makes each body, and so each ETag, new."""
    mine, deadline, doubt = uuid.uuid4().hex, time.monotonic() + timeout, None
    while True:
        value = None
        try:
            value, recent, condition = read(s3, bucket, key)
            if mine in recent:
                return value - recent.index(mine)
            if doubt is not None and value - doubt >= KEPT:
                raise Unknown(key)
            body = json.dumps({"value": value + 1, "recent": [mine, *recent][:KEPT]})
            s3.put_object(Bucket=bucket, Key=key, Body=body, **condition)
            return value + 1
        except ClientError as error:
            told = error.response["ResponseMetadata"]
            status, code = told["HTTPStatusCode"], error.response["Error"]["Code"]
            if status not in (409, 412, 500, 502, 503, 504) and code != "NoSuchKey":
                raise
            # Another was first. A refusal of boto3's own retry proves nothing: its first try may have landed.
            refused = status < 500 and not told.get("RetryAttempts")
        except BotoCoreError:
            refused = False  # no answer: it may have landed
        if value is not None and not refused and doubt is None:
            doubt = value
        if time.monotonic() > deadline:
            raise TimeoutError(key) if doubt is None else Unknown(key)
        time.sleep(random.uniform(0.01, 0.2))


def read(s3, bucket, key):
    """The number, the ids of the latest increments, newest first, and the condition of the next write."""
    try:
        got = s3.get_object(Bucket=bucket, Key=key)
    except s3.exceptions.NoSuchKey:
        return 0, [], {"IfNoneMatch": "*"}
    state = json.load(got["Body"])
    return state["value"], state["recent"], {"IfMatch": got["ETag"]}


def main():
    s3, key = boto3.client("s3"), sys.argv[1]
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        print(increment(s3, os.environ["BUCKET"], key), flush=True)


if __name__ == "__main__":
    main()

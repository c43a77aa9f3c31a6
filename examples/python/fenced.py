"""A resource that refuses a holder of the past: each write carries the token of its lease (lease.py).

    LEASE_TOKEN=3 python fenced.py KEY LINE      append a line, unless a later holder has written
"""

import os
import random
import sys
import time
import uuid

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from lease import settles_later


class Fenced(Exception):
    """A later holder of the lease has written: ours is over."""


def fenced_write(s3, bucket, key, token, change, timeout=60.0):
    """Writes `change(body)`. The object remembers the greatest token that wrote it, and the last write's id."""
    place, mine = {"Bucket": bucket, "Key": key}, uuid.uuid4().hex
    deadline = time.monotonic() + timeout
    while True:
        try:
            try:
                got = s3.get_object(**place)
                body, seen = got["Body"].read(), got["Metadata"]
                condition = {"IfMatch": got["ETag"]}
            except s3.exceptions.NoSuchKey:
                body, seen, condition = b"", {}, {"IfNoneMatch": "*"}
            if seen.get("write") == mine:
                return  # an attempt whose answer was lost
            if int(seen.get("token", 0)) > token:
                raise Fenced(f"{key}: token {token}, and {seen['token']} has written")
            s3.put_object(**place, Body=change(body), **condition,
                          Metadata={"token": str(token), "write": mine})
            return
        except (ClientError, BotoCoreError) as error:
            if not settles_later(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.01, 0.1))


def main():
    token, line = int(os.environ["LEASE_TOKEN"]), sys.argv[2].encode()
    fenced_write(boto3.client("s3"), os.environ["BUCKET"], sys.argv[1], token,
                 lambda body: body + line + b"\n")


if __name__ == "__main__":
    try:
        main()
    except Fenced as error:
        sys.exit(f"fenced: {error}")

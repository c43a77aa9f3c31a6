"""A lock without expiry: the object is there for as long as the lock is held.

    python lock.py KEY COMMAND...        run a command under the lock; LOCK_WAIT: seconds to wait for it (60)
    python lock.py --break KEY OWNER     take the lock from an owner that is known to be dead
"""

import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def settles_later(error):
    """Whether the object tells what came of a write: it was refused (412, and 404 where the object was
    deleted meanwhile), two writes met (409), or nobody knows (5xx, no answer)."""
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status in (409, 412, 500, 502, 503, 504) or error.response["Error"]["Code"] == "NoSuchKey"
    return isinstance(error, BotoCoreError)


class Lock:
    def __init__(self, s3, bucket, key):
        self.s3, self.place = s3, {"Bucket": bucket, "Key": key}
        self.id = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"

    def acquire(self, timeout=60.0):
        deadline = time.monotonic() + timeout
        while not self._try():
            if time.monotonic() > deadline:
                self.release()  # an attempt whose answer was lost may have taken it after all
                raise TimeoutError(f"{self.place['Key']} is locked by {self.owner()}")
            time.sleep(random.uniform(0.1, 0.5))

    def _try(self):
        try:
            self.s3.put_object(**self.place, Body=self.id, IfNoneMatch="*")
            return True
        except (ClientError, BotoCoreError) as error:
            if not settles_later(error):
                raise
        # The refusal may be that of a retry, whose first attempt took the lock: the object has our id.
        try:
            return self.owner() == self.id
        except (ClientError, BotoCoreError) as error:
            if not settles_later(error):
                raise
            return False

    def owner(self):
        """The id of the holder; None if there is none."""
        return self._read()[0]

    def release(self, owner=None, timeout=60.0):
        """Ends the lock if this owner holds it: its delete names the object that it has read."""
        owner, deadline = owner or self.id, time.monotonic() + timeout
        while True:
            try:
                holder, etag = self._read()
                if holder == owner:
                    self.s3.delete_object(**self.place, IfMatch=etag)
                return
            except (ClientError, BotoCoreError) as error:
                if not settles_later(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.1, 0.5))

    def _read(self):
        try:
            got = self.s3.get_object(**self.place)
            return got["Body"].read().decode(), got["ETag"]
        except self.s3.exceptions.NoSuchKey:
            return None, None


def main():
    s3, bucket = boto3.client("s3"), os.environ["BUCKET"]
    if sys.argv[1] == "--break":
        Lock(s3, bucket, sys.argv[2]).release(owner=sys.argv[3])
        return 0
    lock = Lock(s3, bucket, sys.argv[1])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that "finally" is reached
    try:
        lock.acquire(float(os.environ.get("LOCK_WAIT", 60)))
        return subprocess.run(sys.argv[2:], env={**os.environ, "LOCK_OWNER": lock.id}).returncode
    finally:
        lock.release()


if __name__ == "__main__":
    sys.exit(main())

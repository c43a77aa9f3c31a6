"""A lock that expires, and hands out a token with which a resource can refuse a holder of the past.

    python lease.py KEY COMMAND...       run a command under it; LEASE_TOKEN tells the command its token
                                         LEASE_TTL (10), LEASE_WAIT (60): seconds

The object is never deleted: it counts the holders. Nobody compares clocks: a waiter takes the lease over
when it has seen the same object for a whole `ttl`, and a holder's time runs from before it wrote.
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError


class Lost(Exception):
    """The lease is not ours any more."""


def settles_later(error):
    """Whether the object tells what came of a write: it was refused (412, and 404 where the object was
    deleted meanwhile), two writes met (409), or nobody knows (5xx, no answer)."""
    if isinstance(error, ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return status in (409, 412, 500, 502, 503, 504) or error.response["Error"]["Code"] == "NoSuchKey"
    return isinstance(error, BotoCoreError)


class Lease:
    def __init__(self, s3, bucket, key, ttl=10.0):
        self.s3, self.place, self.ttl = s3, {"Bucket": bucket, "Key": key}, ttl
        self.id = f"{socket.gethostname()}/{os.getpid()}/{uuid.uuid4()}"
        self.token = None
        """Greater than that of every holder before."""
        self._etag, self._until = None, 0.0
        self._seen, self._since = None, 0.0

    def remaining(self):
        """The seconds for which the lease is surely ours."""
        return self._until - time.monotonic()

    def try_acquire(self):
        """One attempt. Called again and again it notices a holder that is dead."""
        try:
            etag, state = self._read()
            if etag != self._seen:
                self._seen, self._since = etag, time.monotonic()
            owner, token, ttl = state["owner"], state["token"], state["ttl"]
            if owner == self.id:  # an attempt whose answer was lost
                self._write(etag, self.id, token)
            elif owner is None or time.monotonic() - self._since >= ttl:
                self._write(etag, self.id, token + 1)
            else:
                return False
            return True
        except (ClientError, BotoCoreError) as error:
            if not settles_later(error):
                raise
            return False

    def acquire(self, timeout=60.0):
        deadline = time.monotonic() + timeout
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.place['Key']} is held")
            time.sleep(random.uniform(0.1, 0.5) * min(self.ttl, 1))
        return self.token

    def renew(self):
        """To be called every third of a `ttl`, or oftener. Raises Lost if another holds the lease."""
        try:
            self._write(self._etag, self.id, self.token)
        except (ClientError, BotoCoreError) as error:
            if not settles_later(error):
                raise
            etag, state = self._read()
            if state["owner"] != self.id:
                raise Lost(self.place["Key"]) from error
            self._etag = etag  # that of a renewal whose answer was lost

    def release(self):
        """Lets the next one in at once. If this fails, the lease expires."""
        try:
            if self._etag:
                self._write(self._etag, None, self.token)
        except (ClientError, BotoCoreError) as error:
            if not settles_later(error):
                raise
        self._until = 0.0

    def state(self):
        """Who held it when the object was read: owner and token."""
        return self._read()[1]

    def _read(self):
        try:
            got = self.s3.get_object(**self.place)
            return got["ETag"], json.load(got["Body"])
        except self.s3.exceptions.NoSuchKey:
            return None, {"owner": None, "token": 0, "ttl": 0}

    def _write(self, etag, owner, token):
        began = time.monotonic()
        state = {"owner": owner, "token": token, "ttl": self.ttl, "beat": uuid.uuid4().hex}
        condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        put = self.s3.put_object(**self.place, Body=json.dumps(state), **condition)
        self._etag, self.token, self._until = put["ETag"], token, began + self.ttl


def client(ttl):
    """A client that gives up long before a lease of `ttl` seconds ends."""
    return boto3.client("s3", config=Config(
        connect_timeout=ttl / 4, read_timeout=ttl / 4, retries={"total_max_attempts": 1}))


def run(lease, command, env):
    """Runs the command while the lease is renewed; kills it when the lease may be another's."""
    child = subprocess.Popen(command, env={**os.environ, **env})
    ended = threading.Event()

    def renew():
        while not ended.wait(lease.ttl / 3 if lease.remaining() > lease.ttl / 2 else lease.ttl / 20):
            try:
                lease.renew()
            except (Lost, ClientError, BotoCoreError):
                pass  # the loop below ends the command in time

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        while True:
            try:
                return child.wait(max(lease.remaining(), 0))
            except subprocess.TimeoutExpired:
                if lease.remaining() <= 0:
                    raise Lost(lease.place["Key"]) from None
    finally:
        child.kill()
        child.wait()
        ended.set()
        renewing.join()


def main():
    ttl = float(os.environ.get("LEASE_TTL", 10))
    lease = Lease(client(ttl), os.environ["BUCKET"], sys.argv[1], ttl)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that "finally" is reached
    token = lease.acquire(float(os.environ.get("LEASE_WAIT", 60)))
    try:
        return run(lease, sys.argv[2:], {"LEASE_TOKEN": str(token)})
    finally:
        lease.release()


if __name__ == "__main__":
    sys.exit(main())

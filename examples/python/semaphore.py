"""A counting semaphore: at most LIMIT holders at a time, each in a slot, each slot a lease (lease.py).

    python semaphore.py KEY LIMIT COMMAND...     run a command in one of the slots

The code that is often shown for this lists the objects under a prefix, counts them, and writes an object of
its own if there are fewer than LIMIT. All who list at the same time count the same and all write. Here a slot
is one object, and the condition of its write decides who gets it.
"""

import os
import random
import signal
import sys
import time

from lease import Lease, client, run


def acquire(s3, bucket, key, limit, ttl=10.0, timeout=60.0):
    """The lease of a slot; it has to be renewed and released. All must name the same limit."""
    slots = [Lease(s3, bucket, f"{key}.{number}", ttl) for number in range(limit)]
    random.shuffle(slots)
    deadline = time.monotonic() + timeout
    while True:
        for slot in slots:
            if slot.try_acquire():
                return slot
        if time.monotonic() > deadline:
            raise TimeoutError(f"all {limit} slots of {key} are held")
        time.sleep(random.uniform(0.1, 0.5) * min(ttl, 1))


def main():
    ttl, limit = float(os.environ.get("LEASE_TTL", 10)), int(sys.argv[2])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that "finally" is reached
    slot = acquire(client(ttl), os.environ["BUCKET"], sys.argv[1], limit, ttl,
                   timeout=float(os.environ.get("LEASE_WAIT", 60)))
    try:
        return run(slot, sys.argv[3:], {"SLOT": slot.place["Key"], "LEASE_TOKEN": str(slot.token)})
    finally:
        slot.release()


if __name__ == "__main__":
    sys.exit(main())

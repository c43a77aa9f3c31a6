"""Leader election: one leader per term, and a new one when the leader has died (needs lease.py).

    python election.py KEY COMMAND...    run the command while this process leads; TERM_NUMBER tells it
                                         the term. Ends with the command; goes on as a candidate if it
                                         loses the lead.
    python election.py --leader KEY      who leads, in which term
"""

import os
import signal
import sys

import boto3

from lease import Lease, Lost, client, run


def lead(lease, command):
    """Waits until this process leads, as long as it takes, and runs the command."""
    while True:
        term = lease.acquire(timeout=float("inf"))
        print(f"term {term}: {lease.id} leads", flush=True)
        try:
            status = run(lease, command, {"TERM_NUMBER": str(term)})
        except Lost:
            print(f"term {term}: {lease.id} has lost the lead", flush=True)
            continue
        return status


def main():
    bucket = os.environ["BUCKET"]
    if sys.argv[1] == "--leader":
        state = Lease(boto3.client("s3"), bucket, sys.argv[2]).state()
        print(f"term {state['token']}: {state['owner'] or 'nobody'}")
        return 0
    ttl = float(os.environ.get("LEASE_TTL", 10))
    lease = Lease(client(ttl), bucket, sys.argv[1], ttl)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that "finally" is reached
    try:
        return lead(lease, sys.argv[2:])
    finally:
        lease.release()


if __name__ == "__main__":
    sys.exit(main())

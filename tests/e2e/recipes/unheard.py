"""A command whose write lands and is not answered."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from recipes.scene import Pair, awaited
from relay import Relay


def run_unheard(pair: Pair, key: str, *command, body: str = "", status: int = 0, **env: str) -> str:
    """Runs a command whose first write of the key lands and is not answered. `body`: what is in it, for clients that
    send it only when they have been told to."""
    endpoint = pair.endpoint()
    relay = Relay(endpoint.url)
    relay.hold_answers(body.encode() or f"PUT /{pair.bucket}/{key}".encode())
    if str(command[0]).endswith(".py"):
        command = (sys.executable, *command)
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(endpoint.at(relay.url).run, *command, **env)
            awaited(lambda: relay.held.is_set() or running.done(), "the answer is held", 60)
            assert relay.held.is_set(), running.result()
            endpoint.boto().get_waiter("object_exists").wait(
                Bucket=pair.bucket, Key=key, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
            relay.cut()
            done = running.result()
    finally:
        relay.close()
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout

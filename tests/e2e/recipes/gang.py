"""Runs Python recipes in processes of their own, and imports what they need only once: gang.py MODULE...
Standard input has a JSON list: argv, env and output (a path) of each. Prints "pid NUMBER PID" when all
have begun, and "exit NUMBER STATUS" of each that ends."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import runpy
import signal
import sys
import traceback

PR_SET_PDEATHSIG = 1


def become(argv: list[str], env: dict[str, str], output: str) -> None:
    """Runs the recipe in this process, and ends it."""
    os.setsid()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    kept = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(kept, 1)
    os.dup2(kept, 2)
    os.environ.update(env)
    sys.argv, sys.path[0] = argv, os.path.dirname(argv[0])
    status = 0
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    os._exit(status)


def main() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    if "boto3" in sys.argv:
        # What a first client reads from files is kept for all that follow.
        import boto3
        boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
    numbers = {}
    for number, each in enumerate(json.load(sys.stdin)):
        pid = os.fork()
        if pid == 0:
            become(each["argv"], each["env"], each["output"])
        numbers[pid] = number
    for pid, number in numbers.items():
        print(f"pid {number} {pid}", flush=True)
    while numbers:
        pid, status = os.wait()
        print(f"exit {numbers.pop(pid)} {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()

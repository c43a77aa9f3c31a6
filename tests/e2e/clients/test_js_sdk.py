"""The AWS SDK for JavaScript v3, with its multipart uploader."""

from __future__ import annotations

import json

from endpoint import Endpoint
from processes import ROOT

SCRIPT = ROOT / "tests" / "e2e" / "node" / "conditional.mjs"


def calls(endpoint: Endpoint, key: str) -> list:
    done = endpoint.run("node", SCRIPT, ROOT / ".node", key)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_second_call_is_refused(judging, new_key):
    exists = ["PreconditionFailed", 412, "If-None-Match"]
    stale = ["PreconditionFailed", 412, "If-Match"]
    assert calls(judging, new_key("js")) == [
        ["create", "ok"], ["create", exists],
        ["replace", "ok"], ["replace", stale],
        ["upload", "ok"], ["upload", exists],
        ["copy", "ok"], ["copy", exists],
        ["delete", stale], ["delete many", ["PreconditionFailed"]],
        ["kept", "two"]]


def test_the_store_alone_refuses_nothing(alone, new_key):
    said = calls(alone, new_key("js"))
    assert {outcome for name, outcome in said[:5]} == {"ok"}
    assert said[-1] == ["kept", None], "the delete with the stale ETag was done"

"""One line per request, with what a person wants to know."""

from __future__ import annotations

import time

import pytest

FIELDS = {"operation", "bucket", "key", "status", "outcome", "decided_by", "waited_ms", "held_ms"}


def line_of(front, key: str, method_status: int) -> dict:
    """The one request line of this key with this status."""
    deadline = time.monotonic() + 5
    while True:
        found = [line for line in front.proxy.requests_logged()
                 if line.get("key") == key and int(line["status"]) == method_status]
        if found:
            assert len(found) == 1, found
            return found[0]
        assert time.monotonic() < deadline, f"no line for {key} with {method_status}"
        time.sleep(0.05)


@pytest.mark.parametrize("register", ["memory", "redis"])
def test_a_write_tells_who_decided_and_how_long_it_took(front_on, register):
    front = front_on("s3s-fs", register)
    key = front.new_key("logged/with a space")
    path = front.path(key.replace(" ", "%20"))
    front.raw.put(path, b"1", headers={"If-None-Match": "*"})
    landed = line_of(front, key, 200)
    assert landed.keys() >= FIELDS, landed
    assert (landed["operation"], landed["bucket"]) == ("PutObject", front.bucket)
    assert landed["decided_by"] in ("gate", "backend")
    assert float(landed["waited_ms"]) >= 0 and float(landed["held_ms"]) > 0
    front.raw.put(path, b"2", headers={"If-None-Match": "*"})
    refused = line_of(front, key, 412)
    assert refused["decided_by"] in ("early", "gate")
    assert refused["code"] == "PreconditionFailed"
    front.raw.delete(path)
    assert line_of(front, key, 204)["operation"] == "DeleteObject"

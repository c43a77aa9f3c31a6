"""One line per request, with what a person wants to know."""

from __future__ import annotations

import pytest

FIELDS = {"operation", "bucket", "key", "status", "outcome", "decided_by", "waited_ms", "held_ms"}


@pytest.mark.parametrize("register", ["memory", "redis"])
def test_a_write_tells_who_decided_and_how_long_it_took(front_on, register):
    front = front_on("s3s-fs", register)
    key = front.new_key("logged/with a space")
    path = front.path(key.replace(" ", "%20"))
    front.raw.put(path, b"1", headers={"If-None-Match": "*"})
    landed = front.proxy.request_logged(key=key, status=200)
    assert landed.keys() >= FIELDS, landed
    assert (landed["operation"], landed["bucket"]) == ("PutObject", front.bucket)
    assert landed["decided_by"] in ("gate", "backend")
    assert float(landed["waited_ms"]) >= 0 and float(landed["held_ms"]) > 0
    front.raw.put(path, b"2", headers={"If-None-Match": "*"})
    refused = front.proxy.request_logged(key=key, status=412)
    assert refused["decided_by"] in ("early", "gate")
    assert refused["code"] == "PreconditionFailed"
    front.raw.delete(path)
    deleted = front.proxy.request_logged(key=key, status=204)
    assert deleted["operation"] == "DeleteObject"

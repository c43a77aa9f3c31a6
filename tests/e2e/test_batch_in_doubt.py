"""DeleteObjects where the store's answer for one key is lost: the others' answers are definite."""

from __future__ import annotations

import pytest

from proxies import Proxy, Settings
from scripted import ScriptedStore

KEYS = ["before", "lost", "after"]


@pytest.fixture
def scripted(tmp_path):
    store = ScriptedStore()
    # The answer does not wait until the outcome of the delete is known.
    proxy = Proxy(tmp_path, store.store, Settings(settle=0, lease_wait=0.2))
    proxy.wait_writable("bucket")
    yield store, proxy
    proxy.stop()
    store.stop()


def test_a_lost_answer_on_one_key_leaves_the_others_definite(scripted):
    store, proxy = scripted

    def answer(request):
        if request.method == "DELETE":
            return (500, {}, b"") if request.target.endswith("/lost") else (204, {}, b"")
        return 200, {"ETag": '"e"'}, b""

    store.answer = answer
    store.take()
    gone = proxy.boto().delete_objects(Bucket="bucket", Delete={
        "Objects": [{"Key": key, "ETag": '"e"'} for key in KEYS]})
    assert sorted(each["Key"] for each in gone["Deleted"]) == ["after", "before"]
    [error] = gone["Errors"]
    assert (error["Key"], error["Code"]) == ("lost", "ServiceUnavailable"), error
    assert "may have taken effect" in error["Message"]
    deletes = sorted(each.target for each in store.take() if each.method == "DELETE")
    assert deletes == [f"/bucket/{key}" for key in sorted(KEYS)], "each was asked for once"

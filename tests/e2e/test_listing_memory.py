"""The pages of guarded listings are read whole: what they take together in memory is bounded."""

from __future__ import annotations

import socket
from contextlib import contextmanager

import pytest

from proxies import Proxy, Settings
from redis_server import until
from scripted import ScriptedStore
from test_lag import GUARDED

MIB = 1 << 20
KEY = "k" * 7000
ROW = "<Contents><Key>{}</Key><LastModified>2026-11-30T00:00:00.000Z</LastModified><ETag>\"e\"</ETag>" \
      "<Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"


def page(rows: int, key: str = KEY) -> bytes:
    entries = "".join(ROW.format(f"{number:04}{key}") for number in range(rows))
    return ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>bucket</Name><Prefix></Prefix>'
            f"<KeyCount>{rows}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated>"
            f"<NextContinuationToken>t</NextContinuationToken>{entries}</ListBucketResult>").encode()


LARGE, SMALL = page(1000), page(2, "small")
assert 6 * MIB < len(LARGE) < 8 * MIB


@pytest.fixture
def listing(tmp_path):
    """A proxy before a store with a large page and a small one; there is room for one large page."""
    store = ScriptedStore()
    store.answer = lambda request: (200, {"Content-Type": "application/xml"},
                                    LARGE if "prefix=large" in request.target else SMALL)
    settings = Settings(writers="exclusive", lag=1, rules=GUARDED, admin="127.0.0.1:0", listing_memory="80MiB")
    proxy = Proxy(tmp_path, store.store, settings)
    yield proxy
    proxy.stop()
    store.stop()


def target(prefix: str) -> str:
    return f"/bucket?list-type=2&prefix={prefix}"


def taken(proxy: Proxy) -> float:
    return proxy.metric("ifmatch_listing_memory_bytes")


@contextmanager
def unread(proxy: Proxy, prefix: str):
    """A client that asks for a page and does not read it."""
    raw = proxy.raw()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((raw.host, raw.port))
        head = "".join(f"{name}: {value}\r\n" for name, value in raw.signed("GET", target(prefix)).items())
        client.sendall(f"GET {target(prefix)} HTTP/1.1\r\n{head}\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        yield


def test_pages_of_guarded_listings_take_so_much_memory_and_no_more(listing):
    raw = listing.raw()
    assert listing.metric("ifmatch_listing_memory_limit_bytes") == 80 * MIB
    whole = raw.get(target("large"))
    assert whole.status == 200 and whole.body.count(b"<Contents>") == 1000
    until("its memory is free", lambda: taken(listing) == 0)
    with unread(listing, "large"):
        until("its page is read", lambda: taken(listing) > 60 * MIB)
        assert taken(listing) == 10 * len(LARGE)
        refused = raw.get(target("large"))
        assert (refused.status, refused.code, refused.headers["retry-after"]) == (503, "SlowDown", "1")
        assert "limits.listing_memory" in refused.fields["Message"]
        # There is room for a small one.
        assert raw.get(target("small")).status == 200
        assert taken(listing) == 10 * len(LARGE), "what was refused takes nothing"
    until("its memory is free", lambda: taken(listing) == 0)
    assert raw.get(target("large")).status == 200


def test_a_limit_without_room_for_the_largest_page_is_refused(listing):
    text = listing.config.read_text().replace('listing_memory = "80MiB"', 'listing_memory = "79MiB"')
    listing.config.write_text(text)
    checked = listing.command("check-config", "--config", str(listing.config))
    assert checked.returncode != 0
    assert "limits.listing_memory" in checked.stdout + checked.stderr

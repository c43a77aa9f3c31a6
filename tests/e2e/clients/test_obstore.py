"""obstore: Rust's object_store, as delta-rs, SlateDB, Lance and icechunk write with it."""

from __future__ import annotations

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, NotSupportedError, PreconditionError
from obstore.store import S3Store

from clients import REGION
from endpoint import Endpoint

LARGE = bytes(6 << 20)


def store_at(endpoint: Endpoint, **more) -> S3Store:
    return S3Store(endpoint.bucket, endpoint=endpoint.url, region=REGION,
                   access_key_id=endpoint.access_key, secret_access_key=endpoint.secret_key,
                   client_options={"allow_http": True}, **more)


def test_put_mode_create(judging, new_key):
    store, key = store_at(judging), new_key()
    obstore.put(store, key, b"one", mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, key, b"two", mode="create")
    assert obstore.get(store, key).bytes() == b"one"


def test_put_mode_update_with_an_etag(judging, new_key):
    store, key = store_at(judging), new_key()
    seen = obstore.put(store, key, b"one")["e_tag"]
    obstore.put(store, key, b"two", mode={"e_tag": seen})
    with pytest.raises(PreconditionError):
        obstore.put(store, key, b"three", mode={"e_tag": seen})
    assert obstore.get(store, key).bytes() == b"two"


def test_a_prefix_with_a_space_is_listed(judging, new_key):
    """It sends the space as a plus, and signs it as the space that it is."""
    store, stem = store_at(judging), new_key()
    for folder in ("a b", "a+b"):
        obstore.put(store, f"{stem}/{folder}/k", b"x")
    for folder in ("a b", "a+b"):
        [listed] = obstore.list(store, f"{stem}/{folder}").collect()
        assert listed["path"] == f"{stem}/{folder}/k"


def test_the_store_alone_overwrites(alone, new_key):
    store, key = store_at(alone), new_key()
    obstore.put(store, key, b"one", mode="create")
    obstore.put(store, key, b"two", mode="create")
    obstore.put(store, key, b"three", mode={"e_tag": '"stale"'})
    assert obstore.get(store, key).bytes() == b"three"


def test_a_large_create_is_refused_as_well(judging, new_key):
    store, key = store_at(judging), new_key()
    obstore.put(store, key, LARGE, mode="create")
    with pytest.raises(AlreadyExistsError):
        obstore.put(store, key, LARGE, mode="create")


def test_a_multipart_upload_without_a_condition(judging, new_key):
    store, key = store_at(judging), new_key()
    obstore.put(store, key, LARGE, use_multipart=True, chunk_size=5 << 20)
    assert obstore.head(store, key)["e_tag"].endswith('-2"')
    assert obstore.get(store, key).bytes() == LARGE


@pytest.mark.parametrize("way", ["multipart", "header-with-status: If-None-Match: *: 412"])
def test_copy_if_not_exists(proxied, alone, new_key, way):
    store, source, target = store_at(proxied, copy_if_not_exists=way), new_key(), new_key()
    obstore.put(store, source, b"copied")
    obstore.copy(store, source, target, overwrite=False)
    with pytest.raises(AlreadyExistsError):
        obstore.copy(store, source, target, overwrite=False)
    with pytest.raises(AlreadyExistsError):
        obstore.rename(store, source, target, overwrite=False)
    assert obstore.get(store, target).bytes() == b"copied"
    unguarded = store_at(alone, copy_if_not_exists=way)
    obstore.copy(unguarded, source, target, overwrite=False)  # the store alone copies again


def test_copy_if_not_exists_has_to_be_configured(judging, new_key):
    store, source = store_at(judging), new_key()
    obstore.put(store, source, b"copied")
    with pytest.raises(NotSupportedError):
        obstore.copy(store, source, new_key(), overwrite=False)

"""Temporary credentials: a token that has to come with every request, and one of the proxy's own."""

from __future__ import annotations

import pytest
import urllib3
from botocore.exceptions import ClientError

from clients import code_of
from proxies import (ACCESS_KEY, CLIENT_SECRET, TEMPORARY_KEY, TEMPORARY_SECRET, TEMPORARY_TOKEN,
                     Proxy, Settings)
from recorder import Recorder, lower
from stores import Store


def temporary(front, token, **more):
    return front.proxy.boto(TEMPORARY_KEY, TEMPORARY_SECRET, aws_session_token=token, **more)


def refusal(call) -> tuple[int, str]:
    with pytest.raises(ClientError) as raised:
        call()
    return code_of(raised.value)


def test_a_temporary_credential_works_with_its_token(plain_front):
    s3, key = temporary(plain_front, TEMPORARY_TOKEN), plain_front.new_key("temporary")
    s3.put_object(Bucket=plain_front.bucket, Key=key, Body=b"one", IfNoneMatch="*")
    assert s3.get_object(Bucket=plain_front.bucket, Key=key)["Body"].read() == b"one"
    again = refusal(lambda: s3.put_object(Bucket=plain_front.bucket, Key=key, IfNoneMatch="*"))
    assert again == (412, "PreconditionFailed")


# As AWS answers: without its token a temporary key is no key at all.
@pytest.mark.parametrize("key, secret, token, expected", [
    (TEMPORARY_KEY, TEMPORARY_SECRET, None, (403, "InvalidAccessKeyId")),
    (TEMPORARY_KEY, TEMPORARY_SECRET, TEMPORARY_TOKEN + "x", (400, "InvalidToken")),
    (TEMPORARY_KEY, TEMPORARY_SECRET + "x", TEMPORARY_TOKEN, (403, "SignatureDoesNotMatch")),
    (ACCESS_KEY, CLIENT_SECRET, TEMPORARY_TOKEN, (400, "InvalidToken")),
])
def test_a_wrong_token_or_none_is_refused(plain_front, key, secret, token, expected):
    s3 = plain_front.proxy.boto(key, secret, aws_session_token=token)
    name = plain_front.new_key("refused")
    assert refusal(lambda: s3.put_object(Bucket=plain_front.bucket, Key=name)) == expected
    assert refusal(lambda: s3.list_objects_v2(Bucket=plain_front.bucket)) == expected
    assert plain_front.raw.get(plain_front.path(name)).status == 404


def test_the_token_has_to_be_signed(plain_front):
    raw = plain_front.proxy.raw(TEMPORARY_KEY, TEMPORARY_SECRET)
    answer = raw.put(plain_front.path(plain_front.new_key("unsigned")), b"x",
                     unsigned={"X-Amz-Security-Token": TEMPORARY_TOKEN})
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.fields["HeadersNotSigned"] == "x-amz-security-token"


def test_a_presigned_url_carries_the_token_in_its_query(plain_front, signing):
    s3 = temporary(plain_front, TEMPORARY_TOKEN, config=signing)
    key = plain_front.new_key("presigned")
    url = s3.generate_presigned_url("put_object", Params={
        "Bucket": plain_front.bucket, "Key": key, "IfNoneMatch": "*"})
    assert "x-amz-security-token=" in url.lower()
    pool = urllib3.PoolManager(retries=False)

    def put(url):
        return pool.request("PUT", url, body=b"x", headers={"If-None-Match": "*"}).status

    changed = url.replace("oken=temporary", "oken=tampered")
    assert changed != url
    assert [put(changed), put(url), put(url)] == [400, 200, 412]


def test_a_form_carries_the_token_in_a_field(plain_front, signing):
    s3 = temporary(plain_front, TEMPORARY_TOKEN, config=signing)
    key = plain_front.new_key("form")
    form = s3.generate_presigned_post(plain_front.bucket, key)
    pool = urllib3.PoolManager(retries=False)

    def post(fields):
        return pool.request_encode_body("POST", form["url"], fields={
            **fields, "file": ("cat.txt", b"meow")}).status

    without = {name: value for name, value in form["fields"].items()
               if name != "x-amz-security-token"}
    assert len(without) == len(form["fields"]) - 1
    assert [post(without), post(form["fields"])] == [403, 204]


def test_the_proxy_s_own_token_is_sent_and_signed_and_the_client_s_is_not(tmp_path):
    recorder = Recorder()
    store = Store("recorder", recorder.url, "storekey", "storesecret", session_token="our-own-token")
    proxy = Proxy(tmp_path, store, Settings(settle=0))
    try:
        raw = proxy.raw(TEMPORARY_KEY, TEMPORARY_SECRET, token=TEMPORARY_TOKEN)
        assert raw.get("/bucket/key").status == 200
        assert raw.put("/bucket/key", b"x", headers={"If-Match": '"e"'}).status == 200
        asked = recorder.take()
        about_it = [method for method, path, *_ in asked if path == "/bucket/key"]
        assert about_it == ["GET", "HEAD", "PUT"] and len(asked) > 3, "greeting first"
        for _, _, headers, _ in asked:
            assert lower(headers)["x-amz-security-token"] == "our-own-token"
            signed = lower(headers)["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
            assert "x-amz-security-token" in signed.split(";")
        everything = "\n".join(proxy.process.lines)
        assert "our-own-token" not in everything and TEMPORARY_TOKEN not in everything
    finally:
        proxy.stop()
        recorder.stop()

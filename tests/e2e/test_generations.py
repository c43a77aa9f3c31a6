"""Generations: compare-and-swap that equal bytes do not deceive, from a read or from a write."""

from __future__ import annotations

from conftest import Front

GENERATION, IF_GENERATION = "x-ifmatch-generation", "x-ifmatch-if-generation-match"
WANT = {"x-ifmatch-want": "generation"}


def put(front: Front, key: str, body: bytes, generation: str | None = None):
    headers = {} if generation is None else {IF_GENERATION: generation}
    return front.raw.put(front.path(key), body, headers=headers)


def read(front: Front, key: str, method: str = "GET", **headers: str):
    return front.raw.request(method, front.path(key), headers=WANT | headers)


def test_equal_bytes_are_another_generation(front):
    key = front.new_key("aba")
    first = put(front, key, b"A")
    for body in (b"B", b"A"):
        assert put(front, key, body).status == 200
    assert read(front, key).etag == first.etag, "A, B, A: the ETag is back"
    stale = put(front, key, b"C", first.headers[GENERATION])
    assert (stale.status, stale.code) == (412, "PreconditionFailed")
    assert stale.fields["Condition"] == IF_GENERATION
    assert read(front, key).body == b"A"


def test_what_was_read_can_be_swapped_once(front):
    key = front.new_key("swap")
    assert put(front, key, b"one").status == 200
    seen = [read(front, key, method) for method in ("GET", "HEAD")]
    seen.append(read(front, key, **{"If-None-Match": seen[0].etag}))
    assert [answer.status for answer in seen] == [200, 200, 304]
    [generation] = {answer.headers[GENERATION] for answer in seen}
    landed = put(front, key, b"two", generation)
    assert landed.status == 200
    assert put(front, key, b"three", generation).status == 412
    assert read(front, key).headers[GENERATION] == landed.headers[GENERATION]
    deleted = front.raw.request("DELETE", front.path(key), headers={
        IF_GENERATION: landed.headers[GENERATION]})
    assert deleted.status == 204, str(deleted)


def test_what_is_absent_has_a_generation_too(front):
    key = front.new_key("absent")
    for body in (b"", b"again"):
        assert put(front, key, body, "absent").status == 200
        assert put(front, key, body, "absent").status == 412
        assert front.raw.request("DELETE", front.path(key)).status == 204
    gone = read(front, key)
    assert gone.status == 404
    assert put(front, key, b"x", gone.headers[GENERATION]).status == 200
    assert put(front, key, b"y", gone.headers[GENERATION]).status == 412


def test_copy_and_complete_are_judged_by_generations(front):
    source, key = front.new_key("source"), front.new_key("target")
    assert put(front, source, b"source").status == 200
    generation = put(front, key, b"one").headers[GENERATION]

    def copy():
        return front.raw.put(front.path(key), headers={
            "x-amz-copy-source": front.path(source), IF_GENERATION: generation})

    assert [copy().status, copy().status] == [200, 412]
    generation = read(front, key).headers[GENERATION]
    upload = front.s3.create_multipart_upload(Bucket=front.bucket, Key=key)["UploadId"]
    part = front.s3.upload_part(Bucket=front.bucket, Key=key, UploadId=upload, PartNumber=1,
                                Body=b"part")["ETag"]
    document = ("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
                f"<ETag>{part}</ETag></Part></CompleteMultipartUpload>").encode()

    def complete(wanted: str):
        return front.raw.request("POST", f"{front.path(key)}?uploadId={upload}",
                                 {IF_GENERATION: wanted}, document)

    assert complete("absent").status == 412
    landed = complete(generation)
    assert landed.status == 200, str(landed)
    assert front.raw.get(front.path(key)).body == b"part"


def test_nobody_is_told_who_does_not_ask_or_is_not_known(front, signing):
    key = front.new_key("quiet")
    assert put(front, key, b"x").status == 200
    assert GENERATION not in front.raw.get(front.path(key)).headers
    signer = front.proxy.boto(config=signing)
    url = signer.generate_presigned_url("get_object", Params={"Bucket": front.bucket, "Key": key})
    answer = front.raw.send("GET", url[len(front.proxy.url):], WANT | {"Host": front.proxy.url.removeprefix("http://")}, b"")
    assert answer.status == 200 and GENERATION not in answer.headers, str(answer)


def test_a_write_around_the_proxy_has_no_generation_until_one_through_it(front):
    if front.proxy.settings.writers == "exclusive":
        return
    key = front.new_key("foreign")
    generation = put(front, key, b"mine").headers[GENERATION]
    front.store_s3.put_object(Bucket=front.bucket, Key=key, Body=b"foreign")
    refused = front.raw.put(front.path(key), b"x", headers={"If-None-Match": "*"})
    assert refused.status == 412
    seen = read(front, key)
    assert seen.body == b"foreign" and GENERATION not in seen.headers
    assert put(front, key, b"x", generation).status == 412
    landed = front.raw.put(front.path(key), b"x", headers={"If-Match": seen.etag})
    assert read(front, key).headers[GENERATION] == landed.headers[GENERATION]
    assert put(front, key, b"y", landed.headers[GENERATION]).status == 200

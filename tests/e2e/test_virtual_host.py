"""Buckets named by the host: by clients towards the proxy, and by the proxy towards the store."""

from __future__ import annotations

import datetime
import socket

import pytest
import urllib3
from botocore.config import Config
from botocore.exceptions import ClientError

from clients import boto, code_of
from proxies import ACCESS_KEY, CLIENT_SECRET, DOMAIN, Proxy, Settings
from recorder import Recorder, is_signed_by, lower
from stores import Store

# === clients ===


@pytest.fixture
def hosts_of_localhost(monkeypatch):
    """Every name under localhost is this machine (RFC 6761), also where the resolver forgot."""
    real = socket.getaddrinfo

    def resolve(host, *rest, **more):
        local = isinstance(host, str) and host.endswith(".localhost")
        return real("127.0.0.1" if local else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def virtual_boto(front, **more):
    port = front.raw.port
    return boto(f"http://{DOMAIN}:{port}", ACCESS_KEY, CLIENT_SECRET, config=Config(
        s3={"addressing_style": "virtual"}, **more))


def test_a_client_in_virtual_host_style(plain_front, hosts_of_localhost):
    s3, key = virtual_boto(plain_front), plain_front.new_key("virtual/a b")
    first = s3.put_object(Bucket=plain_front.bucket, Key=key, Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as raised:
        # The other spelling of the same key.
        plain_front.s3.put_object(Bucket=plain_front.bucket, Key=key, Body=b"2", IfNoneMatch="*")
    assert code_of(raised.value) == (412, "PreconditionFailed")
    plain_front.s3.put_object(Bucket=plain_front.bucket, Key=key, Body=b"2", IfMatch=first["ETag"])
    assert s3.get_object(Bucket=plain_front.bucket, Key=key)["Body"].read() == b"2"
    assert key in {entry["Key"] for entry in
                   s3.list_objects_v2(Bucket=plain_front.bucket)["Contents"]}


@pytest.mark.parametrize("more", [{}, {"signature_version": "s3v4"}], ids=["as-it-comes", "s3v4"])
def test_a_presigned_url_in_virtual_host_style(plain_front, hosts_of_localhost, more):
    s3, key = virtual_boto(plain_front, **more), plain_front.new_key("virtual")
    url = s3.generate_presigned_url("put_object", Params={
        "Bucket": plain_front.bucket, "Key": key, "IfNoneMatch": "*"})
    assert url.startswith(f"http://{plain_front.bucket}.{DOMAIN}:")
    pool = urllib3.PoolManager(retries=False)

    def put(url):
        return pool.request("PUT", url, body=b"x", headers={"If-None-Match": "*"}).status

    assert [put(url), put(url)] == [200, 412]
    # The host is signed: the same URL for another bucket is not valid.
    assert put(url.replace(plain_front.bucket, "other-bucket")) == 403


# === the store ===


def test_the_store_is_asked_at_the_bucket_s_host(tmp_path):
    recorder = Recorder()
    store = Store("recorder", f"http://localhost:{recorder.port}", "storekey", "storesecret")
    proxy = Proxy(tmp_path, store, Settings(settle=0, addressing="virtual-host"))
    try:
        raw = proxy.raw()
        # What it looks at when it starts is no bucket's.
        assert {lower(headers)["host"] for _, _, headers, _ in recorder.take()} == {
            f"localhost:{recorder.port}"}
        assert raw.put("/bucket-1/a%20b/c", b"x", headers={"If-Match": '"e"'}).status == 200
        assert raw.get("/bucket-1?list-type=2&prefix=a").status == 200
        part = "/bucket-1/key?partNumber=1&uploadId=u"
        assert raw.put(part, b"part").status == 200
        assert raw.get("/dotted.bucket/key").status == 200
        assert raw.get("/").status == 200
        asked = recorder.take()
        at = f":{recorder.port}"
        assert [(method, lower(headers)["host"], path) for method, path, headers, _ in asked] == [
            ("HEAD", "bucket-1.localhost" + at, "/a%20b/c"),
            ("PUT", "bucket-1.localhost" + at, "/a%20b/c"),
            ("GET", "bucket-1.localhost" + at, "/?list-type=2&prefix=a"),
            ("PUT", "bucket-1.localhost" + at, "/key?partNumber=1&uploadId=u"),
            ("GET", "localhost" + at, "/dotted.bucket/key"),
            ("GET", "localhost" + at, "/"),
        ]
        assert all(is_signed_by(request, "storekey", "storesecret") for request in asked)
        assert not any(is_signed_by(request, "storekey", "other") for request in asked)
    finally:
        proxy.stop()
        recorder.stop()


def test_a_store_that_takes_buckets_from_the_host(store_named, tmp_path):
    """moto reads any host but its own as a bucket's name."""
    moto = store_named("moto")
    url = moto.url.replace("127.0.0.1", "localhost")
    proxy = Proxy(tmp_path, moto, Settings(settle=0, addressing="virtual-host"), backend_url=url)
    try:
        s3, at_store = proxy.boto(), boto(moto.url, moto.access_key, moto.secret_key)
        for bucket in ("virtual-bucket", "virtual.dotted"):
            s3.create_bucket(Bucket=bucket)
            proxy.wait_writable(bucket)
            made = s3.put_object(Bucket=bucket, Key="a/b c", Body=b"1", IfNoneMatch="*")
            with pytest.raises(ClientError) as raised:
                s3.put_object(Bucket=bucket, Key="a/b c", Body=b"2", IfNoneMatch="*")
            assert code_of(raised.value) == (412, "PreconditionFailed")
            s3.put_object(Bucket=bucket, Key="a/b c", Body=b"2", IfMatch=made["ETag"])
            got = at_store.get_object(Bucket=bucket, Key="a/b c")
            assert got["Body"].read() == b"2"
            upload = s3.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]
            part = s3.upload_part(Bucket=bucket, Key="big", UploadId=upload, PartNumber=1,
                                  Body=b"p" * 70_000)
            s3.complete_multipart_upload(
                Bucket=bucket, Key="big", UploadId=upload,
                MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
            s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "big"})
            s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "big"}]})
            listed = s3.list_objects_v2(Bucket=bucket)["Contents"]
            assert {entry["Key"] for entry in listed} >= {"a/b c", "copy"}
    finally:
        proxy.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority's file, and a certificate for localhost and two buckets under it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def name(text):
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def builder(subject, issuer, key):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(hours=1))
                .not_valid_after(now + datetime.timedelta(days=1)))

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = builder("ca", "ca", ca_key).add_extension(
        x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        ca_key, hashes.SHA256())
    names = ["localhost", "bucket-1.localhost", "bucket-2.localhost"]
    leaf = builder("localhost", "ca", key).add_extension(x509.SubjectAlternativeName(
        [x509.DNSName(each) for each in names]), critical=False).sign(ca_key, hashes.SHA256())
    directory = tmp_path_factory.mktemp("authority")
    paths = [directory / each for each in ("ca.pem", "leaf.pem", "key.pem")]
    paths[0].write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()))
    return [str(path) for path in paths]


def test_tls_asks_for_the_bucket_s_name(authority, tmp_path):
    ca_file, certificate, key = authority
    recorder = Recorder(certificate=(certificate, key))
    store = Store("recorder", f"https://localhost:{recorder.port}", "storekey", "storesecret")
    proxy = Proxy(tmp_path, store, Settings(settle=0, addressing="virtual-host", ca_file=ca_file))
    try:
        raw = proxy.raw()
        for bucket in ("bucket-1", "bucket-2"):
            for _ in range(2):
                assert raw.put(f"/{bucket}/key", b"x").status == 200
                assert raw.get(f"/{bucket}/key").status == 200
                assert raw.put(f"/{bucket}/key?partNumber=1&uploadId=u", b"x").status == 200
        assert raw.get("/dotted.bucket/key").status == 200
        # A bucket that the certificate does not cover is not talked to.
        assert raw.get("/bucket-3/key").status == 503
        names = recorder.server_names
        assert set(names) == {"localhost", "bucket-1.localhost", "bucket-2.localhost",
                              "bucket-3.localhost"}
        assert names.count("bucket-1.localhost") < 6, "connections are used again, bucket by bucket"
    finally:
        proxy.stop()
        recorder.stop()

"""A bucket of the embedded store, asked without a proxy before it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache, cached_property
from urllib.parse import quote

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from clients import Raw, boto, code_of
from endpoint import Endpoint
from stores import Store

MIB = 1 << 20
PART = 5 * MIB
"""The least size of a part that is not the last."""
ONCE = Config(retries={"total_max_attempts": 1}, parameter_validation=False, max_pool_connections=32)
_numbers = itertools.count(1)


@cache
def client(url: str, access_key: str, secret_key: str):
    """Tries once. To make one takes longer than most tests."""
    return boto(url, access_key, secret_key, config=ONCE)


@dataclass
class Bucket:
    """A bucket, and the ways to ask for it: boto3, and raw requests."""

    store: Store
    name: str

    @classmethod
    def new(cls, store: Store) -> "Bucket":
        bucket = cls(store, f"alone-bucket-{next(_numbers)}")
        bucket("create_bucket")
        return bucket

    @cached_property
    def s3(self):
        return client(self.store.url, self.store.access_key, self.store.secret_key)

    @cached_property
    def raw(self) -> Raw:
        return Raw(self.store.url, self.store.access_key, self.store.secret_key)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.store.url, self.store.access_key, self.store.secret_key, self.name)

    def path(self, key: str = "", query: str = "") -> str:
        """What a raw request asks for."""
        return f"/{self.name}/{quote(key)}?{query}".rstrip("?")

    def __call__(self, operation: str, *key: str, **arguments) -> dict:
        """An operation of boto3 on the bucket, or on a key of it."""
        if key:
            arguments["Key"], = key
        return getattr(self.s3, operation)(Bucket=self.name, **arguments)

    def refuses(self, operation: str, *key: str, **arguments) -> tuple[int, str]:
        """Status and code of the refusal that there must be."""
        with pytest.raises(ClientError) as refused:
            self(operation, *key, **arguments)
        return code_of(refused.value)

    def put(self, key: str, body: bytes = b"", **more) -> str:
        """Writes an object; returns its ETag."""
        return self("put_object", key, Body=body, **more)["ETag"]

    def body(self, key: str, **more) -> bytes:
        return self("get_object", key, **more)["Body"].read()

    def keys(self) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def begin(self, key: str, **more) -> str:
        """Begins an upload; returns its id."""
        return self("create_multipart_upload", key, **more)["UploadId"]

    def part(self, key: str, upload: str, number: int, body: bytes, **more) -> dict:
        """Uploads a part; returns how a complete names it."""
        told = self("upload_part", key, UploadId=upload, PartNumber=number, Body=body, **more)
        sums = {name: value for name, value in told.items() if name.startswith("Checksum")}
        return {"PartNumber": number, "ETag": told["ETag"], **sums}

    def complete(self, key: str, upload: str, parts: list[dict], **more) -> dict:
        return self("complete_multipart_upload", key, UploadId=upload, MultipartUpload={"Parts": parts}, **more)

    def complete_refused(self, key: str, upload: str, parts: list[dict], **more) -> tuple[int, str]:
        return self.refuses("complete_multipart_upload", key, UploadId=upload,
                            MultipartUpload={"Parts": parts}, **more)

    def put_in_parts(self, key: str, *bodies: bytes, **more) -> dict:
        """Writes an object in parts; returns the answer to the complete."""
        upload = self.begin(key, **more)
        parts = [self.part(key, upload, number, body) for number, body in enumerate(bodies, 1)]
        return self.complete(key, upload, parts)

    def versioned(self, status: str = "Enabled") -> "Bucket":
        self("put_bucket_versioning", VersioningConfiguration={"Status": status})
        return self


def with_trailer(body: bytes, name: str, value: str) -> tuple[dict[str, str], bytes]:
    """The headers and the body of an upload whose trailer has a field."""
    framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": str(len(body)),
               "x-amz-trailer": name}
    return headers, framed + f"0\r\n{name}:{value}\r\n\r\n".encode()


TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

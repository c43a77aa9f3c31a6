"""One call made twice: at the store itself and through the proxy; and what of an answer must agree."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

from clients import boto

ONCE = Config(retries={"total_max_attempts": 1})
OPAQUE = {"UploadId", "VersionId", "DeleteMarkerVersionId", "CopySourceVersionId", "RequestId",
          "HostId", "NextUploadIdMarker", "UploadIdMarker", "NextVersionIdMarker",
          "VersionIdMarker", "NextContinuationToken", "ContinuationToken", "x-amz-version-id"}
"""Names that a store makes up; that there is one must agree, not what it is."""
HEADERS = ("accept-ranges", "access-control-allow-methods", "access-control-allow-origin",
           "cache-control", "content-disposition", "content-encoding", "content-language",
           "content-range", "content-type", "etag", "expires", "location",
           "x-amz-abort-date", "x-amz-mp-parts-count", "x-amz-tagging-count")
"""Headers that mean something to a client, whether or not boto3 shows them."""

UNORDERED = {"Parts": "PartNumber", "Deleted": "Key"}
"""Lists whose order is not specified, or differs by store (Ceph), and what to sort by."""


@dataclass
class Side:
    """One of the two ways to a bucket of its own."""

    s3: object
    bucket: str
    remembered: dict[str, str] = field(default_factory=dict)

    def call(self, operation: str, arguments: dict) -> dict:
        """The answer, an error's too, in a form that can be compared. "$UploadId" in an argument
        is what the last answer that had one called UploadId; "$bucket" is this side's bucket."""
        filled = self._fill(arguments)
        if operation not in ("list_buckets",):
            filled.setdefault("Bucket", self.bucket)
        try:
            answer = getattr(self.s3, operation)(**filled)
        except ClientError as error:
            answer = error.response
        except ParamValidationError as error:
            raise AssertionError(f"{operation}: {error}") from None
        for name in ("UploadId", "VersionId", "ETag", "NextContinuationToken", "NextMarker",
                     "NextKeyMarker", "NextVersionIdMarker", "NextPartNumberMarker"):
            if name in answer:
                self.remembered[name] = answer[name]
        return self.comparable(answer)

    def _fill(self, value):
        if isinstance(value, dict):
            return {name: self._fill(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._fill(each) for each in value]
        if isinstance(value, str) and value.startswith("$bucket"):
            return self.bucket + value.removeprefix("$bucket")
        if isinstance(value, str) and value.startswith("$"):
            return self.remembered.get(value[1:], "missing")
        return value

    def comparable(self, answer: dict) -> dict:
        about = answer.get("ResponseMetadata", {})
        headers = about.get("HTTPHeaders", {})
        kept = {name: headers[name] for name in HEADERS if name in headers}
        if about["HTTPStatusCode"] < 300:
            rest = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
        else:
            # Words and details of an error are not specified; its code is.
            rest, kept = {"Code": answer.get("Error", {}).get("Code")}, {}
        return self._without_boundary({
            "status": about["HTTPStatusCode"], "headers": self._plain(kept), **self._plain(rest)})

    @staticmethod
    def _without_boundary(answer: dict) -> dict:
        """Several ranges come in parts, between words that a store makes up."""
        _, found, boundary = answer["headers"].get("content-type", "").partition("boundary=")
        if not found:
            return answer
        answer["headers"]["content-type"] = answer["ContentType"] = "multipart/byteranges"
        return {**answer, "Body": answer["Body"].replace(boundary.encode(), b"boundary")}

    def _plain(self, value, name: str = ""):
        if hasattr(value, "read"):
            return value.read()
        if isinstance(value, dict):
            return {each: self._plain(inner, each) for each, inner in value.items()}
        if isinstance(value, list):
            order = UNORDERED.get(name)
            return [self._plain(each) for each in
                    (sorted(value, key=lambda each: each[order]) if order else value)]
        if isinstance(value, datetime.datetime):
            return "a time"
        if name in OPAQUE:
            return "opaque" if value not in ("", "null", None) else value
        return value.replace(self.bucket, "BUCKET") if isinstance(value, str) else value


def two_sides(front, direct_bucket: str, proxied_bucket: str) -> tuple[Side, Side]:
    store = front.store
    at_store = boto(store.url, store.access_key, store.secret_key, config=ONCE)
    return Side(at_store, direct_bucket), Side(front.proxy.boto(config=ONCE), proxied_bucket)

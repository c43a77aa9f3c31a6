"""Buckets of the embedded store, and what it does not do: it says so, and does nothing else instead."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from embedded import Bucket


def test_a_bucket_is_made_once_and_deleted_when_it_is_empty(embedded):
    assert embedded("head_bucket")["ResponseMetadata"]["HTTPStatusCode"] == 200
    embedded.put("key")
    assert embedded.refuses("delete_bucket") == (409, "BucketNotEmpty")
    assert embedded.keys() == ["key"]
    embedded("delete_object", "key")
    embedded.begin("an unfinished upload")
    embedded("delete_bucket")
    assert embedded.refuses("head_bucket") == (404, "404")
    assert embedded.refuses("delete_bucket") == (404, "NoSuchBucket")
    embedded("create_bucket")
    assert embedded.keys() == [] and "Uploads" not in embedded("list_multipart_uploads")


def test_a_bucket_of_us_east_1_is_made_again_and_stays_as_it_is(embedded):
    """As at AWS, where any other region refuses it."""
    embedded.put("key")
    embedded.versioned()
    assert embedded("create_bucket")["Location"] == f"/{embedded.name}"
    assert embedded.keys() == ["key"] and embedded("get_bucket_versioning")["Status"] == "Enabled"
    there = {"LocationConstraint": "eu-central-1"}
    owned = (409, "BucketAlreadyOwnedByYou")
    assert embedded.refuses("create_bucket", CreateBucketConfiguration=there) == owned
    other = Bucket(embedded.store, embedded.name + "-there")
    other("create_bucket", CreateBucketConfiguration=there)
    assert other.refuses("create_bucket") == other.refuses("create_bucket", CreateBucketConfiguration=there) == owned


@pytest.mark.parametrize("most", [0, -1, 10_001])
def test_a_page_of_buckets_has_one_to_ten_thousand(embedded, most):
    answer = embedded.raw.get(f"/?max-buckets={most}")
    assert (answer.status, answer.code) == (400, "InvalidArgument"), answer


def test_a_new_bucket_has_nothing_of_the_one_before(embedded):
    embedded.versioned()
    embedded("put_bucket_tagging", Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    embedded("put_bucket_cors", CORSConfiguration={"CORSRules": [RULE]})
    embedded("delete_bucket")
    embedded("create_bucket")
    assert "Status" not in embedded("get_bucket_versioning")
    assert embedded.refuses("get_bucket_tagging") == (404, "NoSuchTagSet")
    assert embedded.refuses("get_bucket_cors") == (404, "NoSuchCORSConfiguration")


NO_NAMES = ["ab", "x" * 64, "Upper", "under_score", "a..b", ".abc", "abc.", "-abc", "abc-", "192.168.1.1", "a b",
            "a%2Fb", "xn--abc", "a.-b", "a-.b", "sthree-abc", "amzn-s3-demo-abc", "abc-s3alias", "abc--ol-s3", "abc.mrap",
            "abc--x-s3", "abc--table-s3"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_a_bucket_s_name_is_one_that_aws_allows(embedded, name):
    answer = embedded.raw.put(f"/{name.replace(' ', '%20')}")
    assert (answer.status, answer.code) == (400, "InvalidBucketName"), answer


@pytest.mark.parametrize("name", ["abc", "a.b-c", "a--b", "1a1", "x" * 63])
def test_other_names_are_allowed(embedded, name):
    bucket = Bucket(embedded.store, name)
    bucket("create_bucket")
    bucket.put("key", b"x")
    assert bucket.body("key") == b"x"
    bucket("delete_object", "key"), bucket("delete_bucket")


def test_buckets_are_listed(embedded):
    names = [f"{embedded.name}-{each}" for each in ("a", "b", "c")]
    for name in names:
        Bucket(embedded.store, name)("create_bucket")
    told = embedded.s3.list_buckets()
    listed = [each["Name"] for each in told["Buckets"]]
    assert listed == sorted(listed) and {*names, embedded.name} <= set(listed)
    assert all(each["CreationDate"] for each in told["Buckets"])
    assert [each["Name"] for each in embedded.s3.list_buckets(Prefix=f"{embedded.name}-")["Buckets"]] == names
    pages = embedded.s3.get_paginator("list_buckets").paginate(
        Prefix=f"{embedded.name}-", PaginationConfig={"PageSize": 1})
    assert [[each["Name"] for each in page["Buckets"]] for page in pages] == [[name] for name in names]


def test_a_bucket_is_where_it_was_made(embedded):
    assert embedded("get_bucket_location")["LocationConstraint"] is None, "AWS's answer for us-east-1"
    elsewhere = Bucket(embedded.store, embedded.name + "-elsewhere")
    elsewhere("create_bucket", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert elsewhere("get_bucket_location")["LocationConstraint"] == "eu-west-1"
    assert elsewhere("head_bucket")["BucketRegion"] == "eu-west-1"


RULE = {"ID": "one", "AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example.com", "*"],
        "AllowedHeaders": ["*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 3000}


def test_cors_rules_are_set_read_and_taken_away(embedded):
    assert embedded.refuses("get_bucket_cors") == (404, "NoSuchCORSConfiguration")
    rules = [RULE, {"AllowedMethods": ["HEAD"], "AllowedOrigins": ["*"]}]
    embedded("put_bucket_cors", CORSConfiguration={"CORSRules": rules})
    assert embedded("get_bucket_cors")["CORSRules"] == rules
    assert embedded.refuses("put_bucket_cors", CORSConfiguration={"CORSRules": []}) == (400, "MalformedXML")
    assert embedded("get_bucket_cors")["CORSRules"] == rules
    embedded("delete_bucket_cors")
    assert embedded.refuses("get_bucket_cors") == (404, "NoSuchCORSConfiguration")
    embedded("delete_bucket_cors")


@pytest.mark.parametrize("rule, code", [({"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}, "InvalidRequest"),
                                        ({"AllowedMethods": ["GET"], "AllowedOrigins": ["*.*"]}, "InvalidRequest")])
def test_cors_rules_that_cannot_be_are_refused(embedded, rule, code):
    assert embedded.refuses("put_bucket_cors", CORSConfiguration={"CORSRules": [rule]}) == (400, code)


def test_tags_of_a_bucket_are_set_read_and_taken_away(embedded):
    assert embedded.refuses("get_bucket_tagging") == (404, "NoSuchTagSet")
    for tags in ([{"Key": "a", "Value": "1"}, {"Key": "\u00e4", "Value": ""}], [{"Key": "b", "Value": "+ -=._:/@"}]):
        embedded("put_bucket_tagging", Tagging={"TagSet": tags})
        assert embedded("get_bucket_tagging")["TagSet"] == tags
    twice = [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]
    assert embedded.refuses("put_bucket_tagging", Tagging={"TagSet": twice}) == (400, "InvalidTag")
    embedded("delete_bucket_tagging")
    assert embedded.refuses("get_bucket_tagging") == (404, "NoSuchTagSet")


def test_what_is_set_of_a_bucket_needs_one(embedded):
    missing = Bucket(embedded.store, embedded.name + "-missing")
    refused = (404, "NoSuchBucket")
    for operation in ("get_bucket_location", "get_bucket_versioning", "get_bucket_cors", "get_bucket_tagging",
                      "delete_bucket_cors", "delete_bucket_tagging", "delete_bucket"):
        assert missing.refuses(operation) == refused, operation
    assert missing.refuses("put_bucket_cors", CORSConfiguration={"CORSRules": [RULE]}) == refused
    assert missing.refuses("put_bucket_tagging", Tagging={"TagSet": []}) == refused
    enabled = {"Status": "Enabled"}
    assert missing.refuses("put_bucket_versioning", VersioningConfiguration=enabled) == refused


# === what the store does not do ===

OF_BUCKETS = {
    "acl": b'<AccessControlPolicy xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Owner><ID>x</ID></Owner>'
           b"<AccessControlList/></AccessControlPolicy>",
    "policy": b'{"Version": "2012-10-17", "Statement": []}', "policyStatus": None,
    "lifecycle": b"<LifecycleConfiguration><Rule><ID>a</ID><Filter><Prefix/></Filter><Status>Enabled</Status>"
                 b"<Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>",
    "website": b"<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>",
    "accelerate": b"<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>",
    "replication": b"<ReplicationConfiguration><Role>r</Role><Rule><Status>Enabled</Status><Destination>"
                   b"<Bucket>b</Bucket></Destination></Rule></ReplicationConfiguration>",
    "encryption": b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256"
                  b"</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>",
    "notification": b"<NotificationConfiguration/>", "logging": b"<BucketLoggingStatus/>",
    "requestPayment": b"<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>",
    "ownershipControls": b"<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule>"
                         b"</OwnershipControls>",
    "publicAccessBlock": b"<PublicAccessBlockConfiguration/>",
    "object-lock": b"<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
    "analytics&id=a": b"<AnalyticsConfiguration><Id>a</Id><StorageClassAnalysis/></AnalyticsConfiguration>",
    "inventory&id=a": b"<InventoryConfiguration><Id>a</Id><IsEnabled>true</IsEnabled><IncludedObjectVersions>All"
                      b"</IncludedObjectVersions><Schedule><Frequency>Daily</Frequency></Schedule><Destination>"
                      b"<S3BucketDestination><Bucket>b</Bucket><Format>CSV</Format></S3BucketDestination></Destination>"
                      b"</InventoryConfiguration>",
    "metrics&id=a": b"<MetricsConfiguration><Id>a</Id></MetricsConfiguration>",
    "intelligent-tiering&id=a": b"<IntelligentTieringConfiguration><Id>a</Id><Status>Enabled</Status><Tiering><Days>90"
                                b"</Days><AccessTier>ARCHIVE_ACCESS</AccessTier></Tiering>"
                                b"</IntelligentTieringConfiguration>",
}
NEVER_DELETED = {"acl", "policyStatus", "accelerate", "notification", "logging", "requestPayment", "object-lock"}
OF_OBJECTS = {
    "acl": OF_BUCKETS["acl"], "legal-hold": b"<LegalHold><Status>ON</Status></LegalHold>",
    "retention": b"<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2037-01-01T00:00:00Z</RetainUntilDate>"
                 b"</Retention>",
}
NEWER = {"renameObject": b"", "encryption": b"<ObjectEncryption/>", "annotation&annotationName=a": b"x"}


@pytest.mark.parametrize("method, query", [
    *(("GET", query) for query in OF_BUCKETS),
    *(("DELETE", query) for query in OF_BUCKETS if query not in NEVER_DELETED),
    *(("PUT", query) for query, document in OF_BUCKETS.items() if document)])
def test_nothing_is_set_of_a_bucket_that_would_not_be_done(embedded, method, query):
    embedded.put("key", b"x")
    body = OF_BUCKETS[query] if method == "PUT" else b""
    answer = embedded.raw.request(method, embedded.path(query=query), body=body)
    assert answer.status == 501, answer
    assert embedded.keys() == ["key"]


@pytest.mark.parametrize("operation, document", [
    ("put_bucket_lifecycle_configuration", {"LifecycleConfiguration": {"Rules": [
        {"ID": "a", "Filter": {"Prefix": ""}, "Status": "Enabled", "Expiration": {"Days": 1}}]}}),
    ("put_bucket_policy", {"Policy": "{}"}), ("put_bucket_acl", {"ACL": "private"}), ("get_bucket_acl", {})])
def test_a_refusal_names_the_operation_and_none_of_its_headers(embedded, operation, document):
    """Clients send checksums and other headers with it that the store has elsewhere."""
    with pytest.raises(ClientError) as refused:
        embedded(operation, **document)
    error = refused.value.response["Error"]
    name = "".join(word.capitalize() for word in operation.split("_"))
    assert (error["Code"], error["Message"]) == ("NotImplemented", f"{name} is not implemented by this store")
    assert "Header" not in error


@pytest.mark.parametrize("query", [
    *OF_OBJECTS, *NEWER])
def test_nothing_is_set_of_an_object_that_would_not_be_done(embedded, query):
    """Above all, the document does not become the object."""
    embedded.put("key", b"before")
    answer = embedded.raw.put(embedded.path("key", query), {**OF_OBJECTS, **NEWER}[query])
    assert answer.status == 501, answer
    assert embedded.body("key") == b"before"


@pytest.mark.parametrize("query", [
    "acl", "legal-hold", "retention", "torrent",
    "annotation&annotationName=a"])
def test_nothing_is_read_of_an_object_that_it_does_not_have(embedded, query):
    embedded.put("key", b"secret")
    answer = embedded.raw.get(embedded.path("key", query))
    assert answer.status == 501 and b"secret" not in answer.body, answer


@pytest.mark.parametrize("query", ["restore", "select&select-type=2"])
def test_nothing_is_asked_of_an_object_that_would_not_be_done(embedded, query):
    embedded.put("key", b"before")
    answer = embedded.raw.request("POST", embedded.path("key", query), body=b"<RestoreRequest/>")
    assert answer.status in (400, 501), answer
    assert embedded.body("key") == b"before"


SSE_C = {"x-amz-server-side-encryption-customer-algorithm": "AES256",
         "x-amz-server-side-encryption-customer-key": "eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=",
         "x-amz-server-side-encryption-customer-key-MD5": "WyPSOKq2FVCvzcJUbzQ4pQ=="}
HEADERS = {
    "a canned ACL": {"x-amz-acl": "public-read"}, "a canned ACL, more": {"x-amz-acl": "public-read-write"},
    "a canned ACL, authenticated": {"x-amz-acl": "authenticated-read"},
    "a grant": {"x-amz-grant-read": 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'},
    "a full grant": {"x-amz-grant-full-control": 'id="x"'}, "a grant of rights": {"x-amz-grant-write-acp": 'id="x"'},
    "SSE": {"x-amz-server-side-encryption": "AES256"},
    "SSE-KMS": {"x-amz-server-side-encryption": "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id": "k"},
    "SSE-C": SSE_C, "a lock": {"x-amz-object-lock-mode": "GOVERNANCE",
                               "x-amz-object-lock-retain-until-date": "2037-01-01T00:00:00Z"},
    "a hold": {"x-amz-object-lock-legal-hold": "ON"},
}


@pytest.mark.parametrize("way", ["put", "copy", "upload"])
@pytest.mark.parametrize("asked", HEADERS)
def test_a_write_that_asks_for_what_would_not_be_done_is_refused(embedded, way, asked):
    embedded.put("source", b"x")
    headers = dict(HEADERS[asked])
    if way == "copy":
        headers["x-amz-copy-source"] = f"{embedded.name}/source"
    method, query = ("POST", "uploads") if way == "upload" else ("PUT", "")
    answer = embedded.raw.request(method, embedded.path("key", query), headers, b"x" if way == "put" else b"")
    assert (answer.status, answer.code) == (501, "NotImplemented"), answer
    assert embedded.keys() == ["source"] and "Uploads" not in embedded("list_multipart_uploads")


def test_a_canned_acl_that_changes_nothing_is_taken(embedded):
    for acl in ("private", "bucket-owner-full-control"):
        embedded.put("key", b"x", ACL=acl)


def test_keys_of_clients_are_refused_everywhere(embedded):
    embedded.put("key", b"x")
    upload = embedded.begin("parts")
    part = embedded.path("parts", f"partNumber=1&uploadId={upload}")
    of_source = {name.replace("x-amz-server", "x-amz-copy-source-server"): value for name, value in SSE_C.items()}
    source = {"x-amz-copy-source": f"{embedded.name}/key"}
    for method, target, headers in [
            ("GET", embedded.path("key"), SSE_C), ("HEAD", embedded.path("key"), SSE_C), ("PUT", part, SSE_C),
            ("PUT", part, {**source, **SSE_C}), ("PUT", part, {**source, **of_source}),
            ("PUT", embedded.path("copy"), {**source, **of_source})]:
        answer = embedded.raw.request(method, target, headers, b"")
        assert answer.status == 501, f"{method} {target} {sorted(headers)}: {answer}"
    assert embedded.keys() == ["key"] and "Parts" not in embedded("list_parts", "parts", UploadId=upload)


@pytest.mark.parametrize("headers", [
    {"x-amz-acl": "public-read"}, {"x-amz-bucket-object-lock-enabled": "true"},
    *({f"x-amz-grant-{right}": 'id="x"'} for right in ("read", "write", "read-acp", "write-acp", "full-control"))])
def test_a_bucket_that_would_not_be_as_asked_is_not_made(embedded, headers):
    other = Bucket(embedded.store, embedded.name + "-other")
    answer = embedded.raw.put(f"/{other.name}", headers=headers)
    assert (answer.status, answer.code) == (501, "NotImplemented"), answer
    assert other.refuses("head_bucket") == (404, "404")


def test_nothing_is_appended_and_no_mfa_is_asked_for(embedded):
    embedded.put("key", b"before")
    answer = embedded.raw.put(embedded.path("key"), b"x", headers={"x-amz-write-offset-bytes": "6"})
    assert (answer.status, answer.code) == (501, "NotImplemented"), answer
    mfa = {"Status": "Enabled", "MFADelete": "Enabled"}
    assert embedded.refuses("put_bucket_versioning", VersioningConfiguration=mfa, MFA="x 1")[0] == 501
    assert embedded.body("key") == b"before"


def test_a_form_is_not_taken(embedded):
    form = (b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nposted\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n')
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = embedded.raw.request("POST", embedded.path(), headers, form)
    assert answer.status >= 400, answer
    assert embedded.keys() == []

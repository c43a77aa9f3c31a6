"""What a request is to the proxy is what it may be to the store: no query, no body and no path leads
past the gate, to the store's administration, or to what its owner alone may set up."""

from __future__ import annotations

import base64
import hashlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import botocore.session
import pytest
from botocore.exceptions import ClientError

import stores
from clients import boto, code_of
from conftest import new_bucket
from processes import ROOT
from proxies import READER_KEY, READER_SECRET, Proxy, Settings, in_front_of
from recorder import Recorder
from store_ceph import with_caps
from stores import Store

ONCE = '[[rule]]\nprefix = "once/"\nrequire = "create-only"\n'
DENIED = (403, "AccessDenied")
MODES = ("resign", "passthrough")


def said(answer) -> tuple:
    return answer.status, answer.code


def settings(mode: str = "resign", **more) -> Settings:
    return Settings(signatures=mode, domains=() if mode == "passthrough" else ("s3.localhost",),
                    settle=0, settle_long=0, **more)


class Scene:
    """A proxy before a store, and a key that may be written once, and was."""

    def __init__(self, store, directory, **more):
        self.store, self.bucket = store, new_bucket(store)
        self.at_store = boto(store.url, store.access_key, store.secret_key)
        self.at_store.put_object(Bucket=self.bucket, Key="once/k", Body=b"first")
        self.proxy = in_front_of(store, self.bucket, directory, settings(rules=ONCE, **more))
        self.raw = self.proxy.raw()

    def is_untouched(self) -> bool:
        stored = self.at_store.get_object(Bucket=self.bucket, Key="once/k")["Body"].read()
        return stored == b"first"


@pytest.fixture(scope="module", params=MODES)
def scene(request, store_name, store_named, tmp_path_factory):
    made = Scene(store_named(store_name), tmp_path_factory.mktemp("scene"), mode=request.param)
    yield made
    made.proxy.stop()


# === a form is PostObject's alone ===

FORM = (b'--B\r\nContent-Disposition: form-data; name="key"\r\n\r\nonce/k\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nevil\r\n--B--\r\n')
FIELDS = b"key=once%2Fk&file=evil&metadataTable="
SPELLINGS = [
    ("multipart/form-data; boundary=B", FORM),
    ("Multipart/FORM-DATA;boundary=B", FORM),
    ("\tmultipart/form-data ; boundary=B", FORM),
    ("multipart/mixed; boundary=B", FORM),
    ("application/xml, multipart/form-data; boundary=B", FORM),
    ("application/xml; a=multipart/form-data; boundary=B", FORM),
    ("application/x-www-form-urlencoded", FIELDS),
    ("application/xml", FORM),
    ("application/xml", FIELDS),
]


@pytest.mark.parametrize("target", [
    "?metadataTable", "?metadataConfiguration", "?metadataTable=&x-id=a", "?delete",
    "?delete=&x-id=DeleteObjects", "?uploads", "?acl", "?nothing", "?met%61dataTable", "/",
    "/?metadataTable", "/k", "/k?restore", "/k?uploads", "/k?uploadId=u", "/k?select&select-type=2",
    "/k?append&position=0", "/k?nothing", "/once/k", "/once/k?restore"])
def test_no_form_reaches_a_key_by_another_way(scene, target):
    for content_type, body in SPELLINGS:
        # The one request that is a form: it passes the gate, and the rule refuses it.
        answer = scene.raw.request("POST", f"/{scene.bucket}{target}", body=body,
                                   headers={"Content-Type": content_type})
        assert answer.status >= 400 or target in ("/k?uploads", "?uploads"), f"{content_type}: {answer}"
        assert scene.is_untouched(), f"{target} {content_type}: {answer}"


@pytest.mark.parametrize("target", [
    "/k?delete", "/k?delete=", "/k?d%65lete", "/k?uploads&delete", "/k?delete&uploadId=u",
    "/k?restore&delete", "/once/k?delete", "?delete&acl", "?metadataTable&delete", "?delete&delete"])
def test_no_list_deletes_by_another_way(scene, target):
    """Swift deletes what the body lists, whatever else the request names."""
    listed = b"<Delete><Object><Key>once/k</Key></Object></Delete>"
    md5 = base64.b64encode(hashlib.md5(listed).digest()).decode()
    for method in ("POST", "PUT", "DELETE"):
        answer = scene.raw.request(method, f"/{scene.bucket}{target}", body=listed, headers={
            "Content-Type": "application/xml", "Content-MD5": md5})
        assert answer.status >= 400, f"{method}: {answer}"
        assert scene.is_untouched(), f"{method}: {answer}"


def test_what_is_a_form_is_said_once(scene):
    """Two Content-Type headers: some readers take the first, others the second."""
    signed = scene.raw.signed("POST", f"/{scene.bucket}?metadataTable", body=FORM)
    connection = http.client.HTTPConnection(scene.raw.host, scene.raw.port, timeout=30)
    connection.putrequest("POST", f"/{scene.bucket}?metadataTable", skip_host=True,
                          skip_accept_encoding=True)
    for name, value in signed.items():
        connection.putheader(name, value)
    connection.putheader("Content-Type", "application/xml")
    connection.putheader("Content-Type", "multipart/form-data; boundary=B")
    connection.putheader("Content-Length", str(len(FORM)))
    connection.endheaders(FORM)
    assert connection.getresponse().status >= 400
    connection.close()
    assert scene.is_untouched()


# === a subresource that the store does not know ===

DOCUMENTS = {
    "acl": b"<AccessControlPolicy><Owner><ID>o</ID></Owner><AccessControlList/>"
           b"</AccessControlPolicy>",
    "tagging": b"<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>",
    "retention": b"<Retention><Mode>GOVERNANCE</Mode>"
                 b"<RetainUntilDate>2100-01-01T00:00:00Z</RetainUntilDate></Retention>",
    "legal-hold": b"<LegalHold><Status>OFF</Status></LegalHold>",
    "annotation": b"note", "encryption": b"<ObjectEncryption/>",
    "restore": b"<RestoreRequest><Days>1</Days></RestoreRequest>", "torrent": b"x",
    "attributes": b"x", "nothing": b"x", "append": b"x", "renameObject": b"",
}


@pytest.mark.parametrize("pad", ["x-a", "", "x-id=a"])
def test_no_parameter_stands_where_a_store_has_stopped_reading(scene, pad):
    """s3rver reads a thousand parameters of a query, empty ones counted: what stands behind them is
    nothing to it, and the part of an upload is the object."""
    for query in ("tagging", "acl", "uploadId=u&partNumber=1", "uploadId=u"):
        for method in ("PUT", "DELETE"):
            answer = scene.raw.request(method, f"/{scene.bucket}/once/k?{f'{pad}&' * 1001}{query}",
                                       body=DOCUMENTS.get(query, b"x") if method == "PUT" else b"")
            assert said(answer) == (400, "InvalidURI"), f"{method} {query}: {answer}"
            assert scene.is_untouched(), f"{method} {query}: {answer}"


@pytest.mark.parametrize("query", ["", "tagging", "acl", "retention", "uploads", "uploadId=u",
                                   "uploadId=u&partNumber=1"])
def test_no_header_makes_another_request_of_it(scene, query):
    """Beside a subresource a store may follow the header; and in whatever spelling it knows."""
    scene.at_store.put_object(Bucket=scene.bucket, Key="other", Body=b"evil")
    source = f"{scene.bucket}/other"
    for name, value in [("x-amz-copy-source", source), ("x-amz-copy_source", source),
                        ("x_amz_copy_source", source), ("x-amz-write-offset-bytes", "5"),
                        ("x-amz-rename-source", f"/{source}")]:
        for method in ("PUT", "POST", "DELETE"):
            answer = scene.raw.request(method, f"/{scene.bucket}/once/k?{query}", body=b"",
                                       headers={name: value})
            assert answer.status >= 400 or query == "uploads", f"{method} {name}: {answer}"
            if "_" in name or "rename" in name:
                assert answer.status in (403, 501), f"{method} {name}: {answer}"
            assert scene.is_untouched(), f"{method} {name}: {answer}"
            assert scene.raw.get(f"/{scene.bucket}/other").body == b"evil", "renamed away"


def test_nobody_copies_by_another_spelling_from_where_he_may_not_read(scene):
    """To Swift `_` in a header's name is `-`: it copied with the proxy's credential."""
    other = new_bucket(scene.store)
    scene.at_store.put_object(Bucket=other, Key="secret", Body=b"secret")
    for name in ("x-amz-copy_source", "x_amz_copy_source", "X-Amz_Copy-Source"):
        answer = scene.raw.put(f"/{scene.bucket}/copied", b"mine", headers={name: f"{other}/secret"})
        assert said(answer) == (501, "NotImplemented"), f"{name}: {answer}"
        assert scene.raw.get(f"/{scene.bucket}/copied").status == 404, name
    named = scene.raw.put(f"/{scene.bucket}/named", b"mine", headers={"x-amz-meta-a_b": "1"})
    assert named.status == 200, "the names of metadata are free"


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_no_subresource_changes_what_is_written_once(scene, method, name):
    path = f"/{scene.bucket}/once/k"
    body = DOCUMENTS[name] if method != "DELETE" else b""
    for query in (name, f"{name}=", f"%{ord(name[0]):02x}{name[1:]}", f"{name}&x-id=a",
                  f"{name}&versionId=null", f"{name}&{name}", f"x={name}&{name}"):
        answer = scene.raw.request(method, f"{path}?{query}", body=body,
                                   headers={"Content-Type": "application/xml"})
        assert scene.is_untouched(), f"{query}: {answer}"


def test_what_the_store_understands_is_seen(scene):
    """`seen` says what is so: what it lets pass leaves the object as it was."""
    store = scene.store.name
    for name, document in DOCUMENTS.items():
        answer = scene.raw.put(f"/{scene.bucket}/once/k?{name}", document)
        refused = b"A rule of this proxy" in answer.body or b"this proxy cannot" in answer.body
        assert refused != (name in UNDERSTOOD.get(store, ())), f"{name}: {answer}"
        assert scene.is_untouched(), f"{name}: {answer}"


# By hand, from what each store did when it was asked directly.
UNDERSTOOD = {
    "embedded": ("tagging",),
    "embedded-ignoring": ("tagging",),
    "moto": ("acl", "tagging", "legal-hold"),
    "s3rver": ("acl", "tagging"),
    "swift": ("acl", "tagging"),
    "ceph": ("acl", "tagging"),
}


def test_tags_are_set_and_the_key_is_known_afterwards(store_name, store_named, tmp_path_factory):
    """Where the store is not taken to know tags: the write of them takes the key's turn, and what
    is known of the key stays right, generation and all."""
    store = store_named(store_name)
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("tags"),
                        settings(writers="exclusive", subresources=[]))
    try:
        raw, path = proxy.raw(), f"/{bucket}/k"
        first = raw.put(path, b"first", headers={"If-None-Match": "*"})
        tagged = raw.put(f"{path}?tagging", DOCUMENTS["tagging"])
        assert proxy.request_logged(operation="PutObjectTagging")["decided_by"] == "backend"
        if tagged.status == 200:
            assert raw.get(f"{path}?tagging").body.count(b"<Tag>") == 1
        if raw.get(path).body == b"first":
            assert raw.put(path, b"second", headers={"If-Match": first.etag}).status == 200
            assert raw.put(path, b"third", headers={"If-Match": first.etag}).status == 412
    finally:
        proxy.stop()


class Lookalike:
    """A store to which no query says anything, and whose one object looks like a set of tags."""

    def __init__(self):
        self.asked: list[tuple[str, str]] = []
        outer, content = self, b"<Tagging><TagSet/></Tagging>"

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                outer.asked.append((self.command, self.path))
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = self.path.partition("?")[0]
                body = {
                    "/": b"<ListAllMyBucketsResult><Buckets><Bucket><Name>b-b</Name></Bucket>"
                         b"</Buckets></ListAllMyBucketsResult>",
                    "/b-b": b"<ListBucketResult><Contents><Key>mine</Key></Contents>"
                            b"</ListBucketResult>",
                }.get(path, content)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.store = Store("lookalike", f"http://127.0.0.1:{self.server.server_port}", "k", "secret")


def test_an_object_that_looks_like_tags_proves_nothing(tmp_path):
    """A store that does not know the subresource answers with the object, which its owner chose."""
    store = Lookalike()
    proxy = Proxy(tmp_path, store.store, settings(rules=ONCE))
    try:
        assert ("GET", "/b-b/mine?tagging") in store.asked
        answer = proxy.raw().put("/b-b/once/k?tagging", DOCUMENTS["tagging"])
        assert said(answer) == DENIED
        assert "backend.subresources" in answer.fields["Message"]
        assert not any(method == "PUT" for method, _ in store.asked)
    finally:
        proxy.stop()
        store.server.shutdown()


# === what a store serves beside buckets ===

RESERVED = ["admin", "auth", "endpoints", "healthcheck", "info", "minio", "moto-api", "rustfs",
            "swift", "v1.0"]


@pytest.mark.parametrize("mode", MODES)
def test_what_is_served_beside_buckets_is_not_reached(store_named, tmp_path, mode):
    store = stores.moto(tmp_path / "moto")
    bucket = new_bucket(store)
    domains = () if mode == "passthrough" else ("s3.localhost",)
    proxy = in_front_of(store, bucket, tmp_path / "proxy", settings(mode))
    try:
        raw = proxy.raw()
        # moto: this signed request, which any client may send, empties the whole store.
        for target in ("/moto-api/reset", "/moto%2Dapi/reset", "/Moto-API/reset"):
            assert said(raw.request("POST", target)) == DENIED
        for name in RESERVED:
            for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
                for target in (f"/{name}", f"/{name}/", f"/{name}/user?uid=e2e", f"/{name.upper()}/x",
                               f"/%{ord(name[0]):02x}{name[1:]}/x"):
                    assert raw.request(method, target).status == 403, f"{method} {target}"
            assert raw.send("OPTIONS", f"/{name}/x", {"Host": f"127.0.0.1:{raw.port}"}, b"").status == 403
            for source in (f"{name}/x", f"/{name}/x", f"%2F{name}%2Fx", f"{name}%2Fx"):
                for target in (f"/{bucket}/k", f"/{bucket}/k?partNumber=1&uploadId=u"):
                    copied = raw.put(target, headers={"x-amz-copy-source": source})
                    assert copied.status == 403, f"{source}: {copied}"
        for target in ("//admin/x", "/./admin/x", "/v1/AUTH_x/c", "/_admin/x"):
            assert raw.get(target).status == 400, target
        if domains:
            for name in ("admin", "moto-api"):
                hosted = {"Host": f"{name}.s3.localhost:{raw.port}"}
                assert raw.request("POST", "/reset", headers=hosted).status == 403
        assert raw.get(f"/{bucket}/.writable").status == 200, "nothing was lost"
        assert raw.put("/administration", b"").status == 200, "only the whole name is reserved"
    finally:
        proxy.stop()
        store.stop()


def test_a_reserved_name_is_a_bucket_where_the_operator_says_so(store_named, tmp_path):
    store = store_named("moto")
    proxy = Proxy(tmp_path, store, settings(reserved=["minio"]))
    try:
        raw = proxy.raw()
        assert raw.put("/admin").status == 200
        assert raw.put("/admin/k", b"x").status == 200
        refused = raw.put("/minio/k", b"x")
        assert said(refused) == DENIED and "backend.reserved" in refused.fields["Message"]
    finally:
        proxy.stop()


@pytest.mark.parametrize("query", ["Action=CreateUser&UserName=a", "action=AssumeRole"])
def test_the_query_apis_of_users_are_not_s3(plain_front, query):
    assert plain_front.raw.get(f"/?{query}").code == "NotImplemented"
    assert plain_front.raw.request("POST", "/", body=query.encode(), headers={
        "Content-Type": "application/x-www-form-urlencoded"}).code == "NotImplemented"


@pytest.mark.parametrize("method", ["PATCH", "COPY", "PROPFIND", "REPORT"])
def test_methods_that_s3_does_not_have(plain_front, method):
    """versitygw makes buckets for others by PATCH, Swift copies by COPY."""
    for target in (f"/{plain_front.bucket}/create", f"/{plain_front.bucket}", "/create-user"):
        answer = plain_front.raw.request(method, target, headers={"Destination": "/x/y"})
        assert said(answer) == (405, "MethodNotAllowed"), str(answer)


def test_an_administrator_s_credential_is_warned_about(store_named, tmp_path):
    """Ceph: `/admin` under the same endpoint, open to every user with the caps."""
    ceph = store_named("ceph")
    powerful = with_caps(ceph)
    bucket = new_bucket(ceph)
    warned = in_front_of(powerful, new_bucket(powerful), tmp_path / "a", settings())
    modest = in_front_of(ceph, bucket, tmp_path / "b", settings())
    try:
        said_so = "may administrate the store"
        assert any(said_so in line and "/admin/" in line for line in warned.process.lines)
        assert not any(said_so in line for line in modest.process.lines)
        reader = warned.raw(READER_KEY, READER_SECRET)
        for target in ("/admin/user?uid=e2e", "/admin/user?uid=e2e&format=json", "/%61dmin/user?list"):
            answer = reader.get(target)
            assert said(answer) == DENIED and ceph.secret_key.encode() not in answer.body
    finally:
        warned.stop()
        modest.stop()


# === what the store does on its own ===

LIFECYCLE = {"Rules": [{"ID": "r", "Status": "Enabled", "Filter": {"Prefix": ""},
                        "Expiration": {"Days": 1}}]}
POLICY = '{"Version":"2012-10-17","Statement":[]}'


def configurations(s3, bucket: str) -> dict:
    target = {"TargetBucket": bucket, "TargetPrefix": "log/"}
    return {
        "lifecycle": lambda: s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration=LIFECYCLE),
        "no lifecycle": lambda: s3.delete_bucket_lifecycle(Bucket=bucket),
        "policy": lambda: s3.put_bucket_policy(Bucket=bucket, Policy=POLICY),
        "acl": lambda: s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write"),
        "no block": lambda: s3.delete_public_access_block(Bucket=bucket),
        "logging": lambda: s3.put_bucket_logging(
            Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": target}),
        "notification": lambda: s3.put_bucket_notification_configuration(
            Bucket=bucket, NotificationConfiguration={}),
        "new": lambda: s3.create_bucket(Bucket=f"{bucket}-new", ACL="public-read-write"),
    }


def refusal(call) -> tuple[int, str] | None:
    try:
        call()
    except ClientError as error:
        return code_of(error)
    return None


@pytest.mark.parametrize("named", ["moto", "ceph"])
def test_to_configure_what_the_store_does_is_a_right(store_named, tmp_path, named):
    store = store_named(named)
    bucket = new_bucket(store)
    without = in_front_of(store, bucket, tmp_path / "without", settings())
    having = in_front_of(store, bucket, tmp_path / "having", settings(configure=True))
    try:
        for name, call in configurations(without.boto(), bucket).items():
            assert refusal(call) == DENIED, name
        for name, call in configurations(having.boto(READER_KEY, READER_SECRET), bucket).items():
            assert refusal(call) == DENIED, name
        s3 = having.boto()
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration=LIFECYCLE)
        assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][0]["ID"] == "r"
        s3.delete_bucket_lifecycle(Bucket=bucket)
        # What needs no right.
        s3 = without.boto()
        s3.create_bucket(Bucket=f"{bucket}-2")
        s3.put_bucket_versioning(Bucket=f"{bucket}-2", VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
        s3.delete_bucket(Bucket=f"{bucket}-2")
    finally:
        without.stop()
        having.stop()


@pytest.mark.parametrize("mode", MODES)
def test_no_configuration_goes_around_a_rule(store_named, tmp_path, mode):
    store = store_named("moto")
    bucket, other = new_bucket(store), new_bucket(store)
    rules = (f'[[rule]]\nbuckets = ["{bucket}"]\nprefix = "once/"\nrequire = "create-only"\n'
             'allow_configuration = ["policy", "logging"]\n')
    proxy = in_front_of(store, bucket, tmp_path, settings(mode, configure=True, rules=rules))
    try:
        s3 = proxy.boto()
        calls = configurations(s3, bucket)
        for name in ("lifecycle", "no lifecycle", "acl", "no block", "notification"):
            assert refusal(calls[name]) == DENIED, name
        for name in ("policy", "logging"):
            assert refusal(calls[name]) != DENIED, name
        elsewhere = configurations(s3, other)
        assert refusal(elsewhere["lifecycle"]) is None
        replication = {"Role": "r", "Rules": [{"Status": "Enabled", "Prefix": "", "Destination": {
            "Bucket": f"arn:aws:s3:::{bucket}"}}]}
        assert refusal(lambda: s3.put_bucket_replication(
            Bucket=other, ReplicationConfiguration=replication)) == DENIED
    finally:
        proxy.stop()


# === callers that are not authenticated ===

QUESTIONS = [
    "?versions", "?uploads", "?acl", "?policy", "?policyStatus", "?location", "?lifecycle", "?cors",
    "?tagging", "?versioning", "?logging", "?notification", "?encryption", "?website",
    "?object-lock", "?replication", "?inventory&id=1", "?%61cl", "?session", "/there?acl",
    "/there?tagging", "/there?retention", "/there?legal-hold", "/there?attributes",
    "/there?torrent", "/there?uploadId=u", "/there?annotation&annotationName=a",
    "/there?versionId=null", "/there?version%49d=null", "/there?tagg%69ng",
]


@pytest.mark.parametrize("named", ["moto", "embedded"])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_stranger_reads_what_a_bucket_holds_and_nothing_else(store_named, tmp_path, named,
                                                               read_only):
    store = store_named(named)
    bucket = new_bucket(store)
    proxy = in_front_of(store, bucket, tmp_path, settings(
        anonymous=(bucket,), anonymous_read_only=read_only))
    try:
        proxy.raw().put(f"/{bucket}/there", b"here")
        raw = proxy.raw()

        def asked(target: str, method: str = "GET"):
            return raw.send(method, f"/{bucket}{target}", {"Host": f"{raw.host}:{raw.port}"}, b"")

        for target in QUESTIONS:
            for method in ("GET", "HEAD") if "versionId" in target else ("GET",):
                assert asked(target, method).status == 403, f"{method} {target}"
        for target in ("", "?list-type=2&prefix=t", "/there"):
            assert asked(target).status == 200, target
        for target in ("", "/there"):
            assert asked(target, "HEAD").status == 200, target
        # A signed request still may.
        assert raw.get(f"/{bucket}?acl").status != 403
        assert raw.get(f"/{bucket}?uploads").status != 403
    finally:
        proxy.stop()


def test_a_stranger_s_read_asks_nothing_else_of_the_store(tmp_path):
    """A parameter that AWS does not know may be a question of the store's own, asked as its owner."""
    recorder = Recorder()
    proxy = Proxy(tmp_path, recorder.store, settings(anonymous=("open",)))
    try:
        raw = proxy.raw()
        for target in ("/open/k?partNumber=1&v=2&lambdaArn=a&x-foo&ev%65nts=a",
                       "/open?list-type=2&events=s3:ObjectCreated:*&pre%66ix=a+b&usage",
                       "/open/k?v=2"):
            recorder.take()
            raw.send("GET", target, {"Host": f"{raw.host}:{raw.port}"}, b"")
            [(_, asked, _, _)] = recorder.take()
            assert asked in ("/open/k?partNumber=1", "/open?list-type=2&prefix=a%20b", "/open/k"), asked
        raw.get("/open/k?v=2")
        assert recorder.take()[0][1] == "/open/k?v=2", "a signed request is sent on as it asks"
    finally:
        proxy.stop()
        recorder.stop()


def test_a_stranger_copies_no_version(store_named, tmp_path):
    store = store_named("moto")
    bucket = new_bucket(store)
    at_store = boto(store.url, store.access_key, store.secret_key)
    at_store.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = at_store.put_object(Bucket=bucket, Key="k", Body=b"taken back")["VersionId"]
    at_store.put_object(Bucket=bucket, Key="k", Body=b"new")
    proxy = in_front_of(store, bucket, tmp_path, settings(
        anonymous=(bucket,), anonymous_read_only=False))
    try:
        raw = proxy.raw()
        host = {"Host": f"{raw.host}:{raw.port}"}
        mine = f"/{bucket}/mine"
        for target in (mine, f"{mine}?partNumber=1&uploadId=u"):
            source = {"x-amz-copy-source": f"{bucket}/k?versionId={old}"}
            assert raw.send("PUT", target, {**host, **source}, b"").status == 403, target
        source = {"x-amz-copy-source": f"{bucket}/k"}
        assert raw.send("PUT", mine, {**host, **source}, b"").status == 200
        assert raw.get(mine).body == b"new"
    finally:
        proxy.stop()


def test_the_page_has_every_operation_that_the_sdk_knows():
    page = (ROOT / "docs" / "requests.md").read_text().split("## Every operation")[1]
    named = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")}
    known = botocore.session.get_session().get_service_model("s3").operation_names
    assert len(known) > 100 and not set(known) - named

"""Traces: where a request's time goes, told to a collector of OpenTelemetry, and to the store."""

from __future__ import annotations

import os
import re
import subprocess
import time
from urllib.parse import urlsplit

import botocore.auth
import pytest
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from clients import REGION
from collector import CLIENT, INTERNAL, SERVER, Collector
from processes import free_ports
from proxies import ACCESS_KEY, CLIENT_SECRET, Proxy, Settings, config_text, secrets_env
from recorder import Recorder, is_signed_by, lower
from redis_server import until
from stores import BINARY, TRACES_BINARY, Store
from test_reload import change, reload

if TRACES_BINARY is None:
    pytest.skip("IFMATCH_TRACES_BIN names no build with traces (make traces)",
                allow_module_level=True)

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CONTINUED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
HEADER_SECRET = "collector-secret-0123456789"


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture
def start(tmp_path):
    running: list[Proxy] = []

    def make(store: Store, traces: str, **settings) -> Proxy:
        settings = Settings(traces=traces, admin="127.0.0.1:0", settle=0, **settings)
        proxy = Proxy(tmp_path / str(len(running)), store, settings)
        running.append(proxy)
        proxy.wait_writable("bucket")
        return proxy

    yield make
    for proxy in running:
        proxy.stop()


def to(collector: Collector, more: str = "") -> str:
    return f'endpoint = "{collector.url}"\n{more}'


def parent_seen(request) -> tuple[str, str, str]:
    """The trace, the span and the flags that a store has seen."""
    found = re.fullmatch("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})",
                         request.headers["traceparent"])
    return found.groups()


# === what a trace tells ===


def test_a_conditional_write_is_one_span_with_a_child_for_each_part(start, store, collector):
    proxy = start(store.store, to(collector, 'service_name = "storage"'))
    store.take()
    answer = proxy.raw().put("/bucket/some/key", b"12345", headers={"If-Match": '"e"'},
                             unsigned={**CONTINUED, "tracestate": "vendor=1"})
    assert answer.status == 200
    trace = collector.trace(TRACE)
    [root] = trace["S3/PutObject"]
    assert (root.kind, root.parent, root.state) == (SERVER, PARENT, "vendor=1")
    assert root.attributes["aws.s3.bucket"] == "bucket"
    assert root.attributes["aws.s3.key"] == "some/key"
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["http.request.body.size"] == 5
    assert root.attributes["ifmatch.outcome"] == "ok"
    assert root.attributes["ifmatch.decided_by"] == "backend"
    assert root.failure is None
    assert root.resource["service.name"] == "storage"
    assert root.resource["service.instance.id"]
    kinds = {name: spans[0].kind for name, spans in trace.items()}
    assert kinds == {
        "S3/PutObject": SERVER, "body": INTERNAL, "queue": INTERNAL, "lease": INTERNAL,
        "register acquire": CLIENT, "store HEAD": CLIENT,
        "register arm": CLIENT, "store PUT": CLIENT, "register commit": CLIENT}
    [lease] = trace["lease"]
    for name, spans in trace.items():
        for span in spans:
            if span is not root:
                is_acquire = name == "register acquire"
                assert span.parent == (lease.id if is_acquire else root.id), name
                assert root.began <= span.began <= span.ended <= root.ended, name
    order = ["body", "queue", "lease", "store HEAD", "register arm", "store PUT",
             "register commit"]
    begun = [trace[name][0].began for name in order]
    assert begun == sorted(begun)
    assert abs(root.began / 1e9 - time.time()) < 60
    [head, put] = [request for request in store.take() if "some" in request.target]
    assert parent_seen(head) == (TRACE, trace["store HEAD"][0].id, "01")
    assert parent_seen(put) == (TRACE, trace["store PUT"][0].id, "01")
    assert {head.headers["tracestate"], put.headers["tracestate"]} == {"vendor=1"}
    assert trace["store PUT"][0].attributes["server.address"] == "127.0.0.1"
    assert proxy.request_logged(key="some/key")["trace_id"] == TRACE
    until("they are counted", lambda: proxy.metric(
        "ifmatch_trace_spans_total", result="exported") >= len(kinds))
    assert collector.path == "/v1/traces"
    assert collector.headers["content-type"] == "application/x-protobuf"


def test_a_refusal_and_a_failure_tell_their_code(start, store, collector):
    proxy = start(store.store, to(collector))
    raw = proxy.raw()
    assert raw.put("/bucket/a", b"x", headers={"If-None-Match": "*"}, unsigned=CONTINUED).status == 412
    [refused] = collector.trace(TRACE)["S3/PutObject"]
    assert refused.attributes["ifmatch.code"] == "PreconditionFailed"
    assert refused.attributes["ifmatch.decided_by"] == "gate"
    assert refused.failure is None, "it is the client's"
    store.answer = lambda _: (500, {}, b"")
    other = TRACE[::-1]
    answer = raw.put("/bucket/b", b"x", unsigned={"traceparent": f"00-{other}-{PARENT}-01"})
    assert answer.status == 503, "it is not known whether it landed"
    failed = collector.trace(other)
    assert failed["S3/PutObject"][0].failure
    assert failed["store PUT"][0].failure == "500"
    assert failed["store PUT"][0].attributes["http.response.status_code"] == 500


def test_streams_name_their_span_to_the_store(start, store, collector):
    proxy = start(store.store, to(collector))
    store.take()
    raw = proxy.raw()
    assert raw.get("/bucket/a", unsigned=CONTINUED).status == 200
    other = TRACE[::-1]
    answer = raw.put("/bucket/a?partNumber=1&uploadId=u", b"part",
                     unsigned={"traceparent": f"00-{other}-{PARENT}-01"})
    assert answer.status == 200
    requests = store.take()
    for trace, name, child in [(TRACE, "S3/GetObject", "store GET"),
                               (other, "S3/UploadPart", "store PUT")]:
        spans = collector.trace(trace)
        [seen] = [request for request in requests
                  if trace in request.headers.get("traceparent", "")]
        assert parent_seen(seen)[1] == spans[child][0].id
        assert spans[child][0].parent == spans[name][0].id


# === whose trace it is ===


@pytest.mark.parametrize("given", [
    {}, {"traceparent": f"00-{TRACE}-{PARENT}", "tracestate": "vendor=1"}])
def test_a_trace_begins_here_where_the_client_names_none(start, store, collector, given):
    proxy = start(store.store, to(collector))
    store.take()
    assert proxy.raw().put("/bucket/new", b"x", unsigned=given).status == 200
    trace = proxy.request_logged(key="new")["trace_id"]
    assert trace != TRACE
    spans = collector.trace(trace)
    assert spans["S3/PutObject"][0].parent == ""
    [put] = [request for request in store.take() if request.target == "/bucket/new"]
    assert parent_seen(put)[:2] == (trace, spans["store PUT"][0].id)
    assert "tracestate" not in put.headers, "it belongs to another trace"


def test_the_client_decides_whether_its_trace_is_recorded(start, store, collector):
    proxy = start(store.store, to(collector, "sample_ratio = 0"))
    store.take()
    raw, other = proxy.raw(), TRACE[::-1]
    raw.put("/bucket/not", b"x", unsigned={"traceparent": f"00-{other}-{PARENT}-00"})
    raw.put("/bucket/none", b"x")
    raw.put("/bucket/yes", b"x", unsigned=CONTINUED)
    collector.trace(TRACE)
    assert {span.trace for span in collector.spans()} == {TRACE}
    seen = {request.target: parent_seen(request) for request in store.take()
            if request.method == "PUT"}
    assert (seen["/bucket/not"][0], seen["/bucket/not"][2]) == (other, "00")
    assert seen["/bucket/not"][1] != PARENT, "the store's parent is this proxy"
    assert int(seen["/bucket/none"][2], 16) & 1 == 0
    assert proxy.request_logged(key="none")["trace_id"] == seen["/bucket/none"][0]


def test_a_share_of_all_is_recorded(start, store, collector):
    proxy = start(store.store, to(collector, "sample_ratio = 0.5"))
    raw = proxy.raw()
    for number in range(60):
        assert raw.get(f"/bucket/{number}").status == 200
    assert raw.get("/bucket/last", unsigned=CONTINUED).status == 200
    collector.trace(TRACE)
    roots = [span for span in collector.spans() if span.name == "S3/GetObject"]
    # Fewer than one in 10^12 runs is outside by chance.
    assert 5 < len(roots) - 1 < 55


# === signatures ===


def test_the_signature_towards_the_store_is_right(start, collector):
    recorder = Recorder()
    proxy = start(recorder.store, to(collector))
    recorder.take()
    proxy.raw().put("/bucket/signed", b"x", headers={**CONTINUED, "tracestate": "a=1"})
    [put] = [request for request in recorder.take() if request[1] == "/bucket/signed"]
    assert is_signed_by(put, "storekey", "storesecret")
    assert PARENT not in lower(put[2])["traceparent"]
    assert TRACE in lower(put[2])["traceparent"]


def test_signed_headers_pass_as_they_came(start, collector, monkeypatch):
    # AWS's own clients leave these two out; others may not.
    monkeypatch.setattr(botocore.auth, "SIGNED_HEADERS_BLACKLIST", ["expect", "user-agent"])
    recorder = Recorder()
    proxy = start(recorder.store, to(collector), signatures="passthrough", domains=())
    recorder.take()
    raw = proxy.raw()
    both = {**CONTINUED, "tracestate": "a=1"}
    raw.put("/bucket/covered", b"x", headers=both)
    raw.put("/bucket/free", b"x", unsigned=both)
    raw.put("/bucket/new", b"x")
    seen = {request[1]: request for request in recorder.take() if request[0] == "PUT"}
    for request in seen.values():
        assert is_signed_by(request, "storekey", "storesecret"), request
    headers = {target.removeprefix("/bucket/"): lower(request[2])
               for target, request in seen.items()}
    assert headers["covered"]["traceparent"] == CONTINUED["traceparent"]
    assert headers["covered"]["tracestate"] == "a=1"
    assert TRACE in headers["free"]["traceparent"] and PARENT not in headers["free"]["traceparent"]
    assert headers["free"]["tracestate"] == "a=1"
    assert headers["new"]["traceparent"].split("-")[1] == proxy.request_logged(key="new")["trace_id"]


# === a collector that does not work ===


def test_a_collector_that_is_gone_costs_nothing(start, store):
    [port] = free_ports(1)
    proxy = start(store.store, f'endpoint = "http://127.0.0.1:{port}"')
    raw = proxy.raw(timeout=5)
    for number in range(100):
        assert raw.put(f"/bucket/{number}", b"x").status == 200
    proxy.process.wait_for_line("the collector of traces takes no spans")
    warned = [line for line in proxy.process.lines if "takes no spans" in line]
    assert len(warned) == 1, "it is told once"
    change(proxy, ("[traces]\nendpoint", "[traces]\n# endpoint"))
    reload(proxy)
    until("all are dropped", lambda: proxy.metric(
        "ifmatch_trace_spans_total", result="dropped") >= 600)
    assert proxy.metric("ifmatch_trace_spans_total", result="exported") == 0
    assert proxy.stop() == 0


def test_a_collector_that_hangs_delays_no_request_and_no_end(start, store, collector):
    collector.hangs = True
    proxy = start(store.store, to(collector, 'timeout = "1s"'))
    raw = proxy.raw()
    until("it hangs", lambda: collector.asked > 0)
    began = time.monotonic()
    for number in range(100):
        assert raw.get(f"/bucket/{number}").status == 200
    assert time.monotonic() - began < 10
    began = time.monotonic()
    assert proxy.stop() == 0
    assert time.monotonic() - began < 5, "one timeout, and not one for each batch"


def test_spans_wait_for_a_collector_that_is_overloaded(start, store, collector):
    collector.status = 503
    proxy = start(store.store, to(collector))
    assert proxy.raw().get("/bucket/waits", unsigned=CONTINUED).status == 200
    until("it was asked", lambda: collector.asked > 0)
    collector.status = 200
    assert collector.trace(TRACE)["S3/GetObject"]
    proxy.process.wait_for_line("takes spans again")


def test_what_a_collector_refuses_is_not_sent_again(start, store, collector):
    collector.status = 400
    proxy = start(store.store, to(collector))
    until("they are counted", lambda: proxy.metric(
        "ifmatch_trace_spans_total", result="refused") > 0)
    collector.status = 200
    assert proxy.raw().get("/bucket/later", unsigned=CONTINUED).status == 200
    collector.trace(TRACE)
    first = [span for span in collector.spans() if ".writable" in str(span.attributes)]
    assert first == []


def test_spans_that_the_collector_refuses_in_a_good_answer_are_counted_as_refused(
        start, store, collector):
    partly = trace_service_pb2.ExportTraceServiceResponse()
    partly.partial_success.rejected_spans = 1
    partly.partial_success.error_message = "one is too old"
    collector.said = partly.SerializeToString()
    proxy = start(store.store, to(collector))
    counted = lambda result: proxy.metric("ifmatch_trace_spans_total", result=result)
    until("one is counted", lambda: counted("refused") >= 1)
    told = proxy.process.wait_for_line("complains of spans that it took").string
    assert '"refused":1' in told and "one is too old" in told, told
    # Only these: what else is in a batch was taken.
    assert proxy.raw().get("/bucket/later", unsigned=CONTINUED).status == 200
    collector.trace(TRACE)
    until("the rest is counted", lambda: counted("exported") >= 1)
    batches = len(collector.bodies)
    assert counted("refused") <= batches
    # More than there were are not counted.
    partly.partial_success.rejected_spans = 1 << 40
    collector.said = partly.SerializeToString()
    assert proxy.raw().get("/bucket/last").status == 200
    until("all of a batch are counted", lambda: counted("refused") > batches + 1)
    assert counted("refused") < 1000


def test_what_waits_is_sent_at_the_end(start, store, collector):
    proxy = start(store.store, to(collector))
    assert proxy.raw().get("/bucket/last", unsigned=CONTINUED).status == 200
    assert proxy.stop() == 0
    assert TRACE in {span.trace for span in collector.spans()}


# === secrets, settings ===


def test_no_secret_is_in_a_span_and_the_collector_s_own_in_no_log(start, store, collector,
                                                                 monkeypatch):
    monkeypatch.setenv("E2E_TRACE_HEADERS", f"api-key={HEADER_SECRET},x-team=a%20b")
    proxy = start(store.store, to(collector, 'headers_env = "E2E_TRACE_HEADERS"'))
    raw = proxy.raw()
    assert raw.put("/bucket/k", b"the-body", headers={"x-amz-meta-a": "the-metadata"}).status == 200
    url = AWSRequest("GET", f"{proxy.url}/bucket/presigned",
                     headers={"host": urlsplit(proxy.url).netloc})
    S3SigV4QueryAuth(Credentials(ACCESS_KEY, CLIENT_SECRET), "s3", REGION).add_auth(url)
    target = url.url.removeprefix(proxy.url)
    signature = re.search("X-Amz-Signature=([0-9a-f]+)", target)[1]
    answer = raw.send("GET", target, {"Host": urlsplit(proxy.url).netloc, **CONTINUED}, b"")
    assert answer.status == 200
    assert collector.trace(TRACE)["S3/GetObject"][0].attributes["aws.s3.key"] == "presigned"
    assert collector.headers["api-key"] == HEADER_SECRET
    assert collector.headers["x-team"] == "a b"
    sent = b"".join(collector.bodies)
    for secret in (CLIENT_SECRET, "storesecret", HEADER_SECRET, signature, "the-body",
                   "the-metadata", "AWS4-HMAC"):
        assert secret.encode() not in sent
    assert ACCESS_KEY.encode() not in sent
    assert HEADER_SECRET not in "\n".join(proxy.process.lines)
    status, shown = proxy.admin("/config")
    assert status == 200 and "E2E_TRACE_HEADERS" in shown and HEADER_SECRET not in shown


def test_a_reload_changes_all_settings(start, store, collector):
    other = Collector()
    proxy = start(store.store, to(collector))
    change(proxy, (collector.url, other.url))
    told = reload(proxy)
    assert any("traces.endpoint" in str(line.get("changed")) for line in told), told
    assert proxy.raw().get("/bucket/moved", unsigned=CONTINUED).status == 200
    assert other.trace(TRACE)["S3/GetObject"]
    assert TRACE not in {span.trace for span in collector.spans()}
    other.stop()


def test_the_collector_is_reached_by_tls(start, store, authority, other_authority):
    signed = authority.sign("collector", dns=(), ips=("127.0.0.1",))
    collector = Collector(signed)
    proxy = start(store.store, to(collector, f'ca_file = "{authority.file}"'))
    assert proxy.raw().get("/bucket/tls", unsigned=CONTINUED).status == 200
    assert collector.trace(TRACE)["S3/GetObject"]
    change(proxy, (str(authority.file), str(other_authority.file)))
    reload(proxy)
    assert proxy.raw().get("/bucket/untrusted", unsigned=CONTINUED).status == 200
    said = proxy.process.wait_for_line("the collector of traces takes no spans.*")
    assert "certificate" in said[0]
    collector.stop()


def check(binary, directory, traces: str) -> subprocess.CompletedProcess[str]:
    (directory / "spool").mkdir(exist_ok=True)
    store = Store("none", "http://127.0.0.1:9", "storekey", "storesecret")
    file = directory / "ifmatch.toml"
    file.write_text(config_text(store.url, store.access_key, Settings(traces=traces), directory))
    return subprocess.run([str(binary), "check-config", "--config", str(file)], text=True,
                          capture_output=True, timeout=60,
                          env={**os.environ, **secrets_env(store)})


def test_a_build_without_traces_refuses_the_table(tmp_path):
    done = check(BINARY, tmp_path, 'endpoint = "http://127.0.0.1:4318"')
    assert done.returncode == 2
    assert "traces: cannot be used: this build of ifmatch has no traces" in done.stderr + done.stdout


@pytest.mark.parametrize("traces, said", [
    ('service_name = "a"', "traces.service_name: has no effect without traces.endpoint"),
    ('endpoint = "http://h"\npath = "v1"', "traces.path"),
    ('endpoint = "http://h"\nsample_ratio = 1.5', "traces.sample_ratio"),
    ('endpoint = "http://h"\nca_file = "/x"', "traces.ca_file"),
    ('endpoint = "https://h"\nca_file = "/nonexistent"', "traces.ca_file"),
    ('endpoint = "http://h"\nheaders_file = "bad-headers"', "traces.headers"),
    ('endpoint = "http://user:pass@h"', "traces.endpoint"),
])
def test_wrong_settings_are_refused(tmp_path, traces, said):
    (tmp_path / "bad-headers").write_text("hunter2")
    done = check(TRACES_BINARY, tmp_path, traces)
    told = done.stdout + done.stderr
    assert done.returncode == 2 and said in told, told
    assert "hunter2" not in told and ":pass@" not in told

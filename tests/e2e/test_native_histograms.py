"""Native histograms: what Prometheus reads of a scrape in Protocol Buffers, beside the text."""

from __future__ import annotations

import http.client
import json
import re
import shutil
from urllib.parse import urlencode

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal.decoder import _DecodeVarint32

from processes import Process, free_ports
from proxies import Proxy, Settings
from redis_server import until
from scripted import ScriptedStore

PROTOBUF = ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
            "encoding=delimited")
OPEN_METRICS = "application/openmetrics-text;version=1.0.0"
PROMETHEUS_3 = f"{PROTOBUF};q=0.6,{OPEN_METRICS};q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
"""What Prometheus asks for with `scrape_native_histograms: true`."""

COUNTER, GAUGE, HISTOGRAM = 0, 1, 4


def _metric_family():
    """`MetricFamily` of io.prometheus.client, `metrics.proto`, with the fields that are read here."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="metrics.proto", package="io.prometheus.client", syntax="proto2")

    def message(name: str, /, **fields: tuple) -> None:
        made = file.message_type.add(name=name)
        for field, (number, kind, *repeated) in fields.items():
            label = types.LABEL_REPEATED if repeated else types.LABEL_OPTIONAL
            one = made.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                one.type, one.type_name = types.TYPE_MESSAGE, f".io.prometheus.client.{kind}"
            else:
                one.type = kind

    text, double, uint64 = types.TYPE_STRING, types.TYPE_DOUBLE, types.TYPE_UINT64
    sint32, sint64, uint32 = types.TYPE_SINT32, types.TYPE_SINT64, types.TYPE_UINT32
    message("LabelPair", name=(1, text), value=(2, text))
    message("Number", value=(1, double))
    message("Bucket", cumulative_count=(1, uint64), upper_bound=(2, double))
    message("BucketSpan", offset=(1, sint32), length=(2, uint32))
    message("Histogram", sample_count=(1, uint64), sample_sum=(2, double),
            bucket=(3, "Bucket", "repeated"), schema=(5, sint32), zero_threshold=(6, double),
            zero_count=(7, uint64), positive_span=(12, "BucketSpan", "repeated"),
            positive_delta=(13, sint64, "repeated"))
    message("Metric", label=(1, "LabelPair", "repeated"), gauge=(2, "Number"),
            counter=(3, "Number"), histogram=(7, "Histogram"))
    message("MetricFamily", name=(1, text), help=(2, text), type=(3, types.TYPE_INT32),
            metric=(4, "Metric", "repeated"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("io.prometheus.client.MetricFamily"))


MetricFamily = _metric_family()


@pytest.fixture
def proxy(tmp_path):
    store = ScriptedStore()
    proxy = Proxy(tmp_path, store.store, Settings(admin="127.0.0.1:0", settle=0))
    proxy.wait_writable("bucket")
    yield proxy
    proxy.stop()
    store.stop()


def scrape(proxy: Proxy, accept: str) -> tuple[str, bytes]:
    connection = http.client.HTTPConnection(*proxy.admin_address, timeout=30)
    connection.request("GET", "/metrics", headers={"Accept": accept})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200
    return answer.getheader("Content-Type"), body


def families(proxy: Proxy) -> dict:
    kind, body = scrape(proxy, PROMETHEUS_3)
    assert kind.replace(" ", "") == PROTOBUF
    found, at = {}, 0
    while at < len(body):
        length, at = _DecodeVarint32(body, at)
        family = MetricFamily.FromString(body[at:at + length])
        assert family.name not in found
        found[family.name] = family
        at += length
    assert at == len(body)
    return found


def text_samples(proxy: Proxy) -> dict[tuple[str, frozenset], float]:
    samples = {}
    for line in scrape(proxy, "text/plain")[1].decode().splitlines():
        if not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            name, _, labels = series.partition("{")
            pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)
            samples[name, frozenset(pairs)] = float(value)
    return samples


def native_buckets(histogram) -> list[tuple[float, float, int]]:
    """Lower bound, upper bound and count of each bucket, as Prometheus reads them."""
    base, deltas = 2 ** (2 ** -histogram.schema), iter(histogram.positive_delta)
    index, count, found = 0, 0, []
    for span in histogram.positive_span:
        index += span.offset
        for _ in range(span.length):
            count += next(deltas)
            found.append((base ** (index - 1), base ** index, count))
            index += 1
    assert next(deltas, None) is None
    return found


@pytest.mark.parametrize("accept, kind", [
    ("*/*", "text/plain"), ("text/html", "text/plain"), (f"{OPEN_METRICS};q=0.5", "openmetrics"),
    (PROMETHEUS_3, "protobuf"), (f"{PROTOBUF};q=0.1,{OPEN_METRICS};q=0.2", "openmetrics"),
    (f"{PROTOBUF};q=0,text/plain", "text/plain"), ("application/vnd.google.protobuf", "text/plain"),
])
def test_a_scraper_gets_what_it_prefers(proxy, accept, kind):
    assert kind in scrape(proxy, accept)[0]


def test_both_forms_say_the_same(proxy):
    raw = proxy.raw()
    for number in range(50):
        assert raw.put(f"/bucket/{number}", b"x" * 100).status == 200
        assert raw.get(f"/bucket/{number}").status == 200
    proxy.request_logged(key="49", operation="GetObject")
    found, samples = families(proxy), text_samples(proxy)
    names = {name for name, _ in samples}
    histograms = {name for name, family in found.items() if family.type == HISTOGRAM}
    assert histograms >= {"ifmatch_request_duration_seconds", "ifmatch_gate_wait_seconds",
                          "ifmatch_register_step_seconds", "ifmatch_backend_request_seconds"}
    in_text = {re.sub("_(bucket|sum|count)$", "", name) if name.rsplit("_", 1)[0] in histograms
               else name for name in names}
    assert in_text == {name for name, family in found.items() if family.metric}
    compared = 0
    for name, family in found.items():
        assert family.help
        for metric in family.metric:
            labels = frozenset((pair.name, pair.value) for pair in metric.label)
            if family.type == HISTOGRAM:
                one = metric.histogram
                # The survey of the register goes on meanwhile, but is no step of it.
                assert one.sample_count == samples[f"{name}_count", labels], name
                assert one.sample_sum == pytest.approx(samples[f"{name}_sum", labels]), name
                for bucket in one.bucket:
                    bound = "+Inf" if bucket.upper_bound == float("inf") else None
                    of_text = [value for (sample, pairs), value in samples.items()
                               if sample == f"{name}_bucket" and pairs > labels
                               and len(pairs) == len(labels) + 1
                               and (dict(pairs)["le"] == bound if bound
                                    else float(dict(pairs)["le"]) == bucket.upper_bound)]
                    assert of_text == [bucket.cumulative_count], (name, labels, bucket)
                compared += 1
            elif family.type == COUNTER and not name.startswith("process_"):
                assert metric.counter.value == samples[name, labels], name
    assert compared > 8


def test_native_buckets_are_fine_and_hold_every_observation(proxy):
    raw = proxy.raw()
    for number in range(30):
        assert raw.put(f"/bucket/{number}", b"x").status == 200
    proxy.request_logged(key="29")
    family = families(proxy)["ifmatch_request_duration_seconds"]
    [writes] = [metric.histogram for metric in family.metric
                if metric.label[0].value == "write"]
    buckets = native_buckets(writes)
    assert writes.schema == 3 and 0 < writes.zero_threshold < 1e-5
    assert writes.sample_count >= 30
    assert writes.zero_count + sum(count for _, _, count in buckets) == writes.sample_count
    for lower, upper, count in buckets:
        assert count > 0 and upper / lower == pytest.approx(2 ** (1 / 8))
    # The sum lies between what the bounds allow.
    assert (sum(lower * count for lower, _, count in buckets) <= writes.sample_sum
            <= sum(upper * count for _, upper, count in buckets)
            + writes.zero_count * writes.zero_threshold)
    # So do the classic buckets: each native one that ends below a bound is within it.
    for classic in writes.bucket:
        inside = writes.zero_count + sum(
            count for _, upper, count in buckets if upper <= classic.upper_bound)
        around = writes.zero_count + sum(
            count for lower, _, count in buckets if lower < classic.upper_bound)
        assert inside <= classic.cumulative_count <= around


def test_a_histogram_without_observations_is_native_all_the_same(proxy):
    """Prometheus takes a histogram for a native one by its spans, or by its threshold of zero."""
    [handshake] = families(proxy)["ifmatch_tls_handshake_seconds"].metric
    histogram = handshake.histogram
    assert histogram.sample_count == 0 and histogram.zero_threshold > 0
    assert [(span.offset, span.length) for span in histogram.positive_span] == [(0, 0)]


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="no prometheus is installed")
def test_prometheus_itself_reads_them(proxy, tmp_path):
    raw = proxy.raw()
    for number in range(20):
        assert raw.put(f"/bucket/{number}", b"x").status == 200
    proxy.request_logged(key="19")
    host, port = proxy.admin_address
    config = tmp_path / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: ifmatch
    static_configs: [{{targets: ["{host}:{port}"]}}]
""")
    [own] = free_ports(1)
    prometheus = Process("prometheus", [
        "prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{own}", "--enable-feature=native-histograms"])

    def ask(query: str) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", own, timeout=10)
        try:
            connection.request("GET", f"/api/v1/query?{urlencode({'query': query})}")
            answer = json.loads(connection.getresponse().read())
        except (OSError, ValueError):
            return []  # it starts
        finally:
            connection.close()
        return [float(one["value"][1]) for one in answer["data"]["result"]]

    try:
        [expected] = [value for (name, labels), value in text_samples(proxy).items()
                      if name == "ifmatch_request_duration_seconds_count"
                      and ("operation_class", "write") in labels]
        writes = 'ifmatch_request_duration_seconds{operation_class="write"}'
        until("they are scraped", lambda: ask(f"histogram_count({writes})") == [expected])
        [median] = ask(f"histogram_quantile(0.5, {writes})")
        assert 0 < median < 5
        assert ask("histogram_count(ifmatch_tls_handshake_seconds)") == [0], "without observations"
        assert ask('up{job="ifmatch"}') == [1]
        assert ask("ifmatch_build_info") == [1]
    finally:
        prometheus.stop()

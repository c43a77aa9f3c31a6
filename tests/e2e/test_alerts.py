"""The alert rules and the dashboard in ops/: each expression names metrics that there are, each alert
fires once, and each leads to its page."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess

import pytest
import yaml

from certificates import Authority
from conftest import new_bucket
from processes import ROOT
from proxies import Settings, in_front_of
from redis_server import until
from relay import Relay

OPS = ROOT / "ops"
RULES = yaml.safe_load((OPS / "alerts.yml").read_text())["groups"][0]["rules"]
PROMTOOL = shutil.which("promtool")
LABELS = [ROOT / "src/metrics" / name for name in ("labels.rs", "levels.rs", "tls.rs")]
OF_THE_SCRAPE = {"instance", "job", "le"}
"""Labels that Prometheus adds, or that a histogram has."""


def expressions() -> dict[str, str]:
    """Every expression by where it stands, as Prometheus gets it."""
    found = {rule["alert"]: rule["expr"] for rule in RULES}
    for panel in json.loads((OPS / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", []):
            filled = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            found[f"{panel['title']} {target['refId']}"] = filled
    return found


@pytest.fixture(scope="module")
def exposed(store_named, redis_server, tmp_path_factory) -> dict[str, set[str]]:
    """The labels of each metric of a proxy that has served some of each kind of request."""
    store = store_named("embedded")
    bucket = new_bucket(store)
    relay = Relay(store.url)
    signed = Authority(tmp_path_factory.mktemp("authority")).sign("alerts")
    settings = Settings(admin="127.0.0.1:0", register=redis_server.new_database(),
                        nodes=(store.url, relay.url),
                        rules=f'[tls]\nlisten = "127.0.0.1:0"\n{signed.tables()}')
    proxy = in_front_of(store, bucket, tmp_path_factory.mktemp("alerts"), settings)
    raw = proxy.raw()
    for status in (200, 412):
        condition = {"If-None-Match": "*"}
        assert raw.put(f"/{bucket}/key", b"x", headers=condition).status == status
    with socket.create_connection((raw.host, raw.port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\nHost: x\n\n")
        connection.recv(4096)
    until("all is counted",
          lambda: proxy.metric("ifmatch_requests_total", operation="PutObject",
                               outcome="refused") >= 1)
    labels: dict[str, set[str]] = {}
    for line in proxy.admin("/metrics")[1].splitlines():
        if not line.startswith("#"):
            name, _, inside = line.rpartition(" ")[0].partition("{")
            labels.setdefault(name, set()).update(re.findall(r'(\w+)="', inside))
    proxy.stop()
    relay.close()
    return labels


def test_every_metric_and_every_label_is_there(exposed):
    for where, expression in expressions().items():
        names = re.findall(r"\b(?:ifmatch|process)_\w+", expression)
        assert names or expression.startswith("up{"), where
        known = set().union(*(exposed.get(name, set()) for name in names)) | OF_THE_SCRAPE
        for name in names:
            assert name in exposed, f"{where}: there is no metric {name}"
        for name, inside in re.findall(r"\b((?:ifmatch|process)_\w+)\{([^}]*)\}", expression):
            for label in re.findall(r"(\w+)\s*[=!]", inside):
                assert label in exposed[name] | OF_THE_SCRAPE, f"{where}: {name} has no {label}"
        for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
            for label in re.findall(r"\w+", grouped):
                assert label in known, f"{where}: nothing has {label}"


def test_every_value_of_a_label_that_an_alert_names_is_there(exposed):
    """Of those labels whose values are all shown from the start."""
    source = "".join(file.read_text() for file in LABELS)
    for rule in RULES:
        for label, value in re.findall(r'(which|why|how|step|outcome|reason|use)="(\w+)"', rule["expr"]):
            assert f'= "{value}",' in source, f"{rule['alert']}: {label} is never {value}"


def test_each_alert_leads_to_its_page():
    page = (ROOT / "docs/operations.md").read_text()
    entries = re.findall(r"^#### (\w+)$", page, re.MULTILINE)
    assert entries == [rule["alert"] for rule in RULES], "one entry each, in the same order"
    for rule in RULES:
        anchor = rule["alert"].lower()
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{anchor}"
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_each_alert_is_tried():
    tried = yaml.safe_load((OPS / "alerts_test.yml").read_text())["tests"]
    fired = [case["alertname"] for test in tried for case in test["alert_rule_test"]
             if case["exp_alerts"]]
    quiet = [case["alertname"] for test in tried for case in test["alert_rule_test"]
             if not case["exp_alerts"]]
    alerts = [rule["alert"] for rule in RULES]
    assert sorted(fired) == sorted(alerts) and sorted(quiet) == sorted(alerts)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not there: Debian's package prometheus")
def test_prometheus_fires_each_alert_once_and_none_while_all_is_well():
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run([PROMTOOL, *arguments], cwd=OPS, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not there: Debian's package prometheus")
def test_prometheus_reads_each_expression_of_the_dashboard(tmp_path):
    rules = [{"record": f"panel:number:{number}", "expr": expression}
             for number, expression in enumerate(expressions().values())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

"""The dashboard in ops/ is one that Grafana can show, and that says what it shows. Whether its
expressions name metrics that there are is shown by test_alerts.py."""

from __future__ import annotations

import json
import re

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from processes import ROOT

DASHBOARD = json.loads((ROOT / "ops/dashboard.json").read_text())
PANELS = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
COLUMNS = 24
"""How wide Grafana's grid is."""
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

UNITS = {"s", "Bps", "bytes", "percentunit", "short", "reqps", "cps", "ops"}
"""Those of Grafana's units that are used here, by their ids: Grafana shows another text as it is."""


def losses(sent: object, kept: object, at: str = "") -> list[str]:
    """What is not in `kept` as it was sent, by its place; what was added is none."""
    if isinstance(sent, dict) and isinstance(kept, dict):
        return [loss for name, value in sent.items()
                for loss in (losses(value, kept[name], f"{at}.{name}") if name in kept
                             else [f"{at}.{name} is unknown"])]
    if isinstance(sent, list) and isinstance(kept, list) and len(sent) == len(kept):
        return [loss for number, (one, other) in enumerate(zip(sent, kept, strict=True))
                for loss in losses(one, other, f"{at}[{number}]")]
    return [] if sent == kept else [f"{at}: {sent!r} became {kept!r}"]


def understood(dashboard: dict) -> dict:
    """The dashboard as Grafana's own types read it and write it again."""
    plugins.register_default_plugins()
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def changed(change) -> dict:
    """The dashboard with a fault in it."""
    dashboard = json.loads(json.dumps(DASHBOARD))
    change(dashboard)
    return dashboard


def test_grafana_knows_every_field():
    assert losses(DASHBOARD, understood(DASHBOARD)) == []


def test_a_field_that_grafana_does_not_know_is_found():
    """The search itself, in each kind of thing that the dashboard has."""
    for place in (lambda d: d, lambda d: d["panels"][1], lambda d: d["panels"][1]["gridPos"],
                  lambda d: d["panels"][1]["options"], lambda d: d["panels"][1]["targets"][0],
                  lambda d: d["panels"][1]["fieldConfig"]["defaults"],
                  lambda d: d["panels"][0], lambda d: d["templating"]["list"][1]):
        wrong = changed(lambda dashboard, place=place: place(dashboard).update(colour="green"))
        assert [loss for loss in losses(wrong, understood(wrong)) if "colour is unknown" in loss]


def test_each_panel_has_its_own_id_and_its_own_title():
    for field in ("id", "title"):
        values = [panel[field] for panel in PANELS]
        assert all(values) and len(set(values)) == len(values), field


def test_no_panel_covers_another():
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["h"] > 0 and place["w"] > 0 and place["x"] >= 0 and place["y"] >= 0
        assert place["x"] + place["w"] <= COLUMNS, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                assert other == panel["title"], f"{panel['title']} covers {other}"


def test_the_panels_of_a_row_follow_it():
    """Grafana folds up with a row what stands between it and the next one."""
    assert PANELS[0]["type"] == "row"
    order = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in PANELS]
    assert order == sorted(order)
    assert all(panel["gridPos"]["w"] == COLUMNS for panel in PANELS if panel["type"] == "row")


@pytest.mark.parametrize("panel", CHARTS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_where_it_comes_from(panel):
    assert re.fullmatch(r"[A-Z0-9].{20,}\.", panel["description"])
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == DATA_SOURCE
    names = [target["refId"] for target in panel["targets"]]
    assert names and len(set(names)) == len(names)
    for target in panel["targets"]:
        assert target["datasource"] == DATA_SOURCE
        assert '{instance=~"$instance"' in target["expr"].replace('{job="ifmatch",', "{")
        assert target["legendFormat"], "a line without a name has its whole expression for one"
        used = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        grouped = re.search(r"\bby \(([^)]*)\)", target["expr"])
        left = set(re.findall(r"\w+", grouped[1])) - {"le"} if grouped else {"instance"}
        assert used <= left, "Prometheus drops other labels"
        assert not grouped or used == left, "lines of one name"


@pytest.mark.parametrize("panel", CHARTS, ids=lambda panel: panel["title"])
def test_a_panel_s_unit_is_that_of_its_metrics(panel):
    """A metric's name ends with its unit; a rate is a number per second."""
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for target in panel["targets"]:
        expression = target["expr"]
        name = re.search(r"(?:ifmatch|process)_\w+", expression)[0]
        if "histogram_quantile(" in expression or "time()" in expression:
            wanted = {"s"}
        elif "rate(" in expression and "_bytes" in name:
            wanted = {"Bps"}
        elif "rate(" in expression and name.endswith("_seconds_total"):
            wanted = {"percentunit"}
        elif "rate(" in expression:
            wanted = {"reqps", "cps", "ops"}
        elif "increase(" in expression:
            wanted = {"short"}
        elif name.endswith("_bytes"):
            wanted = {"bytes"}
        elif name.endswith("_seconds"):
            wanted = {"s"}
        elif " / " in expression:
            wanted = {"percentunit"}
        else:
            wanted = {"short"}
        assert unit in wanted, expression


WITHOUT_A_PANEL = {
    "ifmatch_body_memory_limit_bytes": "a setting; its alert divides by it",
    "ifmatch_backend_contradictions": "found once, at the start; its alert tells it",
    "ifmatch_build_info": "the variable `instance` comes from it",
    "ifmatch_listing_memory_limit_bytes": "a setting",
    "ifmatch_spool_limit_bytes": "a setting; its alert divides by it",
    "process_threads": "their number follows from the settings",
    "process_virtual_memory_bytes": "address space is no memory",
}


def test_each_metric_has_a_panel_or_a_reason():
    """docs/operations.md lists all metrics; a Rust test keeps that list."""
    page = (ROOT / "docs/operations.md").read_text()
    metrics = set(re.findall(r"^\| `((?:ifmatch|process)_\w+)[{`]", page, re.MULTILINE))
    shown = re.findall(r"\b(?:ifmatch|process)_\w+", json.dumps(PANELS))
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown}
    assert metrics - shown == set(WITHOUT_A_PANEL)
    assert shown <= metrics


def test_the_variables_are_those_that_are_used():
    text = json.dumps(PANELS)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", text)) - {"__rate_interval"}
    assert used == variables

"""The dashboard's JSON, as Grafana expects it."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

import pytest

from tests.deploy import promql

COLUMNS = 24
PANELS: list[dict[str, Any]] = promql.dashboard()["panels"]
QUERIES = [panel for panel in PANELS if panel["type"] != "row"]
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The ids of the units that we use.
UNITS = {"short", "none", "percentunit", "s", "cpm", "ops", "reqps", "sci", "currency:Rial "}
BUILT_IN = {"__range", "__rate_interval"}


def overlap(a: dict[str, int], b: dict[str, int]) -> bool:
    return (
        a["x"] < b["x"] + b["w"]
        and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"]
        and b["y"] < a["y"] + a["h"]
    )


def test_it_is_a_dashboard_that_any_grafana_can_import() -> None:
    found = promql.dashboard()
    # A number would overwrite the dashboard that has this number in a Grafana.
    assert found["id"] is None
    assert found["uid"] == found["title"] == "otp-gateway"
    assert found["schemaVersion"] >= 39
    assert found["templating"]["list"][0] == found["templating"]["list"][0] | {
        "name": "datasource",
        "type": "datasource",
        "query": "prometheus",
    }
    # Grafana asks for inputs only in an import by hand. A provisioned dashboard would keep them unfilled.
    assert "__inputs" not in found


def test_panels_have_ids_and_titles_of_their_own() -> None:
    for key in ("id", "title"):
        values = [(panel[key], panel["type"] == "row") for panel in PANELS]
        assert len(set(values)) == len(values)
    assert min(panel["id"] for panel in PANELS) > 0


def test_panels_lie_side_by_side() -> None:
    for panel in PANELS:
        place = panel["gridPos"]
        assert place.keys() == {"x", "y", "w", "h"}
        assert 0 <= place["x"] < place["x"] + place["w"] <= COLUMNS
        assert place["y"] >= 0
        assert place["h"] > 0
    for one, other in combinations(PANELS, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


@pytest.mark.parametrize("panel", QUERIES, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself_and_asks_the_chosen_prometheus(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"stat", "timeseries", "table"}
    assert len(panel["description"]) > 10
    assert panel["datasource"] == DATASOURCE
    assert panel["type"] == "table" or panel["fieldConfig"]["defaults"]["unit"] in UNITS
    # The first step has no lower bound.
    steps = [step["value"] for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]
    assert steps[0] is None
    assert steps[1:] == sorted(steps[1:])
    targets = panel["targets"]
    assert targets
    assert len({target["refId"] for target in targets}) == len(targets)
    for target in targets:
        assert target["datasource"] == DATASOURCE
        assert target["expr"].strip()
        assert target["instant"] == (panel["type"] != "timeseries") != target["range"]
    legends = [target["legendFormat"] for target in targets]
    assert len(set(legends)) == len(legends)
    assert panel["type"] != "timeseries" or "__auto" not in legends


@pytest.mark.parametrize("panel", QUERIES, ids=lambda panel: panel["title"])
def test_overrides_style_a_line_that_there_is(panel: dict[str, Any]) -> None:
    legends = [target["legendFormat"] for target in panel["targets"]]
    for override in panel["fieldConfig"]["overrides"]:
        kind, wanted = override["matcher"]["id"], override["matcher"]["options"]
        if kind == "byRegexp":
            assert any(re.search(wanted.strip("/"), legend) for legend in legends)
        elif "{{" not in "".join(legends):
            assert wanted in legends


def test_every_variable_is_defined() -> None:
    defined = {variable["name"] for variable in promql.dashboard()["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", promql.DASHBOARD.read_text(encoding="utf-8")))
    # All instances, if the selector allows several.
    assert used - BUILT_IN - {"__all"} == defined


def test_every_query_of_the_gateway_keeps_to_the_chosen_job_and_instances() -> None:
    for expression in promql.of_dashboard():
        for selector in expression.selectors():
            labels = {matcher.label for matcher in selector.matchers}
            if selector.name == "ALERTS" or expression.place.startswith("$"):
                continue
            assert {"job", "instance"} <= labels, expression.place

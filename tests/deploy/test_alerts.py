"""The alert rules without a gateway, tested with promtool."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import promql
from tests.support.gateway import ROOT
from tests.support.programs import require_program

SEVERITIES = {"page", "ticket"}
LABEL = re.compile(r"\$labels\.(\w+)")


def promtool(*args: object) -> str:
    """promtool's output; it must succeed."""
    done = subprocess.run(
        [require_program("promtool"), *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@functools.cache
def expectations() -> list[tuple[str, str]]:
    """Expression and labels of each expected sample in the unit tests, as they are written there."""
    return [
        (check["expr"], sample["labels"])
        for file in promql.UNIT_TESTS
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
        for check in test["promql_expr_test"]
        for sample in check.get("exp_samples", ())
    ]


def firing(alert: str) -> list[dict[str, str]]:
    """The labels with which the unit tests see the alert fire."""
    found = [dict(re.findall(r'(\w+)="([^"]*)"', labels)) for _, labels in expectations()]
    return [
        labels for labels in found if labels.get("alertname") == alert and labels["alertstate"] == "firing"
    ]


RUNBOOKS = "https://otp.example.com/docs/OPERATIONS.md#"


def test_every_alert_leads_to_its_heading_in_operations() -> None:
    operations = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", operations, re.MULTILINE)
    }
    linked = {
        f"OtpGateway{name}": f"{RUNBOOKS}{anchor}"
        for names, anchor in re.findall(
            r"^\| (`.+`) \| [\w, ]+ \| \[.+\]\(#(.+)\) \|$", operations, re.MULTILINE
        )
        for name in re.findall(r"`(\w+)`", names)
    }
    assert linked == {name: alert["annotations"]["runbook_url"] for name, alert in promql.alerts().items()}
    assert {url.removeprefix(RUNBOOKS) for url in linked.values()} <= headings
    # All other links are inside the document.
    assert set(re.findall(r"\]\(#([^)]+)\)", operations)) <= headings


def test_promtool_accepts_the_rules() -> None:
    assert f"{len(promql.rules())} rules found" in promtool("check", "rules", promql.RULES)


def test_promtool_accepts_the_scrape_configuration_with_its_rules_and_its_token(tmp_path: Path) -> None:
    for file in (promql.CONFIG, promql.RULES):
        shutil.copy(file, tmp_path)
    (tmp_path / "otp-gateway.token").write_text("token")
    assert "1 rule files found" in promtool("check", "config", tmp_path / promql.CONFIG.name)


@pytest.mark.parametrize("file", promql.UNIT_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(file: Path) -> None:
    promtool("test", "rules", file)


@pytest.mark.parametrize(("name", "alert"), promql.alerts().items(), ids=promql.alerts())
def test_an_alert_says_what_to_do_how_urgently(name: str, alert: dict[str, Any]) -> None:
    assert name.startswith("OtpGateway")
    assert alert["labels"]["severity"] in SEVERITIES
    assert 10 < len(alert["annotations"]["summary"]) < 120
    assert len(alert["annotations"]["description"]) > 80
    # A page fires only if the fault has lasted for a while.
    assert "for" in alert or alert["labels"]["severity"] == "ticket"


@pytest.mark.parametrize(("name", "alert"), promql.alerts().items(), ids=promql.alerts())
def test_an_alert_fires_in_a_unit_test_with_the_labels_that_its_words_use(
    name: str, alert: dict[str, Any]
) -> None:
    seen = firing(name)
    assert seen
    used = {label for text in alert["annotations"].values() for label in LABEL.findall(text)}
    for labels in seen:
        assert used <= labels.keys()
        assert labels["severity"] == alert["labels"]["severity"]
        # Alertmanager groups by this label.
        assert labels["job"]


def test_alerts_name_each_other_rightly() -> None:
    text = promql.RULES.read_text(encoding="utf-8") + promql.DASHBOARD.read_text(encoding="utf-8")
    # The dashboard's selectors contain "OtpGateway.+".
    named = set(re.findall(r"\bOtpGateway\w+", text))
    assert named == promql.alerts().keys()
    assert len(promql.alerts()) == text.count("- alert: ")

"""The expressions of the rules and the dashboard, and the names that they contain."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.support.gateway import ROOT

RULES = ROOT / "deploy" / "prometheus-rules.yml"
DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"
CONFIG = ROOT / "deploy" / "prometheus.yml"
UNIT_TESTS = sorted((ROOT / "tests" / "deploy").glob("alerts*_test.yml"))

# The values that Grafana puts in the place of a variable.
GRAFANA = {"$__rate_interval": "15s", "$__range": "15s", "$job": "otp-gateway", "$instance": ".+"}
# Names that begin with one of ours, are recorded by a rule, or are Prometheus's own.
_NAME = r"(?:otp_gateway_\w+|[a-z_]+:[\w:]+|up|ALERTS)"
_SELECTOR = re.compile(rf"(?<![\w:])({_NAME})(?![\w:(])(?:\s*\{{([^}}]*)\}})?")
_MATCHER = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"\s*(?:,|$)')
_LABELS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
# The functions and keywords that we use. Any other word is a selector, a label, or a typing error.
_WORDS = {
    *("sum", "min", "max", "count", "absent", "time", "vector"),
    *("rate", "increase", "deriv", "predict_linear", "histogram_quantile", "avg_over_time", "max_over_time"),
    *("and", "or", "unless", "on", "by", "group_left", "offset"),
}


@dataclass(frozen=True)
class Matcher:
    """``outcome=~"sent|sms_failed"``."""

    label: str
    operator: str
    value: str

    def holds(self, labels: Mapping[str, str]) -> bool:
        found = labels.get(self.label, "")
        same = bool(re.fullmatch(self.value, found)) if "~" in self.operator else found == self.value
        return same != self.operator.startswith("!")

    def single(self) -> Iterator[Matcher]:
        """One matcher for each of the alternatives, if the value is a list of words."""
        if self.operator == "=~" and re.fullmatch(r"[\w/|]+", self.value):
            for word in self.value.split("|"):
                yield Matcher(self.label, "=", word)
        else:
            yield self


@dataclass(frozen=True)
class Selector:
    """``name{matchers}``."""

    name: str
    matchers: tuple[Matcher, ...]

    def finds(self, labels: Mapping[str, str]) -> bool:
        return all(matcher.holds(labels) for matcher in self.matchers)


@dataclass(frozen=True)
class Expression:
    """PromQL, and its place."""

    place: str
    text: str
    legend: str = ""

    def filled(self) -> str:
        """The expression with Grafana's variables replaced."""
        text = self.text
        for variable, value in GRAFANA.items():
            text = text.replace(variable, value)
        return text

    def selectors(self) -> list[Selector]:
        return [_selector(*found) for found in _SELECTOR.findall(self.filled())]

    def grouping(self) -> set[str]:
        """The labels that results are grouped or joined by."""
        return {label.strip() for part in _LABELS.findall(self.text) for label in part.split(",")} - {""}

    def strange_words(self) -> set[str]:
        """Words that are neither selectors nor labels, nor words of PromQL that we use."""
        rest = _LABELS.sub(" by ", _SELECTOR.sub(" ", self.filled()))
        return set(re.findall(r"(?<![\w.])[A-Za-z_][\w:]*", rest)) - _WORDS


def rules() -> list[dict[str, Any]]:
    """All rules: alerts and recording rules."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """The alerts by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana reads it."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def of_rules() -> list[Expression]:
    """One expression for each rule."""
    return [Expression(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]


def of_dashboard() -> list[Expression]:
    """One expression for each query of a panel, a variable or an annotation."""
    found = [
        Expression(f"{panel['title']} {target['refId']}", target["expr"], target["legendFormat"])
        for panel in dashboard()["panels"]
        for target in panel.get("targets", ())
    ]
    found += [
        Expression(annotation["name"], annotation["expr"], annotation["titleFormat"])
        for annotation in dashboard()["annotations"]["list"]
        if "expr" in annotation
    ]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            selector, label = _label_values(variable["query"]["query"])
            found.append(Expression(f"${variable['name']}", f"count by ({label}) ({selector})"))
    return found


def _label_values(query: str) -> tuple[str, str]:
    found = _LABEL_VALUES.fullmatch(query)
    assert found, query
    return found[1], found[2]


def _selector(name: str, matchers: str) -> Selector:
    found = tuple(Matcher(*parts) for parts in _MATCHER.findall(matchers))
    # Every character between the braces was read.
    assert _MATCHER.sub("", matchers).strip() == "", matchers
    return Selector(name, found)

"""Every metric, label and value that rules, dashboard and documents name is one that the gateway has."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from otp_gateway.store import connect
from tests.api.support import OTHER, PHONE, Api, Recorder, make_api, wrong
from tests.deliveries.support import make_due
from tests.deploy import promql
from tests.support import kavenegar_faults as faults
from tests.support import recording
from tests.support.gateway import ROOT
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

Labels = dict[str, str]
Samples = Mapping[str, list[Labels]]

# Labels and metrics that Prometheus adds to every target.
SCRAPER = {"job", "instance"}
EXPRESSIONS = promql.of_rules() + promql.of_dashboard()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/**/*.md")])


@pytest.fixture(scope="module")
def samples() -> Samples:
    """The samples of gateways on which every event has happened, and what Prometheus makes of them."""
    found: dict[str, list[Labels]] = defaultdict(list)
    with KavenegarEmulator() as emulator:
        apis = [
            lived(emulator),
            make_api(emulator=emulator, KAVENEGAR_TEMPLATE="login"),
            make_api(KAVENEGAR_API_KEY=""),
            make_api(OTP_SEND_BUDGET="10/hour"),
            make_api(sender=Recorder(RuntimeError("nobody foresaw it"))),
        ]
        emulator.fault = None
        assert [api.send().status_code for api in apis[1:]] == [200, 503, 200, 500]
        # Sends and logins by prefix are written in the background.
        recording.write()
        # Five minutes later, the delivery status is read.
        make_due(apis[0].redis)
        apis[0].app.extensions["provider_watch"].look()
    apis += [
        busy(),
        refusing(OTP_IP_LIMITS="1/minute"),
        refusing(OTP_MAX_FAILURES_PER_CLIENT="1"),
        refusing(OTP_MAX_FAILURES_PER_CLIENT="1", OTP_MAX_FAILURES_PER_PHONE="1"),
    ]
    recording.write()
    scrapes = [api.get("/metrics", ip="127.0.0.1").text for api in apis]
    with RedisServer() as server:
        # The embedded store does not show its memory.
        scrapes.append(make_api(connect(server.url)).get("/metrics", ip="127.0.0.1").text)
    for scrape in scrapes:
        for metric in text_string_to_metric_families(scrape):
            for sample in metric.samples:
                if sample.name.endswith("_created"):
                    # gunicorn's workers share their values, so they do not have these.
                    continue
                # Outcomes that are 0 from the start prove no event: they must have happened.
                if metric.type != "counter" or sample.value:
                    found[sample.name].append(sample.labels)
    found["up"].append({})
    for rule in promql.rules():
        if "record" in rule:
            found[rule["record"]].append({})
    for name, alert in promql.alerts().items():
        for state in ("pending", "firing"):
            found["ALERTS"].append({"alertname": name, "alertstate": state, **alert["labels"]})
    return found


def busy() -> Api:
    """A gateway whose sends wait for the provider."""
    api = make_api()
    slots = api.app.extensions["send_slots"]
    slots.set_threads(1)
    with slots.take():
        assert api.send().status_code == 503
    return api


def refusing(**limits: Any) -> Api:
    """A gateway that has refused a client."""
    api = make_api(**limits)
    assert [api.verify(PHONE, "000000").status_code for _ in range(2)] == [400, 429]
    return api


def lived(emulator: KavenegarEmulator) -> Api:
    """A gateway on which good and bad events have happened."""
    api = make_api(emulator=emulator)
    api.app.extensions["provider_watch"].look()
    assert api.send().status_code == 200
    code = emulator.code_for(PHONE)
    assert [api.verify(PHONE, wrong(code)).status_code for _ in range(4)] == [400, 400, 400, 429]
    assert api.send(OTHER).status_code == 200
    tokens: Any = api.verify(OTHER, emulator.code_for(OTHER)).json
    assert (
        api.post("/api/v1/usr/token/refresh", {"refresh_token": tokens["refresh_token"]}).status_code == 200
    )
    for fault, status in ((faults.code(418), 502), (faults.html(), 504)):
        emulator.fault = fault
        assert api.send(OTHER).status_code == status
    server = api.redis.connection_pool.connection_kwargs["server"]
    server.connected = False
    assert api.send().status_code == 503
    server.connected = True
    return api


def table(first: str) -> list[tuple[str, str, str]]:
    """The table in the handbook whose heading begins with the word: its three columns."""
    text = (ROOT / "docs" / "OPERATIONS.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {first}\b.*\n\|---\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found
    return re.findall(r"^\|(?: (.*?))? \|(?: (.*?))? \|(?: (.*?))? \|$", found[1], re.MULTILINE)


def quoted(text: str) -> list[str]:
    return re.findall(r"`(\w+)`", text)


def family(name: str) -> str:
    """The name in the documents: a counter by its sample, a histogram as a whole."""
    return re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name)


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda expression: expression.place)
def test_every_selector_finds_a_series(expression: promql.Expression, samples: Samples) -> None:
    selectors = expression.selectors()
    assert selectors
    for selector in selectors:
        series = samples.get(selector.name, [])
        assert series, selector.name
        for matcher in selector.matchers:
            for single in matcher.single():
                assert single.label in SCRAPER or any(
                    single.label in labels and single.holds(labels) for labels in series
                ), single
        own = tuple(matcher for matcher in selector.matchers if matcher.label not in SCRAPER)
        assert any(promql.Selector(selector.name, own).finds(labels) for labels in series), selector


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda expression: expression.place)
def test_results_are_grouped_by_labels_that_there_are(
    expression: promql.Expression, samples: Samples
) -> None:
    names = {selector.name for selector in expression.selectors()}
    labels = {label for name in names for series in samples[name] for label in series}
    assert expression.grouping() <= labels | SCRAPER


@pytest.mark.parametrize("expression", EXPRESSIONS, ids=lambda expression: expression.place)
def test_no_name_escapes_these_tests(expression: promql.Expression) -> None:
    assert expression.strange_words() == set()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_metrics_that_there_are(path: Any, samples: Samples) -> None:
    named = set(re.findall(r"\botp_gateway_[a-z_]+", path.read_text(encoding="utf-8")))
    families = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in samples}
    assert named <= samples.keys() | families


def test_the_table_of_metrics_is_complete_with_the_labels_of_each(samples: Samples) -> None:
    described = {
        frozenset(f"otp_gateway_{name}" for name in quoted(names)): set(re.findall(r"\w+", labels))
        for names, labels, _ in table("metric")
    }
    gateways = {name: series for name, series in samples.items() if name.startswith("otp_gateway_")}
    assert frozenset[str]().union(*described) == {family(name) for name in gateways}
    for names, labels in described.items():
        found = {
            label
            for name in gateways
            if family(name) in names
            for series in gateways[name]
            for label in series
        }
        assert found - {"le"} == labels, names


def test_the_table_of_alerts_is_complete_with_the_urgency_of_each() -> None:
    described: dict[str, str] = {}
    for names, severities, _ in table("alert"):
        given = severities.split(", ")
        alerts = quoted(names)
        # One severity may apply to all alerts of a line.
        described |= zip(alerts, given * len(alerts) if len(given) == 1 else given, strict=True)
    assert {f"OtpGateway{name}": severity for name, severity in described.items()} == {
        name: alert["labels"]["severity"] for name, alert in promql.alerts().items()
    }


def test_the_unit_tests_of_the_alerts_use_series_that_there_are(samples: Samples) -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in promql.UNIT_TESTS)
    used = set(re.findall(r"- series: (\w+)\{(.*)\}", text))
    assert len(used) > 50
    for name, given in used:
        labels = set(re.findall(r"(\w+)=", given)) - SCRAPER
        assert any(labels == series.keys() for series in samples[name]), (name, labels)

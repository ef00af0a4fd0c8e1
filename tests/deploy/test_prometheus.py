"""Rules and dashboard in a real Prometheus that scrapes a real gateway."""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from tests.conftest import SECRET_KEY
from tests.deploy import promql
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.programs import require_program
from tests.support.prometheus import Prometheus
from tests.support.redis_server import RedisServer, wait_until

TOKEN = "scrapers-only"
WORKERS = 2
# These have no data in so short a run: the comparison with former days, credit that does not fall, and an
# alert that has lasted long enough to fire.
SILENT = {"Messages in 30 min B", "Messages in 30 min C", "Credit lasts A", "Firing alerts"}


@dataclass
class Site:
    """The running parts."""

    gateway: Gateway
    redis: RedisServer
    emulator: KavenegarEmulator
    people: int = 0

    def live(self) -> None:
        """A user logs in and refreshes. Another user's message fails, and so does the guess of a code."""
        self.emulator.fault = None
        phone = self._send(200)
        code = self.emulator.code_for(phone)
        self._verify(phone, f"{(int(code) + 1) % 10**6:06d}", 400)
        tokens = self._verify(phone, code, 200)
        self._post("/api/v1/usr/token/refresh", {"refresh_token": tokens["refresh_token"]}, 200)
        # Only messages fail: the credit is queried at any time.
        self.emulator.set_fault(faults.code(418), action="sms/send")
        self._send(502)

    def lose_redis(self) -> None:
        """A send while Redis hangs."""
        self.redis.pause()
        try:
            self._send(503)
        finally:
            self.redis.resume()

    def _send(self, status: int) -> str:
        self.people += 1
        phone = f"+98912{self.people:07d}"
        self._post("/api/v1/usr/otp", {"phone_number": phone}, status)
        return phone

    def _verify(self, phone: str, code: str, status: int) -> dict[str, str]:
        return self._post("/api/v1/usr/otp/verify", {"phone_number": phone, "code": code}, status)

    def _post(self, path: str, body: dict[str, str], status: int) -> dict[str, str]:
        reply = self.gateway.post(path, body)
        assert reply.status_code == status, reply.text
        found: dict[str, str] = reply.json()
        return found


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with RedisServer() as redis, KavenegarEmulator() as emulator:
        environment = {
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": redis.url,
            "KAVENEGAR_API_KEY": emulator.api_key,
            "KAVENEGAR_BASE_URL": emulator.base_url,
            "METRICS_TOKEN": TOKEN,
            "OTP_IP_LIMITS": "1000/minute",
        }
        with Gateway(environment, workers=WORKERS) as gateway:
            yield Site(gateway, redis, emulator)


@pytest.fixture(scope="module")
def prometheus(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Our configuration, at one scrape a second, when all metrics of the site have come in and moved."""
    require_program("prometheus")
    config = _install(tmp_path_factory.mktemp("prometheus"), site.gateway.port)
    site.live()
    site.lose_redis()
    with Prometheus(config) as prometheus:
        # A rate needs two values.
        wait_until(lambda: bool(prometheus.query("otp_gateway_redis_errors_total")), "the first scrape")
        site.live()
        site.lose_redis()
        seen = time.time()
        wait_until(
            lambda: (
                all(float(x["value"][1]) > seen for x in prometheus.query("timestamp(up)"))
                and all(_moment(rule["lastEvaluation"]) > seen + 1 for rule in prometheus.rules())
            ),
            "another scrape, and rules that have seen it",
        )
        yield prometheus


def _install(directory: Path, port: int) -> Path:
    """deploy/prometheus.yml as an operator adapts it, but with shorter intervals."""
    config = yaml.safe_load(promql.CONFIG.read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    (scrape,) = config["scrape_configs"]
    scrape["scrape_timeout"] = "1s"
    scrape["static_configs"][0]["targets"] = [f"127.0.0.1:{port}"]
    shutil.copy(promql.RULES, directory)
    (directory / "otp-gateway.token").write_text(f"{TOKEN}\n")
    path = directory / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_prometheus_evaluates_every_rule(prometheus: Prometheus) -> None:
    rules = prometheus.rules()
    assert len(rules) == len(promql.rules())
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


def test_the_words_of_an_alert_are_filled_in(prometheus: Prometheus) -> None:
    active = {
        alert["labels"]["alertname"]: alert for rule in prometheus.rules() for alert in rule.get("alerts", ())
    }
    refused = active["OtpGatewayProviderRefuses"]["annotations"]["summary"]
    assert refused == "The SMS provider refuses sms/send: 418"
    for alert in active.values():
        for text in alert["annotations"].values():
            assert "{{" not in text
            assert "<" not in text


@pytest.mark.parametrize("expression", promql.of_dashboard(), ids=lambda expression: expression.place)
def test_a_query_of_the_dashboard_has_data_with_the_labels_of_its_legend(
    prometheus: Prometheus, expression: promql.Expression
) -> None:
    found = prometheus.query(expression.filled())
    if expression.place in SILENT:
        return
    numbers = [float(series["value"][1]) for series in found]
    assert any(math.isfinite(number) for number in numbers), numbers
    for label in re.findall(r"\{\{(\w+)\}\}", expression.legend):
        assert all(label in series["metric"] for series in found), label


def test_the_threads_of_all_workers_are_known(prometheus: Prometheus) -> None:
    (threads,) = prometheus.query("otp_gateway_http_threads")
    assert int(threads["value"][1]) == 32 * WORKERS

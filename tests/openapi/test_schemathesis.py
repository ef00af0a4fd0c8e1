"""schemathesis reads the document, and searches for any other answer from real workers over real Redis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

CONFIG = Path(__file__).with_name("schemathesis.toml")
# All checks except max_response_time: no test of ours asserts a time.
CHECKS = {
    "allow_header_conformance",
    "content_type_conformance",
    "ensure_resource_availability",
    "ignored_auth",
    "missing_required_header",
    "negative_data_rejection",
    "not_a_server_error",
    "object_level_authorization",
    "positive_data_acceptance",
    "response_headers_conformance",
    "response_schema_conformance",
    "status_code_conformance",
    "unsupported_method",
    "use_after_free",
}
PHASES = {"examples", "coverage", "fuzzing", "stateful"}
# Thousands of requests come from one address, and hundreds of them are for one phone.
ROOMY = {
    "OTP_IP_LIMITS": "1000000/minute",
    "TOKEN_IP_LIMITS": "1000000/minute",
    "OTP_PHONE_LIMITS": "1000000/minute",
    "OTP_MAX_ATTEMPTS": "100",
    "OTP_MAX_FAILURES_PER_CLIENT": "500000",
    "OTP_MAX_FAILURES_PER_PHONE": "500000",
    "OTP_MAX_GUESS_PROBABILITY": "1",
}
Start = Callable[[dict[str, str]], Gateway]


class Trial:
    """One run of schemathesis against a gateway, and its report."""

    def __init__(
        self,
        gateway: Gateway,
        emulator: KavenegarEmulator,
        folder: Path,
        document: dict[str, Any],
        *args: str,
    ) -> None:
        # The document is read from a file, because schemathesis would leave out the path that it is read
        # from.
        file, report = folder / "openapi.json", folder / "report.ndjson"
        file.write_text(json.dumps(document), encoding="utf-8")
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", str(file)]
        options = ["--url", gateway.url, "--no-color", "--report", "ndjson"]
        self.done = subprocess.run(
            [*command, *options, "--report-ndjson-path", str(report), *args],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT),
                "TEST_GATEWAY": gateway.url,
                "TEST_OUTBOX": f"{emulator.base_url}/v1/{emulator.api_key}/sms/latestoutbox.json",
            },
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        self._report = report

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        for line in self._report.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if name in event:
                yield event[name]

    def phases(self) -> dict[str, str]:
        """The status of each phase."""
        return {event["phase"]["name"]: event["status"] for event in self.events("PhaseFinished")}

    def checks(self) -> set[tuple[str, str]]:
        """The checks that were made, with their results."""
        recorders = [event["recorder"] for event in self.events("ScenarioFinished")]
        made = [check for r in recorders for checks in r.get("checks", {}).values() for check in checks]
        return {(check["name"], check["status"]) for check in made}

    def answers(self) -> set[tuple[str, str, str, int]]:
        """Method, path, whether the request was well-formed ("positive") or not, and the status."""
        found = set()
        for event in self.events("ScenarioFinished"):
            cases = event["recorder"].get("cases", {})
            for name, interaction in event["recorder"].get("interactions", {}).items():
                case = cases[name]["value"]
                if interaction["response"] and case.get("meta"):
                    mode = case["meta"]["generation"]["mode"]
                    status = interaction["response"]["status_code"]
                    found.add((case["method"], case["path"], mode, status))
        return found


@pytest.fixture(scope="module")
def start(redis_server: RedisServer, running_emulator: KavenegarEmulator) -> Iterator[Start]:
    """Start a gateway with these variables, or return the one that runs with them."""
    running: dict[str, Gateway] = {}

    def started(variables: dict[str, str]) -> Gateway:
        if (name := str(variables)) not in running:
            own = {
                "SECRET_KEY": SECRET_KEY,
                "REDIS_URL": redis_server.url,
                "KAVENEGAR_API_KEY": running_emulator.api_key,
                "KAVENEGAR_BASE_URL": running_emulator.base_url,
            }
            gateway = Gateway(ROOMY | own | variables)
            gateway.start()
            running[name] = gateway
        return running[name]

    yield started
    for gateway in running.values():
        gateway.stop()


@pytest.mark.parametrize(
    ("variables", "args"),
    [
        ({}, []),
        # The header is what browsers say of a page of our own.
        (
            {"AUTH_COOKIES": "true", "KAVENEGAR_TEMPLATE": "login"},
            ["--header", "Sec-Fetch-Site: same-origin"],
        ),
    ],
    ids=["body", "cookies and calls"],
)
def test_no_check_of_schemathesis_fails(
    start: Start, emulator: KavenegarEmulator, tmp_path: Path, variables: dict[str, str], args: list[str]
) -> None:
    gateway = start(variables)
    document = gateway.get("/openapi.json").json()
    trial = Trial(gateway, emulator, tmp_path, document, *args)
    assert trial.done.returncode == 0, trial.done.stdout + trial.done.stderr
    assert "WARNINGS" not in trial.done.stdout, trial.done.stdout
    # The absence of failures counts only if every check was made.
    assert {phase for phase, status in trial.phases().items() if status == "success"} >= PHASES
    assert {check for check, _ in trial.checks()} == CHECKS
    answers = trial.answers()
    for path in document["paths"]:
        for method, operation in document["paths"][path].items():
            good = {int(status) for status in operation["responses"] if status.startswith("2")}
            asked = {(mode, status) for m, p, mode, status in answers if (m, p) == (method.upper(), path)}
            assert {status for _, status in asked} & good, f"{path} never did what it is for: {asked}"
            assert method == "get" or ("negative", 400) in asked, f"{path} was asked nothing odd: {asked}"


def test_a_document_that_lies_is_found_out(start: Start, emulator: KavenegarEmulator, tmp_path: Path) -> None:
    gateway = start({})
    document = gateway.get("/openapi.json").json()
    paths, schemas = document["paths"], document["components"]["schemas"]
    # An undocumented status, an additional header, requests that are refused and others that are accepted, a
    # reply with another structure, one with another type, a lock that has no effect.
    del paths["/api/v1/usr/otp/verify"]["post"]["responses"]["400"]
    header = {"required": True, "schema": {"type": "string"}}
    paths["/healthz"]["get"]["responses"]["200"]["headers"]["X-Runtime"] = header
    schemas["SendRequest"]["properties"]["channel"]["enum"].append("fax")
    schemas["SendRequest"]["properties"]["note"] = {"type": "integer"}
    schemas["Ready"]["properties"]["status"] = {"type": "integer"}
    paths["/openapi.json"]["get"]["responses"]["200"]["content"] = {"application/yaml": {}}
    paths["/.well-known/jwks.json"]["get"]["security"] = [{"bearer": []}]
    trial = Trial(gateway, emulator, tmp_path, document, "--phases", "coverage", "--continue-on-failure")
    assert trial.done.returncode == 1, trial.done.stdout + trial.done.stderr
    assert {check for check, status in trial.checks() if status == "failure"} == {
        "status_code_conformance",
        "response_headers_conformance",
        "positive_data_acceptance",
        "negative_data_rejection",
        "response_schema_conformance",
        "content_type_conformance",
        "ignored_auth",
        "missing_required_header",
    }

"""Labels are few for any requests of clients. Neither the labels nor a scrape contain personal data."""

from __future__ import annotations

import json
import random
import re
import string
import subprocess

import pytest

from tests.api.support import AWAY, HOME, OTHER, PHONE, SEND, VERIFY, Api, make_api, wrong
from tests.conftest import SECRET_KEY
from tests.metrics.support import SCRAPER, scrape
from tests.senders.support import reply
from tests.support import kavenegar_faults as faults
from tests.support.kavenegar import KavenegarEmulator, Reply
from tests.support.programs import require_program

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
PATHS = (SEND, VERIFY, "/api/v1/usr/me", "/api/v1/usr/token/refresh", "/", "/healthz", "/metrics", "/admin/")


def word(least: int = 1) -> str:
    return "".join(
        random.choices(string.ascii_letters + string.digits + "-._~%", k=random.randint(least, 30))
    )


def wander(api: Api, requests: int) -> None:
    """Random requests: to existing and missing paths, with known and unknown methods."""
    for _ in range(requests):
        path = random.choice([random.choice(PATHS), f"/{word()}", f"{random.choice(PATHS[:4])}/{word()}"])
        method = random.choice([random.choice(METHODS), word(3).upper().replace("%", "X")])
        query = f"?{word()}={word()}" if random.random() < 0.3 else ""
        api.request(method, path + query, ip=random.choice([HOME, SCRAPER]), headers={"X-Request-ID": word()})


def test_random_paths_and_methods_make_no_labels_of_their_own() -> None:
    api = make_api()
    wander(api, 1200)
    now = scrape(api)
    methods = {dict(has)["method"] for has in now.by_label("http_requests_total")}
    assert methods <= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
    assert "other" in methods
    rules = {rule.rule for rule in api.app.url_map.iter_rules()}
    routes = {dict(has)["route"] for has in now.by_label("http_requests_total")}
    assert routes <= rules | {"unmatched"}
    # Nearly every request had words of its own.
    assert len(set(now.label_values())) < 80
    assert now.total("http_requests_total") == 1200


def test_a_provider_that_answers_anything_makes_no_labels_without_end(emulator: KavenegarEmulator) -> None:
    codes = [-1, 0, 7, 418, 999, 1000, 123456, 10**12, "418", "x", None, 4.5, [], {"a": 1}, True]
    bodies = [reply(b"{}"), reply(b"\xff"), reply(b"[" * 5000), reply(b'{"return":{"status":NaN}}')]
    answers = [
        lambda call, s=s: call.send(Reply.of({"return": {"status": s}, "entries": []}, 200)) for s in codes
    ]
    states = [faults.entry_status(s) for s in (6, 14, 0, 999, 482915)]
    api = make_api(emulator=emulator, OTP_PHONE_LIMITS="1000/minute", SMS_TIMEOUT=2)
    for answer in [*answers, *bodies, *states]:
        emulator.fault = answer
        assert api.send().status_code in (200, 502, 504)
    errors = scrape(api).by_label("sms_provider_errors_total")
    assert errors
    for has in errors:
        found = dict(has)
        assert found["call"] == "sms/send"
        assert re.fullmatch(r"(entry_)?[0-9]{1,3}|[a-z_]+", found["code"]), found
        assert found["fault"] in {"caller", "configuration", "bug", "temporary", "unknown"}


def live(api: Api, emulator: KavenegarEmulator, phone: str) -> set[str]:
    """The traffic of one phone, good and bad, and all its private texts."""
    api.send(phone)
    code = emulator.code_for(phone)
    api.verify(phone, wrong(code), ip=AWAY)
    login = api.verify(phone, code).get_json()
    bearer = {"Authorization": f"Bearer {login['access_token']}", "X-Request-ID": "4815162342"}
    api.get("/api/v1/usr/me", headers=bearer)
    refreshed = api.post("/api/v1/usr/token/refresh", {"refresh_token": login["refresh_token"]}).get_json()
    api.post("/api/v1/usr/token/revoke", {"refresh_token": refreshed["refresh_token"]})
    api.get(f"/{phone}?code={code}", headers=bearer)
    api.request(code, f"{SEND}/{phone}")
    api.send(f"{phone}x")
    words = json.dumps({"return": {"status": 411, "message": f"{phone} {code}"}, "entries": phone})
    for fault in (faults.code(418), reply(words.encode()), reply(code.encode())):
        emulator.fault = fault
        api.send(phone)
    emulator.fault = None
    tokens = [login["access_token"], login["refresh_token"], refreshed["refresh_token"]]
    parts = {part for token in tokens for part in token.split(".")}
    return parts | {code, wrong(code), login["user"]["id"], phone, phone[1:], f"0{phone[3:]}", phone[3:]}


def test_a_scrape_holds_no_code_phone_key_token_or_address(emulator: KavenegarEmulator) -> None:
    token = "scraper-token"
    api = make_api(emulator=emulator, OTP_PHONE_LIMITS="3/minute", SMS_TIMEOUT=2, METRICS_TOKEN=token)
    secrets = live(api, emulator, PHONE) | live(api, emulator, OTHER)
    secrets |= {SECRET_KEY, emulator.api_key, token, HOME, AWAY, "4815162342"}
    for accept in ("text/plain", "application/openmetrics-text"):
        text = api.get("/metrics", headers={"Authorization": f"Bearer {token}", "Accept": accept}).text
        for name in ("sends", "verifies", "token_refreshes", "sms_provider_errors"):
            assert f"otp_gateway_{name}_total" in text
        assert [secret for secret in secrets if secret in text] == []


@pytest.mark.parametrize("used", [False, True], ids=["fresh", "used"])
def test_promtool_finds_no_fault(emulator: KavenegarEmulator, used: bool) -> None:
    promtool = require_program("promtool")
    api = make_api(emulator=emulator)
    if used:
        api.send()
        api.verify(PHONE, "000000")
        emulator.fault = faults.code(418)
        api.send()
        wander(api, 50)
    text = scrape(api).text
    done = subprocess.run(
        [promtool, "check", "metrics"], check=False, input=text, capture_output=True, text=True, timeout=30
    )
    # Its lint writes to stderr and exits with 3; a text that it cannot read, with 1.
    assert (done.returncode, done.stdout + done.stderr) == (0, "")

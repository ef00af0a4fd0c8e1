"""Calls of the API by its clients: every route, every error, every way to send tokens."""

from __future__ import annotations

from typing import Any

from werkzeug.test import TestResponse

from tests.capture import normal
from tests.capture.stage import OF_FILES, Site, Stage
from tests.support import kavenegar_faults as faults

SEND, VERIFY = "/api/v1/usr/otp", "/api/v1/usr/otp/verify"
REFRESH, REVOKE, ME = "/api/v1/usr/token/refresh", "/api/v1/usr/token/revoke", "/api/v1/usr/me"
POSTS = (SEND, VERIFY, REFRESH, REVOKE)
JWKS, DOCUMENT, HEALTH, READY = "/.well-known/jwks.json", "/openapi.json", "/healthz", "/readyz"
PHONE, OTHER, ABROAD = "+989123456789", "+989351112233", "+447400123456"
# Once in a million runs, this is the right code.
GUESS = "000000"
NOWHERE = "redis://127.0.0.1:1/0"
ORIGIN = "https://app.example.com"
SAME, SIBLING = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "same-site"}
# A header of the metrics' reply that depends on the digits of times.
SIZE = ("Content-Length",)
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgB2FIJnVqz/s8RrC/
4c56POq6UKHRsIs+UtNAVeNnz2uhRANCAAQYdJSVvXHTRjKwHd4mB5/nlXNAeTYa
OqwAmtFuRlYCzzO1YUsTXOT9qWZ6rsPSzADb1/FKxJUsMZapseRZARIl
-----END PRIVATE KEY-----"""


def run(stage: Stage) -> None:
    """Every scene in which Redis answers."""
    usual = Site(stage, "usual")
    for scene in (bodies, phones, codes, tokens, own_ids, limits, providers, others, files):
        scene(stage, usual)
    budgets(stage)
    unconfigured(stage)
    cookies(stage)
    calls(stage)
    cross_origin(stage)
    keys(stage)
    monitored(stage)
    broken(stage)


def away(stage: Stage) -> None:
    """Every route without a Redis."""
    stage.scene("A gateway that starts without Redis")
    site = Site(stage, "without Redis", REDIS_URL=NOWHERE)
    site.ask("POST", SEND, json={"phone_number": PHONE})
    site.ask("POST", REFRESH, json={"refresh_token": "x"})
    for path in (HEALTH, READY, JWKS, ME):
        site.ask("GET", path)


def send(site: Site, phone: str = PHONE, **options: Any) -> TestResponse:
    return site.ask("POST", SEND, json={"phone_number": phone}, **options)


def verify(site: Site, code: str, phone: str = PHONE, **options: Any) -> TestResponse:
    body = {"phone_number": phone, "code": code}
    return site.ask("POST", VERIFY, json=body, hidden=(code,) if code != GUESS else (), **options)


def log_in(site: Site, phone: str = PHONE, **options: Any) -> TestResponse:
    send(site, phone, **options)
    return verify(site, site.stage.emulator.code_for(phone), phone, **options)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def bodies(stage: Stage, site: Site) -> None:
    stage.scene("Bodies that are refused")
    for number, path in enumerate(POSTS):
        ip = f"198.51.100.{number}"
        site.ask("POST", path, ip=ip, json={})
        site.ask("POST", path, ip=ip, data="{", content_type="application/json")
        site.ask("POST", path, ip=ip, data="[]", content_type="application/json")
        site.ask("POST", path, ip=ip, data="{}", content_type="text/plain")
        site.ask("POST", path, ip=ip, json={"x": "x" * 9000})
    site.ask("POST", SEND, json={"phone_number": 9})
    site.ask("POST", SEND, json={"phone_number": PHONE, "channel": "call"})
    site.ask("POST", VERIFY, json={"phone_number": PHONE, "code": "12"})
    site.ask("POST", SEND, data='{"phone_number": NaN}', content_type="application/json")


def phones(stage: Stage, site: Site) -> None:
    stage.scene("Phones that are refused")
    for path, more in ((SEND, {}), (VERIFY, {"code": GUESS})):
        for phone in ("0912", ABROAD):
            site.ask("POST", path, json={"phone_number": phone, **more})


def codes(stage: Stage, site: Site) -> None:
    stage.scene("Codes: sent in another spelling, guessed, spent, and too many tries")
    send(site, "۰۹۱۲ ۳۴۵ ۶۷۸۹")
    verify(site, GUESS)
    verify(site, stage.emulator.code_for(PHONE))
    verify(site, stage.emulator.code_for(PHONE))
    send(site, OTHER, ip="2001:db8::1")
    for _ in range(4):
        verify(site, GUESS, OTHER, ip="2001:db8::1")


def tokens(stage: Stage, site: Site) -> None:
    stage.scene("Tokens in bodies")
    pair = log_in(site).get_json()
    site.ask("GET", ME, headers=bearer(pair["access_token"]))
    site.ask("GET", ME)
    site.ask("GET", ME, headers=bearer(pair["refresh_token"]))
    site.ask("GET", ME, headers={"Authorization": "Basic eDp4"})
    site.ask("POST", REFRESH, json={"refresh_token": "x"})
    site.ask("POST", REFRESH, json={"refresh_token": pair["access_token"]})
    following = site.ask("POST", REFRESH, json={"refresh_token": pair["refresh_token"]}).get_json()
    again = site.ask("POST", REFRESH, json={"refresh_token": pair["refresh_token"]}).get_json()
    assert ids(again) == ids(following), "a repeated refresh gives the same tokens"
    site.ask("POST", REVOKE, json={"refresh_token": following["refresh_token"]})
    site.ask("POST", REVOKE, json={"refresh_token": "x"})
    site.ask("POST", REFRESH, json={"refresh_token": following["refresh_token"]})


def ids(pair: dict[str, str]) -> list[Any]:
    """The ids of a pair's tokens."""
    found = [normal.JWT.fullmatch(pair[name]) for name in ("access_token", "refresh_token")]
    return [normal.part(match[2])["jti"] for match in found if match]


def own_ids(stage: Stage, site: Site) -> None:
    stage.scene("Ids of requests that clients choose")
    for own in ("abc-123.X_y", "09123456789", "a b", "x" * 129):
        site.ask("GET", HEALTH, headers={"X-Request-ID": own})


def limits(stage: Stage, site: Site) -> None:
    stage.scene("The limits of a phone and of an address")
    for number in range(4):
        send(site, ip=f"198.51.100.{number}")
    for _ in range(4):
        send(site, "0912", ip="2001:db8:0:1::1")
    send(site, "0912", ip="2001:db8:0:1::2")
    send(site, "0912", ip="2001:db8:0:1::3")
    two = Site(stage, "two windows", OTP_IP_LIMITS="2/minute;3/hour", TRUSTED_PROXIES="1")
    for forwarded in ("203.0.113.1", "203.0.113.1", "203.0.113.1", "203.0.113.2, 203.0.113.1", "nonsense"):
        send(two, "0912", headers={"X-Forwarded-For": forwarded})


def providers(stage: Stage, site: Site) -> None:
    stage.scene("What the provider may answer")
    kinds = (
        faults.code(418),
        faults.code(403),
        faults.code(411),
        faults.code(409),
        faults.entry_status(6),
        faults.entry_status(13),
        faults.wrong_receptor(),
        faults.html(),
        faults.no_return(),
        faults.drop(),
    )
    for number, fault in enumerate(kinds):
        stage.emulator.set_fault(fault)
        send(site, f"+98912000000{number}", ip=f"198.51.100.{number}")
    stage.emulator.set_fault(faults.drop(), times=1)
    send(site, ip="198.51.100.100")


def others(stage: Stage, site: Site) -> None:
    stage.scene("Everything else")
    site.ask("GET", "/nowhere")
    site.ask("GET", SEND)
    site.ask("DELETE", ME)
    site.ask("OPTIONS", VERIFY)
    site.ask("PROPFIND", SEND)
    for path in (HEALTH, READY, JWKS, DOCUMENT):
        # The document has a file of its own, and contains the version.
        document = path == DOCUMENT
        varies = ("ETag",) if document else ()
        tag = site.ask("GET", path, body=not document, varies=varies).headers.get("ETag", "")
        site.ask("HEAD", path, varies=varies)
        if tag:
            site.ask("GET", path, headers={"If-None-Match": tag}, hidden=(tag,), varies=varies)
            site.ask("GET", path, headers={"If-Match": '"other"'}, varies=varies)
    site.ask("GET", HEALTH, headers={"X-Otp-Gateway-Check": "nonsense"})
    site.ask("GET", "/metrics", headers={"Via": "1.1 a-proxy"}, ip="127.0.0.1")
    site.ask("GET", "/metrics")
    site.ask("GET", "/metrics", ip="127.0.0.1", body=False, varies=SIZE)
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    site.ask("GET", "/metrics", headers=accept, ip="127.0.0.1", body=False, varies=SIZE)


def files(stage: Stage, site: Site) -> None:
    stage.scene("The pages' files")
    names = ("login.css", "login.js", "otp.js", "otp.d.ts", "docs.css", "docs.js", "icon.svg")
    paths = [*(f"/static/{name}" for name in names), "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"]
    for path in paths:
        site.ask("GET", path, file="pages.txt", body=False, varies=OF_FILES)
    site.ask("GET", "/docs/index.html", file="pages.txt")
    site.ask("GET", "/static/nothing", file="pages.txt")


def budgets(stage: Stage) -> None:
    stage.scene("Failure budgets of a network and of a phone")
    variables = {"OTP_MAX_FAILURES_PER_CLIENT": "2", "OTP_MAX_FAILURES_PER_PHONE": "3"}
    site = Site(stage, "small budgets", **variables)
    for _ in range(3):
        verify(site, GUESS)
    send(site)
    for _ in range(2):
        verify(site, GUESS, ip="198.51.100.1")
    send(site, ip="198.51.100.2")


def unconfigured(stage: Stage) -> None:
    stage.scene("A gateway without a provider's key")
    site = Site(stage, "without a key", KAVENEGAR_API_KEY=None)
    send(site)
    site.ask("GET", READY)


def cookies(stage: Stage) -> None:
    stage.scene("Tokens in cookies")
    site = Site(stage, "cookies", AUTH_COOKIES="true", OTP_IP_LIMITS="100/minute")
    send(site)
    code = stage.emulator.code_for(PHONE)
    for headers in ({}, SIBLING, {"Origin": "https://elsewhere.example"}):
        verify(site, code, headers=headers)
    jar = jar_of(verify(site, code, headers=SAME))
    site.ask("GET", ME, headers=SAME | jar)
    site.ask("GET", ME, headers=SIBLING | jar)
    site.ask("GET", ME, headers=SAME)
    site.ask("POST", REFRESH, json={}, headers=SIBLING | jar)
    site.ask("POST", REFRESH, json={}, headers=SAME)
    jar = jar_of(site.ask("POST", REFRESH, json={}, headers={"Origin": "http://localhost"} | jar))
    site.ask("POST", REVOKE, json={}, headers=SIBLING | jar)
    site.ask("POST", REVOKE, json={}, headers=SAME | jar)
    site.ask("POST", REVOKE, json={}, headers=SAME)


def jar_of(reply: TestResponse) -> dict[str, str]:
    """The cookies that a reply has set, as a browser sends them back."""
    return {"Cookie": "; ".join(value.partition(";")[0] for value in reply.headers.getlist("Set-Cookie"))}


def calls(stage: Stage) -> None:
    stage.scene("A template: codes by call")
    site = Site(stage, "template", KAVENEGAR_TEMPLATE="login")
    site.ask("POST", SEND, json={"phone_number": PHONE, "channel": "call"})
    verify(site, stage.emulator.code_for(PHONE))
    site.ask("POST", SEND, json={"phone_number": PHONE, "channel": "fax"})
    stage.emulator.set_fault(faults.drop())
    send(site, OTHER)
    stage.emulator.set_fault(faults.code(424))
    send(site, OTHER)


def cross_origin(stage: Stage) -> None:
    stage.scene("Pages of other origins")
    site = Site(stage, "other origins", CORS_ORIGINS=ORIGIN)
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    for origin in (ORIGIN, "https://elsewhere.example"):
        site.ask("OPTIONS", SEND, headers={"Origin": origin} | asks)
        send(site, headers={"Origin": origin})
        site.ask("GET", JWKS, headers={"Origin": origin})
        site.ask("GET", HEALTH, headers={"Origin": origin})


def keys(stage: Stage) -> None:
    stage.scene("Tokens signed with a private key")
    site = Site(stage, "private key", JWT_ALGORITHM="ES256", JWT_PRIVATE_KEY=KEY)
    site.ask("GET", JWKS)
    pair = log_in(site).get_json()
    site.ask("GET", ME, headers=bearer(pair["access_token"]))


def monitored(stage: Stage) -> None:
    stage.scene("Metrics behind a token")
    site = Site(stage, "metrics token", METRICS_TOKEN="a-token-for-scrapers")
    site.ask("GET", "/metrics", headers=bearer("a-token-for-scrapers"), body=False, varies=SIZE)
    site.ask("GET", "/metrics", ip="127.0.0.1")
    site.ask("GET", "/metrics", headers=bearer("another"))


def broken(stage: Stage) -> None:
    stage.scene("Faults of the gateway itself")
    site = Site(stage, "broken")
    for path in (*POSTS, ME, HEALTH):
        site.break_down(path)
        site.ask("POST" if path in POSTS else "GET", path)

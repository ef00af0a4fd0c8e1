"""/openapi.json is correct and complete: the gateway's answers are exactly those that it describes."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from openapi_spec_validator import validate

from otp_gateway.version import __version__
from tests.openapi.provoke import JWKS, METRICS_TOKEN, OTP, PROVOKE
from tests.openapi.site import Site
from tests.sessions.forging import variables_of

BODY: dict[str, str] = {}
COOKIES = {"AUTH_COOKIES": "true"}
PAGE = "https://app.example.com"
TOKEN = {"METRICS_TOKEN": METRICS_TOKEN}
MODES = {"body": BODY, "cookies": COOKIES, "token": TOKEN}
# Only the operations that use a cookie must come from our own pages. Without a token, only scrapers on this
# machine may read the metrics.
ONLY = {
    "cross_origin": {"cookies"},
    ("getMetrics", "forbidden"): {"body", "cookies"},
    ("getMetrics", "invalid_token"): {"token"},
}
CASES = [
    pytest.param(operation, answer, MODES[name], id=f"{operation}-{answer}-{name}")
    for (operation, answer) in PROVOKE
    for name in ("body", "cookies", *(["token"] if operation == "getMetrics" else []))
    if name in ONLY.get(answer, MODES) and name in ONLY.get((operation, answer), MODES)
]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        COOKIES,
        {"CORS_ORIGINS": PAGE},
        {"KAVENEGAR_API_KEY": "key", "KAVENEGAR_TEMPLATE": "login", "OTP_LENGTH": "8"},
    ],
    ids=["defaults", "cookies", "other origins", "calls"],
)
def test_the_document_is_sound_and_carries_the_projects_version(variables: dict[str, Any]) -> None:
    document = Site(**variables).document.whole
    validate(document)
    assert document["openapi"].startswith("3.1.")
    assert document["info"]["version"] == __version__


def test_every_route_of_the_api_is_described_and_no_other() -> None:
    site = Site()
    rules = {
        (rule.rule, method.lower())
        for rule in site.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        # Pages are for people.
        if not rule.endpoint.startswith(("pages.", "docs."))
    }
    described = {(path, method) for path, method, _ in site.document.operations()}
    assert described == rules


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_every_answer_that_is_described_is_provoked_here(mode: dict[str, str]) -> None:
    assert Site(**mode).document.answers() <= PROVOKE.keys()


@pytest.mark.parametrize(("operation", "answer", "mode"), CASES)
def test_every_answer_is_as_described(operation: str, answer: str, mode: dict[str, str]) -> None:
    assert (operation, answer) in Site(**mode).document.answers()
    # The site compares each reply with the document.
    reply = PROVOKE[operation, answer](partial(Site, **mode))
    assert answer == (reply.get_json()["code"] if reply.status_code >= 400 else str(reply.status_code))


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_keys_of_every_kind_are_as_described(algorithm: str) -> None:
    (key,) = Site(**variables_of(algorithm)).ask("GET", JWKS).get_json()["keys"]
    assert key["alg"] == algorithm


@pytest.mark.parametrize("origin", [PAGE, "https://other.example", None])
@pytest.mark.parametrize("path", [OTP, JWKS, "/healthz"])
def test_pages_of_other_origins_get_the_headers_described(path: str, origin: str | None) -> None:
    site = Site(CORS_ORIGINS=PAGE)
    headers = {"Origin": origin} if origin else {}
    if path == OTP:
        reply = site.ask("POST", path, json={}, headers=headers)
    else:
        reply = site.ask("GET", path, headers=headers)
    allowed = origin == PAGE and path != "/healthz"
    assert ("Access-Control-Allow-Origin" in reply.headers) == allowed


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/nothing", "NotFound"),
        ("POST", "/healthz/", "NotFound"),
        ("GET", OTP, "MethodNotAllowed"),
        ("HEAD", OTP, "MethodNotAllowed"),
        ("TRACE", "/healthz", "MethodNotAllowed"),
        ("FETCH", "/openapi.json", "MethodNotAllowed"),
    ],
)
def test_unknown_paths_and_methods_are_answered_as_the_components_say(
    method: str, path: str, name: str
) -> None:
    site = Site()
    reply = site.client.open(path, method=method)
    if method != "HEAD":
        site.document.check_reply(site.document.whole["components"]["responses"][name], reply)
    assert reply.status_code == (404 if name == "NotFound" else 405)


def test_every_code_is_in_the_documents_own_words_with_status_and_meaning() -> None:
    document = Site().document
    rows = re.findall(
        r"^\| `(\w+)` \| (\d+) \| (.+) \|$", document.whole["info"]["description"], re.MULTILINE
    )
    told = {code: int(status) for code, status, _ in rows}
    schemas = [document.whole["components"]["schemas"][name] for name in document.problems()]
    fixed = [schema["properties"] for schema in schemas]
    assert told == {about["code"]["const"]: about["status"]["const"] for about in fixed}
    assert {code for _, code in PROVOKE if not code.isdigit()} - {"cross_origin"} <= told.keys()
    assert {meaning for _, _, meaning in rows} == {schema["description"] for schema in schemas}


def test_examples_of_requests_and_problems_are_as_their_schemas_say() -> None:
    document = Site(KAVENEGAR_API_KEY="key", KAVENEGAR_TEMPLATE="login").document
    found = 0
    for _, _, operation in document.operations():
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (content for body in bodies for content in body.get("content", {}).values()):
            for example in content.get("examples", {}).values():
                document.check(content["schema"], example["value"])
                found += 1
    assert found > 40


def test_a_client_that_has_the_document_is_spared_another() -> None:
    site = Site()
    tag = site.ask("GET", "/openapi.json").headers["ETag"]
    reply = site.ask("GET", "/openapi.json", headers={"If-None-Match": tag})
    assert (reply.status_code, reply.data) == (304, b"")

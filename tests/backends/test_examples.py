"""The backends of docs/TOKENS.md, each run exactly as it is printed there, against a real gateway."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.conftest import SECRET_KEY
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.programs import node_project, require_program
from tests.support.redis_server import RedisServer
from tests.support.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
HEADING = "## Backends that accept our tokens\n"
JWKS_URL = "http://127.0.0.1:8000/.well-known/jwks.json"
LEEWAY = 5
CALL_TIMEOUT = 20.0
# The reader's own application also has these: a route for the check, and Django's settings.
AROUND = {
    "flask": """
        from backend import app, claims
        app.add_url_rule("/", view_func=claims)
    """,
    "django": """
        from django.conf import settings
        from django.core.wsgi import get_wsgi_application
        from django.urls import path
        from backend import me
        settings.configure(ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF=__name__)
        urlpatterns = [path("", me)]
        app = get_wsgi_application()
    """,
    "fastapi": """
        from fastapi import Depends
        from backend import app, claims
        app.get("/")(lambda claims=Depends(claims): claims)
    """,
}
WORKERS = {"flask": "sync", "django": "sync", "fastapi": "asgi"}


@dataclass(frozen=True)
class Tokens:
    """One login."""

    access: str
    refresh: str


@dataclass(frozen=True)
class Backend:
    """A running example."""

    url: str

    def status(self, authorization: str | None = None) -> int:
        return self.get(authorization).status_code

    def get(self, authorization: str | None = None) -> requests.Response:
        headers = {} if authorization is None else {"Authorization": authorization}
        with requests.Session() as session:
            session.trust_env = False
            return session.get(self.url, headers=headers, timeout=10)


@cache
def section() -> str:
    """The section with the examples."""
    text = (ROOT / "docs/TOKENS.md").read_text(encoding="utf-8")
    return re.split(r"^## ", text.partition(HEADING)[2], flags=re.MULTILINE)[0]


@cache
def examples() -> dict[str, str]:
    """The code of each example by the name of its framework."""
    blocks = re.findall(r"^```(?:python|js)\n(.*?)^```$", section(), re.MULTILINE | re.DOTALL)
    found = {}
    for block in blocks:
        (name,) = [name for name in ("flask", "django", "fastapi", "jose") if name in block.lower()]
        found[name] = block
    assert len(found) == len(blocks) == 4
    return found


@contextmanager
def running(name: str, code: str, directory: Path) -> Iterator[Backend]:
    """The example on a port of its own, ready."""
    port = free_port()
    if name == "jose":
        script = node_project() / "backend.mjs"
        script.write_text(code, encoding="utf-8")
        command = [require_program("node"), str(script)]
    else:
        (directory / "backend.py").write_text(code, encoding="utf-8")
        around = "\n".join(line.strip() for line in AROUND[name].splitlines())
        (directory / "serve.py").write_text(around, encoding="utf-8")
        command = [sys.executable, "-m", "gunicorn", "--no-control-socket", "-k", WORKERS[name], "serve:app"]
    log = directory / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={"PATH": os.environ["PATH"], "PORT": str(port), "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    backend = Backend(f"http://127.0.0.1:{port}/")
    try:
        wait_until_ready(backend, process, log)
        yield backend
    finally:
        process.terminate()
        try:
            process.wait(CALL_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_ready(backend: Backend, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + CALL_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        try:
            backend.get()
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the backend does not answer:\n{log.read_text(errors='replace')[-4000:]}")


def log_in(gateway: Gateway, emulator: KavenegarEmulator, phone: str) -> Tokens:
    gateway.post("/api/v1/usr/otp", {"phone_number": phone}).raise_for_status()
    body = {"phone_number": phone, "code": emulator.code_for(phone)}
    reply = gateway.post("/api/v1/usr/otp/verify", body)
    reply.raise_for_status()
    return Tokens(reply.json()["access_token"], reply.json()["refresh_token"])


@pytest.fixture(scope="module")
def environment(redis_server: RedisServer, running_emulator: KavenegarEmulator) -> dict[str, str]:
    redis_server.clear()
    return {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": running_emulator.api_key,
        "KAVENEGAR_BASE_URL": running_emulator.base_url,
    }


@pytest.fixture(scope="module")
def asymmetric(environment: dict[str, str]) -> dict[str, str]:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return environment | {"JWT_ALGORITHM": "EdDSA", "JWT_PRIVATE_KEY": pem.decode()}


@pytest.fixture(scope="module")
def expiring(asymmetric: dict[str, str], running_emulator: KavenegarEmulator) -> Tokens:
    """A login whose access token is valid for one second, from the same gateway with another setting."""
    with Gateway(asymmetric | {"JWT_ACCESS_TTL": "1"}, workers=1) as gateway:
        return log_in(gateway, running_emulator, "+989123456780")


@pytest.fixture(scope="module")
def gateway(asymmetric: dict[str, str], expiring: Tokens) -> Iterator[Gateway]:
    # It starts after the login that has to expire, so that no test waits for that.
    assert expiring
    with Gateway(asymmetric, workers=1) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def tokens(gateway: Gateway, running_emulator: KavenegarEmulator) -> Tokens:
    return log_in(gateway, running_emulator, "+989123456789")


@pytest.fixture(scope="module", params=["flask", "django", "fastapi", "jose"])
def backend(
    request: pytest.FixtureRequest, gateway: Gateway, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    name: str = request.param
    code = examples()[name]
    assert code.count(JWKS_URL) == 1
    code = code.replace(JWKS_URL, f"{gateway.url}/.well-known/jwks.json")
    with running(name, code, tmp_path_factory.mktemp(name)) as backend:
        yield backend


@pytest.mark.parametrize("name", ["flask", "django", "fastapi", "jose"])
def test_an_example_has_fewer_than_ten_lines(name: str) -> None:
    assert len([line for line in examples()[name].splitlines() if line.strip()]) < 10


def test_an_access_token_is_accepted(backend: Backend, tokens: Tokens) -> None:
    reply = backend.get(f"Bearer {tokens.access}")

    assert reply.status_code == 200
    assert reply.json()["phone_number"] == "+989123456789"


def test_a_refresh_token_is_refused(backend: Backend, tokens: Tokens) -> None:
    assert backend.status(f"Bearer {tokens.refresh}") == 401


def test_a_token_of_another_type_audience_or_issuer_is_refused(
    backend: Backend, tokens: Tokens, asymmetric: dict[str, str]
) -> None:
    header, claims = jwt.get_unverified_header(tokens.access), unverified_claims(tokens.access)

    def signed(header: dict[str, Any], claims: dict[str, Any]) -> str:
        return "Bearer " + jwt.encode(claims, asymmetric["JWT_PRIVATE_KEY"], "EdDSA", headers=header)

    assert backend.status(signed(header, claims)) == 200
    assert backend.status(signed(header | {"typ": "rt+jwt"}, claims)) == 401
    assert backend.status(signed(header | {"typ": "JWT"}, claims)) == 401
    assert backend.status(signed(header, claims | {"aud": "otp-gateway/refresh"})) == 401
    assert backend.status(signed(header, claims | {"iss": "somebody"})) == 401


def test_a_token_that_is_not_signed_by_the_gateway_is_refused(backend: Backend, tokens: Tokens) -> None:
    header, claims = jwt.get_unverified_header(tokens.access), unverified_claims(tokens.access)
    stranger = Ed25519PrivateKey.generate()

    forged = [
        jwt.encode(claims, stranger, "EdDSA", headers=header),
        jwt.encode(claims, stranger, "EdDSA", headers=header | {"kid": "another"}),
        jwt.encode(claims, SECRET_KEY, "HS256", headers=header | {"alg": "HS256"}),
        jwt.encode(claims, "", "none", headers=header | {"alg": "none"}),
        tokens.access.rpartition(".")[0] + ".",
    ]

    assert [backend.status(f"Bearer {token}") for token in forged] == [401] * len(forged)


def test_a_token_from_a_clock_a_little_ahead_is_accepted(
    backend: Backend, tokens: Tokens, asymmetric: dict[str, str]
) -> None:
    header = jwt.get_unverified_header(tokens.access)
    claims = unverified_claims(tokens.access) | {"iat": int(time.time()) + LEEWAY - 1}

    token = jwt.encode(claims, asymmetric["JWT_PRIVATE_KEY"], "EdDSA", headers=header)

    assert backend.status(f"Bearer {token}") == 200


def test_garbage_is_refused(backend: Backend) -> None:
    deep = urlsafe_b64encode(b"[" * 3000).decode()
    garbage = ["", "x", "a.b.c", "..", "e30.e30.e30", f"{deep}.e30.e30", "\u00e9.\u00e9.\u00e9"]

    statuses = [backend.status(f"Bearer {token}") for token in garbage]

    assert statuses == [401] * len(garbage)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic dXNlcjpwYXNz"])
def test_a_missing_token_is_refused(backend: Backend, authorization: str | None) -> None:
    assert backend.status(authorization) == 401


def test_an_expired_token_is_refused(backend: Backend, expiring: Tokens) -> None:
    over = unverified_claims(expiring.access)["exp"] + LEEWAY
    time.sleep(max(0.0, over + 0.1 - time.time()))

    assert backend.status(f"Bearer {expiring.access}") == 401


def test_the_shared_secret_of_hs256_takes_the_place_of_the_key(
    environment: dict[str, str], running_emulator: KavenegarEmulator, tmp_path: Path
) -> None:
    found = re.search(r"`decode_complete\(jwt, (?P<place>SECRET_KEY, \[\"HS256\"\]), …\)`", section())
    assert found
    place = 'key(jwt), ["EdDSA"]'
    assert examples()["flask"].count(place) == 1
    code = f"SECRET_KEY = {SECRET_KEY!r}\n" + examples()["flask"].replace(place, found["place"])

    with Gateway(environment, workers=1) as gateway:
        tokens = log_in(gateway, running_emulator, "+989123456781")
        assert gateway.get("/.well-known/jwks.json").json() == {"keys": []}
    with running("flask", code, tmp_path) as backend:
        assert backend.status(f"Bearer {tokens.access}") == 200
        assert backend.status(f"Bearer {tokens.refresh}") == 401
        assert backend.status() == 401


def unverified_claims(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims

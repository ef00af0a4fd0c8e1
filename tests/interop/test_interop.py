"""Our tokens and keys are read by other libraries: joserfc and, in Node, jose."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwt
from joserfc.errors import InvalidClaimError, JoseError
from joserfc.jwk import KeySet

from tests.support.gateway import Gateway, environment
from tests.support.kavenegar import KavenegarEmulator
from tests.support.programs import node_project, require_program
from tests.support.redis_server import RedisServer

SCRIPT = Path(__file__).with_name("verify.js")
JWKS = "/.well-known/jwks.json"
PHONE = "+989123456789"
KEYS: dict[str, Callable[[], ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey]] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}
# joserfc warns of the name EdDSA (RFC 9864), although every other library uses that name.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")


@dataclass(frozen=True)
class Login:
    """The keys and tokens of one gateway with one algorithm, for its backends and for one client."""

    algorithm: str
    jwks_url: str
    jwks: Any
    access: str
    refresh: str


@pytest.fixture(scope="module", params=KEYS)
def login(
    request: pytest.FixtureRequest, redis_server: RedisServer, running_emulator: KavenegarEmulator
) -> Iterator[Login]:
    algorithm: str = request.param
    pem = KEYS[algorithm]().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    redis_server.clear()
    more = {
        "JWT_ALGORITHM": algorithm,
        "JWT_PRIVATE_KEY": pem.decode(),
    }
    with Gateway(environment(redis_server.url, running_emulator, **more), workers=1) as gateway:
        gateway.post("/api/v1/usr/otp", {"phone_number": PHONE}).raise_for_status()
        code = running_emulator.code_for(PHONE)
        reply = gateway.post("/api/v1/usr/otp/verify", {"phone_number": PHONE, "code": code})
        reply.raise_for_status()
        tokens = reply.json()
        yield Login(
            algorithm,
            f"{gateway.url}{JWKS}",
            gateway.get(JWKS).json(),
            tokens["access_token"],
            tokens["refresh_token"],
        )


def with_one_byte_changed(token: str) -> list[str]:
    """The token with one byte changed in the middle of each of its three parts."""
    changed = []
    parts = token.split(".")
    for index, part in enumerate(parts):
        middle = len(part) // 2
        other = "A" if part[middle] != "A" else "B"
        damaged = part[:middle] + other + part[middle + 1 :]
        changed.append(".".join([*parts[:index], damaged, *parts[index + 1 :]]))
    return changed


def read_with_joserfc(login: Login, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of an access token. Raises ``JoseError``, or ``ValueError`` if it is not text."""
    found = jwt.decode(token, KeySet.import_key_set(login.jwks), algorithms=[login.algorithm])
    rules = jwt.JWTClaimsRegistry(
        leeway=5,
        iss={"essential": True, "value": "otp-gateway"},
        aud={"essential": True, "value": "otp-gateway"},
        exp={"essential": True},
        token_use={"essential": True},
    )
    rules.validate(found.claims)
    return found.header, found.claims


def read_with_jose(login: Login, *tokens: str, **rules: object) -> list[dict[str, Any]]:
    """The result of jose for each: ``refused`` is None, or the code of its error."""
    script = node_project() / SCRIPT.name
    shutil.copy(SCRIPT, script)
    standing = {"algorithms": [login.algorithm], "issuer": "otp-gateway", "clockTolerance": 5}
    finished = subprocess.run(
        [require_program("node"), str(script)],
        input=json.dumps({"jwks": login.jwks_url, "rules": standing | rules, "tokens": tokens}),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    verdicts: list[dict[str, Any]] = json.loads(finished.stdout)
    return verdicts


def test_joserfc_accepts_our_access_token(login: Login) -> None:
    header, claims = read_with_joserfc(login, login.access)

    assert (header["alg"], header["typ"]) == (login.algorithm, "at+jwt")
    assert (claims["phone_number"], claims["token_use"]) == (PHONE, "access")


def test_joserfc_refuses_our_refresh_token_for_its_audience(login: Login) -> None:
    with pytest.raises(InvalidClaimError, match="aud"):
        read_with_joserfc(login, login.refresh)


def test_joserfc_refuses_a_token_with_one_byte_changed(login: Login) -> None:
    for token in with_one_byte_changed(login.access):
        with pytest.raises((JoseError, ValueError)):
            read_with_joserfc(login, token)


def test_joserfc_finds_the_same_thumbprint_that_we_name_the_key_by(login: Login) -> None:
    (key,) = KeySet.import_key_set(login.jwks).keys

    assert key.kid == key.thumbprint()
    assert not key.is_private


def test_jose_accepts_our_access_token(login: Login) -> None:
    (verdict,) = read_with_jose(login, login.access, audience="otp-gateway", typ="at+jwt")

    assert verdict["refused"] is None
    assert (verdict["header"]["alg"], verdict["header"]["typ"]) == (login.algorithm, "at+jwt")
    assert (verdict["payload"]["phone_number"], verdict["payload"]["token_use"]) == (PHONE, "access")


@pytest.mark.parametrize("rule", [{"audience": "otp-gateway"}, {"typ": "at+jwt"}], ids=min)
def test_jose_refuses_our_refresh_token_by_either_rule_alone(login: Login, rule: dict[str, str]) -> None:
    (verdict,) = read_with_jose(login, login.refresh, **rule)

    assert verdict["refused"] == "ERR_JWT_CLAIM_VALIDATION_FAILED"


def test_jose_refuses_a_token_with_one_byte_changed(login: Login) -> None:
    tokens = with_one_byte_changed(login.access)

    verdicts = read_with_jose(login, *tokens, audience="otp-gateway", typ="at+jwt")

    assert all(verdict["refused"] for verdict in verdicts)
    assert len(verdicts) == 3

"""Tokens that an attacker forged, changed or stole: all are refused with ``InvalidToken``."""

from __future__ import annotations

import json
import socket
import string
from base64 import urlsafe_b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otp_gateway.errors import InvalidToken
from otp_gateway.model import PhoneNumber, Session
from otp_gateway.signing import KeyRing
from otp_gateway.tokens import Tokens
from tests.conftest import SECRET_KEY, make_settings
from tests.sessions.forging import (
    ALGORITHMS,
    ASYMMETRIC,
    Signer,
    b64,
    hmac_signer,
    jws,
    private_key,
    public_bytes_of,
    signer,
    variables_of,
)
from tests.sessions.site import (
    INVALID_TOKEN,
    PHONE,
    REFRESH,
    Site,
    claims_of,
    header_of,
    is_refused,
    problem_of,
    session_keys,
)
from tests.support.searches import examples

NOW = 1_800_000_000
SESSION = Session("s" * 12 + "kkid", "refresh-id-1", "access-id-01", NOW, NOW, "sms")
KINDS = ["access", "refresh"]
quick = settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)


@dataclass(frozen=True)
class Mint:
    """Makes tokens of one algorithm: the gateway's own, and by hand with its key."""

    algorithm: str
    tokens: Tokens
    sign: Signer

    def genuine(self, kind: str = "access") -> str:
        pair = self.tokens.issue(PhoneNumber(PHONE), SESSION)
        return pair.access_token if kind == "access" else pair.refresh_token

    def forged(
        self,
        kind: str = "access",
        *,
        header: dict[str, object] | None = None,
        claims: dict[str, object] | None = None,
        without: tuple[str, ...] = (),
        sign: Signer | None = None,
    ) -> str:
        """The genuine token with other members, signed with our key or another."""
        token = self.genuine(kind)
        head, body = header_of(token) | (header or {}), claims_of(token) | (claims or {})
        for name in without:
            head.pop(name, None)
            body.pop(name, None)
        return jws(head, body, sign or self.sign)

    def refuses(self, token: str, at: float = NOW) -> bool:
        return is_refused(self.tokens, token, at)

    def takes(self, token: str, kind: str = "access", at: float = NOW) -> bool:
        try:
            if kind == "access":
                self.tokens.read_access(token, at)
            else:
                self.tokens.read_refresh(token, at)
        except InvalidToken:
            return False
        return True


def mint_of(algorithm: str) -> Mint:
    tokens = Tokens.from_settings(make_settings(**variables_of(algorithm)))
    ours = hmac_signer(SECRET_KEY.encode()) if algorithm == "HS256" else signer(private_key(algorithm))
    return Mint(algorithm, tokens, ours)


@pytest.fixture(scope="module", params=ALGORITHMS)
def mint(request: pytest.FixtureRequest) -> Mint:
    return mint_of(request.param)


@pytest.fixture(scope="module", params=ASYMMETRIC)
def public_mint(request: pytest.FixtureRequest) -> Mint:
    """A mint whose key for checking is public."""
    return mint_of(request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_made_by_hand_with_our_key_passes_so_that_refusals_mean_something(
    mint: Mint, kind: str
) -> None:
    assert mint.takes(mint.genuine(kind), kind)
    assert mint.takes(mint.forged(kind), kind)
    assert not mint.refuses(mint.forged(kind))


class TestAlgorithms:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "alg", ["none", "None", "NONE", "nOnE", " none", "", None, 0, ["none"], {"alg": "none"}, "null"]
    )
    def test_none_in_any_format(self, mint: Mint, alg: object, kind: str) -> None:
        genuine_signature = mint.genuine(kind).rsplit(".", 1)[1]
        for sign in (lambda _: b"", mint.sign, lambda _: b"\0" * 32):
            token = mint.forged(kind, header={"alg": alg}, sign=sign)
            assert mint.refuses(token)
            assert mint.refuses(token.rsplit(".", 1)[0])
            assert mint.refuses(f"{token.rsplit('.', 1)[0]}.")
            assert mint.refuses(f"{token.rsplit('.', 1)[0]}.{genuine_signature}")

    def test_no_algorithm_at_all(self, mint: Mint) -> None:
        for sign in (lambda _: b"", mint.sign):
            assert mint.refuses(mint.forged(without=("alg",), sign=sign))

    @pytest.mark.parametrize("kind", KINDS)
    def test_hmac_keyed_with_our_public_key_in_any_form(self, public_mint: Mint, kind: str) -> None:
        public = private_key(public_mint.algorithm).public_key()
        pem = public_bytes_of(public, Encoding.PEM)
        (jwk,) = public_mint.tokens.jwks()["keys"]
        secrets = [
            pem,
            pem.strip(),
            pem.replace(b"\n", b"\r\n"),
            pem.replace(b"\n", b""),
            b"".join(pem.splitlines()[1:-1]),
            public_bytes_of(public, Encoding.DER),
            json.dumps(jwk).encode(),
            json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode(),
            json.dumps(public_mint.tokens.jwks()).encode(),
            jwk["kid"].encode(),
            *(jwk[name].encode() for name in ("x", "y", "n") if name in jwk),
            *(urlsafe_b64decode(jwk[name] + "==") for name in ("x", "y", "n") if name in jwk),
            b"",
            b"\0",
        ]
        for secret in secrets:
            for alg in ("HS256", "HS384", "HS512", public_mint.algorithm):
                for without in ((), ("kid",)):
                    token = public_mint.forged(
                        kind, header={"alg": alg}, without=without, sign=hmac_signer(secret)
                    )
                    assert public_mint.refuses(token)

    def test_hmac_keyed_with_the_secret_where_a_private_key_signs(self, public_mint: Mint) -> None:
        sign = hmac_signer(SECRET_KEY.encode())
        for without in ((), ("kid",)):
            assert public_mint.refuses(
                public_mint.forged(header={"alg": "HS256"}, without=without, sign=sign)
            )
        genuine = mint_of("HS256").genuine()
        assert public_mint.refuses(genuine)

    def test_another_algorithms_name_over_our_signature(self, mint: Mint) -> None:
        names = ["HS256", "HS384", "HS512", "RS256", "RS384", "PS256", "ES256", "ES256K", "ES384", "EdDSA"]
        names += ["Ed25519", "Ed448", mint.algorithm.lower() + " ", mint.algorithm.lower()]
        for alg in names:
            if alg != mint.algorithm:
                assert mint.refuses(mint.forged(header={"alg": alg}))

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_key_that_is_not_ours(self, mint: Mint, kind: str) -> None:
        strangers = [
            ("HS256", hmac_signer(b"another-secret-of-more-than-32-characters")),
            ("HS256", hmac_signer(b"")),
            *((name, signer(private_key(name, 1))) for name in ASYMMETRIC),
        ]
        for alg, sign in strangers:
            for without in ((), ("kid",)):
                assert mint.refuses(mint.forged(kind, header={"alg": alg}, without=without, sign=sign))

    def test_empty_and_trivial_signatures(self, mint: Mint) -> None:
        length = len(urlsafe_b64decode(mint.genuine().rsplit(".", 1)[1] + "=="))
        for signature in (
            b"",
            b"\0",
            b"\0" * length,
            b"\xff" * length,
            b"\0" * (length - 1) + b"\x01",
            b"\x01" + b"\0" * (length - 1),
            b"\0" * (2 * length),
        ):
            assert mint.refuses(mint.forged(sign=lambda _, s=signature: s))  # type: ignore[misc]  # mypy cannot infer a lambda's default

    def test_a_signature_with_something_before_or_behind(self, mint: Mint) -> None:
        for sign in (
            lambda data: mint.sign(data) + b"\0",
            lambda data: b"\0" + mint.sign(data),
            lambda data: mint.sign(data)[:-1],
            lambda data: mint.sign(data) * 2,
        ):
            assert mint.refuses(mint.forged(sign=sign))


class TestHeaders:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "typ",
        ["JWT", "jwt", "", "at", "AT+JWT", "at+jwt ", "application/at+jwt", "rt+jwt\0", None, 1, ["at+jwt"]],
    )
    def test_another_typ(self, mint: Mint, typ: object, kind: str) -> None:
        assert mint.refuses(mint.forged(kind, header={"typ": typ}))
        assert mint.refuses(mint.forged(kind, without=("typ",)))

    def test_a_swapped_typ_makes_no_other_kind_of_token(self, mint: Mint) -> None:
        assert mint.refuses(mint.forged("access", header={"typ": "rt+jwt"}))
        assert mint.refuses(mint.forged("refresh", header={"typ": "at+jwt"}))
        assert not mint.takes(mint.genuine("refresh"), "access")
        assert not mint.takes(mint.genuine("access"), "refresh")
        # The right use or the right audience under it is refused, too.
        for name in ("token_use", "aud"):
            access, refresh = (claims_of(mint.genuine(kind))[name] for kind in KINDS)
            assert mint.refuses(mint.forged("access", header={"typ": "rt+jwt"}, claims={name: refresh}))
            assert mint.refuses(mint.forged("refresh", header={"typ": "at+jwt"}, claims={name: access}))
            assert mint.refuses(mint.forged("access", claims={name: refresh}))
            assert mint.refuses(mint.forged("refresh", claims={name: access}))

    @pytest.mark.parametrize(
        "kid",
        [
            *("", "0", "../../../../dev/null", "/dev/null", "file:///etc/passwd", "' OR 1=1 --", "x" * 4000),
            *(None, 7, True, ["kid"], {"kid": "kid"}, "\0", "\ud800", "é"),
        ],
    )
    def test_another_kid(self, mint: Mint, kid: object) -> None:
        assert mint.refuses(mint.forged(header={"kid": kid}))
        assert mint.refuses(mint.forged(header={"kid": kid, "alg": "HS256"}, sign=hmac_signer(b"")))

    def test_a_missing_kid(self, public_mint: Mint) -> None:
        assert public_mint.refuses(public_mint.forged(without=("kid",)))

    @pytest.mark.parametrize(
        "header",
        [
            {"crit": ["exp"]},
            {"crit": ["exp"], "exp": NOW + 60},
            {"crit": ["unknown"], "unknown": True},
            {"crit": []},
            {"crit": "b64"},
            {"crit": None},
            {"crit": [7]},
            {"crit": ["alg"]},
            {"crit": ["b64"]},
            {"b64": False},
            {"b64": False, "crit": ["b64"]},
        ],
        ids=str,
    )
    def test_a_critical_extension_that_we_do_not_know(self, mint: Mint, header: dict[str, object]) -> None:
        """RFC 7515, section 4.1.11: it is refused if unknown, empty or no list, even with our signature."""
        assert mint.refuses(mint.forged(header=header))

    def test_an_unencoded_payload(self, mint: Mint) -> None:
        """RFC 7797: the signature is over the bare payload, which is in the token or outside it."""
        genuine = mint.genuine()
        payload = json.dumps(claims_of(genuine)).encode()
        head = b64(json.dumps(header_of(genuine) | {"b64": False, "crit": ["b64"]}).encode())
        signature = b64(mint.sign(head.encode() + b"." + payload))
        for middle in ("", b64(payload), payload.decode()):
            assert mint.refuses(f"{head}.{middle}.{signature}")

    def test_keys_that_the_token_brings_or_points_to_are_not_looked_at(self, public_mint: Mint) -> None:
        stranger = private_key(public_mint.algorithm, 1)
        (jwk,) = KeyRing(stranger).jwks()["keys"]
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            url = f"http://127.0.0.1:{server.getsockname()[1]}/keys.json"
            for names in (
                {"jwk": jwk},
                {"jku": url},
                {"x5u": url},
                {"x5c": ["MIIB"]},
                {"jku": url, "x5u": url, "jwk": jwk},
                {"jwk": 7, "jku": 7, "x5u": 7},
            ):
                for kid in ({}, {"kid": jwk["kid"]}, {"kid": url}):
                    header: dict[str, object] = {**names, **kid}
                    assert public_mint.refuses(public_mint.forged(header=header, sign=signer(stranger)))
            with pytest.raises(BlockingIOError):
                server.accept()


class TestClaims:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize(
        "claim", ["iss", "aud", "sub", "iat", "exp", "jti", "sid", "auth_time", "phone_number", "token_use"]
    )
    def test_one_is_missing_or_of_a_wrong_type(self, mint: Mint, claim: str, kind: str) -> None:
        right = claims_of(mint.genuine(kind))[claim]
        assert mint.refuses(mint.forged(kind, without=(claim,)))
        wrong: list[object] = [None, True, [], {}, [right], {"": right}, 1.5, float(NOW), str(NOW)]
        wrong += ["not a number", float("nan"), float("inf")] if isinstance(right, int) else [NOW, 0]
        for value in wrong:
            if isinstance(right, str) and isinstance(value, str) and claim not in ("iss", "aud", "token_use"):
                continue
            assert mint.refuses(mint.forged(kind, claims={claim: value})), value

    @pytest.mark.parametrize("claim", ["phone_number_verified", "amr"])
    def test_how_the_phone_was_verified_is_missing_or_of_a_wrong_type(self, mint: Mint, claim: str) -> None:
        wrong: list[object] = [None, 7, "otp", {}]
        for value in wrong:
            assert mint.refuses(mint.forged(claims={claim: value}))
        assert mint.refuses(mint.forged(without=(claim,)))

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_foreign_issuer_or_audience(self, mint: Mint, kind: str) -> None:
        for name in ("iss", "aud"):
            right = claims_of(mint.genuine(kind))[name]
            for foreign in ("", "other", right + "/", right.upper(), f" {right}", [right], [right, "other"]):
                assert mint.refuses(mint.forged(kind, claims={name: foreign}))

    def test_tokens_of_another_issuer_or_audience_with_the_same_key(self) -> None:
        ours = mint_of("HS256")
        for variables in ({"JWT_ISSUER": "elsewhere"}, {"JWT_AUDIENCE": "elsewhere"}):
            theirs = Tokens.from_settings(make_settings(**variables)).issue(PhoneNumber(PHONE), SESSION)
            with pytest.raises(InvalidToken):
                ours.tokens.read_access(theirs.access_token, NOW)
            if "JWT_ISSUER" in variables:
                assert ours.refuses(theirs.refresh_token)

    def test_it_ends_with_the_second_of_its_exp(self, mint: Mint) -> None:
        for kind in KINDS:
            exp = claims_of(mint.genuine(kind))["exp"]
            assert mint.takes(mint.genuine(kind), kind, exp - 0.001)
            assert not mint.takes(mint.genuine(kind), kind, exp)
            assert not mint.takes(mint.genuine(kind), kind, exp + 1)

    def test_it_may_come_a_minute_from_the_future_and_no_more(self, mint: Mint) -> None:
        for kind in KINDS:
            assert mint.takes(mint.forged(kind, claims={"iat": NOW + 60}), kind)
            for ahead in (61, 3600, 10**12, 10**400):
                token = mint.forged(kind, claims={"iat": NOW + ahead, "exp": NOW + 10**401})
                assert mint.refuses(token)

    def test_numbers_beyond_reason(self, mint: Mint) -> None:
        genuine = mint.genuine()
        body = json.dumps(claims_of(genuine))
        for number in ("9" * 5000, "-" + "9" * 400, "1e999", "-1e999", "NaN", "Infinity", "1e1", "-0.0"):
            for name in ("exp", "iat", "auth_time"):
                value = str(claims_of(genuine)[name])
                text = body.replace(f'"{name}": {value}', f'"{name}": {number}')
                assert text != body
                token = jws(header_of(genuine), text.encode(), mint.sign)
                if (name, number) in (("iat", "-" + "9" * 400), ("auth_time", "-" + "9" * 400)):
                    continue
                assert mint.refuses(token), (name, number)


class TestShapes:
    def test_every_truncation(self, mint: Mint) -> None:
        for kind in KINDS:
            token = mint.genuine(kind)
            assert all(mint.refuses(token[:end]) for end in range(len(token)))
            assert all(mint.refuses(token[start:]) for start in range(1, len(token)))

    def test_more_or_fewer_parts(self, mint: Mint) -> None:
        head, body, signature = mint.genuine().split(".")
        for parts in (
            [head, body],
            [head, body, signature, ""],
            ["", head, body, signature],
            [head, body, signature, signature],
            [head, body, body, signature],
            [head, "", signature],
            ["", body, signature],
            [head, signature, body],
            [body, head, signature],
        ):
            assert mint.refuses(".".join(parts))

    @pytest.mark.parametrize("size", [8193, 1_000_000])
    def test_a_token_too_long_to_be_ours(self, mint: Mint, size: int) -> None:
        assert mint.refuses("a" * size)
        assert mint.refuses("." * size)
        assert mint.refuses(mint.genuine() + "a" * size)
        assert mint.refuses(mint.forged(claims={"padding": "x" * size}))

    @pytest.mark.parametrize("depth", [100, 1000, 1900])
    def test_deep_nesting(self, mint: Mint, depth: int) -> None:
        head, body = header_of(mint.genuine()), claims_of(mint.genuine())
        deep = [b"[" * depth + b"]" * depth, b"[" * 3 * depth, b'{"a":' * depth + b"1" + b"}" * depth]
        for nest in deep:
            assert mint.refuses(jws(nest, body, mint.sign))
            assert mint.refuses(jws(head, nest, mint.sign))
            for name in ("sub", "aud", "exp", "iss"):
                inner = json.dumps(body | {name: 0}).replace(f'"{name}": 0', f'"{name}": {nest.decode()}')
                assert mint.refuses(jws(head, inner.encode(), mint.sign))
            outer = json.dumps(head | {"kid": 0}).replace('"kid": 0', f'"kid": {nest.decode()}')
            assert mint.refuses(jws(outer.encode(), body, mint.sign))

    def test_duplicate_members_win_nothing(self, mint: Mint) -> None:
        genuine = mint.genuine("refresh")
        head, body, signature = genuine.split(".")
        for name in ("alg", "typ", "kid"):
            for text in (
                json.dumps(header_of(genuine))[:-1] + f', "{name}": "none"}}',
                f'{{"{name}": "none", ' + json.dumps(header_of(genuine))[1:],
            ):
                bent = b64(text.encode())
                for tail in (signature, "", b64(b"\0" * 32)):
                    assert mint.refuses(f"{bent}.{body}.{tail}")
        for text in (
            json.dumps(claims_of(genuine))[:-1] + ', "sub": "somebody else"}',
            '{"phone_number": "+989350000000", ' + json.dumps(claims_of(genuine))[1:],
        ):
            assert mint.refuses(f"{head}.{b64(text.encode())}.{signature}")

    def test_our_signature_over_a_header_of_duplicates_is_read_one_way_only(self, mint: Mint) -> None:
        genuine = mint.genuine()
        for first, last in (("none", mint.algorithm), (mint.algorithm, "none")):
            head = header_of(genuine)
            del head["alg"]
            text = json.dumps(head)[:-1] + f', "alg": "{first}", "alg": "{last}"}}'
            token = jws(text.encode(), claims_of(genuine), mint.sign)
            assert mint.takes(token) == (last == mint.algorithm)
            assert mint.refuses(token.rsplit(".", 1)[0] + ".")

    @pytest.mark.parametrize(
        "extra", ["\0", "é", "\u200f", "\ud800", " ", "\n", "\t", "+", "/", "%3D", ",", "~"]
    )
    def test_a_character_that_no_token_has(self, mint: Mint, extra: str) -> None:
        token = mint.genuine()
        cuts = [0, 5, token.index("."), token.index(".") + 1, token.rindex("."), len(token) - 1, len(token)]
        for cut in cuts:
            assert mint.refuses(token[:cut] + extra + token[cut:])
            assert mint.refuses(token[:cut] + extra * 4 + token[cut:])
            assert mint.refuses(token[:cut] + extra + token[cut + 1 :])

    def test_padding_is_not_part_of_a_token(self, mint: Mint) -> None:
        """RFC 7515, section 2: base64url with all trailing ``=`` omitted, so each token has one form."""
        token = mint.genuine()
        head, body, signature = token.split(".")
        for padded in (
            f"{token}=",
            f"{token}==",
            f"{token}===",
            f"{head}{'=' * (-len(head) % 4) or '='}.{body}.{signature}",
            f"{head}.{body}{'=' * (-len(body) % 4) or '='}.{signature}",
        ):
            assert mint.refuses(padded)

    def test_another_format_of_the_same_signature(self, mint: Mint) -> None:
        """The last character has unused bits. Only one form of them is ours."""
        token = mint.genuine()
        others = set(string.printable) - {token[-1]}
        assert all(mint.refuses(token[:-1] + last) for last in others)


class TestMutations:
    @quick
    @given(data=st.data())
    def test_no_replaced_byte(self, mint: Mint, data: st.DataObject) -> None:
        token = mint.genuine(data.draw(st.sampled_from(KINDS)))
        at = data.draw(st.integers(0, len(token) - 1))
        byte = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != token[at]))
        assert mint.refuses(token[:at] + byte + token[at + 1 :])

    @quick
    @given(data=st.data())
    def test_no_flipped_bit(self, mint: Mint, data: st.DataObject) -> None:
        token = mint.genuine(data.draw(st.sampled_from(KINDS)))
        at = data.draw(st.integers(0, len(token) - 1))
        flipped = chr(ord(token[at]) ^ (1 << data.draw(st.integers(0, 7))))
        assert mint.refuses(token[:at] + flipped + token[at + 1 :])

    @quick
    @given(data=st.data())
    def test_no_removed_byte(self, mint: Mint, data: st.DataObject) -> None:
        token = mint.genuine(data.draw(st.sampled_from(KINDS)))
        at = data.draw(st.integers(0, len(token) - 1))
        assert mint.refuses(token[:at] + token[at + 1 :])

    @quick
    @given(data=st.data())
    def test_no_added_byte(self, mint: Mint, data: st.DataObject) -> None:
        token = mint.genuine(data.draw(st.sampled_from(KINDS)))
        at = data.draw(st.integers(0, len(token)))
        # Trailing padding has a test of its own.
        byte = data.draw(st.characters(max_codepoint=255).filter(lambda c: c != "="))
        assert mint.refuses(token[:at] + byte + token[at:])

    def test_no_part_of_one_token_in_another(self, mint: Mint) -> None:
        one, two = mint.genuine("access").split("."), mint.genuine("refresh").split(".")
        other = mint.forged(claims={"sub": "somebody else"}).split(".")
        for left, right in ((one, two), (two, one), (one, other), (other, one)):
            for at in range(3):
                mixed = ".".join(right[i] if i == at else left[i] for i in range(3))
                if mixed.split(".") not in (one, two, other):
                    assert mint.refuses(mixed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
HEADER_NAMES = ["alg", "typ", "kid", "crit", "b64", "jwk", "jku", "x5u", "cty", "zip", "enc"]
CLAIM_NAMES = [
    *("iss", "aud", "sub", "iat", "exp", "nbf", "jti", "sid", "auth_time", "phone_number"),
    *("phone_number_verified", "amr", "token_use"),
]


def only_invalid_token(call: Callable[[], object]) -> None:
    with suppress(InvalidToken):
        call()


class TestNothingButInvalidToken:
    def read(self, mint: Mint, token: str) -> None:
        only_invalid_token(lambda: mint.tokens.read_access(token, NOW))
        only_invalid_token(lambda: mint.tokens.read_refresh(token, NOW))
        assert mint.tokens.of_one_session(token, token) in (True, False)

    @quick
    @given(token=st.text() | st.text(alphabet=string.ascii_letters + ".=-_", max_size=60))
    def test_from_any_text(self, mint: Mint, token: str) -> None:
        assert mint.refuses(token)

    @quick
    @given(parts=st.lists(st.binary(max_size=60), min_size=3, max_size=3))
    def test_from_any_bytes_in_three_parts(self, mint: Mint, parts: list[bytes]) -> None:
        assert mint.refuses(".".join(b64(part) for part in parts))

    @quick
    @given(head=st.binary(max_size=40), body=st.binary(max_size=40))
    def test_from_any_bytes_under_our_signature(self, mint: Mint, head: bytes, body: bytes) -> None:
        assert mint.refuses(jws(head, body, mint.sign))
        assert mint.refuses(jws(header_of(mint.genuine()), body, mint.sign))

    @quick
    @given(
        header=st.dictionaries(st.sampled_from(HEADER_NAMES), json_values, max_size=4),
        claims=st.dictionaries(st.sampled_from(CLAIM_NAMES), json_values, max_size=6),
        kind=st.sampled_from(KINDS),
    )
    def test_from_any_header_and_claims_under_our_signature(
        self, mint: Mint, header: dict[str, Any], claims: dict[str, Any], kind: str
    ) -> None:
        self.read(mint, mint.forged(kind, claims=claims))
        self.read(mint, mint.forged(kind, header=header, claims=claims))

    @quick
    @given(body=json_values)
    def test_from_any_json_under_our_signature(self, mint: Mint, body: Any) -> None:
        assert mint.refuses(jws(header_of(mint.genuine()), json.dumps(body).encode(), mint.sign))


class TestOverHttp:
    @pytest.fixture
    def site(self, embedded_store: redis.Redis) -> Site:
        return Site(embedded_store, TOKEN_IP_LIMITS="10000/minute", **variables_of("ES256"))

    def test_forged_tokens_open_nothing_and_end_nothing(self, site: Site) -> None:
        pair = site.login()
        pem = public_bytes_of(private_key("ES256").public_key(), Encoding.PEM)
        signers: list[tuple[str, Signer]] = [
            ("none", lambda _: b""),
            ("HS256", hmac_signer(pem)),
            ("HS256", hmac_signer(SECRET_KEY.encode())),
            ("ES256", signer(private_key("ES256", 1))),
            ("ES256", lambda _: b"\0" * 64),
            ("EdDSA", signer(private_key("EdDSA"))),
        ]
        for alg, sign in signers:
            refresh, access = (
                jws(header_of(pair[name]) | {"alg": alg}, claims_of(pair[name]), sign)
                for name in ("refresh_token", "access_token")
            )
            assert problem_of(site.refresh(refresh)) == INVALID_TOKEN
            assert site.revoke(refresh).status_code == 204
            assert problem_of(site.me(access)) == INVALID_TOKEN
        assert len(session_keys(site.store)) == 1
        assert site.lives(pair["refresh_token"])

    @pytest.mark.parametrize("extra", ["\0", "é", "\ud800", "\u200f", ".", "..", "[" * 3000])
    def test_strange_characters_are_401_and_204(self, site: Site, extra: str) -> None:
        token = site.login()["refresh_token"]
        for strange in (extra, token + extra, extra + token):
            body = json.dumps({"refresh_token": strange})
            reply = site.client.post(REFRESH, data=body, content_type="application/json")
            assert problem_of(reply) == INVALID_TOKEN
            assert site.revoke(strange).status_code == 204
        assert site.lives(token)

    @pytest.mark.parametrize("extra", ["\0", "é", "ÿ", ".", "[" * 3000, "a" * 1_000_000])
    def test_strange_bearers_are_401(self, site: Site, extra: str) -> None:
        token = site.login()["access_token"]
        for strange in (extra, token + extra, extra + token):
            assert problem_of(site.me(strange)) == INVALID_TOKEN

    def test_a_megabyte_is_413_in_a_body(self, site: Site) -> None:
        for call in (site.refresh, site.revoke):
            assert problem_of(call("a" * 1_000_000)) == (413, "payload_too_large")

    def test_a_token_of_a_revoked_session_is_over_whatever_its_exp_says(self, site: Site) -> None:
        first = site.login()
        second = site.refreshed(first["refresh_token"])
        site.revoke(second["refresh_token"])
        for pair in (first, second):
            assert problem_of(site.refresh(pair["refresh_token"])) == INVALID_TOKEN
            assert site.tokens.read_refresh(pair["refresh_token"], claims_of(pair["refresh_token"])["iat"])
        assert session_keys(site.store) == []

    def test_tokens_of_one_kind_do_not_serve_as_the_other(self, site: Site) -> None:
        pair = site.login()
        assert problem_of(site.me(pair["refresh_token"])) == INVALID_TOKEN
        assert problem_of(site.refresh(pair["access_token"])) == INVALID_TOKEN
        assert site.lives(pair["refresh_token"])

    def test_a_foreign_key_id_in_a_session_id_is_refused_without_an_error(self, site: Site) -> None:
        """Our key signed it, but the id of its session names a secret that we do not have, or no secret."""
        genuine = site.login()["refresh_token"]
        for sid in ("", "x", "{}", "\0" * 16, claims_of(genuine)["sid"][:-4] + "AAAA", "}{:*" * 4, "é" * 16):
            bent = site.tokens._keys.sign(claims_of(genuine) | {"sid": sid}, "rt+jwt")
            assert problem_of(site.refresh(bent)) == INVALID_TOKEN
            assert site.revoke(bent).status_code == 204
        assert site.lives(genuine)

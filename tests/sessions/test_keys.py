"""The keys that sign, that are trusted and that are published. A change of keys logs no user out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from otp_gateway.settings import SettingsError
from otp_gateway.signing import KeyRing
from tests.conftest import SECRET_KEY, make_settings
from tests.sessions.forging import (
    ALGORITHMS,
    ASYMMETRIC,
    pem_of,
    private_key,
    public_pem_of,
    variables_of,
)
from tests.sessions.site import (
    INVALID_TOKEN,
    JWKS,
    Site,
    body_of,
    claims_of,
    header_of,
    pass_time,
    problem_of,
    session_keys,
)

NEW_SECRET = "another-tests-only-secret-key-of-some-length"
THIRD_SECRET = "a-third-tests-only-secret-key-of-some-length"
NO_LIMITS = {"TOKEN_IP_LIMITS": "10000/minute"}


def public_pem(algorithm: str, number: int = 0) -> str:
    return public_pem_of(private_key(algorithm, number).public_key())


def spellings(pem: str, folder: Path) -> dict[str, str]:
    """The ways to write a PEM into a variable."""
    path = folder / "key.pem"
    path.write_text(pem)
    return {
        "text": pem,
        "stripped": pem.strip(),
        "literal": pem.replace("\n", "\\n"),
        "carriage": pem.replace("\n", "\r\n"),
        "path": str(path),
    }


class TestSigning:
    def test_hs256_with_the_secret_is_the_default(self, embedded_store: redis.Redis) -> None:
        site = Site(embedded_store)
        pair = site.login()
        key = OctKey.import_key(SECRET_KEY)
        for name, typ in (("access_token", "at+jwt"), ("refresh_token", "rt+jwt")):
            assert header_of(pair[name]) == {"alg": "HS256", "typ": typ}
            assert jwt.decode(pair[name], key, algorithms=["HS256"]).claims == claims_of(pair[name])

    # RFC 9864 calls it Ed25519; few backends know that name yet.
    @pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_a_backend_needs_no_more_than_the_published_keys(
        self, embedded_store: redis.Redis, algorithm: str
    ) -> None:
        site = Site(embedded_store, **variables_of(algorithm))
        pair = site.login()
        keys = KeySet.import_key_set(site.client.get(JWKS).get_json())
        (jwk,) = body_of(site.client.get(JWKS))["keys"]
        for name, typ in (("access_token", "at+jwt"), ("refresh_token", "rt+jwt")):
            assert header_of(pair[name]) == {"alg": algorithm, "typ": typ, "kid": jwk["kid"]}
            assert jwt.decode(pair[name], keys, algorithms=[algorithm]).claims == claims_of(pair[name])
        again = site.refreshed(pair["refresh_token"])
        assert body_of(site.me(again["access_token"])) == pair["user"]
        assert site.revoke(again["refresh_token"]).status_code == 204
        assert session_keys(site.store) == []

    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_a_repeat_within_ten_seconds_has_the_same_claims(
        self, embedded_store: redis.Redis, algorithm: str
    ) -> None:
        site = Site(embedded_store, **variables_of(algorithm))
        token = site.login()["refresh_token"]
        one, two = site.refreshed(token), site.refreshed(token)
        for name in ("access_token", "refresh_token"):
            assert claims_of(one[name]) == claims_of(two[name])
        # ECDSA's signature follows from the claims too (RFC 6979).
        assert one == two

    @pytest.mark.parametrize("spelling", ["text", "stripped", "literal", "carriage", "path"])
    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_a_key_may_be_given_in_each_way(self, tmp_path: Path, algorithm: str, spelling: str) -> None:
        former = "ES256" if algorithm == "EdDSA" else "EdDSA"
        (tmp_path / "public").mkdir()
        private = spellings(pem_of(private_key(algorithm)), tmp_path)[spelling]
        public = spellings(public_pem(former), tmp_path / "public")[spelling]
        settings = make_settings(
            JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY=private, JWT_FORMER_PUBLIC_KEYS=public
        )
        assert isinstance(settings.signing_key, type(private_key(algorithm)))
        (key,) = settings.jwt_former_public_keys
        assert public_pem_of(key) == public_pem(former)

    def test_the_older_pem_formats_of_openssl_are_read(self) -> None:
        for algorithm in ("ES256", "RS256"):
            pem = private_key(algorithm).private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            )
            make_settings(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY=pem.decode())

    def test_keys_and_secrets_stay_out_of_the_repr(self) -> None:
        settings = make_settings(
            **variables_of("EdDSA"),
            JWT_FORMER_PUBLIC_KEYS=public_pem("ES256"),
            SECRET_KEY_FALLBACKS=NEW_SECRET,
        )
        assert not any(word in repr(settings) for word in (SECRET_KEY, NEW_SECRET, "PrivateKey", "BEGIN"))


class TestKid:
    def test_it_is_the_thumbprint_of_rfc_8037(self) -> None:
        """The key of appendix A.1, its public form of A.2, its thumbprint of A.3."""
        seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
        ring = KeyRing(ed25519.Ed25519PrivateKey.from_private_bytes(seed))
        (jwk,) = ring.jwks()["keys"]
        assert jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        assert header_of(ring.sign({}, "at+jwt"))["kid"] == jwk["kid"]

    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_it_is_what_another_library_computes(self, algorithm: str) -> None:
        published = KeyRing(private_key(algorithm)).jwks()
        (key,) = KeySet.import_key_set(published).keys  # type: ignore[arg-type]  # a plain dict of its TypedDict's shape
        assert key.thumbprint() == published["keys"][0]["kid"]

    def test_it_stays_the_same_over_restarts_and_differs_between_keys(self) -> None:
        kids = [KeyRing(private_key("EdDSA", n)).jwks()["keys"][0]["kid"] for n in (0, 0, 1)]
        assert kids[0] == kids[1] != kids[2]


class TestPublished:
    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_every_key_is_public_and_says_what_it_is_for(
        self, embedded_store: redis.Redis, algorithm: str
    ) -> None:
        everything = {
            "JWT_FORMER_PUBLIC_KEYS": "".join(public_pem(name, 1) for name in ASYMMETRIC),
            "SECRET_KEY_FALLBACKS": f"{NEW_SECRET},{THIRD_SECRET}",
        }
        reply = Site(embedded_store, **variables_of(algorithm), **everything).client.get(JWKS)
        assert (reply.status_code, reply.mimetype) == (200, "application/json")
        keys = body_of(reply)["keys"]
        assert [key["alg"] for key in keys] == [algorithm, *ASYMMETRIC]
        own = {"OKP": {"crv", "x"}, "EC": {"crv", "x", "y"}, "RSA": {"n", "e"}}
        for key in keys:
            assert set(key) == {"kty", "kid", "alg", "use"} | own[key["kty"]]
            assert key["use"] == "sig"
        assert len({key["kid"] for key in keys}) == 4
        for secret in (SECRET_KEY, NEW_SECRET, THIRD_SECRET):
            assert secret not in reply.text

    def test_with_shared_secrets_it_is_empty(self, embedded_store: redis.Redis) -> None:
        site = Site(embedded_store, SECRET_KEY_FALLBACKS=NEW_SECRET)
        assert body_of(site.client.get(JWKS)) == {"keys": []}

    def test_after_a_change_back_to_hs256_the_former_key_stands_alone_in_it(
        self, embedded_store: redis.Redis
    ) -> None:
        site = Site(embedded_store, JWT_FORMER_PUBLIC_KEYS=public_pem("EdDSA"))
        (key,) = body_of(site.client.get(JWKS))["keys"]
        assert key["alg"] == "EdDSA"

    def test_a_key_listed_twice_is_published_once(self, embedded_store: redis.Redis) -> None:
        """RFC 7517, section 4.5: keys within a set should have distinct ids."""
        site = Site(embedded_store, **variables_of("EdDSA"), JWT_FORMER_PUBLIC_KEYS=public_pem("EdDSA") * 2)
        assert len(body_of(site.client.get(JWKS))["keys"]) == 1

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_it_may_be_cached_and_asked_for_again(self, embedded_store: redis.Redis, algorithm: str) -> None:
        site = Site(embedded_store, **variables_of(algorithm))
        reply = site.client.get(JWKS)
        assert reply.cache_control.public
        assert 60 <= (reply.cache_control.max_age or 0) <= 3600
        assert not reply.cache_control.no_store
        tag = reply.headers["ETag"]
        again = site.client.get(JWKS, headers={"If-None-Match": tag})
        assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
        assert again.cache_control.max_age == reply.cache_control.max_age
        assert site.client.get(JWKS, headers={"If-None-Match": '"other"'}).status_code == 200
        # Workers and hosts agree on the tag, and other keys have another.
        assert Site(embedded_store, **variables_of(algorithm)).client.get(JWKS).headers["ETag"] == tag
        if algorithm != "HS256":
            other = Site(embedded_store, **variables_of(algorithm, 1)).client.get(JWKS)
            assert other.headers["ETag"] != tag

    def test_it_is_read_only_and_not_limited(self, embedded_store: redis.Redis) -> None:
        site = Site(embedded_store, TOKEN_IP_LIMITS="1/minute")
        assert {site.client.get(JWKS).status_code for _ in range(5)} == {200}
        assert problem_of(site.client.post(JWKS)) == (405, "method_not_allowed")
        assert not any(name.startswith("RateLimit") for name, _ in site.client.get(JWKS).headers)


class Former:
    """Sessions made by a gateway before its keys changed."""

    def __init__(self, store: redis.Redis, **variables: object) -> None:
        site = Site(store, **NO_LIMITS, **variables)
        self.pair, self.second, self.third = site.login(), site.login(), site.login()
        self.rotated = site.refreshed(self.third["refresh_token"])

    def passes(self, site: Site) -> None:
        """All tokens of the former gateway work as before."""
        user = self.pair["user"]
        # The id of a user survives every change of keys.
        assert body_of(site.me(self.pair["access_token"])) == user
        assert site.login()["user"] == user
        # The lost reply of a refresh just before the change.
        again = site.refreshed(self.third["refresh_token"])
        for name in ("access_token", "refresh_token"):
            assert claims_of(again[name]) == claims_of(self.rotated[name])
        # A refresh, and a chain of refreshes with the new key. Then the first token is used again.
        new = site.refreshed(self.pair["refresh_token"])
        assert claims_of(new["refresh_token"])["exp"] == claims_of(self.pair["refresh_token"])["exp"]
        assert body_of(site.me(new["access_token"])) == user
        newest = site.refreshed(new["refresh_token"])
        pass_time(site.store, 10)
        assert problem_of(site.refresh(self.pair["refresh_token"])) == INVALID_TOKEN
        assert problem_of(site.refresh(newest["refresh_token"])) == INVALID_TOKEN
        # A revoke.
        before = len(session_keys(site.store))
        assert site.revoke(self.second["refresh_token"]).status_code == 204
        assert len(session_keys(site.store)) == before - 1
        assert problem_of(site.refresh(self.second["refresh_token"])) == INVALID_TOKEN
        # The session of the rotated token is still valid.
        assert site.lives(self.rotated["refresh_token"])

    def fails(self, site: Site) -> None:
        """Every call with it fails, and these calls end no session."""
        before = session_keys(site.store)
        for pair in (self.pair, self.rotated):
            assert problem_of(site.me(pair["access_token"])) == INVALID_TOKEN
            assert problem_of(site.refresh(pair["refresh_token"])) == INVALID_TOKEN
            assert site.revoke(pair["refresh_token"]).status_code == 204
        assert session_keys(site.store) == before


def changed(store: redis.Redis, **variables: object) -> Site:
    return Site(store, **NO_LIMITS, **variables)


class TestChangeOfSecret:
    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_tokens_and_sessions_of_a_former_secret_still_pass(
        self, store: redis.Redis, algorithm: str
    ) -> None:
        signing = variables_of(algorithm)
        former = Former(store, **signing)
        former.passes(changed(store, SECRET_KEY=NEW_SECRET, SECRET_KEY_FALLBACKS=SECRET_KEY, **signing))

    def test_two_changes_later_they_pass_too(self, store: redis.Redis) -> None:
        former = Former(store)
        fallbacks = f" {NEW_SECRET} , {SECRET_KEY} ,"
        former.passes(changed(store, SECRET_KEY=THIRD_SECRET, SECRET_KEY_FALLBACKS=fallbacks))

    def test_a_change_back_finds_the_sessions_of_both(self, store: redis.Redis) -> None:
        old = Former(store)
        new = Former(store, SECRET_KEY=NEW_SECRET, SECRET_KEY_FALLBACKS=SECRET_KEY)
        back = changed(store, SECRET_KEY_FALLBACKS=NEW_SECRET)
        for former in (old, new):
            assert body_of(back.me(former.pair["access_token"])) == former.pair["user"]
            assert claims_of(back.refreshed(former.third["refresh_token"])["refresh_token"]) == claims_of(
                former.rotated["refresh_token"]
            )
            assert back.lives(former.pair["refresh_token"])
            assert back.revoke(former.second["refresh_token"]).status_code == 204
            assert not back.lives(former.second["refresh_token"])

    def test_workers_of_both_generations_serve_side_by_side(self, store: redis.Redis) -> None:
        old = changed(store, SECRET_KEY_FALLBACKS=NEW_SECRET)
        new = changed(store, SECRET_KEY=NEW_SECRET, SECRET_KEY_FALLBACKS=SECRET_KEY)
        token = old.login()["refresh_token"]
        for site in (new, old, new, new, old):
            token = site.refreshed(token)["refresh_token"]
        token = new.login()["refresh_token"]
        for site in (old, new, old):
            token = site.refreshed(token)["refresh_token"]

    @pytest.mark.parametrize("algorithm", ALGORITHMS)
    def test_without_fallbacks_no_session_passes(self, store: redis.Redis, algorithm: str) -> None:
        signing = variables_of(algorithm)
        former = Former(store, **signing)
        site = changed(store, SECRET_KEY=NEW_SECRET, **signing)
        if algorithm == "HS256":
            former.fails(site)
        else:
            # The signature is still right, but the gateway cannot find the session.
            assert problem_of(site.refresh(former.pair["refresh_token"])) == INVALID_TOKEN
            assert site.me(former.pair["access_token"]).status_code == 200
        former.passes(changed(store, SECRET_KEY=NEW_SECRET, SECRET_KEY_FALLBACKS=SECRET_KEY, **signing))

    def test_a_change_starts_the_ten_sessions_of_a_phone_anew_as_it_does_all_limits(
        self, store: redis.Redis
    ) -> None:
        old = changed(store)
        tokens = []
        for _ in range(10):
            tokens.append(old.login()["refresh_token"])
            pass_time(store, 1)
        new = changed(store, SECRET_KEY=NEW_SECRET, SECRET_KEY_FALLBACKS=SECRET_KEY)
        tokens.append(new.login()["refresh_token"])
        assert all(new.lives(token) for token in tokens)


class TestChangeOfKey:
    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_tokens_of_a_former_private_key_still_pass(self, store: redis.Redis, algorithm: str) -> None:
        former = Former(store, **variables_of(algorithm))
        public = public_pem(algorithm)
        site = changed(store, **variables_of(algorithm, 1), JWT_FORMER_PUBLIC_KEYS=public)
        kids = [key["kid"] for key in body_of(site.client.get(JWKS))["keys"]]
        assert header_of(former.pair["access_token"])["kid"] == kids[1]
        assert header_of(site.login()["access_token"])["kid"] == kids[0]
        former.passes(site)

    def test_several_former_keys_of_several_kinds_pass(self, store: redis.Redis) -> None:
        formers = [Former(store, **variables_of(algorithm)) for algorithm in ASYMMETRIC]
        publics = "\n\n".join(public_pem(algorithm) for algorithm in ASYMMETRIC)
        site = changed(store, **variables_of("EdDSA", 1), JWT_FORMER_PUBLIC_KEYS=publics)
        for former in formers:
            user = former.pair["user"]
            assert body_of(site.me(former.pair["access_token"])) == user
            assert site.refreshed(former.pair["refresh_token"])["user"] == user

    @pytest.mark.parametrize("algorithm", ASYMMETRIC)
    def test_without_it_they_are_refused(self, store: redis.Redis, algorithm: str) -> None:
        former = Former(store, **variables_of(algorithm))
        former.fails(changed(store, **variables_of(algorithm, 1)))
        other = "RS256" if algorithm == "EdDSA" else "EdDSA"
        former.fails(changed(store, **variables_of(algorithm, 1), JWT_FORMER_PUBLIC_KEYS=public_pem(other)))

    @pytest.mark.parametrize("secret", [SECRET_KEY, NEW_SECRET])
    def test_from_hs256_to_a_private_key_with_the_old_secret_listed(
        self, store: redis.Redis, secret: str
    ) -> None:
        former = Former(store)
        former.passes(
            changed(store, **variables_of("EdDSA"), SECRET_KEY=secret, SECRET_KEY_FALLBACKS=SECRET_KEY)
        )

    def test_from_hs256_to_a_private_key_without_it_they_are_refused(self, store: redis.Redis) -> None:
        former = Former(store)
        former.fails(changed(store, **variables_of("EdDSA")))
        former.fails(changed(store, **variables_of("EdDSA"), SECRET_KEY_FALLBACKS=NEW_SECRET))

    def test_from_a_private_key_back_to_hs256(self, store: redis.Redis) -> None:
        former = Former(store, **variables_of("ES256"))
        former.fails(changed(store))
        former.passes(changed(store, JWT_FORMER_PUBLIC_KEYS=public_pem("ES256")))


def encrypted() -> str:
    return (
        private_key("EdDSA")
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password"))
        .decode()
    )


def small_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505  # it must be refused


def other_kinds() -> list[Any]:
    return [
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(1024),  # noqa: S505  # as above
        ec.generate_private_key(ec.SECP384R1()),
    ]


def faults(**variables: object) -> dict[str, list[str]]:
    with pytest.raises(SettingsError) as caught:
        make_settings(**variables)
    text = str(caught.value)
    # The error message contains no piece of the given value.
    for value in map(str, variables.values()):
        for piece in value.replace("\\n", "\n").split():
            if len(piece) >= 16:
                assert piece not in text
                assert piece[:40] not in text
    assert list(caught.value.faults) == [name for name in caught.value.faults if name in text]
    return {name: list(texts) for name, texts in caught.value.faults.items()}


class TestFaults:
    def test_a_private_key_is_missing(self) -> None:
        for algorithm in ASYMMETRIC:
            assert list(faults(JWT_ALGORITHM=algorithm)) == ["JWT_PRIVATE_KEY"]
            assert list(faults(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY="")) == ["JWT_PRIVATE_KEY"]

    def test_a_key_for_another_algorithm(self) -> None:
        for algorithm in ALGORITHMS:
            for other in ASYMMETRIC:
                if other != algorithm:
                    key = pem_of(private_key(other))
                    assert list(faults(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY=key)) == ["JWT_PRIVATE_KEY"]

    def test_an_algorithm_that_is_not_offered(self) -> None:
        for name in ("none", "HS512", "RS512", "PS256", "ES256K", "eddsa", "hs256"):
            assert list(faults(JWT_ALGORITHM=name)) == ["JWT_ALGORITHM"]

    def test_an_rsa_key_of_1024_bits(self) -> None:
        key = small_rsa()
        assert list(faults(JWT_ALGORITHM="RS256", JWT_PRIVATE_KEY=pem_of(key))) == ["JWT_PRIVATE_KEY"]
        public = public_pem_of(key.public_key())
        assert list(faults(JWT_FORMER_PUBLIC_KEYS=public)) == ["JWT_FORMER_PUBLIC_KEYS"]
        assert list(faults(JWT_FORMER_PUBLIC_KEYS=public_pem("RS256") + public)) == ["JWT_FORMER_PUBLIC_KEYS"]

    def test_kinds_of_keys_that_are_not_supported(self) -> None:
        for key in other_kinds():
            private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
            public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
            for algorithm in ASYMMETRIC:
                found = faults(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY=private)
                assert list(found) == ["JWT_PRIVATE_KEY"]
            assert list(faults(JWT_FORMER_PUBLIC_KEYS=public)) == ["JWT_FORMER_PUBLIC_KEYS"]

    def test_an_encrypted_key(self, tmp_path: Path) -> None:
        path = tmp_path / "key.pem"
        path.write_text(encrypted())
        for value in (encrypted(), str(path)):
            (text,) = faults(JWT_ALGORITHM="EdDSA", JWT_PRIVATE_KEY=value)["JWT_PRIVATE_KEY"]
            assert "encrypted" in text

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        binary = tmp_path / "key.der"
        binary.write_bytes(bytes(range(256)))
        empty = tmp_path / "empty.pem"
        empty.write_text("")
        for path in (tmp_path / "missing.pem", tmp_path, binary, empty, tmp_path / ("x" * 300)):
            for name in ("JWT_PRIVATE_KEY", "JWT_FORMER_PUBLIC_KEYS"):
                assert list(faults(JWT_ALGORITHM="EdDSA", **{name: path})) in (
                    [name],
                    [name, "JWT_PRIVATE_KEY"],
                    ["JWT_PRIVATE_KEY", name],
                )

    @pytest.mark.parametrize("name", ["JWT_PRIVATE_KEY", "JWT_FORMER_PUBLIC_KEYS"])
    def test_a_mangled_key_is_not_repeated(self, name: str) -> None:
        pem = pem_of(private_key("RS256")) if name == "JWT_PRIVATE_KEY" else public_pem("RS256")
        head, *lines, tail = pem.strip().splitlines()
        body = "".join(lines)
        for mangled in (
            body,
            body[: len(body) // 2],
            f"{head}\n{body[:-40]}\n{tail}",
            f"{head}\n{body}",
            f"{head} {' '.join(lines)} {tail}",
            f"{head}\n{body[::-1]}\n{tail}",
            f"{head}\né{body}\n{tail}",
            f"{head}\n{tail}",
            f"{head}\n\0\n{tail}",
        ):
            if "\0" in mangled or name == "JWT_FORMER_PUBLIC_KEYS":
                variables = {name: mangled}
            else:
                variables = {"JWT_ALGORITHM": "RS256", name: mangled}
            if head + " " in mangled:
                # Some panels replace line ends by spaces: the value is read or refused, but not repeated.
                try:
                    make_settings(**variables)
                except SettingsError:
                    pass
                else:
                    continue
            assert name in faults(**variables)

    def test_a_private_key_where_a_public_one_belongs_and_the_other_way_round(self) -> None:
        for algorithm in ASYMMETRIC:
            private, public = pem_of(private_key(algorithm)), public_pem(algorithm)
            assert list(faults(JWT_FORMER_PUBLIC_KEYS=private)) == ["JWT_FORMER_PUBLIC_KEYS"]
            assert "JWT_PRIVATE_KEY" in faults(JWT_ALGORITHM=algorithm, JWT_PRIVATE_KEY=public)

    def test_what_is_no_public_key_among_public_ones_is_noticed(self) -> None:
        """If it were skipped, the operator would not know that a former key is not trusted."""
        first, second = public_pem("EdDSA"), public_pem("ES256")
        for mixed in (
            pem_of(private_key("ES256")) + first,
            first + pem_of(private_key("ES256")),
            # A panel has lost the last line.
            first + second[: second.index("-----END")],
            first + second.replace("\n", "")[:60],
        ):
            assert list(faults(JWT_FORMER_PUBLIC_KEYS=mixed)) == ["JWT_FORMER_PUBLIC_KEYS"]

    def test_a_former_secret_that_is_too_short(self) -> None:
        for text in ("x" * 31, f"{NEW_SECRET},{'y' * 20}"):
            assert list(faults(SECRET_KEY_FALLBACKS=text)) == ["SECRET_KEY_FALLBACKS"]

    def test_cookies_and_other_origins_do_not_go_together(self) -> None:
        found = faults(AUTH_COOKIES="true", CORS_ORIGINS="https://app.example.com")
        assert set(found) <= {"AUTH_COOKIES", "CORS_ORIGINS"}
        assert "AUTH_COOKIES" in json.dumps(found)

    def test_no_origin_is_a_wildcard_or_has_a_path(self) -> None:
        for text in (
            *("*", "null", "app.example.com", "https://app.example.com/", "https://*.example.com"),
            *("ftp://a.example", "https://", "https://u:p@a.example", "https://a.example:0"),
            *("https://a.example:port", "https://a.example?x", "https://a.example#x"),
        ):
            with pytest.raises(SettingsError) as caught:
                make_settings(CORS_ORIGINS=text)
            assert list(caught.value.faults) == ["CORS_ORIGINS"], text

    def test_the_audience_of_refresh_tokens_is_reserved(self) -> None:
        assert list(faults(JWT_AUDIENCE="otp-gateway/refresh")) == ["JWT_AUDIENCE"]

    def test_an_access_token_cannot_outlive_its_session(self) -> None:
        assert list(faults(JWT_ACCESS_TTL=100, JWT_REFRESH_TTL=99)) == ["JWT_ACCESS_TTL"]


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_the_same_claims_give_the_same_token(algorithm: str) -> None:
    ring = KeyRing(private_key(algorithm))
    assert len({ring.sign({"sub": "x", "iat": 1}, "at+jwt") for _ in range(5)}) == 1

"""The keys of tokens: one key signs, several keys are trusted (RFC 7515, RFC 7517, RFC 7638)."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, get_default_algorithms
from jwt.utils import der_to_raw_signature

from otp_gateway.errors import InvalidToken

SYMMETRIC = "HS256"
ASYMMETRIC = ("EdDSA", "ES256", "RS256")
MIN_RSA_BITS = 2048
# Members that identify a public key: RFC 7638, section 3.2, and RFC 8037, section 2.
THUMBPRINT_MEMBERS = {"OKP": ("crv", "kty", "x"), "EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n")}
# Our tokens are shorter than this. A longer text is not decoded.
MAX_TOKEN = 8192

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Key:
    """A key that checks signatures: a shared secret, or a public key with its thumbprint as ``kid``."""

    algorithm: str
    material: str | PublicKey = field(repr=False)
    kid: str | None = None

    @classmethod
    def public(cls, material: PublicKey) -> Self:
        """Make a public key with its only algorithm. Raises ``ValueError``."""
        algorithm = algorithm_of(material)
        return cls(algorithm, material, _thumbprint(_jwk(algorithm, material)))

    def jwk(self) -> dict[str, Any] | None:
        """The key in the form for backends. A shared secret has no such form: it is never published."""
        if isinstance(self.material, str):
            return None
        return _jwk(self.algorithm, self.material) | {
            "kid": self.kid,
            "alg": self.algorithm,
            "use": "sig",
        }


class _SameSignature(ECAlgorithm):
    """ES256 with signatures derived from the claims (RFC 6979): a repeated request gets equal tokens."""

    def sign(self, msg: bytes, key: Any) -> bytes:
        digest = ec.ECDSA(self.hash_alg(), deterministic_signing=True)
        return der_to_raw_signature(key.sign(msg, digest), key.curve)


_jws = jwt.PyJWS()
_jws.unregister_algorithm("ES256")
_jws.register_algorithm("ES256", _SameSignature(ECAlgorithm.SHA256))


class KeyRing:
    """Signs with one key. It trusts this key and some former keys, each only with its own algorithm."""

    def __init__(self, signing: str | PrivateKey, former: Iterable[str | PublicKey] = ()) -> None:
        """A key that is a string is a shared secret (HS256)."""
        self._signing = signing
        own = signing if isinstance(signing, str) else signing.public_key()
        keys = [Key(SYMMETRIC, key) if isinstance(key, str) else Key.public(key) for key in (own, *former)]
        # A key that is listed twice is one key.
        self._keys = list({key.kid or key.material: key for key in keys}.values())

    def sign(self, claims: dict[str, Any], token_type: str) -> str:
        """The compact JWS of the claims, with ``token_type`` as its ``typ``."""
        key = self._keys[0]
        headers = {"typ": token_type} | ({"kid": key.kid} if key.kid else {})
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return _jws.encode(payload, self._signing, key.algorithm, headers=headers)

    def read(self, token: str, token_type: str, *, issuer: str, audience: str) -> dict[str, Any]:
        """The claims of a token of this type. Signature, issuer and audience are checked; its times are not.

        Raises ``InvalidToken``.
        """
        try:
            # PyJWT ignores padding, but RFC 7515 forbids it: a token has only one form.
            if len(token) > MAX_TOKEN or "=" in token:
                raise InvalidToken
            header = jwt.get_unverified_header(token)
            if header.get("typ") != token_type:
                raise InvalidToken
            for key in self._keys:
                if (header.get("alg"), header.get("kid")) == (key.algorithm, key.kid):
                    claims = _claims(token, key, issuer, audience)
                    if claims is not None:
                        return claims
        # A hostile header or payload can be nested too deep, or be JSON that PyJWT does not expect.
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            pass
        raise InvalidToken

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys, as a JWK set. It is empty if the key is a shared secret."""
        return {"keys": [jwk for jwk in (key.jwk() for key in self._keys) if jwk]}


def _claims(token: str, key: Key, issuer: str, audience: str) -> dict[str, Any] | None:
    try:
        return jwt.decode(
            token,
            key.material,
            algorithms=[key.algorithm],
            issuer=issuer,
            audience=audience,
            # The caller checks the times, by Redis's clock if it has read this clock.
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "strict_aud": True},
        )
    except jwt.InvalidSignatureError:
        return None


def load_private(pem: str) -> PrivateKey:
    """The private key of a PEM text. Raises ``ValueError``."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), password=None)
    except (TypeError, UnsupportedAlgorithm):
        raise ValueError("the key is encrypted or of an unknown kind") from None
    if not isinstance(key, PrivateKey):
        raise ValueError("the key is not Ed25519, EC or RSA")
    algorithm_of(key.public_key())
    return key


def load_public(pems: str) -> list[PublicKey]:
    """The public keys of one or more PEM texts in one text. Raises ``ValueError``."""
    end = "-----END PUBLIC KEY-----"
    keys: list[PublicKey] = []
    *parts, rest = pems.split(end)
    if rest.strip():
        raise ValueError("what follows the last public key is none")
    for part in parts:
        key = serialization.load_pem_public_key(f"{part.strip()}\n{end}\n".encode())
        if not isinstance(key, PublicKey):
            raise ValueError("a key is not Ed25519, EC or RSA")
        algorithm_of(key)
        keys.append(key)
    if not keys:
        raise ValueError("no PEM public key in it")
    return keys


def algorithm_of(key: PublicKey) -> str:
    """The algorithm of a key. Raises ``ValueError`` if its curve or size is not supported."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "EdDSA"
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1):
            raise ValueError("of the EC curves only P-256 is supported")
        return "ES256"
    if key.key_size < MIN_RSA_BITS:
        raise ValueError(f"an RSA key must have {MIN_RSA_BITS} bits or more")
    return "RS256"


def _jwk(algorithm: str, key: PublicKey) -> dict[str, Any]:
    jwk: dict[str, Any] = json.loads(get_default_algorithms()[algorithm].to_jwk(key))
    return {name: jwk[name] for name in THUMBPRINT_MEMBERS[jwk["kty"]]}


def _thumbprint(jwk: dict[str, Any]) -> str:
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":")).encode()
    return urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()

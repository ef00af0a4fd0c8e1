"""Keys and forged tokens: JWS by hand (RFC 7515), without any JWT library."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from otp_gateway.signing import PrivateKey, PublicKey

Signer = Callable[[bytes], bytes]
ASYMMETRIC = ["EdDSA", "ES256", "RS256"]
ALGORITHMS = ["HS256", *ASYMMETRIC]


def private_key(algorithm: str, number: int = 0) -> PrivateKey:
    """A key for the algorithm, the same for the whole run; other numbers give other keys."""
    return _private_key(algorithm, number)


@functools.cache
def _private_key(algorithm: str, number: int) -> PrivateKey:
    del number  # it only makes the cached keys different
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048)


def pem_of(key: PrivateKey) -> str:
    """PKCS #8, without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def public_pem_of(key: PublicKey) -> str:
    return public_bytes_of(key, serialization.Encoding.PEM).decode()


def public_bytes_of(key: PublicKey, encoding: serialization.Encoding) -> bytes:
    return key.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def variables_of(algorithm: str, number: int = 0) -> dict[str, str]:
    """The settings that make the gateway sign like this."""
    if algorithm == "HS256":
        return {}
    return {"JWT_ALGORITHM": algorithm, "JWT_PRIVATE_KEY": pem_of(private_key(algorithm, number))}


def hmac_signer(secret: bytes) -> Signer:
    return lambda data: hmac.digest(secret, data, hashlib.sha256)


def signer(key: PrivateKey) -> Signer:
    """Signs as the key's algorithm says."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign
    if isinstance(key, rsa.RSAPrivateKey):
        return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())

    def es256(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return es256


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def jws(header: Mapping[str, object] | bytes, payload: Mapping[str, object] | bytes, sign: Signer) -> str:
    """A compact JWS of these exact bytes, or of these objects as JSON."""
    parts = [
        b64(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in (header, payload)
    ]
    data = ".".join(parts)
    return f"{data}.{b64(sign(data.encode()))}"

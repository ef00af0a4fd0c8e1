"""One-time codes, which are derived and never stored; and the keyed ids of phones and networks in Redis."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode

from otp_gateway.model import PhoneNumber, ProposedCode

NONCE_BYTES = 9
ID_BYTES = 16
REFERENCE_BITS = 62
KEY_ID_BYTES = 3
FINGERPRINT_BYTES = 8
# The first character of the nonce of a fixed code. Other nonces begin with a hexadecimal digit.
FIXED = "t"


class Codes:
    """Everything derived from ``SECRET_KEY``, except the tokens.

    A code consists of uniform digits of HMAC-SHA-256(key, pid, nonce). Redis holds the nonce and a keyed
    digest of (pid, code). So a resend can repeat a code, and an attacker who reads Redis learns no code.
    """

    def __init__(self, secret_key: str, length: int) -> None:
        """``length``: digits of a code.

        ``key_id`` names the secret in four characters, and reveals nothing else about it. The id of a session
        ends with it. So the gateway finds sessions that were made under a former secret.
        """
        self._length = length
        root = secret_key.encode()
        # Each use has its own key (HKDF-Expand with a single block, RFC 5869). So an output for one use has
        # no meaning for another use.
        self._keys = {
            use: hmac.digest(root, f"otp-gateway/v1/{use}\x01".encode(), "sha256")
            for use in (
                *("pid", "client", "code", "digest", "reference", "id", "panel", "check", "call"),
                *("challenge", "solution", "device"),
            )
        }
        self.key_id = _text(self._mac("id")[:KEY_ID_BYTES])

    def propose(self, phone: PhoneNumber) -> ProposedCode:
        """Propose a new code for the phone: a nonce from the system's CSPRNG, and the code's digest.

        The nonce begins with the number of digits. So after a change of ``OTP_LENGTH``, a resend does not
        repeat an active code of the former length.
        """
        nonce = f"{self._length:x}{random_id()}"
        return ProposedCode(nonce, self.digest(phone, self.derive(phone, nonce)))

    def propose_fixed(self, phone: PhoneNumber, code: str) -> ProposedCode:
        """Propose this code for the phone.

        Its nonce has a beginning of its own, so that no message repeats it.
        """
        return ProposedCode(f"{FIXED}{random_id()}", self.digest(phone, code))

    def derive(self, phone: PhoneNumber, nonce: str) -> str:
        """The code that belongs to the phone's nonce, in ASCII digits."""
        return self.derive_for(self.pid(phone), nonce)

    def derive_for(self, pid: str, nonce: str) -> str:
        """Derive the code by the phone's keyed hash, because the panel does not have the number."""
        space = 10**self._length
        # Rejection sampling: numbers above the last whole multiple of ``space`` would make low codes more
        # probable.
        ceiling = 2**64 - 2**64 % space
        for round_ in range(256):
            block = self._mac("code", pid, nonce, str(round_))
            for start in range(0, len(block), 8):
                number = int.from_bytes(block[start : start + 8])
                if number < ceiling:
                    return f"{number % space:0{self._length}d}"
        raise AssertionError("unreachable: each of 1,024 draws is accepted with a probability above 0.999")

    def digest(self, phone: PhoneNumber, code: str) -> str:
        """The keyed digest of a code for this phone, as Redis compares it."""
        return _text(self._mac("digest", self.pid(phone), code)[:ID_BYTES])

    def pid(self, phone: PhoneNumber) -> str:
        """The phone's keyed hash, which is in the names of its keys."""
        return _text(self._mac("pid", phone.e164)[:ID_BYTES])

    def client(self, network: str) -> str:
        """An opaque id of a client's network, for keys and logs."""
        return _text(self._mac("client", network)[:NONCE_BYTES])

    @property
    def panel_key(self) -> bytes:
        """The key that signs the panel's cookie."""
        return self._keys["panel"]

    @property
    def check_key(self) -> bytes:
        """The key that signs the check tokens."""
        return self._keys["check"]

    def challenge_keys(self, pid: str) -> tuple[bytes, bytes]:
        """The two keys that sign the challenges of one phone: the parameters, and the key that solves them.

        Each phone has its own keys. So a challenge is bound to its phone, and contains nothing about it.
        """
        return self._mac("challenge", pid), self._mac("solution", pid)

    def device_mac(self, pid: str, device: bytes) -> bytes:
        """The signature of a device token: ``device`` holds the token's time and id."""
        return self._mac("device", pid, device.hex())

    def reference(self, request: str) -> int:
        """The send's number at the provider: 62 bits that are derived from the request's id."""
        mac = self._mac("reference", request)
        return int.from_bytes(mac[:8]) >> (64 - REFERENCE_BITS)

    def call_id(self, route: str, phone: PhoneNumber, key: str | None, lane: str = "") -> str:
        """The id of one call: random, or the same for all requests of the phone and lane with this key."""
        if key is None:
            return random_id()
        return _text(self._mac("call", route, self.pid(phone), lane, key)[:NONCE_BYTES])

    def id_from(self, call_id: str, use: str) -> str:
        """An id that is derived from the id of a call, so that a repeated call makes the same id."""
        return _text(self._mac("call", use, call_id)[:NONCE_BYTES])

    def fingerprint(self, key: str | None, *parts: str) -> str:
        """A hash of eight bytes of a request's body; empty without an idempotency key."""
        return _text(self._mac("call", "body", *parts)[:FINGERPRINT_BYTES]) if key else ""

    def _mac(self, use: str, *parts: str) -> bytes:
        # No part contains a NUL. So different parts never give the same text.
        return hmac.digest(self._keys[use], "\0".join(parts).encode(), hashlib.sha256)


def session_id(codes: Codes, call_id: str) -> str:
    """The id of a session: derived from the id of its call. It ends with the id of the present secret."""
    return codes.id_from(call_id, "session") + codes.key_id


def key_id_of(session: str) -> str:
    """The id of the secret at the end of a session's id."""
    return session[-4 * KEY_ID_BYTES // 3 :]


def random_id() -> str:
    """A random id (72 bits, 12 characters of base64url), safe in keys and log entries."""
    return _text(secrets.token_bytes(NONCE_BYTES))


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()

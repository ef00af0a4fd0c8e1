"""Device tokens: they show that a client has signed in with a phone before.

A token is an HMAC of phone, id and time. The gateway stores no token. The key of the HMAC is derived from the
present secret, so a token of a former secret is not good. The operator can make the gateway forget all tokens
of a phone that were made before a time. Only Redis knows this time, so ``is_device`` in ``common.lua``
compares it.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Self

from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber, Policy

TIME_BYTES = 6
ID_BYTES = 9
MAC_BYTES = 15
# The number of bytes is a multiple of three. So different texts are different bytes, and there is no padding.
TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{(TIME_BYTES + ID_BYTES + MAC_BYTES) // 3 * 4}}}")
# Separates several tokens in one text. A browser keeps tokens of several phones in one cookie.
DIVIDER = "."
# The number of phones whose tokens a browser keeps.
REMEMBERED = 4
# The most tokens of a text that are read. A sibling subdomain can set a second cookie, which comes first.
MOST_READ = 4 * REMEMBERED


class Devices:
    """Makes device tokens and reads them. It does not call Redis."""

    def __init__(self, codes: Codes, lifetime: int) -> None:
        """``lifetime``: seconds for which a token is good; 0: there are no tokens."""
        self._codes = codes
        self.lifetime = lifetime

    @classmethod
    def of_policy(cls, codes: Codes, policy: Policy) -> Self:
        """Make it for this policy. Without a device lane, there are no tokens."""
        return cls(codes, policy.device_lifetime if policy.has_devices else 0)

    def create(self, phone: PhoneNumber, session_id: str, made_at_ms: int) -> str | None:
        """The token of a login. A repeated login gets the same token. None: there are no tokens."""
        if not self.lifetime:
            return None
        device_id = urlsafe_b64decode(self._codes.id_from(session_id, "device"))
        device = made_at_ms.to_bytes(TIME_BYTES) + device_id
        return urlsafe_b64encode(device + self._mac(phone, device)).decode()

    def made_at(self, tokens: str | None, phone: PhoneNumber, now_ms: int) -> int | None:
        """When the phone's newest good token was made, in ms of Redis's clock. None: no token is good.

        ``tokens``: one token, or several with dots between them. Everything that is not a good token of this
        phone is ignored: it has the same effect as no token.
        """
        if not tokens or not self.lifetime:
            return None
        oldest = now_ms - 1000 * self.lifetime
        made = (self._made_at(token, phone) for token in tokens.split(DIVIDER, MOST_READ)[:MOST_READ])
        return max((at for at in made if at is not None and at > oldest), default=None)

    def remembered(self, token: str, earlier: str, phone: PhoneNumber) -> str:
        """The tokens that a browser keeps after a login: the new one, then the newest of other phones."""
        others = [
            each
            for each in dict.fromkeys(earlier.split(DIVIDER, MOST_READ)[:MOST_READ])
            if TOKEN.fullmatch(each) and self._made_at(each, phone) is None
        ]
        return DIVIDER.join([token, *others][:REMEMBERED])

    def _made_at(self, token: str, phone: PhoneNumber) -> int | None:
        if not TOKEN.fullmatch(token):
            return None
        raw = urlsafe_b64decode(token)
        device, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(phone, device)):
            return None
        return int.from_bytes(device[:TIME_BYTES])

    def _mac(self, phone: PhoneNumber, device: bytes) -> bytes:
        return self._codes.device_mac(self._codes.pid(phone), device)[:MAC_BYTES]

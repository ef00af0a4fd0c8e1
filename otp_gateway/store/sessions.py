"""Sessions in Redis: rotate and revoke. ``verify.lua`` opens them."""

from __future__ import annotations

from collections.abc import Sequence

from otp_gateway.codes import Codes, key_id_of
from otp_gateway.errors import IdempotencyKeyReused, InvalidToken, RateLimited, StoreUnavailable
from otp_gateway.model import CHANNELS, Caller, PhoneNumber, Session
from otp_gateway.store import keys
from otp_gateway.store.codes import KEYED_MS
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Scripts, deadline

# For so many milliseconds after its use, a used refresh token gets its successors again.
GRACE_MS = 10_000
# The number of used tokens of a session that are remembered for so long. It bounds the session's size in
# Redis.
REMEMBERED = 8


class SessionStore:
    """The sessions of phones, and also the sessions that were made under former secrets.

    Every method makes one round trip. It raises ``StoreUnavailable`` if Redis does not answer in time. Then
    the action does not happen later either.
    """

    def __init__(self, scripts: Scripts, codes: Sequence[Codes]) -> None:
        """``codes``: one for the present secret, and one for each former secret."""
        self._scripts = scripts
        self._codes = {each.key_id: each for each in codes}

    def rotate(self, phone: PhoneNumber, session_id: str, refresh_id: str, caller: Caller) -> Session:
        """Use a refresh token, and return the session with the ids of its next tokens.

        A token that was used less than 10 s ago gets the same ids again. A token that was used earlier ends
        the session. With the same idempotency key, a token gets the same ids for 60 s, as long as the next
        refresh token is unused. Raises ``InvalidToken`` if the session is over, and ``RateLimited`` at the
        ninth refresh within 10 s.
        """
        codes, key = self._codes.get(key_id_of(session_id)), caller.idempotency_key
        if codes is None:
            raise InvalidToken
        names = keys.PhoneKeys(codes.pid(phone))
        call_id = codes.call_id("refresh", phone, key)
        tag, *rest = self._scripts.run(
            "rotate",
            [names.session(session_id), names.sessions, names.call(call_id)],
            [
                deadline(caller.clock),
                session_id,
                refresh_id,
                codes.id_from(call_id, "refresh"),
                codes.id_from(call_id, "access"),
                GRACE_MS,
                REMEMBERED,
                codes.fingerprint(key, refresh_id),
                KEYED_MS,
            ],
            CALL_TIMEOUT,
        )
        match tag, rest:
            case "rotated", [issued, login, call, refresh, access]:
                return Session(
                    id=session_id,
                    refresh_id=refresh.decode(),
                    access_id=access.decode(),
                    authenticated_at=login // 1000,
                    issued_at=issued // 1000,
                    channel=CHANNELS[call],
                )
            case "reused", _:
                raise IdempotencyKeyReused
            case "busy", [wait]:
                raise RateLimited(wait, "session")
            case (("ended" | "unknown"), _):
                raise InvalidToken
            case _:
                raise StoreUnavailable(LATE)

    def revoke(self, phone: PhoneNumber, session_id: str, caller: Caller) -> None:
        """End a session. If it has ended already, this has no effect."""
        codes = self._codes.get(key_id_of(session_id))
        if codes is None:
            return
        names = keys.PhoneKeys(codes.pid(phone))
        tag, *_ = self._scripts.run(
            "revoke",
            [names.session(session_id), names.sessions],
            [deadline(caller.clock), session_id],
            CALL_TIMEOUT,
        )
        if tag != "revoked":
            raise StoreUnavailable(LATE)

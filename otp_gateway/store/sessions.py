"""Sessions in Redis: rotate and revoke. ``verify.lua`` opens them."""

from __future__ import annotations

from collections.abc import Sequence

from otp_gateway.codes import Codes, key_id_of
from otp_gateway.errors import IdempotencyKeyReused, InvalidToken, RateLimited, StoreUnavailable
from otp_gateway.model import CHANNELS, Caller, PhoneNumber, Session
from otp_gateway.store import keys
from otp_gateway.store.codes import KEYED_MS
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Scripts, deadline

# Milliseconds after its use in which a spent refresh token gets its successors again.
GRACE_MS = 10_000
# Used tokens of a session that are remembered for so long: they bound its size in Redis.
REMEMBERED = 8


class SessionStore:
    """The sessions of phones, those made under former secrets included.

    Every method is one round trip and raises ``StoreUnavailable`` when Redis does not answer in time; what
    such a call asked for does not happen afterwards.
    """

    def __init__(self, scripts: Scripts, codes: Sequence[Codes]) -> None:
        """``codes``: of the present secret and of the former ones."""
        self._scripts = scripts
        self._codes = {each.key_id: each for each in codes}

    def rotate(self, phone: PhoneNumber, session_id: str, refresh_id: str, caller: Caller) -> Session:
        """Spend a refresh token; the session with its next token ids.

        A token spent less than 10 s ago gives the same ids again; one spent earlier ends the session. Raises
        ``InvalidToken`` if the session is over, ``RateLimited`` for a ninth refresh within 10 s. With one
        idempotency key it gives the same ids for 60 s, as long as the next refresh token is unused.
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
        """End a session, if it still lives."""
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

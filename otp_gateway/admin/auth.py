"""Who may see the panel: one password, sessions that can be ended, a lock after failures."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from flask import abort, request, session
from werkzeug.security import check_password_hash

from otp_gateway.store.scripts import available

IDLE_SECONDS = 1800
LONGEST_SECONDS = 8 * 3600
MAX_FAILURES = 5
LOCK_SECONDS = 900


class PanelLogin:
    """Logs in and out. The cookie holds a random id; whether it counts, Redis says."""

    def __init__(self, redis: Any, password_hash: str) -> None:
        """``redis``: a redis-py client of any kind."""
        self._redis = redis
        self._password_hash = password_hash

    def locked_for(self, network: str) -> int:
        """Seconds for which this network may not try; 0: it may."""
        with available():
            failures = int(self._redis.get(_failures(network)) or 0)
            return max(1, self._redis.ttl(_failures(network))) if failures >= MAX_FAILURES else 0

    def log_in(self, password: str, network: str) -> bool:
        """Open a session for the right password; a wrong one counts towards the lock."""
        with available():
            # Counted before it is compared: a hundred guesses at once are five.
            # In one step, so that the count never stands without an end.
            pipeline = self._redis.pipeline(transaction=True)
            pipeline.incr(_failures(network))
            pipeline.expire(_failures(network), LOCK_SECONDS)
            if pipeline.execute()[0] > MAX_FAILURES:
                return False
            if not check_password_hash(self._password_hash, password):
                return False
            self._redis.delete(_failures(network))
            session.clear()
            session["id"] = secrets.token_urlsafe(24)
            session["csrf"] = secrets.token_urlsafe(24)
            self._redis.set(_session(session["id"]), self._now(), ex=IDLE_SECONDS)
        return True

    def is_in(self) -> bool:
        """Whether the request's session is alive; asking keeps it so."""
        session_id = session.get("id")
        if not session_id:
            return False
        with available():
            opened = self._redis.get(_session(session_id))
            if opened is None or self._now() - int(opened) > LONGEST_SECONDS:
                return False
            self._redis.expire(_session(session_id), IDLE_SECONDS)
        return True

    def log_out(self) -> None:
        """End the session."""
        with available():
            self._redis.delete(_session(session.get("id", "")))
        session.clear()

    def _now(self) -> int:
        return int(self._redis.time()[0])


def csrf_token() -> str:
    """The session's token for its forms."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    token: str = session["csrf"]
    return token


def check_csrf() -> None:
    """400 unless the form carries the session's token."""
    given, expected = request.form.get("csrf", ""), session.get("csrf", "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        abort(400, "The form has expired. Go back, reload the page and try again.")


def _session(session_id: str) -> str:
    # A digest: whoever reads Redis cannot take the session over.
    digest = hmac.digest(b"panel", session_id.encode(), "sha256").hex()
    return f"admin:session:{digest}"


def _failures(network: str) -> str:
    return f"admin:failures:{network}"

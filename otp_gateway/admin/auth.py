"""The panel's login: one password, a session cookie, and a token for each form."""

from __future__ import annotations

import hmac
import secrets
import threading

from flask import abort, request, session
from werkzeug.security import check_password_hash

from otp_gateway.store.admin_sessions import AdminSessions

# A comparison takes about 32 MiB while it runs.
COMPARISONS = 2


class LoginBusy(Exception):
    """As many passwords are being compared as a worker may compare at a time."""


class PanelLogin:
    """Logs in and out. The cookie holds a random id; Redis decides whether the session is valid."""

    def __init__(self, sessions: AdminSessions, password_hash: str) -> None:
        self._sessions = sessions
        self._password_hash = password_hash
        self._comparisons = threading.BoundedSemaphore(COMPARISONS)

    def locked_for(self, network: str) -> int:
        """Seconds for which this network may not try; 0: it may."""
        return self._sessions.locked_for(network)

    def log_in(self, password: str, network: str) -> bool:
        """Open a session for the right password; a wrong one counts towards the lock.

        Raises ``LoginBusy`` at once, without counting anything.
        """
        if not self._comparisons.acquire(blocking=False):
            raise LoginBusy
        try:
            # Counted before it is compared: a hundred guesses at once are five.
            if not self._sessions.count_try(network):
                return False
            if not check_password_hash(self._password_hash, password):
                return False
        finally:
            self._comparisons.release()
        session_id = self._sessions.open(network)
        session.clear()
        session["id"] = session_id
        session["csrf"] = secrets.token_urlsafe(24)
        return True

    def is_in(self) -> bool:
        """Whether the request's session is valid; each look extends it."""
        session_id: str = session.get("id", "")
        return bool(session_id) and self._sessions.is_open(session_id)

    def log_out(self) -> None:
        """End the session."""
        self._sessions.close(session.get("id", ""))
        session.clear()


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

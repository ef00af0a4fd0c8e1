"""The panel's login: a name and a password, a session cookie, and a token for each form."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Sequence

from flask import abort, request, session
from werkzeug.security import check_password_hash

from otp_gateway.admin.language import t
from otp_gateway.settings.operators import Operator
from otp_gateway.store.admin_sessions import AdminSessions

# A comparison takes about 32 MiB while it runs.
COMPARISONS = 2


class LoginBusy(Exception):
    """The worker already compares as many passwords as it may compare at a time."""


class PanelLogin:
    """Logs in and out. The cookie holds a random id; Redis decides whether the session is valid."""

    def __init__(self, sessions: AdminSessions, operators: Sequence[Operator]) -> None:
        self._sessions = sessions
        self._operators = {operator.name.casefold(): operator for operator in operators}
        self._comparisons = threading.BoundedSemaphore(COMPARISONS)

    @property
    def has_names(self) -> bool:
        """Whether the login needs a name."""
        return any(self._operators)

    def locked_for(self, network: str) -> int:
        """For how many seconds this network may not try a password; 0 if it may try now."""
        return self._sessions.locked_for(network)

    def log_in(self, name: str, password: str, network: str) -> bool:
        """Open a session for the right password. A wrong password counts towards the lock.

        Raises ``LoginBusy`` at once; then the password is not counted.
        """
        if not self._comparisons.acquire(blocking=False):
            raise LoginBusy
        try:
            # It is counted before it is compared. So of a hundred simultaneous guesses, only five are
            # compared.
            if not self._sessions.count_try(network):
                return False
            operator = self._operators.get(name.strip().casefold())
            # A password is also compared for an unknown name. So the time does not show whether a name
            # exists.
            compared = operator or next(iter(self._operators.values()))
            if not check_password_hash(compared.password_hash, password) or operator is None:
                return False
        finally:
            self._comparisons.release()
        session_id = self._sessions.open(network)
        language = session.get("language")
        session.clear()
        session["id"] = session_id
        session["operator"] = operator.name
        session["key"] = _fingerprint(operator)
        session["csrf"] = secrets.token_urlsafe(24)
        if language:
            session["language"] = language
        return True

    def is_in(self, *, extend: bool = True) -> bool:
        """Whether the request's session is valid. This extends the session, except if ``extend`` is false.

        A session ends if its operator's name is removed, or if the password that opened it is changed.
        """
        session_id: str = session.get("id", "")
        operator = self._operators.get(operator_name().casefold())
        if not session_id or operator is None or session.get("key") != _fingerprint(operator):
            return False
        return self._sessions.is_open(session_id, extend=extend)

    def log_out(self) -> None:
        """End the session."""
        self._sessions.close(session.get("id", ""))
        session.clear()


def operator_name() -> str:
    """The name of the operator who is signed in; empty for the password without a name."""
    name: str = session.get("operator", "")
    return name


def _fingerprint(operator: Operator) -> str:
    return hashlib.sha256(operator.password_hash.encode()).hexdigest()[:12]


def csrf_token() -> str:
    """The CSRF token of the session, which its forms contain."""
    if "csrf" not in session:
        session["csrf"] = secrets.token_urlsafe(24)
    token: str = session["csrf"]
    return token


def check_csrf() -> None:
    """Answer 400 if the form does not contain the session's token."""
    given, expected = request.form.get("csrf", ""), session.get("csrf", "")
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        abort(400, t("mishap.form"))

"""Requests, and the complete record of their answers. Each answer is compared with the contract at once."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

from tests.long.site import Site

USR = "/api/v1/usr"
OTP, VERIFY = f"{USR}/otp", f"{USR}/otp/verify"
REFRESH, REVOKE, ME = f"{USR}/token/refresh", f"{USR}/token/revoke", f"{USR}/me"
# Longer than any answer may take. A request without an answer by then counts as unanswered.
TIMEOUT = 45.0
ERRORS = {
    400: {"invalid_request", "invalid_phone_number", "unsupported_destination", "invalid_code"},
    401: {"invalid_token"},
    404: {"not_found"},
    405: {"method_not_allowed"},
    413: {"payload_too_large"},
    415: {"unsupported_media_type"},
    429: {"too_many_attempts", "too_many_otp_requests", "rate_limited"},
    502: {"sms_failed"},
    503: {"store_unavailable", "sms_busy"},
    504: {"sms_unconfirmed"},
}
MEMBERS = {
    OTP: {"message", "phone_number", "expires_in", "resend_in"},
    VERIFY: {"access_token", "refresh_token", "token_type", "expires_in", "refresh_expires_in", "user"},
    REFRESH: {"access_token", "refresh_token", "token_type", "expires_in", "refresh_expires_in", "user"},
    ME: {"id", "phone_number"},
}


@dataclass
class Answer:
    """A request and its answer; status 0: the connection ended without one. Times are seconds since 1970."""

    host: int
    route: str
    phone: str
    began: float
    ended: float
    status: int
    code: str
    body: dict[str, Any]
    # The code that was guessed; for a send, the code in the phone's last message after it.
    guess: str = ""

    @property
    def outcome(self) -> str:
        """The error's code, or the status."""
        return self.code or str(self.status)


class Record:
    """Sends requests to the gateways of a site and keeps all of them, from any thread."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.answers: list[Answer] = []
        # Answers, or states of a session, that the contract does not allow.
        self.violations: list[str] = []
        self._ids = itertools.count()
        self._lock = threading.Lock()

    def call(
        self,
        route: str,
        body: object = None,
        *,
        address: str,
        method: str = "POST",
        phone: str = "",
        headers: dict[str, str] | None = None,
        guess: str = "",
        host: int | None = None,
    ) -> Answer:
        """One request on a connection of its own; ``body`` is JSON, or bytes as they are."""
        host = random.randrange(len(self.site.gateways)) if host is None else host
        request_id = f"soak-{next(self._ids):x}"
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = {
            "Content-Type": "application/json",
            "X-Forwarded-For": address,
            "X-Request-ID": request_id,
            "Connection": "close",
        } | (headers or {})
        began = time.time()
        connection = http.client.HTTPConnection("127.0.0.1", self.site.gateways[host].port, timeout=TIMEOUT)
        try:
            connection.request(method, route, data, fields)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            answer = Answer(host, route, phone, began, time.time(), 0, "", {}, guess)
        else:
            answer = self._answer((host, route, phone, began, guess), response, text, request_id=request_id)
        finally:
            connection.close()
        with self._lock:
            self.answers.append(answer)
        return answer

    def violation(self, text: str) -> None:
        """Record a violation of the contract."""
        with self._lock:
            self.violations.append(text)

    def _answer(
        self,
        about: tuple[int, str, str, float, str],
        response: http.client.HTTPResponse,
        text: bytes,
        *,
        request_id: str,
    ) -> Answer:
        host, route, phone, began, guess = about
        try:
            body = json.loads(text) if text else {}
        except ValueError:
            body = {"not JSON": text[:200].decode(errors="replace")}
        if response.status in (404, 405):
            route = "unmatched"
        answer = Answer(
            host, route, phone, began, time.time(), response.status, body.get("code", ""), body, guess
        )
        for fault in _faults(answer, response, request_id):
            self.violation(f"{fault}: {route} {response.status} {text[:200]!r}")
        return answer


def _faults(answer: Answer, response: http.client.HTTPResponse, request_id: str) -> list[str]:
    found = []
    if response.headers["X-Request-ID"] != request_id:
        found.append("another X-Request-ID")
    if answer.status in (429, 503) and not (response.headers["Retry-After"] or "").isdigit():
        found.append("no Retry-After")
    if answer.status == 200:
        if not MEMBERS[answer.route] <= answer.body.keys():
            found.append("a member is missing")
        if response.headers["Cache-Control"] != "no-store":
            found.append("it may be stored")
    elif answer.status != 204 or answer.route != REVOKE:
        if response.headers.get_content_type() != "application/problem+json":
            found.append("no problem document")
        if answer.code not in ERRORS.get(answer.status, set()) or answer.body.get("status") != answer.status:
            found.append("not a documented answer")
    return found


def any_address() -> str:
    """The address of some client, from the networks that are reserved for measurements."""
    return f"198.{random.choice((18, 19))}.{random.randrange(256)}.{random.randrange(1, 255)}"


def wrong(code: str | None) -> str:
    """Six digits, not those of the code."""
    return f"{(int(code or '0') + random.randrange(1, 10**6)) % 10**6:06d}"


def garbage(record: Record, address: str) -> None:
    """A request that no route accepts, or a text that is not a token."""
    huge = json.dumps({"phone_number": "0" * 9000}).encode()
    text = {"Content-Type": "text/plain"}
    kinds: list[dict[str, Any]] = [
        {"route": OTP, "body": b'{"phone_number":'},
        {"route": OTP, "body": {"phone_number": "+982112345678"}},
        {"route": OTP, "body": {"phone_number": "+14155552671"}},
        {"route": VERIFY, "body": {"phone_number": "+989123456789", "code": "12x"}},
        {"route": VERIFY, "body": [1, 2, 3]},
        {"route": VERIFY, "body": huge},
        {"route": REFRESH, "body": b"refresh_token=x", "headers": text},
        {"route": REFRESH, "body": {"refresh_token": "a.b.c"}},
        {"route": REVOKE, "body": {"refresh_token": "garbage"}},
        {"route": ME, "method": "GET", "headers": {"Authorization": "Bearer a.b.c"}},
        {"route": f"{USR}/nothing", "method": "GET"},
        {"route": OTP, "method": "GET"},
    ]
    record.call(**random.choice(kinds), address=address)

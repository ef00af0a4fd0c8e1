"""The panel's pages and actions. No script: every action is a form, and asks first."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, g, make_response, redirect, render_template, request, url_for
from flask_limiter import Limiter, RateLimitExceeded
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.auth import PanelLogin, check_csrf, csrf_token
from otp_gateway.admin.charts import summarise
from otp_gateway.api import rate_limit
from otp_gateway.api.problems import seconds
from otp_gateway.errors import InvalidPhoneNumber, SendFailed, StoreUnavailable, UnsupportedDestination
from otp_gateway.log import get_logger
from otp_gateway.model import Policy, Window
from otp_gateway.phones import PhoneParser
from otp_gateway.store.panel import PanelStore, PhoneState, is_pid
from otp_gateway.store.provider_account import Account, AccountStore
from otp_gateway.store.usage import SPANS, UsageStore

PREFIX = "/admin"
TOKENS = "/accounts/otptoken/"
PHONE = f"{TOKENS}<pid>/"
LOGIN_LIMIT = (Window(10, 60),)
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
OPEN = ("admin.login", "admin.log_in", "admin.static")
# What each action is called, what it does, and whether it can be undone.
ACTIONS = {
    "unlock": ("Unlock", "Clear the wrong tries and the failure budgets of this phone.", True),
    "void": ("Void the code", "The live code stops working. The person must ask for a new one.", True),
    "end-sessions": ("End sessions", "Every device that is signed in with this phone is signed out.", False),
}
# How many sends the provider is asked about.
ASKED = 3
# A path without a double slash, a backslash, or a dot segment.
PLAIN = re.compile(r"(?:/(?!\.)[A-Za-z0-9_.-]+)+/?")
# Request ids in, what became of the messages out; raises SendFailed.
Delivery = Callable[[Sequence[str]], Mapping[str, str]]
NOTHING = "There is nothing here."
logger = get_logger("otp_gateway.admin")


class Views:
    """One method a page or action."""

    def __init__(
        self,
        *,
        panel_login: PanelLogin,
        phones: PhoneParser,
        panel: PanelStore,
        usage: UsageStore,
        account: AccountStore,
        policy: Policy,
        delivery: Delivery | None,
        reveal: bool,
    ) -> None:
        """``delivery``: the provider's word on sends, by request id; None where it cannot be asked."""
        self._gatekeeper = panel_login
        self._phones = phones
        self._panel = panel
        self._usage = usage
        self._account = account
        self._policy = policy
        self._delivery = delivery
        self._reveal = reveal

    def blueprint(self, identify: Callable[[], None], limiter: Limiter) -> Blueprint:
        """The panel's routes. ``identify`` puts the client into ``g``."""
        admin = Blueprint(
            "admin", __name__, url_prefix=PREFIX, static_folder="static", template_folder="templates"
        )
        actions = f"<any({', '.join(repr(action) for action in ACTIONS)}):action>"
        for rule, method, view in (
            ("/", "GET", self.home),
            ("/login/", "GET", self.login),
            ("/login/", "POST", limiter.limit(rate_limit.notation(LOGIN_LIMIT))(self.log_in)),
            ("/logout/", "POST", self.log_out),
            (TOKENS, "GET", self.tokens),
            (TOKENS, "POST", self.search),
            (PHONE, "GET", self.phone),
            (f"{PHONE}code/", "POST", self.show_code),
            (f"{PHONE}delivery/", "POST", self.ask_provider),
            (f"{PHONE}{actions}/", "GET", self.confirm),
            (f"{PHONE}{actions}/", "POST", self.act),
            (f"{PHONE}undo/<undo>/", "POST", self.take_back),
            ("/usage/", "GET", self.show_usage),
        ):
            admin.add_url_rule(rule, view.__name__, view, methods=[method])
        admin.before_request(identify)
        admin.before_request(self.guard)
        admin.register_error_handler(StoreUnavailable, lambda _: _page("unavailable.html", status=503))
        admin.register_error_handler(RateLimitExceeded, self.too_often)
        admin.register_error_handler(HTTPException, _mishap)
        admin.after_request(_protect)
        admin.context_processor(
            lambda: {
                "csrf": csrf_token,
                "actions": ACTIONS,
                "policy": self._policy,
                "clock": _clock,
                "span": _span,
            }
        )
        return admin

    def guard(self) -> BaseResponse | None:
        """Nobody gets past the login page without a session, nor does a form without its token."""
        if request.endpoint in OPEN:
            return None
        if not self._gatekeeper.is_in():
            if request.method == "POST":
                return _page("expired.html", status=401)
            return redirect(url_for("admin.login", next=request.path))
        if request.method == "POST":
            check_csrf()
        return None

    def login(self) -> Response:
        return _page("login.html", next=_inside(request.args.get("next")))

    def log_in(self) -> BaseResponse:
        check_csrf()
        network, following = g.networks[-1], _inside(request.form.get("next"))
        if not self._gatekeeper.locked_for(network) and self._gatekeeper.log_in(
            request.form.get("password", ""), network
        ):
            _note("signed in")
            return redirect(following)
        _note("sign-in refused")
        return _refused(self._gatekeeper.locked_for(network), following)

    def too_often(self, _: RateLimitExceeded) -> Response:
        return _refused(seconds(g.admission.retry_after), _inside(request.form.get("next")))

    def log_out(self) -> BaseResponse:
        self._gatekeeper.log_out()
        return redirect(url_for("admin.login"))

    def home(self) -> BaseResponse:
        return redirect(url_for("admin.tokens"))

    def tokens(self) -> Response:
        page = self._panel.page(request.args.get("cursor"))
        return _page("tokens.html", page=page, account=self._credit())

    def search(self) -> BaseResponse:
        # The number travels in a form, never in an address, which browsers and proxies keep.
        try:
            phone = self._phones.parse(request.form.get("phone", ""))
        except (InvalidPhoneNumber, UnsupportedDestination) as error:
            page = self._panel.page(None)
            return _page("tokens.html", status=400, page=page, account=self._credit(), fault=error.detail)
        return redirect(url_for("admin.phone", pid=self._panel.pid(phone)))

    def phone(self, pid: str) -> Response:
        done, undo = request.args.get("done"), request.args.get("undo")
        state = self._known(pid)
        if undo and state.masked is None:
            # A voided code has taken the number with it.
            state = replace(state, masked=self._panel.masked_in(pid, undo))
        return self._phone(state, done=done, undo=undo)

    def show_code(self, pid: str) -> Response:
        if not self._reveal:
            abort(404, NOTHING)
        state = self._known(pid)
        _note("code revealed", pid=pid, phone=state.masked)
        return self._phone(state, code=self._panel.code(state))

    def ask_provider(self, pid: str) -> Response:
        if self._delivery is None:
            abort(404, NOTHING)
        state = self._known(pid)
        asked = [send.send_id for send in state.sends[-ASKED:]]
        answers = dict.fromkeys(asked, "Unknown: the provider does not answer")
        if asked:
            with suppress(SendFailed):
                answers |= self._delivery(asked)
        return self._phone(state, delivered=answers)

    def confirm(self, pid: str, action: str) -> Response:
        title, effect, undoable = ACTIONS[action]
        return _page("confirm.html", state=self._known(pid), title=title, effect=effect, undoable=undoable)

    def act(self, pid: str, action: str) -> BaseResponse:
        state = self._known(pid)
        undo = None
        match action:
            case "unlock":
                undo = self._panel.unlock(pid)
            case "void":
                undo = self._panel.void(pid)
            case _:
                self._panel.end_sessions(pid)
        done = action if undo or not ACTIONS[action][2] else "nothing"
        _note(action, pid=pid, phone=state.masked, outcome=done)
        return redirect(url_for("admin.phone", pid=pid, done=done, undo=undo))

    def take_back(self, pid: str, undo: str) -> BaseResponse:
        state = self._known(pid)
        done = "undone" if self._panel.undo(pid, undo) else "too-late"
        _note(done, pid=pid, phone=state.masked)
        return redirect(url_for("admin.phone", pid=pid, done=done))

    def show_usage(self) -> Response:
        spans = [(span, summarise(span, self._usage.read(span))) for span in SPANS]
        return _page("usage.html", spans=spans, account=self._credit())

    def _phone(self, state: PhoneState, **more: Any) -> Response:
        return _page(
            "phone.html",
            state=state,
            locked=self._panel.locked_clients(state.pid),
            reveal=self._reveal,
            askable=self._delivery is not None,
            **more,
        )

    def _known(self, pid: str) -> PhoneState:
        if not is_pid(pid):
            abort(404, NOTHING)
        return self._panel.phone(pid)

    def _credit(self) -> Account | None:
        return self._account.current()


def _refused(wait: int, following: str) -> Response:
    """The login page again; ``wait``: seconds until a right password would do, 0 for now."""
    status = 429 if wait else 403
    response = _page("login.html", status=status, minutes=-(-wait // 60), failed=True, next=following)
    if wait:
        response.headers["Retry-After"] = str(wait)
    return response


def _mishap(error: HTTPException) -> Response:
    """A form that has expired, a phone that cannot be: in words, with a way back."""
    return _page("mishap.html", status=error.code or 500, words=error.description)


def _page(template: str, *, status: int = 200, **values: Any) -> Response:
    response = make_response(render_template(f"admin/{template}", **values), status)
    if status == 503:
        response.headers["Retry-After"] = "5"
    return response


def _protect(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cache-Control"] = "no-cache" if request.endpoint == "admin.static" else "no-store"
    return response


def _inside(path: str | None) -> str:
    """The path if it is one of the panel's, else the list."""
    if path and path.startswith(f"{PREFIX}/") and PLAIN.fullmatch(path):
        return path
    return f"{PREFIX}{TOKENS}"


def _note(action: str, **values: Any) -> None:
    logger.info("admin", action=action, client=g.networks[-1], request_id=g.request_id, **values)


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(seconds: float) -> str:
    """A time left, as people say it: 4 min 05 s."""
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 60} min {whole % 60:02d} s" if whole >= 60 else f"{whole} s"

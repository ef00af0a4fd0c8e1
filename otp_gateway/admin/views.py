"""The panel's pages and actions. No script: every action is a form, and asks first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, abort, redirect, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.auth import LoginBusy, PanelLogin, check_csrf, csrf_token
from otp_gateway.admin.charts import summarise
from otp_gateway.admin.rendering import (
    PREFIX,
    TOKENS,
    busy_login,
    clock,
    inside,
    mishap,
    page,
    protect,
    refused_login,
    span,
)
from otp_gateway.api import context
from otp_gateway.api.problems import seconds
from otp_gateway.api.rate_limit import RateLimiter
from otp_gateway.errors import (
    InvalidPhoneNumber,
    RateLimited,
    SendFailed,
    StoreUnavailable,
    UnsupportedDestination,
)
from otp_gateway.gateway import Gateway
from otp_gateway.log import get_logger
from otp_gateway.model import Caller, Window
from otp_gateway.store.keys import is_pid
from otp_gateway.store.phone_state import PhoneState
from otp_gateway.store.provider_account import Account
from otp_gateway.store.usage import SPANS

PHONE = f"{TOKENS}<pid>/"
LOGIN_LIMIT = (Window(10, 60),)
OPEN = ("admin.login", "admin.log_in", "admin.static")
# What each action is called, what it does, and whether it can be undone.
ACTIONS = {
    "unlock": ("Unlock", "Clear the wrong tries and the failure budgets of this phone.", True),
    "void": ("Void the code", "The live code stops working. The person must ask for a new one.", True),
    "end-sessions": ("End sessions", "Every device that is signed in with this phone is signed out.", False),
}
# How many sends the provider is asked about.
ASKED = 3
NOTHING = "There is nothing here."
logger = get_logger("otp_gateway.admin")


class Views:
    """One method a page or action."""

    def __init__(self, gateway: Gateway, panel_login: PanelLogin) -> None:
        settings = gateway.settings
        self._panel_login = panel_login
        self._phones = gateway.phones
        self._states = gateway.phone_states
        self._actions = gateway.operator_actions
        self._usage = gateway.records.usage
        self._account = gateway.provider_account
        self._policy = settings.policy
        self._codes = gateway.codes
        # A lookup has no localid by which the provider could be queried.
        self._reports = None if settings.kavenegar_template else gateway.reports
        self._reveal = settings.admin_reveal_codes

    def blueprint(self, identify: Callable[[], None], limiter: RateLimiter) -> Blueprint:
        """The panel's routes. ``identify`` puts the client into the request's context."""
        admin = Blueprint(
            "admin", __name__, url_prefix=PREFIX, static_folder="static", template_folder="templates"
        )
        actions = f"<any({', '.join(repr(action) for action in ACTIONS)}):action>"
        for rule, method, view in (
            ("/", "GET", self.home),
            ("/login/", "GET", self.login),
            ("/login/", "POST", limiter.limit(LOGIN_LIMIT)(self.log_in)),
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
        admin.register_error_handler(StoreUnavailable, lambda _: page("unavailable.html", status=503))
        admin.register_error_handler(RateLimited, self.too_often)
        admin.register_error_handler(HTTPException, mishap)
        admin.after_request(protect)
        admin.context_processor(
            lambda: {
                "csrf": csrf_token,
                "actions": ACTIONS,
                "policy": self._policy,
                "clock": clock,
                "span": span,
            }
        )
        return admin

    def guard(self) -> BaseResponse | None:
        """Nobody gets past the login page without a session, nor does a form without its token."""
        if request.endpoint in OPEN:
            return None
        if not self._panel_login.is_in():
            if request.method == "POST":
                return page("expired.html", status=401)
            return redirect(url_for("admin.login", next=request.path))
        if request.method == "POST":
            check_csrf()
        return None

    def login(self) -> Response:
        return page("login.html", next=inside(request.args.get("next")))

    def log_in(self, caller: Caller) -> BaseResponse:
        check_csrf()
        network, following = caller.client, inside(request.form.get("next"))
        try:
            if not self._panel_login.locked_for(network) and self._panel_login.log_in(
                request.form.get("password", ""), network
            ):
                _note("signed in")
                return redirect(following)
        except LoginBusy:
            return busy_login(following)
        _note("sign-in refused")
        return refused_login(self._panel_login.locked_for(network), following)

    def too_often(self, _: RateLimited) -> Response:
        admission = context.current().admission
        wait = seconds(admission.retry_after if admission else 0)
        return refused_login(wait, inside(request.form.get("next")))

    def log_out(self) -> BaseResponse:
        self._panel_login.log_out()
        return redirect(url_for("admin.login"))

    def home(self) -> BaseResponse:
        return redirect(url_for("admin.tokens"))

    def tokens(self) -> Response:
        found = self._states.page(request.args.get("cursor"))
        return page("tokens.html", page=found, account=self._credit())

    def search(self) -> BaseResponse:
        # The number travels in a form, never in an address, which browsers and proxies keep.
        try:
            phone = self._phones.parse(request.form.get("phone", ""))
        except (InvalidPhoneNumber, UnsupportedDestination) as error:
            found = self._states.page(None)
            return page("tokens.html", status=400, page=found, account=self._credit(), fault=error.detail)
        return redirect(url_for("admin.phone", pid=self._states.pid(phone)))

    def phone(self, pid: str) -> Response:
        done, undo = request.args.get("done"), request.args.get("undo")
        state = self._known(pid)
        if undo and state.masked is None:
            # A voided code has taken the number with it.
            state = replace(state, masked=self._actions.masked_in(pid, undo))
        return self._phone(state, done=done, undo=undo)

    def show_code(self, pid: str) -> Response:
        if not self._reveal:
            abort(404, NOTHING)
        state = self._known(pid)
        _note("code revealed", pid=pid, phone=state.masked)
        return self._phone(state, code=self._states.code(state))

    def ask_provider(self, pid: str) -> Response:
        if self._reports is None:
            abort(404, NOTHING)
        state = self._known(pid)
        asked = [send.send_id for send in state.sends[-ASKED:]]
        answers = dict.fromkeys(asked, "Unknown: the provider does not answer")
        if asked:
            with suppress(SendFailed):
                answers |= self._reports.deliveries_of(asked, self._codes)
        return self._phone(state, delivered=answers)

    def confirm(self, pid: str, action: str) -> Response:
        title, effect, undoable = ACTIONS[action]
        return page("confirm.html", state=self._known(pid), title=title, effect=effect, undoable=undoable)

    def act(self, pid: str, action: str) -> BaseResponse:
        state = self._known(pid)
        undo = None
        match action:
            case "unlock":
                undo = self._actions.unlock(pid)
            case "void":
                undo = self._actions.void(pid)
            case _:
                self._actions.end_sessions(pid)
        done = action if undo or not ACTIONS[action][2] else "nothing"
        _note(action, pid=pid, phone=state.masked, outcome=done)
        return redirect(url_for("admin.phone", pid=pid, done=done, undo=undo))

    def take_back(self, pid: str, undo: str) -> BaseResponse:
        state = self._known(pid)
        done = "undone" if self._actions.undo(pid, undo) else "too-late"
        _note(done, pid=pid, phone=state.masked)
        return redirect(url_for("admin.phone", pid=pid, done=done))

    def show_usage(self) -> Response:
        spans = [(span, summarise(span, self._usage.read(span))) for span in SPANS]
        return page("usage.html", spans=spans, account=self._credit())

    def _phone(self, state: PhoneState, **more: Any) -> Response:
        return page(
            "phone.html",
            state=state,
            reveal=self._reveal,
            askable=self._reports is not None,
            **more,
        )

    def _known(self, pid: str) -> PhoneState:
        if not is_pid(pid):
            abort(404, NOTHING)
        return self._states.phone(pid)

    def _credit(self) -> Account | None:
        return self._account.current()


def _note(action: str, **values: Any) -> None:
    current = context.current()
    logger.info("admin", action=action, client=current.client, request_id=current.request_id, **values)

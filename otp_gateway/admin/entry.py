"""The panel login: login, logout, and the guard of all other pages."""

from __future__ import annotations

from flask import redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.auth import LoginBusy, PanelLogin, check_csrf
from otp_gateway.admin.parts import Part, Route, is_live, log
from otp_gateway.admin.rendering import busy_login, inside, page, refused_login
from otp_gateway.api import context
from otp_gateway.api.problems import seconds
from otp_gateway.api.rate_limit import RateLimiter
from otp_gateway.errors import RateLimited
from otp_gateway.gateway import Gateway
from otp_gateway.model import Caller, Window

LOGIN_LIMIT = (Window(10, 60),)
OPEN = ("admin.login", "admin.log_in", "admin.static")


class Entrance(Part):
    """Login, logout, and the guard of all other pages."""

    def __init__(self, gateway: Gateway, limiter: RateLimiter) -> None:
        super().__init__(gateway)
        self._login = PanelLogin(gateway.panel.sessions, gateway.settings.operators)
        self._limiter = limiter

    def routes(self) -> list[Route]:
        return [
            Route("/", "home", self.home),
            Route("/login/", "login", self.login),
            Route("/login/", "log_in", self._limiter.limit(LOGIN_LIMIT)(self.log_in), "POST"),
            Route("/logout/", "log_out", self.log_out, "POST"),
        ]

    def guard(self) -> BaseResponse | None:
        """Allow only the login page without a session. Refuse a form without its token."""
        if request.endpoint in OPEN:
            return None
        # A page that reloads itself must not keep a forgotten session open.
        if not self._login.is_in(extend=not is_live()):
            if request.method == "POST":
                return page("expired.html", status=401)
            return redirect(url_for("admin.login", next=request.path))
        if request.method == "POST":
            check_csrf()
        # The page then shows the events of this worker at once. It shows the events of other workers within
        # two seconds.
        self.gateway.records.recorder.flush()
        return None

    def home(self) -> BaseResponse:
        return redirect(url_for("admin.tokens"))

    def login(self) -> BaseResponse:
        return page("login.html", next=inside(request.args.get("next")), named=self._login.has_names)

    def log_in(self, caller: Caller) -> BaseResponse:
        check_csrf()
        network, following, form = caller.client, inside(request.form.get("next")), request.form
        named = self._login.has_names
        try:
            if not self._login.locked_for(network) and self._login.log_in(
                form.get("name", ""), form.get("password", ""), network
            ):
                self.note("signed in")
                return redirect(following)
        except LoginBusy:
            return busy_login(following, named=named)
        log("sign-in refused")
        return refused_login(self._login.locked_for(network), following, named=named)

    def too_often(self, _: RateLimited) -> BaseResponse:
        """The reply to an address that has used up the limit of the login."""
        admission = context.current().admission
        wait = seconds(admission.retry_after if admission else 0)
        return refused_login(wait, inside(request.form.get("next")), named=self._login.has_names)

    def log_out(self) -> BaseResponse:
        self._login.log_out()
        return redirect(url_for("admin.login"))

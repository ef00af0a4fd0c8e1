"""The list of phones, and the search."""

from __future__ import annotations

from typing import Any

from flask import redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.language import t
from otp_gateway.admin.parts import Part, Route
from otp_gateway.admin.rendering import TOKENS, page
from otp_gateway.errors import InvalidPhoneNumber, UnsupportedDestination
from otp_gateway.store.lane_state import STATES
from otp_gateway.store.phone_list import Filter, Wanted
from otp_gateway.store.recent_phones import Position
from otp_gateway.support.search import matcher, normal

SHOWN: tuple[Wanted, ...] = ("", *STATES, "not-sent")


class Codes(Part):
    """The panel's first page."""

    def routes(self) -> list[Route]:
        return [Route(TOKENS, "tokens", self.list), Route(TOKENS, "search", self.search, "POST")]

    def list(self) -> BaseResponse:
        wanted: Wanted = next((s for s in SHOWN if s == request.args.get("state")), "")
        text = request.args.get("q", "")
        matches = matcher(text, self.gateway.phones.country_code) if text else None
        if text and matches is None:
            return self._page(Filter(), status=400, typed="", fault=t("search.unreadable"))
        before = Position.parse(request.args.get("before", ""))
        return self._page(Filter(wanted, matches), before=before, typed=normal(text))

    def search(self) -> BaseResponse:
        # A full number is sent in a form and never in a URL, because browsers and proxies store URLs.
        typed = request.form.get("phone", "")
        try:
            phone = self.gateway.phones.parse(typed)
        except (InvalidPhoneNumber, UnsupportedDestination) as error:
            if matcher(typed, self.gateway.phones.country_code):
                return redirect(url_for("admin.tokens", q=normal(typed)))
            fault = t(f"search.{error.code}")
            return self._page(Filter(), status=400, typed=typed, fault=fault)
        pids = self.gateway.phone_pids(phone)
        return redirect(url_for("admin.phone", reference=".".join(pids)))

    def _page(self, wanted: Filter, *, before: Position | None = None, **values: Any) -> BaseResponse:
        found = self.gateway.panel.phone_list.page(wanted, before)
        return page(
            "codes.html",
            found=found,
            wanted=wanted,
            states=SHOWN,
            account=self.gateway.provider_account.current(),
            policy=self.gateway.settings.policy,
            **values,
        )

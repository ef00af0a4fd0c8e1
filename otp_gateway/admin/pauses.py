"""Pauses of prefixes and networks, and mutes of phones. Each has an expiry, and an operator can end it."""

from __future__ import annotations

import re

from flask import abort, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.actions import PHONE
from otp_gateway.admin.language import t
from otp_gateway.admin.parts import Part, Route
from otp_gateway.admin.rendering import page
from otp_gateway.phones import is_prefix
from otp_gateway.store.pauses import Kind

NETWORK = re.compile(r"[A-Za-z0-9_-]{12}")
KINDS: dict[str, Kind] = {"prefix": "prefix", "network": "network"}
TARGET = f"/pauses/<any({', '.join(KINDS)}):kind>/<target>/"
HOUR = 3600
# The choices of an operator, in hours.
HOURS = (1, 24, 168, 720)
USUAL = 24


class PausePages(Part):
    """Starts and ends pauses."""

    def routes(self) -> list[Route]:
        return [
            Route(TARGET, "confirm_pause", self.confirm),
            Route(TARGET, "pause", self.pause, "POST"),
            Route(f"{TARGET}end/", "end_pause", self.end, "POST"),
            Route(f"{PHONE}mute/", "confirm_mute", self.confirm_mute),
            Route(f"{PHONE}mute/", "mute", self.mute, "POST"),
            Route(f"{PHONE}unmute/", "unmute", self.unmute, "POST"),
        ]

    def confirm(self, kind: str, target: str) -> BaseResponse:
        return page(
            "pause.html", kind=_kind(kind, target), name=target, back=url_for("admin.traffic"), hours=HOURS
        )

    def pause(self, kind: str, target: str) -> BaseResponse:
        pause = self.gateway.panel.pauses.start(_kind(kind, target), target, _seconds())
        self.note("pause", target=target, until=pause.until)
        return redirect(url_for("admin.traffic", done="pause"))

    def end(self, kind: str, target: str) -> BaseResponse:
        ended = self.gateway.panel.pauses.end(_kind(kind, target), target)
        if ended:
            self.note("lift", target=target)
        return redirect(url_for("admin.traffic", done="lift" if ended else "nothing-lift"))

    def confirm_mute(self, reference: str) -> BaseResponse:
        state = self.known(reference)
        back = url_for("admin.phone", reference=reference)
        return page("pause.html", kind="phone", name=state.masked or "", back=back, hours=HOURS)

    def mute(self, reference: str) -> BaseResponse:
        state = self.known(reference)
        pause = self.gateway.panel.pauses.start("phone", state.pid, _seconds(), state.masked or "")
        self.note("mute", state, until=pause.until)
        return redirect(url_for("admin.phone", reference=reference, done="mute"))

    def unmute(self, reference: str) -> BaseResponse:
        state = self.known(reference)
        ended = self.gateway.panel.pauses.end("phone", state.pid)
        if ended:
            self.note("lift", state)
        return redirect(url_for("admin.phone", reference=reference, done="lift" if ended else "nothing-lift"))


def _kind(kind: str, target: str) -> Kind:
    """The kind of the pause. 404 if the target cannot be of this kind."""
    fits = is_prefix(target) if kind == "prefix" else NETWORK.fullmatch(target) is not None
    if not fits:
        abort(404, t("mishap.nothing"))
    return KINDS[kind]


def _seconds() -> int:
    """The duration of the pause, as the form has it."""
    text = request.form.get("hours", "")
    return HOUR * next((hours for hours in HOURS if str(hours) == text), USUAL)

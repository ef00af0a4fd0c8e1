"""Used by every page of the panel: the parts of the gateway, and the note of an action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import abort, request
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.auth import operator_name
from otp_gateway.admin.language import t
from otp_gateway.api import context
from otp_gateway.gateway import Gateway
from otp_gateway.log import get_logger
from otp_gateway.store.activity import Entry
from otp_gateway.store.keys import read_pids
from otp_gateway.store.phone_state import PhoneState

View = Callable[..., BaseResponse]
logger = get_logger("otp_gateway.admin")
LIVE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Route:
    """One route of the panel. ``endpoint`` is its name in templates."""

    rule: str
    endpoint: str
    view: View
    method: str = "GET"


class Part:
    """A page, or some pages that belong together."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def routes(self) -> list[Route]:
        """The routes of its pages and actions."""
        raise NotImplementedError

    def known(self, reference: str) -> PhoneState:
        """The state of the phone with these keyed hashes. 404 if the reference is invalid."""
        pids = read_pids(reference)
        if not pids:
            abort(404, t("mishap.nothing"))
        return self.gateway.panel.states.phone(pids)

    def note(self, action: str, state: PhoneState | None = None, *, undo: str = "", **target: Any) -> None:
        """Log an action, and add it to the activity log. ``target``: further fields of the entry."""
        masked = state.masked or "" if state else ""
        log(action, phone=masked, pid=state.pid if state else "", **target)
        self.gateway.panel.activity.add(
            Entry(
                action=action,
                operator=operator_name(),
                masked=masked,
                reference=state.reference if state else "",
                undo=undo,
                **target,
            )
        )


def log(action: str, **values: Any) -> None:
    """Write a log line about an action of an operator."""
    current = context.current()
    known = {name: value for name, value in values.items() if value}
    if operator_name():
        known["operator"] = operator_name()
    logger.info("admin", action=action, client=current.client, request_id=current.request_id, **known)


def is_live() -> bool:
    """Whether the page reloads itself, because the operator has turned that on."""
    return request.method == "GET" and request.args.get("live") == "1"

"""The page of one phone: the state of its user, its sends, and the actions that help."""

from __future__ import annotations

from typing import Any

from flask import abort, request
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.actions import ACTIONS
from otp_gateway.admin.language import t, words
from otp_gateway.admin.parts import Part, Route
from otp_gateway.admin.rendering import TOKENS, page
from otp_gateway.gateway import Gateway
from otp_gateway.store.operator_actions import UNDO_ID
from otp_gateway.store.phone_state import PhoneState
from otp_gateway.support.sends import sends_of
from otp_gateway.support.verdict import verdict

PHONE = f"{TOKENS}<reference>/"


class Phone(Part):
    """One phone."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__(gateway)
        self._reveal = gateway.settings.admin_reveal_codes

    def routes(self) -> list[Route]:
        return [
            Route(PHONE, "phone", self.show),
            Route(f"{PHONE}code/", "show_code", self.show_code, "POST"),
        ]

    def show(self, reference: str) -> BaseResponse:
        undo = request.args.get("undo", "")
        return self._page(
            self.known(reference),
            done=request.args.get("done"),
            undo=undo if UNDO_ID.fullmatch(undo) else None,
        )

    def show_code(self, reference: str) -> BaseResponse:
        if not self._reveal:
            abort(404, t("mishap.nothing"))
        state = self.known(reference)
        self.note("code revealed", state)
        lane = state.device
        return self._page(
            state,
            code=self._code(state.pid, state.nonce),
            lane_code=self._code(state.pid, lane.nonce) if lane else None,
        )

    def _code(self, pid: str, nonce: str | None) -> str | None:
        """The active code. None: it has another length than OTP_LENGTH, so no user can enter it."""
        if nonce is None or nonce[0] != f"{self.gateway.settings.otp_length:x}":
            return None
        return self.gateway.codes.derive_for(pid, nonce)

    def _page(self, state: PhoneState, **values: Any) -> BaseResponse:
        policy = self.gateway.settings.policy
        muted, deliveries = self.gateway.panel.muted_for(state), self.gateway.records.deliveries
        sends = sends_of(state, self.gateway.settings.sms_timeout)
        return page(
            "phone.html",
            state=state,
            verdict=verdict(state, policy, words(), muted=muted),
            muted=muted,
            sends=sends,
            delivered=deliveries.of_phone(state.pid, sends) if deliveries else None,
            policy=policy,
            actions=ACTIONS,
            reveal=self._reveal,
            **values,
        )

"""The actions of an operator on a phone. Each action is a form with a page that asks for confirmation."""

from __future__ import annotations

from dataclasses import dataclass

from flask import redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from otp_gateway.admin.parts import Part, Route, log
from otp_gateway.admin.rendering import TOKENS, page
from otp_gateway.store.phone_state import PhoneState

PHONE = f"{TOKENS}<reference>/"


@dataclass(frozen=True, slots=True)
class Action:
    """An action. Its words are ``action.<name>`` and ``action.<name>.effect``."""

    name: str
    undoable: bool


ACTIONS = {
    name: Action(name, undoable)
    for name, undoable in (
        ("unlock", True),
        ("clear-sends", False),
        ("void", True),
        ("end-sessions", False),
        ("forget-devices", False),
    )
}


class Actions(Part):
    """Confirms, carries out and undoes actions."""

    def routes(self) -> list[Route]:
        names = f"<any({', '.join(repr(name) for name in ACTIONS)}):action>"
        return [
            Route(f"{PHONE}{names}/", "confirm", self.confirm),
            Route(f"{PHONE}{names}/", "act", self.act, "POST"),
            Route(f"{PHONE}undo/<undo>/", "take_back", self.take_back, "POST"),
        ]

    def confirm(self, reference: str, action: str) -> BaseResponse:
        return page("confirm.html", state=self.known(reference), action=ACTIONS[action])

    def act(self, reference: str, action: str) -> BaseResponse:
        state = self.known(reference)
        forget = action == "end-sessions" and "forget_devices" in request.form
        if forget:
            # Devices are forgotten first, because this is more important: a token is valid for longer than a
            # session.
            self._carry_out(state, "forget-devices")
            self.note("forget-devices", state)
        undo, done = self._carry_out(state, action)
        if done:
            self.note(action, state, undo=undo or "")
        elif forget:
            # There was no session to end. But for the operator, the result of the whole action is more
            # important.
            action, done = "forget-devices", True
        else:
            log(action, pid=state.pid, phone=state.masked, outcome="nothing")
        return redirect(
            url_for(
                "admin.phone",
                reference=reference,
                done=action if done else f"nothing-{action}",
                undo=undo,
            )
        )

    def _carry_out(self, state: PhoneState, action: str) -> tuple[str | None, bool]:
        """Carry the action out. Return the id of the undo, and whether the action had an effect."""
        actions = self.gateway.panel.actions
        match action:
            case "unlock":
                undo = actions.unlock(state.pid)
            case "void":
                undo = actions.void(state.pid)
            case "clear-sends":
                return None, actions.clear_sends(state.pid)
            case "forget-devices":
                actions.forget_devices(state.pids)
                return None, True
            case _:
                return None, actions.end_sessions(state.pids)
        return undo, undo is not None

    def take_back(self, reference: str, undo: str) -> BaseResponse:
        state = self.known(reference)
        done = self.gateway.panel.actions.undo(state.pid, undo)
        if done:
            self.note("undone", self.known(reference))
        said = "undone" if done else "too-late"
        if request.form.get("from") == "activity":
            return redirect(url_for("admin.activity", done=said))
        return redirect(url_for("admin.phone", reference=reference, done=said))

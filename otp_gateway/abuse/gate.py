"""The send gate outside of Redis: foreign phones, and the errors of refused sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import phonenumbers

from otp_gateway.abuse.challenge import Challenges
from otp_gateway.credit import Decision, GateMode, gate_count
from otp_gateway.errors import ChallengeRequired, GatewayError, SendingPaused
from otp_gateway.log import get_logger
from otp_gateway.model import PhoneNumber
from otp_gateway.observer import Observer

logger = get_logger("otp_gateway.gate")


class Home:
    """The operator's first region. Each prefix of another region has its own bucket at the send gate."""

    def __init__(self, regions: Sequence[str]) -> None:
        """``regions``: as in ``OTP_REGIONS``. With ``*`` first, every prefix is foreign."""
        self._region = next(iter(regions), "*")
        code = phonenumbers.country_code_for_region(self._region)
        self._code = f"+{code}" if code else None
        # Several regions share a code, for example all of North America +1.
        self._shares = len(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code, ())) > 1

    def is_foreign(self, phone: PhoneNumber) -> bool:
        """Whether the phone is not of this region."""
        if self._code is None or not phone.e164.startswith(self._code):
            return True
        if not self._shares:
            return False
        region = phonenumbers.region_code_for_number(phonenumbers.parse(phone.e164))
        return bool(region != self._region)


def warn_of_budget(percent: int) -> None:
    """The messages have reached this share of the budget."""
    logger.warning("the send budget is being used up", share=f"{percent} %")


class SendGate:
    """Acts on the decisions that Redis makes: raises an error with a challenge, counts, and logs warnings."""

    def __init__(
        self,
        mode: GateMode,
        challenges: Challenges,
        observer: Observer,
        count: Callable[[str], None],
    ) -> None:
        """``count``: adds one to the count of a name, in the background."""
        self._mode = mode
        self._challenges = challenges
        self._observer = observer
        self._count = count

    def refusal(self, pid: str, decision: Decision, reason: str, step: int, now_ms: int) -> GatewayError:
        """The error of a refused send. ``step``: the difficulty of the challenge."""
        self.decided(decision)
        error: GatewayError
        if decision == "challenge":
            error = ChallengeRequired(self._challenges.create(pid, step, now_ms))
        else:
            error = SendingPaused(reason)
        error.gate = decision
        return error

    def decided(self, decision: Decision | None, percent: int = 0) -> None:
        """Count a decision. ``percent``: the percentage of the budget that this send has reached, or 0."""
        if percent:
            warn_of_budget(percent)
        if decision is not None:
            self._observer.gate_decision(self._mode, decision)
            self._count(gate_count(self._mode, decision))

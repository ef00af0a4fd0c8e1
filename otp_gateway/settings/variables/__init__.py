"""Every variable, declared once in the module of its group. ``.env.example`` is made from this."""

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.settings.variables.codes import CodeVariables
from otp_gateway.settings.variables.operation import OperationVariables
from otp_gateway.settings.variables.pages import PageVariables
from otp_gateway.settings.variables.sms import SmsVariables
from otp_gateway.settings.variables.store import StoreVariables
from otp_gateway.settings.variables.tokens import TokenVariables


# A dataclass collects fields from its last base to its first. So the first group of the example is the last
# base.
@dataclass(frozen=True, kw_only=True)
class Variables(
    OperationVariables,
    PageVariables,
    TokenVariables,
    CodeVariables,
    SmsVariables,
    StoreVariables,
):
    """The values of all variables. ``Settings`` adds the values that are derived from them."""

"""The tables of Kavenegar's numbers, compared with the same facts written as sets."""

from __future__ import annotations

from otp_gateway.errors import SendFailed, SmsFailed, SmsUnconfirmed
from otp_gateway.senders.kavenegar.codes import (
    DELIVERY_STATES,
    OTHER_ADVICE,
    RESULT_CODES,
    outcome,
    refusal,
    result_code,
    state_words,
)

CALLER = {411}
CONFIGURATION = {401, 403, 407, 412, 416, 418, 420, 424, 426, 427, 430, 432, 501, 607}
BUG = {400, 404, 405, 406, 413, 414, 415, 417, 419, 422, 428, 431}
TEMPORARY = {409, 429, 451}
ADVISED = {401, 403, 407, 409, 411, 412, 416, 418, 424, 426, 427, 430, 432, 451, 501}
SENT = {1, 2, 4, 5, 10}
NOT_SENT = {6, 14}


def expected(code: int) -> tuple[type[SendFailed], str]:
    """The class and the fault that the provider's document gives a code."""
    for fault, codes in (
        ("caller", CALLER),
        ("configuration", CONFIGURATION),
        ("bug", BUG),
        ("temporary", TEMPORARY),
    ):
        if code in codes:
            return SmsFailed, fault
    return SmsUnconfirmed, "temporary" if 500 <= code <= 599 else "unknown"


def test_every_code_of_three_digits_has_the_fault_and_the_certainty_of_the_providers_document() -> None:
    for code in (-1, *range(1000), 1000, 10**20):
        error = refusal(code)
        assert (type(error), error.fault) == expected(code), code
        assert (error.reason, error.provider_code) == ("refused", code)
        row = result_code(code)
        assert (row.fault, row.definite) == (error.fault, error.definite)


def test_only_listed_codes_have_advice_of_their_own() -> None:
    assert {code for code in range(1000) if result_code(code).advice != OTHER_ADVICE} == ADVISED


def test_every_listed_code_can_be_a_label_and_is_no_success() -> None:
    assert all(0 <= code <= 999 for code in RESULT_CODES)
    assert 200 not in RESULT_CODES


def test_every_delivery_state_has_an_outcome_and_words() -> None:
    for state in (None, *range(-1, 1000)):
        assert (outcome(state) == "sent") == (state in SENT), state
        assert (outcome(state) == "not sent") == (state in NOT_SENT), state
        assert (state_words(state, "x") == "State x") == (state not in DELIVERY_STATES), state

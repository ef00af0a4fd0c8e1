"""The device lane takes its failures from the phone's budget, so the guess probability does not change."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.conftest import make_settings


@pytest.mark.parametrize("days", [0, 1, 90, 400])
def test_both_lanes_together_have_exactly_the_phones_failures_for_every_setting(days: int) -> None:
    for per_phone in (*range(1, 301), 999, 1_000, 999_999, 1_000_000):
        settings = make_settings(
            OTP_DEVICE_DAYS=days,
            OTP_MAX_FAILURES_PER_PHONE=per_phone,
            OTP_MAX_GUESS_PROBABILITY=1,
            OTP_LENGTH=10,
        )
        policy = settings.policy
        reserved = min(10, per_phone // 5) if days else 0
        assert policy.device_failures == reserved
        assert policy.common_failures + policy.device_failures == per_phone
        # Clients without a token can never use up the reserved part, and always have the larger part.
        assert policy.common_failures >= 4 * policy.device_failures
        assert policy.common_failures >= 1
        assert policy.has_devices is (reserved > 0)


@pytest.mark.parametrize("per_client", [1, 10, 1_000_000])
@pytest.mark.parametrize("days", [0, 90])
def test_the_guess_probability_is_the_same_with_and_without_devices(days: int, per_client: int) -> None:
    settings = make_settings(OTP_DEVICE_DAYS=days, OTP_MAX_FAILURES_PER_CLIENT=per_client)
    assert settings.guess_probability == Decimal("0.0001")
    policy = settings.policy
    compared = policy.common_failures + policy.device_failures
    assert Decimal(2 * compared) / 10**6 == settings.guess_probability

"""A device token is valid for one phone, under one secret, for a time. Any other text counts as no token."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otp_gateway.abuse.devices import DIVIDER, MOST_READ, REMEMBERED, TOKEN, Devices
from otp_gateway.codes import Codes
from otp_gateway.model import PhoneNumber
from tests.conftest import SECRET_KEY

PHONE, OTHER = PhoneNumber("+989123456789"), PhoneNumber("+989351112233")
DAY_MS = 86_400_000
LIFETIME_MS = 90 * DAY_MS
NOW = 1_795_622_400_000
SESSION = "s" * 12 + "kkid"


def devices(secret: str = SECRET_KEY, lifetime_ms: int = LIFETIME_MS) -> Devices:
    return Devices(Codes(secret, 6), lifetime_ms // 1000)


def token(phone: PhoneNumber = PHONE, made_at: int = NOW, session: str = SESSION) -> str:
    made = devices().create(phone, session, made_at)
    assert made
    return made


def changed(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def test_a_token_says_when_it_was_made() -> None:
    assert devices().made_at(token(), PHONE, NOW + 1) == NOW


def test_a_token_is_short_and_opaque() -> None:
    made = token()
    assert TOKEN.fullmatch(made)
    assert len(made) <= 120
    assert PHONE.e164.strip("+") not in made
    assert SESSION not in made


def test_a_repeated_login_gives_the_same_token_and_another_login_another() -> None:
    assert token() == token()
    assert len({token(), token(session="t" * 16), token(made_at=NOW + 1), token(OTHER)}) == 4


@pytest.mark.parametrize("left", [1, 0, -1])
def test_a_token_is_good_for_its_lifetime_and_not_a_millisecond_longer(left: int) -> None:
    found = devices().made_at(token(), PHONE, NOW + LIFETIME_MS - left)
    assert found == (NOW if left > 0 else None)


def test_the_lifetime_is_the_present_settings() -> None:
    assert devices(lifetime_ms=DAY_MS).made_at(token(), PHONE, NOW + DAY_MS) is None
    assert devices(lifetime_ms=400 * DAY_MS).made_at(token(), PHONE, NOW + LIFETIME_MS) == NOW


NOT_GOOD: dict[str, Callable[[], str | None]] = {
    "no token": lambda: None,
    "an empty one": lambda: "",
    "another phone's": lambda: token(OTHER),
    "one of another secret": lambda: devices("another" * 8).create(PHONE, SESSION, NOW),
    "too short": lambda: token()[:-1],
    "too long": lambda: token() + "A",
    "with a line end": lambda: token() + "\n",
    "with padding": lambda: token() + "=",
    "in another base64": lambda: token().replace("-", "+").replace("_", "/") + "+/",
    "not in ASCII": lambda: "é" * 40,
    "with a lone surrogate": lambda: "\ud800" * 40,
    "a JWT": lambda: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln",
    "very long": lambda: "A" * 8000,
    "very many": lambda: DIVIDER.join(["A" * 40] * 200),
    **{f"changed at {at}": lambda at=at: changed(token(), at) for at in range(40)},  # type: ignore[misc]  # mypy cannot infer a lambda's default
}


@pytest.mark.parametrize("make", NOT_GOOD.values(), ids=NOT_GOOD)
def test_any_other_text_counts_as_no_token(make: Callable[[], str | None]) -> None:
    assert devices().made_at(make(), PHONE, NOW + 1) is None


@given(st.text())
def test_no_text_is_an_error(text: str) -> None:
    assert devices().made_at(text, PHONE, NOW) is None
    assert devices().remembered("new", text, PHONE).startswith("new")


def test_without_device_tokens_there_is_none_to_make_and_none_is_good() -> None:
    assert devices(lifetime_ms=0).create(PHONE, SESSION, NOW) is None
    assert devices(lifetime_ms=0).made_at(token(), PHONE, NOW) is None


def test_of_several_tokens_the_newest_good_one_counts() -> None:
    made = [token(made_at=NOW + n) for n in (2, 3, 1)]
    text = DIVIDER.join(["x", token(OTHER, NOW + 9), *made])
    assert devices().made_at(text, PHONE, NOW + 10) == NOW + 3


def test_only_so_many_tokens_of_a_text_are_read() -> None:
    last = DIVIDER.join(["A" * 40] * (MOST_READ - 1) + [token()])
    assert devices().made_at(last, PHONE, NOW) == NOW
    assert devices().made_at(f"A.{last}", PHONE, NOW) is None


def test_a_browser_remembers_its_newest_phones_once_each() -> None:
    phones = [PhoneNumber(f"+98912345678{n}") for n in range(7)]
    kept = ""
    for n, phone in enumerate([*phones, phones[-1]]):
        kept = devices().remembered(token(phone, NOW + n), kept, phone)
    tokens = kept.split(DIVIDER)
    assert len(tokens) == REMEMBERED
    assert tokens == [token(phones[6], NOW + 7), *(token(phones[n], NOW + n) for n in (5, 4, 3))]


def test_a_browser_remembers_only_what_can_be_a_token() -> None:
    kept = devices().remembered(token(), f'x;"\r\n.{token(OTHER)}.é.{token(OTHER)}', PHONE)
    assert kept == DIVIDER.join([token(), token(OTHER)])

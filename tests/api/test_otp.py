"""The normal answers of the two endpoints, and the codes that they accept."""

from __future__ import annotations

import uuid
from typing import Any

import jwt
import pytest

from otp_gateway.store.client import RedisClient
from tests.api.support import (
    AWAY,
    OTHER,
    PHONE,
    Api,
    Recorder,
    assert_problem,
    make_api,
    wrong,
)
from tests.conftest import SECRET_KEY
from tests.support.kavenegar import KavenegarEmulator

# The zeros of the scripts whose digits are accepted in a code.
ZEROS = {"ascii": "0", "persian": "\u06f0", "arabic": "\u0660", "full-width": "\uff10"}
# Zeros of some scripts that are not accepted: Unicode calls them digits, too.
FOREIGN_ZEROS = {
    "devanagari": "\u0966",
    "bengali": "\u09e6",
    "thai": "\u0e50",
    "nko": "\u07c0",
    "mathematical bold": "\U0001d7ce",
    "monospace": "\U0001d7f6",
    "subscript": "\u2080",
}
SPELLINGS = [
    "+989123456789",
    "09123456789",
    "989123456789",
    "00989123456789",
    "9123456789",
    "+98 (0)912-345-6789",
    "۰۹۱۲۳۴۵۶۷۸۹",
    "٠٩١٢٣٤٥٦٧٨٩",
    "０９１２３４５６７８９",
    "\u200e0912\u00a0345 6789\u202c",
    "\t+98\u2013912\u2011345\u22126789\ufe0f\r\n",
]


def in_script(code: str, zero: str) -> str:
    return "".join(chr(ord(zero) + int(digit)) for digit in code)


def claims(token: str, audience: str) -> dict[str, Any]:
    return jwt.decode(
        token, SECRET_KEY, ["HS256"], audience=audience, issuer="otp-gateway", options={"verify_iat": False}
    )


def test_a_first_send_is_answered_exactly_as_written(api: Api, emulator: KavenegarEmulator) -> None:
    reply = api.send()
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json == {
        "message": "OTP sent successfully",
        "phone_number": PHONE,
        "expires_in": 300,
        "resend_in": 0,
    }
    assert [type(reply.json[name]) for name in ("expires_in", "resend_in")] == [int, int]
    assert [message.text for message in emulator.messages_to(PHONE)] == [
        f"کد تایید شما: {emulator.code_for(PHONE)}"
    ]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_however_a_phone_is_written_the_reply_names_it_canonically(sender: Recorder, spelling: str) -> None:
    api = make_api(sender=sender)
    reply = api.send(spelling)
    assert reply.json is not None
    assert reply.json["phone_number"] == PHONE
    login = api.verify(spelling, sender.code_for(PHONE))
    assert login.json is not None
    assert login.json["user"]["phone_number"] == PHONE


def test_all_spellings_of_a_phone_share_one_window(sender: Recorder) -> None:
    api = make_api(sender=sender)
    replies = [api.send(spelling) for spelling in SPELLINGS]
    assert [reply.status_code for reply in replies] == [200] * 3 + [429] * (len(SPELLINGS) - 3)


def test_the_third_send_says_how_long_the_phone_must_wait(api: Api) -> None:
    first, second, third = (api.send().json for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    assert first["resend_in"] == second["resend_in"] == 0
    assert type(third["resend_in"]) is int
    assert 117 <= third["resend_in"] <= 120
    assert 297 <= third["expires_in"] <= 300


def test_a_slow_send_shortens_the_time_left_and_the_wait() -> None:
    api = make_api(sender=Recorder(seconds=1.2), OTP_PHONE_LIMITS="1/10second")
    reply = api.send().json
    assert reply is not None
    assert reply["expires_in"] in (298, 299)
    assert reply["resend_in"] in (8, 9)


def test_a_resend_repeats_the_code(api: Api, emulator: KavenegarEmulator) -> None:
    for _ in range(3):
        assert api.send().status_code == 200
    texts = [message.text for message in emulator.messages_to(PHONE)]
    assert len(texts) == 3
    assert len(set(texts)) == 1
    # Three messages, not one that the provider considers a repeat.
    assert len({message.localid for message in emulator.messages_to(PHONE)}) == 3


def test_a_resend_after_half_the_lifetime_is_a_new_code(redis_client: RedisClient, sender: Recorder) -> None:
    api = make_api(redis_client, sender)
    api.send()
    api.pass_time(160)
    reply = api.send().json
    assert reply is not None
    assert reply["expires_in"] == 300
    assert sender.sent[0][1] != sender.sent[1][1]
    assert api.verify(PHONE, sender.sent[0][1]).status_code == 400
    assert api.verify(PHONE, sender.sent[1][1]).status_code == 200


def test_a_resend_says_how_long_the_repeated_code_is_still_valid(
    redis_client: RedisClient, sender: Recorder
) -> None:
    api = make_api(redis_client, sender)
    api.send()
    api.pass_time(100)
    reply = api.send().json
    assert reply is not None
    assert 198 <= reply["expires_in"] <= 200
    assert sender.sent[0][1] == sender.sent[1][1]


def test_no_reply_to_a_send_holds_the_code(api: Api, emulator: KavenegarEmulator) -> None:
    reply = api.send()
    code = emulator.code_for(PHONE)
    assert code not in reply.text
    assert code not in str(reply.headers)


@pytest.mark.parametrize("code_length", [6, 8, 10])
def test_codes_have_the_length_that_is_set(sender: Recorder, code_length: int) -> None:
    api = make_api(sender=sender, OTP_LENGTH=code_length)
    api.send()
    code = sender.code_for(PHONE)
    assert len(code) == code_length
    assert_problem(api.verify(PHONE, code[:-1]), 400, "invalid_request", members=["errors"])
    assert api.verify(PHONE, code).status_code == 200


# --- channels


@pytest.mark.parametrize("channel", [None, "sms"])
def test_a_code_goes_by_sms_by_default(api: Api, emulator: KavenegarEmulator, channel: str | None) -> None:
    assert api.send(channel=channel).status_code == 200
    assert [(m.action, m.type) for m in emulator.messages] == [("sms/send", "sms")]


def test_a_call_without_a_template_is_an_invalid_request(api: Api, emulator: KavenegarEmulator) -> None:
    problem = assert_problem(api.send(channel="call"), 400, "invalid_request", members=["errors"])
    assert list(problem["errors"]) == ["channel"]
    assert emulator.requests == []


@pytest.mark.parametrize(("channel", "kind"), [(None, "sms"), ("sms", "sms"), ("call", "call")])
def test_with_a_template_a_code_goes_by_lookup_as_the_channel_says(
    redis_client: RedisClient, emulator: KavenegarEmulator, channel: str | None, kind: str
) -> None:
    api = make_api(redis_client, emulator=emulator, KAVENEGAR_TEMPLATE="login")
    assert api.send(channel=channel).status_code == 200
    [message] = emulator.messages
    assert (message.action, message.type, message.template) == ("verify/lookup", kind, "login")
    assert message.receptor == PHONE


@pytest.mark.parametrize(("channel", "method"), [("sms", "sms"), ("call", "tel")])
def test_the_access_token_names_the_way_the_code_came(
    redis_client: RedisClient, emulator: KavenegarEmulator, channel: str, method: str
) -> None:
    api = make_api(redis_client, emulator=emulator, KAVENEGAR_TEMPLATE="login")
    api.send(channel=channel)
    login = api.verify(PHONE, emulator.code_for(PHONE)).json
    assert login is not None
    assert claims(login["access_token"], "otp-gateway")["amr"] == ["otp", method]


@pytest.mark.parametrize("channel", ["", "SMS", "email", "fax", 1, True, [], {}, ["sms"]])
def test_an_unknown_channel_is_an_invalid_request(sender: Recorder, channel: object) -> None:
    api = make_api(sender=sender, KAVENEGAR_TEMPLATE="login")
    problem = assert_problem(api.send(channel=channel), 400, "invalid_request", members=["errors"])
    assert list(problem["errors"]) == ["channel"]
    assert sender.sent == []


# --- logins


def test_a_right_code_is_answered_with_tokens_exactly_as_written(
    api: Api, emulator: KavenegarEmulator
) -> None:
    api.send()
    reply = api.verify(PHONE, emulator.code_for(PHONE))
    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    body = reply.json
    assert body is not None
    assert set(body) == {
        "access_token",
        "refresh_token",
        "token_type",
        "expires_in",
        "refresh_expires_in",
        "device_token",
        "user",
    }
    assert (body["token_type"], body["expires_in"], body["refresh_expires_in"]) == ("Bearer", 900, 2592000)
    assert [type(body[name]) for name in ("expires_in", "refresh_expires_in")] == [int, int]
    assert body["user"] == {"id": str(uuid.UUID(body["user"]["id"])), "phone_number": PHONE}
    access = claims(body["access_token"], "otp-gateway")
    refresh = claims(body["refresh_token"], "otp-gateway/refresh")
    assert access["sub"] == refresh["sub"] == body["user"]["id"]
    assert access["exp"] - access["iat"] == 900
    assert refresh["exp"] - refresh["iat"] == 2592000
    assert jwt.get_unverified_header(body["access_token"])["typ"] == "at+jwt"
    assert jwt.get_unverified_header(body["refresh_token"])["typ"] == "rt+jwt"


def test_the_lifetimes_in_the_reply_are_those_that_are_set(sender: Recorder) -> None:
    api = make_api(sender=sender, JWT_ACCESS_TTL=60, JWT_REFRESH_TTL=3600)
    api.send()
    body = api.verify(PHONE, sender.code_for(PHONE)).json
    assert body is not None
    assert (body["expires_in"], body["refresh_expires_in"]) == (60, 3600)


def test_a_user_keeps_the_id_across_logins_and_secrets_and_no_other_user_has_it() -> None:
    def login(phone: str, **variables: str) -> Any:
        sender = Recorder()
        api = make_api(None, sender, None, **variables)
        api.send(phone)
        return api.verify(phone, sender.code_for(phone)).json

    first, second = login(PHONE), login(PHONE)
    elsewhere = login(PHONE, SECRET_KEY="another-secret-key-of-more-than-32-letters")
    assert first["user"]["id"] == second["user"]["id"] == elsewhere["user"]["id"]
    assert first["access_token"] != second["access_token"]
    assert login(OTHER)["user"]["id"] != first["user"]["id"]
    assert login(PHONE, JWT_ISSUER="somebody-else")["user"]["id"] != first["user"]["id"]


def test_a_code_works_once_and_from_any_address(api: Api, emulator: KavenegarEmulator) -> None:
    api.send()
    code = emulator.code_for(PHONE)
    assert api.verify(PHONE, code, ip=AWAY).status_code == 200
    assert_problem(api.verify(PHONE, code), 400, "invalid_code", members=["attempts_remaining"])


def test_a_code_works_after_two_wrong_guesses(api: Api, emulator: KavenegarEmulator) -> None:
    api.send()
    code = emulator.code_for(PHONE)
    left = [api.verify(PHONE, wrong(code)).json for _ in range(2)]
    assert [body and body["attempts_remaining"] for body in left] == [2, 1]
    assert api.verify(PHONE, code).status_code == 200


def test_a_code_belongs_to_its_phone(api: Api, emulator: KavenegarEmulator) -> None:
    api.send(PHONE)
    api.send(OTHER)
    code = emulator.code_for(PHONE)
    if emulator.code_for(OTHER) != code:
        assert api.verify(OTHER, code).status_code == 400
    assert api.verify(PHONE, code).status_code == 200


def test_unknown_members_are_ignored(sender: Recorder) -> None:
    api = make_api(sender=sender)
    body = {"phone_number": PHONE, "code": "x", "remember": True, "__class__": {}, "": None}
    assert api.post("/api/v1/usr/otp", body).status_code == 200
    body |= {"code": sender.code_for(PHONE), "channel": "pigeon"}
    assert api.post("/api/v1/usr/otp/verify", body).status_code == 200


# --- digits


@pytest.mark.parametrize("zero", ZEROS.values(), ids=ZEROS)
def test_a_code_is_taken_in_the_digits_of_the_users_keyboard(
    api: Api, emulator: KavenegarEmulator, zero: str
) -> None:
    api.send()
    assert api.verify(PHONE, in_script(emulator.code_for(PHONE), zero)).status_code == 200


def test_scripts_may_be_mixed_in_one_code(api: Api, emulator: KavenegarEmulator) -> None:
    api.send()
    zeros = list(ZEROS.values()) * 2
    mixed = "".join(in_script(c, zeros[i]) for i, c in enumerate(emulator.code_for(PHONE)))
    assert api.verify(PHONE, mixed).status_code == 200


# Formats with the code in two halves: the text before, between and after them.
WRITTEN = {
    "a blank": ("", " ", ""),
    "a dash": ("", "-", ""),
    "blanks around": ("   ", "", "   "),
    "Unicode's blanks": ("\u00a0\u2003", "\u2009\u202f", "\u3000"),
    "line ends": ("\n", "", "\r\n"),
    "a line end between": ("", "\r\n", ""),
    "tabs": ("\t", "\t", "\t\v\f"),
    "next line and separators": ("\x85", "\u2028", "\u2029"),
    "dashes of other kinds": ("\u2014 ", "\u2011", " \u2212"),
    "full-width dash": ("", "\uff0d", ""),
    "a dash above U+FFFF": ("", "\U00010ead", ""),
    "direction marks": ("\u200f", "\u200e", "\u202c"),
    "isolates": ("\u2066", "\u2069\u2068", "\u2069"),
    "byte order mark": ("\ufeff", "", ""),
    "zero-width space": ("", "\u200b", ""),
    "variation selectors": ("", "\ufe0f", "\ufe0f"),
    "ignorable characters above U+FFFF": ("\U000e0020", "\U000e0100", "\U0001d173"),
    "fillers": ("\u3164", "\u115f\uffa0", "\u2065"),
    "many": (" " * 2000, "-" * 2000, "\u200f" * 500),
}


@pytest.mark.parametrize("texts", WRITTEN.values(), ids=WRITTEN)
def test_separators_and_marks_around_and_between_the_digits_are_dropped(
    sender: Recorder, texts: tuple[str, str, str]
) -> None:
    before, between, after = texts
    api = make_api(sender=sender)
    api.send()
    code = sender.code_for(PHONE)
    assert_problem(
        api.verify(PHONE, f"{before}{wrong(code)[:3]}{between}{wrong(code)[3:]}{after}"),
        400,
        "invalid_code",
        members=["attempts_remaining"],
    )
    assert api.verify(PHONE, f"{before}{code[:3]}{between}{code[3:]}{after}").status_code == 200


REFUSED = {
    "information separator": "{0}\x1f",
    "NUL": "{0}\x00",
    "backspace": "{0:.3}\b{1}",
    "tatweel": "{0:.3}\u0640{1}",
    "combining accent": "{0}\u0301",
    "combining keycap": "{0}\u20e3",
    "Braille blank": "{0}\u2800",
    "superscript minus": "{0:.3}\u207b{1}",
    "middle dot": "{0:.3}\u00b7{1}",
    "brackets": "({0})",
    "quotes": '"{0}"',
    "one digit less": "{0:.5}",
    "one digit more": "{0}0",
    "leading plus": "+{0}",
    "superscript for a digit": "{0:.5}\u00b2",
    "circled digit": "{0:.5}\u2461",
    "roman numeral": "{0:.5}\u2163",
    "fraction": "{0:.5}\u00bd",
    "letter": "{0:.5}x",
    "letter O": "{0:.5}O",
    "ideograph": "{0:.5}\u4e03",
    "surrogate": "{0:.5}\ud800",
    "underscore": "{0:.3}_{1}",
    "decimal point": "{0}.0",
    "nothing": "",
    "blanks alone": "      ",
    "dashes alone": "------",
    "marks alone": "\u200f" * 6,
    "a body of blanks": " " * 8000,
}


@pytest.mark.parametrize("pattern", REFUSED.values(), ids=REFUSED)
def test_anything_but_digits_in_a_code_is_an_invalid_request_and_costs_no_try(
    sender: Recorder, pattern: str
) -> None:
    api = make_api(sender=sender, OTP_MAX_ATTEMPTS=1)
    api.send()
    code = sender.code_for(PHONE)
    reply = api.verify(PHONE, pattern.format(code, code[3:]))
    problem = assert_problem(reply, 400, "invalid_request", members=["errors"])
    assert list(problem["errors"]) == ["code"]
    assert api.verify(PHONE, code).status_code == 200


@pytest.mark.parametrize("zero", FOREIGN_ZEROS.values(), ids=FOREIGN_ZEROS)
def test_digits_of_other_scripts_are_refused_and_cost_no_try(sender: Recorder, zero: str) -> None:
    api = make_api(sender=sender, OTP_MAX_ATTEMPTS=1)
    api.send()
    code = sender.code_for(PHONE)
    assert_problem(api.verify(PHONE, in_script(code, zero)), 400, "invalid_request", members=["errors"])
    assert api.verify(PHONE, code).status_code == 200

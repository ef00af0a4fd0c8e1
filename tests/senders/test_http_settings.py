"""SMS_HTTP_*: which values the gateway refuses at its start, and which variable the error names."""

from __future__ import annotations

import pytest

from otp_gateway.settings import SettingsError
from tests.conftest import make_settings

URL = "https://sms.example.com/send"
JSON = '{"to": "{phone}", "text": "{message}"}'
FORM = '{"Content-Type": "application/x-www-form-urlencoded"}'


def faults(**variables: str) -> dict[str, list[str]]:
    """The faults of these variables, by name."""
    try:
        make_settings(SMS_BACKEND="http", **{"SMS_HTTP_URL": URL, "SMS_HTTP_BODY": JSON} | variables)
    except SettingsError as error:
        return error.faults
    return {}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"SMS_HTTP_BODY": '{"to": "{phone_local}", "code": "{code}", "id": {reference}}'},
        {"SMS_HTTP_HEADERS": FORM, "SMS_HTTP_BODY": "to={phone}&text={message}&via={channel}"},
        {"SMS_HTTP_URL": f"{URL}/{{phone}}?code={{code}}", "SMS_HTTP_BODY": "", "SMS_HTTP_METHOD": "GET"},
        {"SMS_HTTP_BODY": '{"text": "{message}"}', "SMS_HTTP_HEADERS": '{"X-To": "{phone}"}'},
    ],
)
def test_a_template_with_one_text_and_a_phone_is_accepted(variables: dict[str, str]) -> None:
    assert faults(**variables) == {}


@pytest.mark.parametrize(
    ("variables", "name", "words"),
    [
        ({"SMS_HTTP_BODY": '{"to": "{phone}"}'}, "SMS_HTTP_BODY", "exactly one of {code} and {message}"),
        ({"SMS_HTTP_BODY": '{"a": "{phone}{code}{message}"}'}, "SMS_HTTP_BODY", "exactly one"),
        ({"SMS_HTTP_BODY": '{"a": "{phone}{code}{code}"}'}, "SMS_HTTP_BODY", "once"),
        ({"SMS_HTTP_URL": f"{URL}?c={{code}}"}, "SMS_HTTP_BODY", "exactly one"),
        ({"SMS_HTTP_BODY": '{"text": "{message}"}'}, "SMS_HTTP_BODY", "{phone} or {phone_local}"),
        ({"SMS_HTTP_BODY": '{"to": "{phone}", "a": "{message}", "b": "{x}"}'}, "SMS_HTTP_BODY", "{x}"),
        ({"SMS_HTTP_BODY": '{"to": "{phone}", "a": {message}}'}, "SMS_HTTP_BODY", "double quotes"),
        ({"SMS_HTTP_BODY": '{"to": "{phone}", "a": {code}}'}, "SMS_HTTP_BODY", "double quotes"),
        ({"SMS_HTTP_BODY": "to={phone}&text={message}"}, "SMS_HTTP_BODY", "is not JSON"),
        ({"SMS_HTTP_METHOD": "GET"}, "SMS_HTTP_BODY", "GET"),
        ({"SMS_HTTP_BODY": ""}, "SMS_HTTP_URL", "exactly one"),
        ({"SMS_HTTP_HEADERS": '{"Content-Type": "text/plain"}'}, "SMS_HTTP_HEADERS", "Content-Type"),
        ({"SMS_HTTP_HEADERS": '{"Two Words": "x"}'}, "SMS_HTTP_HEADERS", "name"),
        ({"SMS_HTTP_HEADERS": '{"Content-Length": "1"}'}, "SMS_HTTP_HEADERS", "name"),
        ({"SMS_HTTP_HEADERS": '{"X": "a\\nb"}'}, "SMS_HTTP_HEADERS", "printable"),
        ({"SMS_HTTP_HEADERS": '{"X": "{message}"}'}, "SMS_HTTP_HEADERS", "{message}"),
        ({"SMS_HTTP_URL": "https://{phone}.example.com/"}, "SMS_HTTP_URL", "path"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_the_reason(
    variables: dict[str, str], name: str, words: str
) -> None:
    found = faults(**variables)
    assert words in " ".join(found[name])


def test_no_fault_repeats_a_text_that_may_hold_a_key() -> None:
    key = "precious-key-of-the-provider"
    for variables in (
        {"SMS_HTTP_URL": f"ftp://{key}@example.com"},
        {"SMS_HTTP_HEADERS": f"Authorization: {key}"},
        {"SMS_HTTP_HEADERS": f'{{"Authorization": "{key}\\u0660"}}'},
        {"SMS_HTTP_BODY": f'{{"key": "{key}"'},
        {"SMS_HTTP_SECRET": f"whsec_{key}"},
    ):
        found = faults(**variables)
        assert found
        assert key not in str(found)


def test_every_fault_of_one_variable_is_listed() -> None:
    found = faults(SMS_HTTP_BODY='{"to": "{number}"}')["SMS_HTTP_BODY"]
    assert len(found) == 3
    assert all(any(words in text for text in found) for words in ("{number}", "exactly one", "{phone_local}"))


def test_a_url_of_another_scheme_is_refused_in_words_that_allow_a_query() -> None:
    (found,) = faults(SMS_HTTP_URL="ftp://sms.example.com/?to={phone}")["SMS_HTTP_URL"]
    assert found == "give an http:// or https:// URL"

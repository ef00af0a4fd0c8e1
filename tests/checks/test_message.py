"""The number of SMS parts in the checklist."""

from __future__ import annotations

import pytest

from tests.checks.support import checked


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "1 SMS part (20 of 70 characters)"),
        ({"OTP_LENGTH": "10"}, "1 SMS part (24 of 70 characters)"),
        ({"OTP_WEB_DOMAIN": "example.com"}, "1 SMS part (42 of 70 characters)"),
        ({"OTP_MESSAGE": "Your code: {code}"}, "1 SMS part (17 of 160 characters)"),
        ({"OTP_MESSAGE": r"Shop\nYour code: {code}"}, "1 SMS part (22 of 160 characters)"),
        ({"OTP_MESSAGE": "[Shop] {code}"}, "1 SMS part (15 of 160 characters)"),
        ({"OTP_MESSAGE": "{code}" + "x" * 154}, "1 SMS part (160 of 160 characters)"),
        ({"OTP_MESSAGE": "{code}" + "ک" * 64}, "1 SMS part (70 of 70 characters)"),
    ],
)
def test_a_text_of_one_part_is_fine_with_its_whole_length(variables: dict[str, str], expected: str) -> None:
    assert checked(**variables)["message"] == ("ok", expected)


@pytest.mark.parametrize(
    ("variables", "begins", "reasons"),
    [
        (
            {"OTP_MESSAGE": "{code}" + "x" * 155},
            "2 SMS parts (161 of 306 characters)",
            ["OTP_MESSAGE has 161"],
        ),
        (
            {"OTP_MESSAGE": "{code}" + "x" * 154, "OTP_LENGTH": "7"},
            "2 SMS parts (161 of 306 characters)",
            ["OTP_MESSAGE has 161"],
        ),
        (
            {"OTP_MESSAGE": "{code}" + "کدورتی" * 11},
            "2 SMS parts (72 of 134 characters)",
            ["OTP_MESSAGE has 72", "one part has 70 in an alphabet other than GSM's"],
        ),
        (
            {"OTP_MESSAGE": "{code} " + "کدورتی" * 9, "OTP_WEB_DOMAIN": "example.com"},
            "2 SMS parts (83 of 134 characters)",
            ["OTP_MESSAGE has 61 and the line for OTP_WEB_DOMAIN 22"],
        ),
        (
            {"OTP_MESSAGE": "Don’t show your code {code} to anyone, not even to our staff, not even once."},
            "2 SMS parts (76 of 134 characters)",
            ["U+2019 ’", "one part would have 160"],
        ),
        ({"OTP_MESSAGE": "{code}\t" + "x" * 80}, "2 SMS parts (87 of 134 characters)", ["U+0009 (not"]),
    ],
    ids=["long", "long code", "Persian", "with a domain", "one quote", "tab"],
)
def test_a_text_of_several_parts_is_a_warning_that_names_what_makes_it_long(
    variables: dict[str, str], begins: str, reasons: list[str]
) -> None:
    status, message = checked(**variables)["message"]
    assert status == "warning"
    assert message.startswith(begins)
    assert all(reason in message for reason in reasons), message


def test_with_a_template_the_text_does_not_apply() -> None:
    long = {"OTP_MESSAGE": "{code}" + "x" * 200, "KAVENEGAR_TEMPLATE": "login"}
    status, message = checked(**long)["message"]
    assert status == "ok"
    assert "KAVENEGAR_TEMPLATE=login" in message
    assert "OTP_MESSAGE does not apply" in message
    # The console prints the text, even if another backend has a template.
    assert checked(**long, SMS_BACKEND="console")["message"][1].startswith("2 SMS parts")

"""The words of an SMS."""

from __future__ import annotations

import pytest

from otp_gateway.senders.message import compose


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("کد تایید شما: {code}", "کد تایید شما: 012345"),
        ("{code}", "012345"),
        ("{code} {link} {0} {} %s 100%", "012345 {link} {0} {} %s 100%"),
        ("Your code\n{code}\n", "Your code\n012345\n"),
    ],
)
def test_the_code_stands_where_the_operator_wants_it_and_nothing_else_changes(
    template: str, text: str
) -> None:
    assert compose(template, "012345") == text


@pytest.mark.parametrize("template", ["Your code: {code}", "{code}\n"])
def test_with_a_domain_the_last_line_is_at_host_hash_code(template: str) -> None:
    text = compose(template, "012345", "example.com")
    assert text.startswith(template.replace("{code}", "012345"))
    assert text.splitlines()[-1] == "@example.com #012345"


@pytest.mark.parametrize("domain", [None, ""])
def test_without_a_domain_there_is_no_such_line(domain: str | None) -> None:
    assert "@" not in compose("{code}", "012345", domain)

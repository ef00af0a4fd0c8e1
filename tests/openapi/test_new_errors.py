"""An error class that is missing in one of the places that must know it is found, and the place is named."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from otp_gateway import errors
from otp_gateway.api.problems import STATUS
from otp_gateway.errors import GatewayError
from tests.openapi.provoke import METRICS_TOKEN
from tests.openapi.site import Site

# Errors that no documented operation answers, for example because only the panel shows them.
UNDOCUMENTED: frozenset[type[GatewayError]] = frozenset()
CONFIGURATIONS: list[dict[str, str]] = [{}, {"AUTH_COOKIES": "true"}, {"METRICS_TOKEN": METRICS_TOKEN}]


def below(error: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """Every class below this one in the tree."""
    for child in error.__subclasses__():
        yield child
        yield from below(child)


# Without the classes that tests make.
ALL = sorted(
    {error for error in below(GatewayError) if error.__module__.partition(".")[0] == "otp_gateway"},
    key=lambda error: error.__name__,
)


def missing_places(error: type[GatewayError], documented: set[str]) -> list[str]:
    """The places where the class is missing. ``documented``: the codes in the OpenAPI documents."""
    code = getattr(error, "code", None)
    if code is None:
        return [] if error.__subclasses__() else ["a `code`, or a class below it that has one"]
    others = [other.__name__ for other in ALL if other is not error and getattr(other, "code", None) == code]
    drawing = re.compile(rf"─ {error.__name__} +{code}$", re.MULTILINE)
    places = {
        f"a `code` of its own: {code} is also the code of {', '.join(others)}": not others,
        "a `meaning`": bool(getattr(error, "meaning", "")),
        "a row in STATUS of otp_gateway/api/problems.py": error in STATUS,
        "a line with its name and code in the tree at the head of otp_gateway/errors/": bool(
            drawing.search(errors.__doc__ or "")
        ),
        "an operation in otp_gateway/openapi/ that lists its code, or a place in UNDOCUMENTED": (
            code in documented or error in UNDOCUMENTED
        ),
    }
    return [place for place, found in places.items() if not found]


@pytest.fixture(scope="module")
def documented() -> set[str]:
    """The code of every problem of every operation."""
    documents = [Site(**variables).document for variables in CONFIGURATIONS]
    return {answer for document in documents for _, answer in document.answers() if not answer.isdigit()}


@pytest.mark.parametrize("error", ALL)
def test_every_error_is_in_every_place_that_must_know_it(
    error: type[GatewayError], documented: set[str]
) -> None:
    missing = missing_places(error, documented)
    assert not missing, f"{error.__name__} needs {'; and '.join(missing)}"


def test_an_error_that_no_place_knows_is_missing_in_each(documented: set[str]) -> None:
    class LineBusy(errors.SendFailed):
        code = "line_busy"

    assert LineBusy in below(GatewayError)
    missing = missing_places(LineBusy, documented)
    assert [re.findall(r"`meaning`|STATUS|errors/|openapi", place)[0] for place in missing] == [
        "`meaning`",
        "STATUS",
        "errors/",
        "openapi",
    ]


def test_an_error_without_a_code_of_its_own_is_found(documented: set[str]) -> None:
    class WithoutCode(GatewayError):
        pass

    class SecondInvalidToken(errors.InvalidToken):
        pass

    assert missing_places(WithoutCode, documented) == ["a `code`, or a class below it that has one"]
    missing = missing_places(SecondInvalidToken, documented)
    assert any("invalid_token is also the code of InvalidToken" in place for place in missing)


def test_a_parent_of_errors_needs_no_code(documented: set[str]) -> None:
    assert errors.Refused in ALL
    assert not hasattr(errors.Refused, "code")
    assert missing_places(errors.Refused, documented) == []


def test_classes_that_tests_make_are_not_in_the_list() -> None:
    class OfATest(GatewayError):
        code = "of_a_test"

    assert OfATest in below(GatewayError)
    assert OfATest not in ALL

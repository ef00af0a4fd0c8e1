"""The table in docs/ABUSE.md is the one that ``python -m tests.abuse.table`` makes."""

from __future__ import annotations

import pytest

from tests.abuse import runs
from tests.abuse.table import HEAD, line
from tests.support.gateway import ROOT
from tests.support.redis_server import RedisServer

DOCUMENT = (ROOT / "docs" / "ABUSE.md").read_text(encoding="utf-8")
NAMES = [*runs.ALL, *runs.LAUNDERING]
# The runs that end within seconds.
FAST = ["burst of two minutes, no solver", "burst with a solver, `OTP_SEND_BUDGET=500/hour`"]


def test_the_document_has_every_row_of_the_command_in_its_order() -> None:
    _, _, after = DOCUMENT.partition(HEAD + "\n")
    table = after.partition("\n\n")[0].splitlines()
    assert [text.split(" | ")[0].removeprefix("| ") for text in table] == NAMES


@pytest.mark.parametrize("name", FAST)
def test_a_row_of_the_document_is_that_of_the_command(redis_server: RedisServer, name: str) -> None:
    assert line(name, redis_server) in DOCUMENT.splitlines()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in FAST])
def test_each_other_row_of_the_document_is_that_of_the_command(redis_server: RedisServer, name: str) -> None:
    assert line(name, redis_server) in DOCUMENT.splitlines()

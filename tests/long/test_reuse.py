"""The router's connections that were idle for up to 90 s. The other modules run meanwhile."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future

import pytest

from tests.long.conftest import PAUSES
from tests.long.figures import show

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


def test_a_connection_can_be_used_again_for_as_long_as_the_router_keeps_it(reused: Future[list[str]]) -> None:
    answers = reused.result()
    show("Heroku: connections used again after 5 to 89 s", {"answers": Counter(answers)})
    assert answers == ["400"] * len(PAUSES)

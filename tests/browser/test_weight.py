"""The page is light: few bytes, and no file that the browser finds only after another file."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.browser.conftest import MakePerson
from tests.measure.login_page import BYTES_PER_SECOND, FILES, LATENCY_MS, weights
from tests.support.gateway import Gateway

MOST_BYTES = 25 * 1024
MOST_SECONDS = 3.0
# The page, then all of its files at once.
ROUND_TRIPS = 2


@pytest.mark.parametrize("language", ["fa", "en"])
def test_the_page_has_few_bytes_and_is_usable_soon_on_a_slow_network(
    person: MakePerson, gateway_of: Callable[[], Gateway], language: str
) -> None:
    somebody = person(language).open()
    somebody.page.wait_for_load_state("networkidle")
    loaded = [request.url.removeprefix(somebody.home) for request in somebody.seen]
    html = gateway_of().get(f"/?lang={language}").text
    named = re.findall(r'(?:src|href)="(/static/[^"]+)"', html)
    # The browser needs no file that the page itself does not name: so two round trips are enough.
    assert set(loaded) == {"/", *named}
    assert {f"/static/{name}" for name in FILES} | {"/static/icon.svg"} == set(named)
    found = weights(gateway_of().url, language)
    plain, compressed = (sum(sizes) for sizes in zip(*found.values(), strict=True))
    assert compressed <= MOST_BYTES
    # The network's share of the time, even if a proxy in front removes the compression.
    assert ROUND_TRIPS * LATENCY_MS / 1000 + plain / BYTES_PER_SECOND <= MOST_SECONDS


def test_chromium_gets_the_compressed_files(person: MakePerson) -> None:
    somebody = person().open()
    somebody.page.wait_for_load_state("networkidle")
    for request in somebody.seen:
        response = request.response()
        assert response is not None
        if not request.url.endswith("icon.svg"):
            assert response.headers["content-encoding"] == "gzip", request.url

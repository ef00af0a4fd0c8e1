"""The panel's first sentence about a user, what helps, and which operator did what, in a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import MakeOperator, Panel, environment
from tests.browser.operator import OPERATOR, TOKENS, USAGE, Callers, rows_of
from tests.support import kavenegar_faults as faults
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

NUMBER, MASKED = "+989121234567", "+98912***4567"
FREE = "The user may request a code now: no limit is reached."
ACTIVITY = "/admin/activity/"
Panels = Callable[[Panel], Gateway]


def test_a_send_that_failed_is_on_the_page_with_its_reason_and_then_the_one_that_went_out(
    operator: MakeOperator, callers: Callers, panels: Panels, emulator: KavenegarEmulator
) -> None:
    emulator.set_fault(faults.code(418))
    assert panels("open").post("/api/v1/usr/otp", {"phone_number": NUMBER}).status_code == 502
    somebody = operator().signed_in().found(NUMBER)
    expect(somebody.headline).to_contain_text("The last code was not sent: the provider answers 418")
    emulator.set_fault(None)
    callers.asks(NUMBER)
    somebody.press("Refresh now")
    expect(somebody.headline).to_have_text(FREE)
    sent, failed = rows_of(somebody.page.get_by_role("table"))
    assert (sent["Outcome"], sent["Cost"]) == ("sent", "120 Rial")
    assert sent["Message id"].isdecimal()
    assert failed["Outcome"].startswith("not sent: the provider answers 418")


def test_a_full_window_is_cleared_by_the_action_next_to_the_sentence(
    operator: MakeOperator, callers: Callers
) -> None:
    callers.asks(NUMBER, NUMBER, NUMBER)
    somebody = operator().signed_in().found(NUMBER)
    expect(somebody.headline).to_have_text(
        re.compile(r"The user may request a code again in 1 min [0-5]\d s: 3 of 3 sends in 2 minutes\.")
    )
    somebody.press("Clear the send windows")
    expect(somebody.heading).to_have_text("Clear the send windows?")
    somebody.press("Clear the send windows")
    expect(somebody.headline).to_have_text(FREE)
    callers.asks(NUMBER)


def test_wrong_codes_without_a_code_are_not_called_idle(operator: MakeOperator, panels: Panels) -> None:
    wrong = {"phone_number": NUMBER, "code": "000000"}
    for _ in range(3):
        assert panels("open").post("/api/v1/usr/otp/verify", wrong).status_code == 400
    assert panels("open").post("/api/v1/usr/otp/verify", wrong).status_code == 429
    somebody = operator().signed_in().found(NUMBER)
    expect(somebody.headline).to_contain_text("Every code is refused for")
    somebody.press("Unlock").press("Unlock")
    expect(somebody.notice).to_contain_text("Done: the phone is unlocked.")
    expect(somebody.headline).to_have_text(FREE)
    assert panels("open").post("/api/v1/usr/otp/verify", wrong).status_code == 400


def test_the_list_is_filtered_by_state_and_by_what_it_shows(operator: MakeOperator, callers: Callers) -> None:
    used, active = "+989350000001", "+989121230002"
    callers.asks(used)
    callers.enters(used)
    callers.asks(active, NUMBER)
    somebody = operator().signed_in()

    def shown() -> list[str]:
        return [row["Phone"] for row in somebody.rows()]

    for typed, expected in [
        (MASKED, [MASKED]),
        ("4567", [MASKED]),
        ("0912", [MASKED, "+98912***0002"]),
        ("۰۹۳۵", ["+98935***0001"]),
    ]:
        somebody.open(TOKENS).search(typed)
        expect(somebody.page.get_by_text("Phones that match")).to_be_visible()
        assert shown() == expected
    somebody.press("Show all").press("verified")
    expect(somebody.page.get_by_role("row")).to_have_count(2)
    assert shown() == ["+98935***0001"]
    somebody.press("active")
    expect(somebody.page.get_by_role("row")).to_have_count(3)
    assert shown() == [MASKED, "+98912***0002"]


def test_the_activity_page_names_operators_and_commands_and_undoes(
    operator: MakeOperator, named: Callers, emulator: KavenegarEmulator, empty_redis: RedisServer
) -> None:
    named.asks(NUMBER)
    named.fails(NUMBER, 1)
    somebody = operator("named").open().give(name=OPERATOR)
    expect(somebody.heading).to_have_text("Codes")
    somebody.found(NUMBER).press("Void the code").press("Void the code")
    expect(somebody.notice).to_be_visible()
    variables = environment(emulator, REDIS_URL=empty_redis.url.removesuffix("0") + "2")
    subprocess.run(
        [sys.executable, "-m", "otp_gateway", "unlock", NUMBER],
        env=variables | {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        cwd=ROOT / "tests" / "data",
        timeout=60,
        check=True,
        capture_output=True,
    )
    somebody.open(ACTIVITY)
    command, void, login = somebody.rows()
    assert command["Operator"].startswith("cli:")
    assert (command["Action"], command["Phone or target"]) == ("unlocked the phone", MASKED)
    assert (void["Operator"], void["Action"], void["Undo"]) == (OPERATOR, "voided the code", "Undo")
    assert (login["Operator"], login["Action"]) == (OPERATOR, "signed in")
    row = somebody.page.get_by_role("row").filter(has_text="voided the code")
    row.get_by_role("button", name="Undo").click()
    expect(somebody.notice).to_contain_text("Undone")
    named.enters(NUMBER)


def test_thirty_days_come_as_one_csv(operator: MakeOperator, callers: Callers) -> None:
    callers.asks(NUMBER)
    callers.enters(NUMBER)
    somebody = operator().signed_in(USAGE)
    expect(somebody.page.locator("figure")).to_have_count(1)
    with somebody.page.expect_download() as downloaded:
        somebody.page.get_by_role("link", name="30 days as CSV").click()
    lines = Path(downloaded.value.path()).read_text("utf-8").splitlines()
    assert len(lines) == 31
    assert lines[0].startswith("day,sent,")
    assert [int(field) for field in lines[-1].split(",")[1:4]] == [1, 0, 1]


def test_numbers_are_live_if_the_operator_turns_that_on(operator: MakeOperator, callers: Callers) -> None:
    somebody = operator().signed_in()
    reload = somebody.page.locator("meta[http-equiv=refresh]")
    expect(reload).to_have_count(0)
    somebody.page.get_by_label("Reload every 10 seconds").check()
    somebody.press("Apply")
    expect(reload).to_have_attribute("content", "10")
    # The page loads itself again.
    callers.asks(NUMBER)
    expect(somebody.page.get_by_text(MASKED)).to_be_visible(timeout=30_000)
    somebody.page.get_by_label("Reload every 10 seconds").uncheck()
    somebody.press("Apply")
    expect(reload).to_have_count(0)


def test_persian_is_right_to_left_with_jalali_dates(operator: MakeOperator, callers: Callers) -> None:
    callers.asks(NUMBER)
    somebody = operator(language="fa").signed_in().found(NUMBER)
    expect(somebody.page.locator("html")).to_have_attribute("dir", "rtl")
    moment = somebody.page.locator("td time").first
    expect(moment).to_have_text(re.compile(r"۱[۴۵][۰-۹]{2}/[۰-۹]{2}/[۰-۹]{2} [۰-۹:]{8} \(\d{4}-\d\d-\d\d\)"))
    # The number is still read from left to right.
    assert somebody.heading.locator("bdi").get_attribute("dir") == "ltr"

"""The support staff's work in a real browser: login, the data of a phone, and actions on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from playwright.sync_api import expect

from tests.browser.conftest import MakeOperator, Panel
from tests.browser.operator import PASSWORD, TOKENS, USAGE, Callers, Operator, rows_of
from tests.browser.person import PERSIAN
from tests.support import kavenegar_faults as faults
from tests.support.gateway import Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

NUMBER, TYPED = "+989121234567", "09121234567"
MASKED = "+98912***4567"
Panels = Callable[[Panel], Gateway]


# Login.


def test_the_password_opens_the_page_that_was_asked_for(operator: MakeOperator) -> None:
    somebody = operator().open(USAGE)
    assert somebody.page.url.startswith(f"{somebody.person.home}/admin/login/")
    expect(somebody.page.get_by_label("Password")).to_be_focused()
    somebody.give("wrong")
    expect(somebody.alert).to_contain_text("not the password")
    expect(somebody.page.get_by_label("Password")).to_be_focused()
    expect(somebody.page.get_by_label("Password")).to_have_value("")
    assert somebody.status == 403
    somebody.give()
    expect(somebody.heading).to_have_text("Usage")
    expect(somebody.page.get_by_role("link", name="Usage")).to_have_attribute("aria-current", "page")
    (cookie,) = somebody.page.context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert cookie["path"] == "/admin"

    somebody.press("Sign out")
    expect(somebody.page.get_by_label("Password")).to_be_visible()
    somebody.page.go_back()
    expect(somebody.page.get_by_label("Password")).to_be_visible()


def test_five_wrong_passwords_lock_the_address(operator: MakeOperator) -> None:
    somebody = operator().open()
    for _ in range(5):
        somebody.give("wrong")
        expect(somebody.alert).to_be_visible()
    expect(somebody.alert).to_contain_text("Too many wrong passwords. Try again in 15 minutes.")
    somebody.give()
    expect(somebody.alert).to_contain_text("Too many")
    assert somebody.status == 429


def test_a_session_that_ends_in_the_middle_of_a_form(
    operator: MakeOperator, callers: Callers, empty_redis: RedisServer
) -> None:
    callers.asks(NUMBER)
    somebody = operator().signed_in().found(NUMBER).press("Void the code")
    end_panel_sessions(empty_redis)
    somebody.press("Void the code")
    expect(somebody.heading).to_have_text("Your session has ended")
    expect(somebody.page.get_by_text("Nothing was changed")).to_be_visible()
    assert somebody.status == 401
    # Back at the same phone, whose code is still active.
    somebody.press("Sign in").give()
    expect(somebody.heading).to_contain_text(MASKED)
    expect(somebody.fact("Code")).to_contain_text("active, ")


# The list.


def test_a_row_for_each_phone_in_each_state(operator: MakeOperator, callers: Callers) -> None:
    somebody = operator().signed_in()
    expect(somebody.page.get_by_text("No code was requested in the last day.")).to_be_visible()
    expect(somebody.page.get_by_role("table")).to_have_count(0)

    verified, exhausted, locked = (f"+98912000000{i}" for i in range(3))
    callers.asks(verified)
    callers.enters(verified)
    callers.asks(exhausted)
    callers.fails(exhausted, 3)
    callers.asks(locked)
    callers.fails(locked, 3)
    callers.asks(locked)
    callers.fails(locked, 1)
    callers.asks(NUMBER, NUMBER)
    somebody.open()
    rows = {row["Phone"]: row for row in somebody.rows()}
    # Newest first.
    assert list(rows) == [MASKED, "+98912***0002", "+98912***0001", "+98912***0000"]
    assert [row["State"] for row in rows.values()] == ["active", "locked", "exhausted", "verified"]
    newest, *_, oldest = rows.values()
    assert re.fullmatch(r"\d\d:\d\d", newest.pop("Last send"))
    assert newest.pop("Code’s time left").startswith("4 min 5")
    assert newest == {
        "Phone": MASKED,
        "State": "active",
        "Tries used": "0 of 3",
        "Sends in 2 minutes, 1 hour, 24 hours": "2 of 3, 2 of 10, 2 of 20",
        "Failures, 24 h": "0 of 4",
        "Sessions": "0",
    }
    assert (oldest["Code’s time left"], oldest["Sessions"]) == ("none", "1")
    assert rows["+98912***0002"]["Failures, 24 h"] == "4 of 4"
    assert rows["+98912***0001"]["Tries used"] == "3 of 3"
    # No page shows a number or a code.
    assert NUMBER[3:] not in somebody.page.content()

    somebody.page.get_by_role("link", name=MASKED).click()
    expect(somebody.heading).to_have_text(f"{MASKED} active")


def test_many_phones_come_page_by_page(operator: MakeOperator, callers: Callers) -> None:
    numbers = [f"+98913{i:07d}" for i in range(80)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(callers.asks, numbers))
    somebody = operator().signed_in()
    seen = [row["Phone"] for row in somebody.rows()]
    assert len(seen) == 25
    while somebody.page.get_by_role("link", name="Next page").count():
        somebody.press("Next page")
        seen += [row["Phone"] for row in somebody.rows()]
    assert len(seen) == 80
    assert set(seen) == {f"{number[:6]}***{number[-4:]}" for number in numbers}
    somebody.press("Back to the first page")
    expect(somebody.page.get_by_role("link", name="Next page")).to_be_visible()


def test_a_number_is_found_in_any_format(operator: MakeOperator, callers: Callers) -> None:
    callers.asks(NUMBER)
    somebody = operator().signed_in()
    for spelling in (TYPED.translate(PERSIAN), "0098 912 123 4567", "+98 (912) 123-4567"):
        somebody.open().search(spelling)
        expect(somebody.heading).to_contain_text(MASKED)
    assert not any(TYPED[1:] in request.url for request in somebody.person.seen)


def test_numbers_that_are_none_and_numbers_without_a_code(operator: MakeOperator) -> None:
    somebody = operator().signed_in()
    field = somebody.page.get_by_role("searchbox")
    for typed in ("02188888888", "+4915112345678"):
        somebody.search(typed)
        expect(somebody.alert).to_contain_text("Write it like 09123456789")
        expect(field).to_have_value(typed)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(somebody.alert.inner_text())
        assert somebody.status == 400
    somebody.search(TYPED)
    expect(somebody.page.get_by_text("No code was requested for this number")).to_be_visible()
    expect(somebody.heading).to_contain_text("idle")
    assert somebody.open(f"{TOKENS}nonsense/").status == 404


# One phone.


def test_the_code_is_shown_where_the_operator_has_allowed_it(
    operator: MakeOperator, callers: Callers, emulator: KavenegarEmulator, panels: Panels
) -> None:
    callers.asks(NUMBER)
    somebody = operator().signed_in().found(NUMBER)
    assert emulator.code_for(NUMBER) not in somebody.page.content()
    somebody.press("Show the code")
    expect(somebody.fact("The code")).to_have_text(emulator.code_for(NUMBER))
    assert any(line.get("action") == "code revealed" for line in admin_lines(panels("open")))

    # The same Redis and key, at a gateway that reveals no numbers.
    other = operator("guarded").signed_in().found(NUMBER)
    expect(other.fact("Code")).to_contain_text("active, ")
    expect(other.page.get_by_role("button", name="Show the code")).to_have_count(0)
    # It sends by a template. The provider can report the status of such a message, too.
    expect(other.page.get_by_role("columnheader", name="Provider says")).to_be_visible()


def test_voiding_a_code_asks_first_and_can_be_undone(
    operator: MakeOperator, callers: Callers, panels: Panels
) -> None:
    callers.asks(NUMBER)
    somebody = operator().signed_in().found(NUMBER).press("Void the code")
    expect(somebody.heading).to_have_text("Void the code?")
    expect(somebody.page.get_by_text("This can be undone for five minutes.")).to_be_visible()
    somebody.press("Cancel")
    expect(somebody.fact("Code")).to_contain_text("active, ")

    somebody.press("Void the code").press("Void the code")
    expect(somebody.notice).to_contain_text("Done: the code is void.")
    expect(somebody.fact("Code")).to_have_text("none")
    callers.fails(NUMBER, 1)
    somebody.press("Undo")
    expect(somebody.notice).to_contain_text("Undone")
    expect(somebody.fact("Code")).to_contain_text("active, ")
    callers.enters(NUMBER)
    assert [line["action"] for line in admin_lines(panels("open"))][-2:] == ["void", "undone"]


def test_unlocking_and_locking_again(operator: MakeOperator, callers: Callers) -> None:
    callers.asks(NUMBER)
    callers.fails(NUMBER, 3)
    callers.asks(NUMBER)
    callers.fails(NUMBER, 1)
    somebody = operator().signed_in().found(NUMBER)
    expect(somebody.heading).to_contain_text("locked")
    expect(somebody.fact("Failures in 24 h")).to_contain_text("4 of 4 reset in 23 h 59 min")
    somebody.press("Unlock").press("Unlock")
    expect(somebody.notice).to_contain_text("Done: the phone is unlocked.")
    expect(somebody.heading).to_contain_text("active")
    expect(somebody.fact("Failures in 24 h")).to_have_text("0 of 4")
    expect(somebody.fact("Wrong tries")).to_have_text("0 of 3")
    somebody.press("Undo")
    expect(somebody.heading).to_contain_text("locked")
    expect(somebody.fact("Wrong tries")).to_have_text("1 of 3")
    # Once is enough: restored data are not restored again.
    somebody.page.go_back()
    somebody.press("Undo")
    expect(somebody.notice).to_contain_text("too late")
    somebody.press("Unlock").press("Unlock")
    callers.enters(NUMBER)


def test_ending_sessions_is_for_good(operator: MakeOperator, callers: Callers) -> None:
    callers.asks(NUMBER)
    callers.enters(NUMBER)
    somebody = operator().signed_in().found(NUMBER)
    expect(somebody.fact("Valid sessions")).to_have_text("1")
    somebody.press("End sessions")
    expect(somebody.page.get_by_text("This cannot be undone.")).to_be_visible()
    somebody.press("Cancel").press("End sessions").press("End sessions")
    expect(somebody.notice).to_contain_text("Done: its sessions have ended.")
    expect(somebody.fact("Valid sessions")).to_have_text("0")
    expect(somebody.page.get_by_role("button", name="Undo")).to_have_count(0)


def test_did_the_code_go_out(
    operator: MakeOperator, callers: Callers, emulator: KavenegarEmulator, empty_redis: RedisServer
) -> None:
    def later() -> None:
        """Open the page when the last report is no longer kept."""
        with empty_redis.client() as client:
            client.delete(*client.keys("provider:delivery:*"))
        somebody.page.reload()

    callers.asks(NUMBER, NUMBER)
    somebody = operator().signed_in().found(NUMBER)
    table = somebody.page.get_by_role("table")
    assert [row["By"] for row in rows_of(table)] == ["SMS kavenegar", "SMS kavenegar"]
    for state, words in [
        (1, "Queued"),
        (10, "Delivered"),
        (11, "Not delivered: the phone was off or out of reach"),
        (14, "Blocked: the subscriber refuses such messages"),
    ]:
        emulator.set_fault(faults.entry_status(state), action="sms/statuslocalmessageid")
        later()
        assert [row["Provider says"] for row in rows_of(table)] == [words, words]
    # It has forgotten the messages, and then it does not answer at all.
    emulator.clear()
    later()
    expect(table).to_contain_text("Not known to the provider, or too old")
    emulator.fault = faults.code(409)
    later()
    expect(table).to_contain_text("the provider does not answer")


# The rest.


def test_credit_and_the_moment_of_the_answer(
    operator: MakeOperator, emulator: KavenegarEmulator, empty_redis: RedisServer
) -> None:
    emulator.fault = faults.code(409)
    somebody = operator("quiet").signed_in()
    credit = somebody.page.get_by_text("SMS credit:")
    expect(credit).to_contain_text("unknown")
    emulator.fault = None
    with empty_redis.client(db=1) as client:
        client.delete("provider:account:turn")
    for path in (TOKENS, USAGE):
        somebody.open(path)
        expect(credit).to_contain_text("1,500,000 Rial")
        expect(credit).to_contain_text("As of ")


def test_redis_is_unavailable_and_comes_back(
    operator: MakeOperator, callers: Callers, empty_redis: RedisServer
) -> None:
    callers.asks(NUMBER)
    somebody = operator().signed_in().found(NUMBER)
    empty_redis.pause()
    try:
        somebody.press("Show the code")
        expect(somebody.heading).to_have_text("Redis does not answer")
        assert somebody.status == 503
    finally:
        empty_redis.resume()
    # The link does not go to the form's URL, which accepts no GET.
    somebody.press("Try again")
    expect(somebody.heading).to_contain_text(MASKED)


def test_everything_by_keyboard(operator: MakeOperator, callers: Callers) -> None:
    callers.asks(NUMBER)
    somebody = operator(width=320).open()
    keyboard = somebody.page.keyboard
    expect(somebody.page.get_by_label("Password")).to_be_focused()
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    expect(somebody.heading).to_have_text("Codes")
    keyboard.press("Tab")
    expect(somebody.page.get_by_role("link", name="To the content")).to_be_focused()
    keyboard.press("Enter")
    keyboard.press("Tab")
    expect(somebody.page.get_by_role("searchbox")).to_be_focused()
    keyboard.type(TYPED)
    keyboard.press("Enter")
    expect(somebody.heading).to_contain_text(MASKED)
    tab_to(somebody, "Void the code")
    keyboard.press("Enter")
    expect(somebody.heading).to_have_text("Void the code?")
    tab_to(somebody, "Void the code")
    keyboard.press("Enter")
    expect(somebody.notice).to_be_visible()
    tab_to(somebody, "Undo")
    keyboard.press("Enter")
    expect(somebody.notice).to_contain_text("Undone")
    tab_to(somebody, "Sign out")
    keyboard.press("Enter")
    expect(somebody.page.get_by_label("Password")).to_be_focused()


def test_the_pages_need_nothing_but_a_style_sheet_and_an_icon(
    operator: MakeOperator, callers: Callers
) -> None:
    callers.asks(NUMBER)
    somebody = operator().signed_in().found(NUMBER).open(USAGE)
    kinds = {request.resource_type for request in somebody.person.seen}
    assert kinds <= {"document", "stylesheet", "image", "other"}
    expect(somebody.page.locator("script, [style], [onclick]")).to_have_count(0)


def tab_to(somebody: Operator, name: str) -> None:
    """Press Tab until an element of this name has focus."""
    for _ in range(30):
        somebody.page.keyboard.press("Tab")
        if somebody.page.evaluate("document.activeElement.innerText") == name:
            return
    raise AssertionError(f"no way to {name} by keyboard")


def end_panel_sessions(server: RedisServer) -> None:
    """Make the sessions half an hour older."""
    with server.client() as client:
        client.delete(*client.keys("admin:session:*"))


def admin_lines(gateway: Gateway) -> list[dict[str, str]]:
    """The panel's lines in the log."""
    lines = [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]
    return [line for line in lines if "action" in line]

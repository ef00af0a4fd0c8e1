"""Operators with names, the activity log, filters, languages, and pages that reload themselves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from otp_gateway.support.search import matcher
from otp_gateway.support.words import LANGUAGES, _texts, words_of
from tests.admin.support import LOGIN, PASSWORD, TOKENS, Operator, make_panel, pid_of, shown, signed_in
from tests.api.support import OTHER, PHONE, Api, Recorder, wrong
from tests.support.gateway import ROOT

ACTIVITY = "/admin/activity/"
SARA = generate_password_hash("the password of sara", "pbkdf2:sha256:1")
ALI = generate_password_hash("the password of ali", "pbkdf2:sha256:1")


@pytest.fixture
def named() -> Api:
    return make_panel(sender=Recorder(), ADMIN_USERS=f"سارا:{SARA},ali:{ALI}")


def test_each_name_has_its_own_password(named: Api) -> None:
    for name, password, status in [
        ("سارا", "the password of sara", 302),
        ("ALI", "the password of ali", 302),
        ("", PASSWORD, 302),
        ("ali", "the password of sara", 403),
        ("nobody", "the password of ali", 403),
        ("", "the password of ali", 403),
    ]:
        operator = Operator(named)
        assert operator.log_in(password, name=name).status_code == status, name
        named.redis.flushall()


def test_names_alone_turn_the_panel_on() -> None:
    api = make_panel(sender=Recorder(), ADMIN_PASSWORD_HASH="", ADMIN_USERS=f"ali:{ALI}")
    assert Operator(api).log_in("the password of ali", name="ali").status_code == 302
    assert Operator(api).log_in("the password of ali").status_code == 403
    assert 'name="name"' in Operator(api).get(LOGIN).text


def test_a_session_ends_with_its_operator_and_with_the_password(named: Api) -> None:
    operator = Operator(named)
    operator.log_in("the password of ali", name="ali")
    cookie = operator.client.get_cookie("admin_session", path="/admin")
    assert cookie
    for variables in ({"ADMIN_USERS": f"سارا:{SARA}"}, {"ADMIN_USERS": f"ali:{SARA}"}):
        other = Operator(make_panel(named.redis, Recorder(), **variables))  # type: ignore[arg-type]
        other.client.set_cookie("admin_session", cookie.value, path="/admin")
        assert other.get().status_code == 302
    assert operator.get().status_code == 200


def test_the_activity_log_says_who_did_what_and_offers_the_undo(
    named: Api, caplog: pytest.LogCaptureFixture
) -> None:
    named.send()
    for by in (1, 2, 3):
        named.verify(PHONE, f"00000{by}")
    operator = Operator(named)
    operator.log_in("the password of sara", name="سارا")
    operator.act("unlock", pid_of())
    page = operator.get(ACTIVITY).text
    rows = [
        re.sub(r"<[^>]+>|\s+", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    ]
    assert rows[1][2:] == ["سارا", "unlocked", "the", "phone", "+98912***6789", "Undo"]
    assert rows[2][2:4] == ["سارا", "signed"]
    assert "'operator': 'سارا'" in caplog.text
    undo = re.search(r'action="([^"]+/undo/[^"]+)"', page)
    assert undo
    done = operator.submit(undo[1], **{"from": "activity"})
    assert done.location.endswith("/admin/activity/?done=undone")
    page = operator.get(done.location).text
    assert "/undo/" not in page
    assert "undid an action" in page
    assert 0 < named.redis.ttl("admin:activity") <= 30 * 86_400
    assert "9123456789" not in page


def test_the_activity_log_is_bounded(named: Api) -> None:
    operator = Operator(named)
    operator.log_in("the password of ali", name="ali")
    named.send()
    entry = named.redis.lindex("admin:activity", 0)
    assert entry
    for _ in range(1200):
        named.redis.lpush("admin:activity", entry)
    operator.act("void", pid_of())
    assert named.redis.llen("admin:activity") == 1000
    page = operator.get(ACTIVITY).text
    assert page.count("<tr>") == 51
    assert "from=50" in page


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("+98912***6789", [PHONE]),
        ("0912***6789", [PHONE]),
        ("*6789", [PHONE]),
        ("6789", [PHONE]),
        ("۶۷۸۹", [PHONE]),
        ("89", [PHONE]),
        ("0912", [PHONE]),
        ("+98912", [PHONE]),
        ("912", [PHONE]),
        ("0935", [OTHER]),
        ("09", [PHONE, OTHER]),
        ("0936", []),
        ("+98912***2233", []),
    ],
)
def test_phones_are_found_by_what_the_list_shows(text: str, found: list[str]) -> None:
    api = make_panel(sender=Recorder())
    for phone in (OTHER, PHONE):
        api.send(phone)
    operator = signed_in(api)
    reply = operator.submit(TOKENS, phone=text)
    assert reply.status_code == 302
    assert shown(operator.get(reply.location).text) == [pid_of(phone) for phone in found]


@pytest.mark.parametrize("text", ["09123456", "abc", "0912ABC", "***", "6789***", "+", "12345678"])
def test_a_text_that_is_no_part_of_a_number_is_no_filter(text: str) -> None:
    assert matcher(text, "98") is None


def test_filters_by_state_find_their_phones_among_many() -> None:
    sender = Recorder()
    api = make_panel(sender=sender, OTP_MAX_FAILURES_PER_PHONE=4, OTP_DEVICE_DAYS=0)
    verified, exhausted, locked = (f"+98912000000{n}" for n in range(3))
    api.send(verified)
    api.verify(verified, sender.code_for(verified))
    api.send(exhausted)
    for by in (1, 2, 3):
        api.verify(exhausted, wrong(sender.code_for(exhausted), by))
    for tries in (3, 1):
        api.send(locked)
        for by in range(1, tries + 1):
            api.verify(locked, wrong(sender.code_for(locked), by))
    for n in range(40):
        api.send(f"+98935{n:07d}")
    operator = signed_in(api)
    for state, phones in (("verified", [verified]), ("exhausted", [exhausted]), ("locked", [locked])):
        page = operator.get(TOKENS, query_string={"state": state}).text
        assert shown(page) == [pid_of(phone) for phone in phones], state
    assert len(shown(operator.get(TOKENS, query_string={"state": "active"}).text)) == 25
    assert shown(operator.get(TOKENS, query_string={"state": "not-sent"}).text) == []
    assert shown(operator.get(TOKENS, query_string={"state": "idle"}).text) == []


def test_a_page_reloads_itself_only_if_that_is_turned_on_and_then_keeps_no_session_open(api: Api) -> None:
    operator = signed_in(api)
    for path in (TOKENS, "/admin/usage/", "/admin/traffic/", ACTIVITY, f"{TOKENS}{pid_of()}/"):
        assert "http-equiv" not in operator.get(path).text
        page = operator.get(path, query_string={"live": "1"}).text
        assert '<meta http-equiv="refresh" content="10">' in page
        assert 'name="live" value="1" checked' in page
    (session,) = api.redis.scan_iter("admin:session:*")
    api.redis.expire(session, 100)
    operator.get(TOKENS, query_string={"live": "1"})
    assert api.redis.ttl(session) <= 100
    operator.get(TOKENS)
    assert api.redis.ttl(session) > 100


def test_persian_is_right_to_left_with_jalali_dates_and_tehrans_clock(api: Api) -> None:
    api.send()
    operator = signed_in(api)
    page = operator.get(f"{TOKENS}{pid_of()}/", query_string={"lang": "fa"}).text
    assert '<html lang="fa" dir="rtl">' in page
    jalali = r"۱۴[۰-۹]{2}/[۰-۹]{2}/[۰-۹]{2} [۰-۹]{2}:[۰-۹]{2}:[۰-۹]{2} <span>\(\d{4}-\d\d-\d\d\)</span>"
    assert re.search(jalali, page)
    assert "+03:30" in page
    # The choice stays until it is changed.
    assert '<html lang="fa"' in operator.get(ACTIVITY).text
    assert '<html lang="en"' in operator.get(ACTIVITY, query_string={"lang": "en"}).text


def test_the_time_zone_is_the_operators() -> None:
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "+03:30"),
        ({"OTP_REGIONS": "DE"}, "+00:00"),
        ({"ADMIN_TIMEZONE": "Asia/Tokyo"}, "+09:00"),
    )
    for variables, offset in cases:
        api = make_panel(sender=Recorder(), **variables)
        api.send("+989123456789" if variables.get("OTP_REGIONS") != "DE" else "+4915112345678")
        assert f'{offset}"' in signed_in(api).get(TOKENS).text


def test_every_text_is_in_both_languages_and_takes_the_same_values() -> None:
    for key, text in _texts().items():
        assert set(text) == set(LANGUAGES), key
        english, persian = (set(re.findall(r"{(\w+)}", text[language])) for language in LANGUAGES)
        # A language may write a number as a word.
        assert persian == english, key
    assert words_of("fa").number(1234) == "۱٬۲۳۴"


def test_no_text_is_in_the_file_twice() -> None:
    found: list[str] = []
    file = ROOT / "otp_gateway" / "support" / "texts.json"
    json.loads(file.read_text("utf-8"), object_pairs_hook=lambda pairs: found.extend(key for key, _ in pairs))
    keys = [key for key in found if key not in LANGUAGES]
    assert sorted(keys) == sorted(set(keys))


def test_every_text_that_a_template_names_exists() -> None:
    folder = ROOT / "otp_gateway" / "admin" / "templates" / "admin"
    used = {
        key
        for path in folder.glob("*.html")
        for key in re.findall(r"""\bt\((["'])([a-z_.-]*[a-z_])\1[,)]""", path.read_text("utf-8"))
        for key in key[1:]
    }
    assert len(used) > 80
    assert used - set(_texts()) == set()

"""Sign-in and sign-out work if the browser gives no storage, refuses it, or has no room."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakePerson, Mode
from tests.browser.stores import WITHOUT_STORAGE

each_storage = pytest.mark.parametrize("storage", WITHOUT_STORAGE.values(), ids=WITHOUT_STORAGE)


@each_storage
@pytest.mark.parametrize("mode", ["body", "cookies"])
def test_a_user_signs_in_and_out(person: MakePerson, storage: str, mode: Mode) -> None:
    somebody = person(mode=mode)
    somebody.page.add_init_script(storage)
    somebody.signed_in()
    somebody.button("refresh").click()
    expect(somebody.status).to_have_text(somebody.say("refreshed"))
    somebody.page.get_by_label(somebody.say("not_my_device")).check()
    somebody.button("sign_out").click()
    expect(somebody.status).to_have_text(somebody.say("forgotten"))
    assert len(somebody.posts("/token/revoke")) == 1
    assert somebody.page.context.cookies() == []
    somebody.page.reload()
    expect(somebody.phone).to_be_focused()


@each_storage
def test_a_session_in_cookies_outlives_a_reload(person: MakePerson, storage: str) -> None:
    somebody = person(mode="cookies")
    somebody.page.add_init_script(storage)
    somebody.signed_in()
    expired = {"status": 401, "code": "invalid_token"}
    somebody.page.route("**/me", lambda route: route.fulfill(status=401, json=expired))
    somebody.page.reload()
    expect(somebody.greeting).to_be_focused()

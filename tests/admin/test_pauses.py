"""The operator pauses a prefix or a network and mutes a phone from the panel, for some time, and ends it."""

from __future__ import annotations

import re

import pytest

from otp_gateway.codes import Codes
from otp_gateway.store.client import RedisClient
from otp_gateway.store.pauses import Pauses
from tests.admin.support import TOKENS, make_panel, pid_of, signed_in
from tests.api.support import HOME, PHONE, Recorder
from tests.conftest import SECRET_KEY

TRAFFIC, ACTIVITY = "/admin/traffic/", "/admin/activity/"
PREFIX, NETWORK = "+98912", Codes(SECRET_KEY, 6).client(HOME)


@pytest.mark.parametrize(("kind", "target"), [("prefix", PREFIX), ("network", NETWORK)])
def test_a_prefix_or_network_is_paused_from_the_traffic_page(
    redis_client: RedisClient, kind: str, target: str
) -> None:
    api = make_panel(redis_client, Recorder(), OTP_GATE="on")
    assert api.send().status_code == 200
    operator = signed_in(api)
    path = f"/admin/pauses/{kind}/{target}/"
    page = operator.get(TRAFFIC).text
    assert f'href="{path}"' in page
    assert "Nothing is paused" in page
    assert "For how long?" in operator.get(path).text
    done = operator.submit(path, hours="24")
    page = operator.get(done.location).text
    assert "Done: it is paused." in page
    assert '<span class="warn">paused</span>' in page
    (pause,) = Pauses(redis_client).all()
    now = 1000 * int(api.redis.time()[0])
    assert (pause.kind, pause.target) == (kind, target)
    assert 23.9 * 3_600_000 < pause.until - now <= 24.1 * 3_600_000
    reply = api.send()
    assert (reply.status_code, reply.get_json()["code"]) == (429, "challenge_required")
    # Undo, from the activity log.
    page = operator.get(ACTIVITY).text
    assert "paused" in page
    undo = re.search(r'action="(/admin/pauses/[^"]+/end/)"', page)
    assert undo
    assert "Done: it has ended." in operator.get(operator.submit(undo[1]).location).text
    assert api.send().status_code == 200
    page = operator.get(ACTIVITY).text
    assert "ended a pause" in page
    assert "/end/" not in page
    assert "It had ended already." in operator.get(operator.submit(undo[1]).location).text


def test_a_phone_is_muted_and_the_verdict_says_so(redis_client: RedisClient) -> None:
    api = make_panel(redis_client, Recorder(), OTP_GATE="on")
    api.send()
    operator = signed_in(api)
    path = f"{TOKENS}{pid_of()}/"
    page = operator.get(operator.submit(f"{path}mute/", hours="1").location).text
    assert "Done: the phone is muted." in page
    assert re.search(r'class="headline">Muted for 59 min 5\d s: only devices', page)
    assert f'action="{path}unmute/"' in page
    assert api.send(PHONE).get_json()["code"] == "sending_paused"
    assert "+98912***6789" in operator.get(TRAFFIC).text
    page = operator.get(operator.submit(f"{path}unmute/").location).text
    assert "The user may request a code now" in page
    assert api.send(PHONE).status_code == 200


@pytest.mark.parametrize(
    "path", ["prefix/98912", "prefix/+999", "prefix/+98", "network/short", "network/+98912", "phone/x"]
)
def test_what_is_no_prefix_and_no_network_is_not_paused(redis_client: RedisClient, path: str) -> None:
    operator = signed_in(make_panel(redis_client, Recorder()))
    assert operator.get(f"/admin/pauses/{path}/").status_code == 404
    assert operator.submit(f"/admin/pauses/{path}/", hours="1").status_code == 404
    assert Pauses(redis_client).all() == []


@pytest.mark.parametrize("hours", ["", "0", "-1", "99999999", "x"])
def test_a_pause_never_lasts_longer_than_offered(redis_client: RedisClient, hours: str) -> None:
    operator = signed_in(make_panel(redis_client, Recorder()))
    operator.submit(f"/admin/pauses/prefix/{PREFIX}/", hours=hours)
    (pause,) = Pauses(redis_client).all()
    assert pause.until <= 1000 * int(operator.api.redis.time()[0]) + 25 * 3_600_000


def test_the_traffic_page_shows_what_the_gate_would_have_done(redis_client: RedisClient) -> None:
    api = make_panel(redis_client, Recorder(), OTP_GATE_CREDIT=1, OTP_SEND_BUDGET="500/hour")
    for n in range(4):
        assert api.send(f"+98912000000{n}").status_code == 200
    page = signed_in(api).get(TRAFFIC).text
    assert "It only observes: no send is refused because credit is missing." in page
    assert re.search(r"<dt>Challenge</dt><dd>[1-3]</dd>", page)
    assert "Send budget: 4 of 500 in 1 hour" in page
    assert "gate:" not in signed_in(api).get("/admin/usage/").text

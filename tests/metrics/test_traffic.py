"""Sends and logins by prefix and by network, for a scraper."""

from __future__ import annotations

from otp_gateway.store.client import RedisClient
from tests.api.support import OTHER, PHONE, Recorder, make_api
from tests.metrics.support import scrape
from tests.support import recording


def test_a_scrape_has_the_prefixes_and_networks_with_the_most_sends(redis_client: RedisClient) -> None:
    sender = Recorder()
    api = make_api(redis_client, sender, OTP_PHONE_LIMITS="1000/minute")
    api.send()
    api.verify(PHONE, sender.code_for(PHONE))
    for n in range(20):
        api.send(OTHER, ip=f"192.0.2.{n}")
    recording.write()
    now = scrape(api)
    for span in ("hour", "day", "week"):
        of = {"by": "prefix", "span": span}
        assert now.value("traffic_sends", member="+98935", **of) == 20
        assert now.value("traffic_logins", member="+98912", **of) == 1
        assert now.value("traffic_looks_pumped", member="+98935", **of) == 1
        assert now.value("traffic_looks_pumped", member="+98912", **of) == 0
        assert now.value("traffic_sends", member="rest", **of) == 0
        # Ten networks are named, and all others are one series.
        assert now.value("traffic_sends", by="network", member="rest", span=span) == 21 - 11

"""A slow provider never holds all threads of a worker."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from otp_gateway.errors import SmsBusy
from otp_gateway.senders.slots import SendSlots
from tests.api.support import Recorder, make_api


def test_sends_hold_at_most_three_quarters_of_the_threads() -> None:
    slots, release, outcomes = SendSlots(32), threading.Event(), Counter[str]()

    def send() -> None:
        try:
            with slots.take():
                outcomes["sent"] += 1
                release.wait(10)
        except SmsBusy:
            outcomes["busy"] += 1
            # The last of those that find no slot lets the others end.
            if outcomes["busy"] == 40:
                release.set()

    with ThreadPoolExecutor(64) as pool:
        for _ in range(64):
            pool.submit(send)
    assert outcomes == {"sent": 24, "busy": 40}
    with slots.take():
        pass


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_slot_is_given_back_whatever_happens(fault: type[BaseException]) -> None:
    slots = SendSlots(1)
    for _ in range(3):
        with pytest.raises(fault), slots.take():
            raise fault


@pytest.mark.parametrize(("threads", "limit"), [(1, 1), (2, 1), (4, 3), (8, 6), (32, 24)])
def test_the_slots_follow_the_workers_real_threads(threads: int, limit: int) -> None:
    slots = SendSlots(32)
    slots.set_threads(threads)
    held = [slots.take() for _ in range(limit)]
    for each in held:
        each.__enter__()
    with pytest.raises(SmsBusy), slots.take():
        pass
    for each in held:
        each.__exit__(None, None, None)


def test_a_send_without_a_free_thread_is_503_and_charges_nothing() -> None:
    sender = Recorder()
    api = make_api(sender=sender)
    slots = api.app.extensions["send_slots"]
    slots.set_threads(1)
    with slots.take():
        reply = api.send()
    assert reply.status_code == 503
    assert reply.json
    assert reply.json["code"] == "sms_busy"
    assert int(reply.headers["Retry-After"]) >= 1
    assert sender.sent == []
    assert list(api.redis.scan_iter("otp:*")) == []
    assert api.send().status_code == 200


def test_a_number_that_cannot_be_is_refused_before_a_thread_is_needed() -> None:
    api = make_api(sender=Recorder())
    slots = api.app.extensions["send_slots"]
    slots.set_threads(1)
    with slots.take():
        assert api.send("+98912").status_code == 400

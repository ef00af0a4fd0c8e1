"""A slow provider never holds all threads of a worker."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from otp_gateway.errors import SmsBusy
from otp_gateway.senders.slots import SendSlots
from tests.api.support import Recorder, make_api


@pytest.mark.parametrize(("device", "limit"), [(True, 24), (False, 20)], ids=["devices", "strangers"])
def test_sends_hold_at_most_three_quarters_of_the_threads(*, device: bool, limit: int) -> None:
    slots, release, outcomes = SendSlots(32), threading.Event(), Counter[str]()

    def send() -> None:
        try:
            with slots.take(device=device):
                outcomes["sent"] += 1
                release.wait(10)
        except SmsBusy:
            outcomes["busy"] += 1
            # When the last of those that find no slot has ended, the others may end.
            if outcomes["busy"] == 64 - limit:
                release.set()

    with ThreadPoolExecutor(64) as pool:
        for _ in range(64):
            pool.submit(send)
    assert outcomes == {"sent": limit, "busy": 64 - limit}
    with slots.take():
        pass


def test_strangers_leave_a_sixth_of_the_slots_to_devices() -> None:
    slots = SendSlots(32)
    with ExitStack() as held:
        assert {held.enter_context(slots.take()) for _ in range(20)} == {False}
        with pytest.raises(SmsBusy), slots.take():
            pass
        assert {held.enter_context(slots.take(device=True)) for _ in range(4)} == {True}
        with pytest.raises(SmsBusy), slots.take(device=True):
            pass


def test_a_device_may_use_any_free_slot() -> None:
    slots = SendSlots(32)
    with ExitStack() as held:
        reserved = [held.enter_context(slots.take(device=True)) for _ in range(24)]
    assert reserved == 20 * [False] + 4 * [True]


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
    with ExitStack() as held:
        for _ in range(limit):
            held.enter_context(slots.take(device=True))
        with pytest.raises(SmsBusy), slots.take(device=True):
            pass


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

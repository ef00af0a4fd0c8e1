"""A graceful stop ends soon, although the keep-alive time of a connection is much longer."""

from __future__ import annotations

import time

from tests.connections.conftest import Connect, get
from tests.support.gateway import Gateway

# gunicorn's two seconds for a request that is already on its way, and room for a slow machine. The graceful
# timeout is 20 s, the keep-alive time 95 s.
SOON = 10.0


def seconds_to_stop(gateway: Gateway) -> float:
    began = time.monotonic()
    gateway.terminate()
    assert gateway.wait_exit(60) == 0
    return time.monotonic() - began


def test_two_hundred_connections_that_wait_after_a_reply_do_not_delay_a_stop(
    gateway: Gateway, connect: Connect
) -> None:
    for connection in connect(200):
        get(connection)
    assert seconds_to_stop(gateway) < SOON


def test_two_hundred_connections_that_have_sent_nothing_do_not_delay_a_stop(
    gateway: Gateway, connect: Connect
) -> None:
    connect(200)
    assert gateway.get("/healthz").status_code == 200
    assert seconds_to_stop(gateway) < SOON


def test_an_idle_connection_is_kept_for_longer_than_before(connect: Connect) -> None:
    [connection] = connect(1)
    for pause in (0, 7):
        time.sleep(pause)
        get(connection)

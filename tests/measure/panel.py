"""The panel's first page with 200 and with 200,000 phones: ``python -m tests.measure.panel``.

It prints processor time and Redis commands of one page, and the bytes of the records of a phone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median

import redis

from otp_gateway.events import Batch, SendEvent
from otp_gateway.model import PhoneNumber
from otp_gateway.store import connect
from otp_gateway.store.outcomes import OutcomeStore
from otp_gateway.store.recent_phones import RecentPhones
from otp_gateway.store.scripts import Scripts
from tests.admin.support import TOKENS, Operator, make_panel, pid_of, signed_in
from tests.api.support import Recorder
from tests.support.redis_server import RedisServer

NUMBERS = (200, 200_000)
BATCH = 2000
RUNS = 15
PAGES = {
    "first page": {},
    "locked": {"state": "locked"},
    "active": {"state": "active"},
    "0912": {"q": "0912"},
    "4567": {"q": "4567"},
    "no phone": {"q": "0999"},
}


def sends(numbers: Sequence[int]) -> list[SendEvent]:
    """One send of each phone, spread over the last hours."""
    now = 1000 * int(time.time())
    events = []
    for n in numbers:
        phone = PhoneNumber(f"+98912{n:07d}")
        events.append(
            SendEvent(
                id=f"{n:012d}",
                pid=pid_of(phone.e164),
                masked=phone.masked,
                prefix="+98912",
                client="e6j-SBKSDm59",
                at=now - 20_000_000 + 100 * n,
                channel="sms",
                outcome="sent",
                backend="kavenegar",
                cost=120,
                message_id="85463238",
            )
        )
    return events


def measure(operator: Operator, client: redis.Redis, query: dict[str, str]) -> tuple[float, int]:
    """Milliseconds of processor time, and Redis commands, of one page."""
    took, commands = [], 0
    for _ in range(RUNS):
        before, began = client.info("stats")["total_commands_processed"], time.process_time()
        assert operator.get(TOKENS, query_string=query).status_code == 200
        took.append(1000 * (time.process_time() - began))
        commands = client.info("stats")["total_commands_processed"] - before - 1
    return median(took), commands


def main() -> None:
    """Fill, measure, print."""
    with RedisServer() as server, server.client() as client:
        for number in NUMBERS:
            server.clear()
            store = connect(server.url)
            scripts = Scripts(store)
            empty = client.info("memory")["used_memory"]
            for start in range(0, number, BATCH):
                events = sends(range(start, min(number, start + BATCH)))
                OutcomeStore(scripts).write(Batch(str(start), events, {}))
            lists = client.info("memory")["used_memory"] - empty
            for start in range(0, number, BATCH):
                RecentPhones(store).write(
                    Batch(str(start), sends(range(start, min(number, start + BATCH))), {})
                )
            index = client.info("memory")["used_memory"] - empty - lists
            operator = signed_in(make_panel(store, Recorder(), LOG_LEVEL="ERROR"))
            operator.get(TOKENS)
            print(f"{number:,} phones: {lists / number:.0f} bytes of outcomes, index {index:,} bytes")  # noqa: T201
            for name, query in PAGES.items():
                took, commands = measure(operator, client, query)
                print(f"  {name:<12} {took:6.1f} ms  {commands:>4} commands")  # noqa: T201


if __name__ == "__main__":
    main()

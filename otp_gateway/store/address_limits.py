"""The limit by IP address: one script counts a request against every window of its network."""

from __future__ import annotations

from collections.abc import Sequence

from otp_gateway.admission import Admission, Quota
from otp_gateway.codes import random_id
from otp_gateway.errors import StoreUnavailable
from otp_gateway.model import Clock, Window
from otp_gateway.store import keys
from otp_gateway.store.scripts import LATE, LIMITER_TIMEOUT, Reply, Scripts, deadline, flat

# The clock of a process that has not yet read Redis's clock. Every deadline on it has passed.
LONG_AGO = Clock(0, 0.0)


class AddressLimits:
    """The windows of IP addresses. A reply also has Redis's time, from which each request takes its clock."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._clock = LONG_AGO

    def read_clock(self) -> None:
        """Read Redis's clock, so that the first request does not have to. Raises ``StoreUnavailable``."""
        self._run([keys.address("", "")], [random_id(), 0, 0], LONG_AGO)

    def admit(
        self, networks: Sequence[str], endpoint: str, windows: Sequence[Window], share: int
    ) -> Admission:
        """Count one request of an address to an endpoint. Raises ``StoreUnavailable``.

        ``networks``: the opaque id of the address's network, and the id of its subnet if it has one. The
        subnet has the ``windows``, and its network has ``share`` times as much. A network without a subnet
        has the ``windows``.
        """
        network, *subnets = networks
        names = [
            keys.address(network, endpoint),
            *(keys.address(network, endpoint, s) for s in subnets),
        ]
        factors = [share, 1] if subnets else [1]
        limits = [Window(w.limit * f, w.seconds) for f in factors for w in windows]
        longest = 1000 * max(w.seconds for w in windows)
        args: list[str | int] = [random_id(), longest, len(windows), *flat(limits)]
        (tag, _, *stats), clock = self._decide(names, args)
        triples = list(zip(stats[::3], stats[1::3], stats[2::3], strict=True))
        return Admission(
            admitted=tag == "admitted",
            clock=clock,
            quotas=tuple(
                _tightest(
                    windows[i],
                    list(zip(limits[i :: len(windows)], triples[i :: len(windows)], strict=True)),
                )
                for i in range(len(windows))
            ),
            retry_after=max((fits for _, _, fits in triples), default=0),
        )

    def _decide(self, names: Sequence[str], args: Sequence[str | int]) -> tuple[Reply, Clock]:
        reply, clock = self._run(names, args, self._clock)
        if reply[0] == "late":
            # This process had not read Redis's clock yet, or that clock was set forward after it was read.
            reply, clock = self._run(names, args, clock)
        if reply[0] == "late":
            raise StoreUnavailable(LATE)
        if reply[0] == "refused":
            reply.wait_until_final()
        return reply, clock

    def _run(self, names: Sequence[str], args: Sequence[str | int], clock: Clock) -> tuple[Reply, Clock]:
        """Run the script once with a deadline on ``clock``. Return its reply, and the clock in the reply."""
        limit = deadline(clock, LIMITER_TIMEOUT)
        reply = self._scripts.run("admit", names, [limit, *args], LIMITER_TIMEOUT)
        self._clock = Clock.read(reply[1])
        return reply, self._clock


def _tightest(window: Window, states: Sequence[tuple[Window, tuple[int, int, int]]]) -> Quota:
    """The requests that a window still admits from an address, by its subnet or by its network if fewer."""
    remaining, reset = min((max(0, w.limit - events), -leaves) for w, (events, leaves, _) in states)
    return Quota(window, remaining, -reset)

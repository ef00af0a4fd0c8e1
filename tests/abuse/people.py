"""Honest people and attackers of the simulation, and the order of their actions."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from otp_gateway.model import PhoneNumber
from tests.abuse.world import MINUTE, SECOND, World

# Seconds from the request to the login of a person whose SMS arrives, and for the work of a challenge.
READING, SOLVING = (5.0, 25.0), (1.0, 4.0)
# How many requests a person makes if no SMS arrives, and the seconds between them.
PATIENCE, BETWEEN = 3, 60.0
# Addresses may send five requests a minute (OTP_IP_LIMITS).
PER_ADDRESS = 5


class Timeline:
    """The actions of each moment of virtual time."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)  # a simulation, which must be repeatable
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()

    def at(self, moment: float, action: Callable[[], None]) -> None:
        """Do this at that moment, in ms."""
        heapq.heappush(self._events, (int(moment), next(self._order), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do this so many seconds from now."""
        self.at(self.world.now + 1000 * seconds, action)

    def run(self) -> None:
        """Run all actions."""
        while self._events:
            moment, _, action = heapq.heappop(self._events)
            self.world.go_to(moment)
            action()
        self.world.flush()


@dataclass
class Group:
    """Honest people, and how the gate treated them. ``solves``: their clients solve challenges."""

    name: str
    solves: bool = True
    people: int = 0
    challenged: int = 0
    refused: int = 0
    logins: int = 0

    def share(self, number: int) -> float:
        """The percentage of the people."""
        return 100 * number / self.people if self.people else 0.0


@dataclass
class Person:
    """A person who wants to sign in. ``receives``: at which moments the carrier delivers an SMS."""

    timeline: Timeline
    group: Group
    network: str
    phone: PhoneNumber
    converts: bool = True
    receives: Callable[[int], bool] = lambda _: True
    tries: int = 0
    was_challenged: bool = False

    def begin(self) -> None:
        """Request the first code."""
        self.group.people += 1
        self.request()

    def request(self) -> None:
        """Request a code, with a solved challenge if the gateway demands one."""
        world = self.timeline.world
        self.tries += 1
        decision, issued = world.send(self.phone, self.network)
        if issued is None and decision == "challenge":
            if not self.was_challenged:
                self.group.challenged += 1
            self.was_challenged = True
            if not self.group.solves:
                self.group.refused += 1
                return
            self.timeline.after(self.timeline.random.uniform(*SOLVING), self.solve)
            return
        if issued is None:
            self.group.refused += decision == "paused"
            return
        self.expect(lambda: world.login(self.phone, self.network, issued))

    def solve(self) -> None:
        """Send the request again, with the solution."""
        world = self.timeline.world
        _, issued = world.send(self.phone, self.network, world.solution())
        if issued is None:
            self.group.refused += 1
            return
        self.expect(lambda: world.login(self.phone, self.network, issued))

    def expect(self, login: Callable[[], object]) -> None:
        """Wait for the SMS: sign in, or request another one, or give up."""
        if self.receives(self.timeline.world.now):
            if self.converts:

                def sign_in() -> None:
                    login()
                    self.group.logins += 1

                self.timeline.after(self.timeline.random.uniform(*READING), sign_in)
        elif self.tries < PATIENCE:
            self.timeline.after(BETWEEN * self.timeline.random.uniform(0.8, 1.2), self.request)


@dataclass
class Attack:
    """Sends to numbers that never sign in. ``solves``: it solves every challenge."""

    timeline: Timeline
    networks: Sequence[str]
    solves: bool = False
    prefix: str = "+98935"
    requests: int = 0
    messages: int = 0
    networks_given_up: set[str] = field(default_factory=set)

    def spread(self, requests: int, begin: int, seconds: float) -> None:
        """Request so many codes, evenly over this time and over the networks, each for another number."""
        for number in range(requests):
            network = self.networks[number % len(self.networks)]
            moment = begin + 1000 * seconds * number / requests
            self.timeline.at(moment, lambda network=network: self.request(network))  # type: ignore[misc]

    def request(self, network: str) -> None:
        """Request one code. The attacker stops using an address that is refused for the day."""
        world = self.timeline.world
        self.requests += 1
        phone = world.phone(self.prefix)
        decision, issued = world.send(phone, network)
        may_solve = self.solves and network not in self.networks_given_up
        if issued is None and decision == "challenge" and may_solve:
            decision, issued = world.send(phone, network, world.solution())
            if decision == "paused":
                self.networks_given_up.add(network)
        self.messages += issued is not None


def people(
    timeline: Timeline,
    group: Group,
    networks: Sequence[str],
    number: int,
    *,
    begin: int,
    seconds: float,
    conversion: float = 0.85,
    receives: Callable[[int], bool] = lambda _: True,
) -> None:
    """So many people of a group, who come at random within this time, from these networks."""
    for _ in range(number):
        draw = timeline.random
        person = Person(
            timeline,
            group,
            draw.choice(networks),
            timeline.world.phone(),
            converts=draw.random() < conversion,
            receives=receives,
        )
        timeline.at(begin + 1000 * draw.uniform(0, seconds), person.begin)


def named(kind: str, number: int) -> list[str]:
    """So many networks."""
    return [f"{kind}{i}" for i in range(number)]


__all__ = ["MINUTE", "PER_ADDRESS", "SECOND", "Attack", "Group", "Person", "Timeline", "named", "people"]

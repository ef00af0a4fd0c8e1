"""The runs of the simulation: attacks, campaigns and outages, each with honest people at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from otp_gateway.credit import GateMode
from otp_gateway.model import Window
from tests.abuse.people import Attack, Group, Timeline, named, people
from tests.abuse.world import DAY, HOUR, MINUTE, World
from tests.support.redis_server import RedisServer

# The size of the attack in every run: numbers that never sign in, and addresses.
NUMBERS, ADDRESSES = 10_000, 1_000
CARRIERS = (30, 300, 4_000)
# Honest people of each kind.
CROWD = 10


@dataclass
class Result:
    """One row of the table."""

    requests: int = 0
    messages: int = 0
    logins: int = 0
    groups: list[Group] = field(default_factory=list)

    def group(self, name: str) -> Group:
        """The group of this name."""
        return next(group for group in self.groups if group.name == name)

    def add(self, group: Group) -> Group:
        """A group of this run."""
        self.groups.append(group)
        return group

    @property
    def people(self) -> int:
        """All honest people whose clients solve challenges."""
        return sum(group.people for group in self.groups if group.solves)

    @property
    def challenged(self) -> int:
        """The people who had to solve a challenge."""
        return sum(group.challenged for group in self.groups if group.solves)

    @property
    def refused(self) -> int:
        """The people who got no code."""
        return sum(group.refused for group in self.groups if group.solves)


class Site:
    """A world with its honest people, at the time of a run."""

    def __init__(
        self,
        server: RedisServer,
        *,
        seed: int = 1,
        mode: GateMode = "on",
        budget: tuple[Window, ...] = (),
    ) -> None:
        self.world = World(server, mode=mode, budget=budget)
        self.timeline = Timeline(self.world, seed)
        self.result = Result()
        self._attacks: list[Attack] = []

    def warm_up(self, networks: list[str], logins: int = 300) -> None:
        """A quiet day before the run: people sign in from each of these networks at least once."""
        group, begin = Group("earlier"), self.world.now
        for network in networks:
            people(self.timeline, group, [network], 1, begin=begin, seconds=86_400, conversion=1)
        more = max(0, logins - len(networks))
        people(self.timeline, group, networks, more, begin=begin, seconds=86_400)
        self.timeline.run()
        self.world.go_to(begin + DAY + HOUR)

    def crowd(self, minutes: float) -> None:
        """The honest people of every run, who come within these minutes."""
        crowds = [("fresh networks", "fresh", 40), ("known networks", "known", 40)]
        crowds += [(f"{number} carrier addresses", f"carrier{number}-", number) for number in CARRIERS]
        crowds += [("cannot solve", "unable", 40)]
        for name, kind, networks in crowds:
            group = self.result.add(Group(name, solves=name != "cannot solve"))
            # Few, because each login on a new network earns a credit that the attack takes.
            people(
                self.timeline,
                group,
                named(kind, networks),
                CROWD,
                begin=self.world.now,
                seconds=60 * minutes,
            )

    def attack(self, requests: int, seconds: float, *, solves: bool = False) -> None:
        """An attack that begins now, from addresses of its own."""
        attack = Attack(self.timeline, named("attack", ADDRESSES), solves=solves)
        attack.spread(requests, self.world.now, seconds)
        self._attacks.append(attack)

    def run(self) -> Result:
        """Run all actions."""
        self.timeline.run()
        for attack in self._attacks:
            self.result.requests += attack.requests
            self.result.messages += attack.messages
        return self.result


KNOWN = [*named("known", 40), *named("carrier30-", 30), *named("carrier300-", 300)]


def burst(server: RedisServer, *, seed: int = 1, scale: float = 1, mode: GateMode = "on") -> Result:
    """All numbers within two minutes, without a solver."""
    site = Site(server, seed=seed, mode=mode)
    site.warm_up(KNOWN)
    site.attack(int(NUMBERS * scale), 120)
    site.crowd(30)
    return site.run()


def day(server: RedisServer, *, seed: int = 1, scale: float = 1) -> Result:
    """The same over one day."""
    site = Site(server, seed=seed)
    site.warm_up(KNOWN)
    site.attack(int(NUMBERS * scale), 86_400)
    site.crowd(24 * 60)
    return site.run()


def after_campaign(server: RedisServer, *, seed: int = 1, scale: float = 1) -> Result:
    """A burst just after a campaign has filled the credit of the new networks."""
    site = Site(server, seed=seed)
    site.warm_up(KNOWN)
    number = int(2_000 * scale)
    people(
        site.timeline,
        Group("campaign"),
        named("subscriber", number),
        number,
        begin=site.world.now,
        seconds=600,
    )
    site.timeline.run()
    site.attack(int(NUMBERS * scale), 120)
    site.crowd(30)
    return site.run()


def solver(server: RedisServer, *, seed: int = 1, scale: float = 1, days: int = 1) -> Result:
    """A burst with a solver behind every address, on one day or on several."""
    site = Site(server, seed=seed)
    site.warm_up(KNOWN)
    for _ in range(days):
        site.attack(int(NUMBERS * scale), 1_200, solves=True)
        site.crowd(30)
        site.timeline.run()
        site.world.go_to(site.world.now + DAY)
    return site.run()


def before_campaign(server: RedisServer, *, seed: int = 1, scale: float = 1, mode: GateMode = "on") -> Result:
    """60 requests just before a campaign whose clients cannot solve."""
    site = Site(server, seed=seed, mode=mode)
    site.attack(60, 10)
    number = int(5_000 * scale)
    group = site.result.add(Group("cannot solve", solves=False))
    begin = site.world.now + 15_000
    people(site.timeline, group, named("subscriber", number), number, begin=begin, seconds=600)
    return site.run()


def laundering(
    server: RedisServer, *, spread: bool, seed: int = 1, sims: int = 10, proxies: int = 300
) -> tuple[int, int, int]:
    """A few SIMs sign in behind proxies for a week, and then a solver uses the proxies for a day.

    ``spread``: each SIM signs in behind as many proxies as its limits allow; otherwise often behind one.
    The result: the messages of the attack, those without the logins before, and the logins.
    """
    networks, gains, logins = named("proxy", proxies), [], 0
    for launders in (True, False):
        site = Site(server, seed=seed)
        begin = site.world.now
        if launders:
            logins = _sign_in(site, networks, sims, logins=20 * 6 if spread else 6, spread=spread)
        site.world.go_to(begin + 7 * DAY)
        attack = Attack(site.timeline, networks, solves=True)
        attack.spread(30 * proxies, site.world.now, 86_000)
        site.timeline.run()
        gains.append(attack.messages)
    return gains[0], gains[1], logins


def _sign_in(site: Site, networks: list[str], sims: int, *, logins: int, spread: bool) -> int:
    """The SIMs sign in, each of them so often, evenly within six days. The number of their logins."""
    world, done = site.world, 0
    phones = [world.phone() for _ in range(sims)]
    begin = world.now
    for turn in range(logins):
        for number, phone in enumerate(phones):
            at = turn * sims + number if spread else number
            network = networks[at % len(networks)]
            world.go_to(begin + (6 * DAY * (turn * sims + number)) // (logins * sims))
            _, issued = world.send(phone, network)
            if issued is None:
                _, issued = world.send(phone, network, world.solution())
            if issued is not None:
                world.go_to(world.now + 15_000)
                world.login(phone, network, issued)
                done += 1
    world.flush()
    return done


def campaign(
    server: RedisServer, networks: int, *, number: int = 5_000, seed: int = 1, known: bool = False
) -> Result:
    """Many people within ten minutes, most of whom sign in. ``known``: the site had users there before."""
    site = Site(server, seed=seed)
    addresses = named("subscriber", networks)
    if known:
        site.warm_up(addresses, logins=2 * networks)
    group = site.result.add(Group("campaign"))
    people(site.timeline, group, addresses, number, begin=site.world.now, seconds=600)
    return site.run()


def outage(server: RedisServer, minutes: int, *, seed: int = 1, logins_a_day: int = 20_000) -> Result:
    """The carrier delivers no SMS for a while, at a site with 100 networks."""
    site = Site(server, seed=seed)
    networks = named("carrier", 100)
    begin = site.world.now
    first, last = begin + DAY, begin + DAY + minutes * MINUTE
    group = site.result.add(Group("users"))
    people(
        site.timeline,
        group,
        networks,
        2 * logins_a_day,
        begin=begin,
        seconds=2 * 86_400,
        conversion=0.95,
        receives=lambda now: not first <= now < last,
    )
    return site.run()


def money(server: RedisServer, *, seed: int = 1, scale: float = 1) -> Result:
    """A solver against the operator's budget."""
    site = Site(server, seed=seed, budget=(Window(500, 3600),))
    site.attack(int(NUMBERS * scale), 1_200, solves=True)
    return site.run()


def _campaigns() -> Iterator[tuple[str, Callable[[RedisServer], Result]]]:
    for known in (False, True):
        for number in (4_000, 300, 30):
            kind = "known" if known else "new"
            name = f"campaign of 5,000 in 10 min at 85 %, from {number:,} {kind} networks"
            yield name, partial(campaign, networks=number, known=known)


ALL: dict[str, Callable[[RedisServer], Result]] = {
    "burst of two minutes, no solver": burst,
    "the same with `observe`": partial(burst, mode="observe"),
    "the same requests over a day, no solver": day,
    "burst right after a campaign, no solver": after_campaign,
    "burst with a solver": solver,
    "the same on three days": partial(solver, days=3),
    "burst with a solver, `OTP_SEND_BUDGET=500/hour`": money,
    "60 requests before a campaign of 5,000 whose clients cannot solve": before_campaign,
    "the same campaign with `observe`": partial(before_campaign, mode="observe"),
    **dict(_campaigns()),
    "no SMS is delivered for 30 min, 20,000 logins a day on 100 networks": partial(outage, minutes=30),
    "no SMS is delivered for 120 min, the same site": partial(outage, minutes=120),
}
LAUNDERING = {
    "ten SIMs sign in behind 300 proxies in turn, then a solver for a day": partial(laundering, spread=True),
    "ten SIMs sign in six times behind one proxy each, then a solver for a day": partial(
        laundering, spread=False
    ),
}

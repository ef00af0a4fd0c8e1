"""The store: calls the scripts, returns outcomes. Times go in and out in milliseconds of Redis's clock."""

from __future__ import annotations

from collections.abc import Sequence

from otp_gateway.codes import Codes, random_id, session_id
from otp_gateway.errors import (
    InvalidCode,
    StoreUnavailable,
    TooManyAttempts,
    TooManyOtpRequests,
)
from otp_gateway.model import (
    Admission,
    Caller,
    Challenge,
    Channel,
    Clock,
    Issued,
    PhoneNumber,
    Policy,
    Quota,
    Session,
    Window,
)
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.store import keys
from otp_gateway.store.connect import RedisClient
from otp_gateway.store.scripts import (
    CALL_TIMEOUT,
    LATE,
    LIMITER_TIMEOUT,
    Reply,
    Scripts,
    deadline,
    wait_until,
)
from otp_gateway.store.sessions import SessionStore

# The clock of a process that has heard nothing from Redis: every deadline on it has come.
LONG_AGO = Clock(0, 0.0)
# Milliseconds for which a verify's answer is kept for a repeated attempt: some times the patience.
REPLAY_MS = 10_000


class RedisStore:
    """Challenges, tries, windows, budgets and sessions of phones, and the windows of addresses.

    Every method is one round trip and raises ``StoreUnavailable`` when Redis does not answer in time; what
    such a call asked for does not happen afterwards. A refusal is answered when no lost attempt of the call
    can run any more: what was refused does not happen either.
    """

    def __init__(
        self,
        redis: RedisClient,
        codes: Codes,
        policy: Policy,
        former: Sequence[Codes] = (),
        observer: Observer = UNOBSERVED,
    ) -> None:
        """``former``: of the secrets under which sessions were made that still live."""
        self._scripts = Scripts(redis, observer)
        self.sessions = SessionStore(self._scripts, [codes, *former])
        self._codes = codes
        self._policy = policy
        self._clock = LONG_AGO
        # A send is remembered for every window, and for as long as its code may live.
        self._horizon = 1000 * max(policy.lifetime, *(w.seconds for w in policy.windows))

    def load(self) -> None:
        """Make the scripts known to Redis and read its clock. Raises ``StoreUnavailable``."""
        self._scripts.load()
        self._run_admit([keys.address("", "")], [random_id(), 0, 0], LONG_AGO)

    def ping(self) -> None:
        """Raises ``StoreUnavailable`` unless Redis answers."""
        self._scripts.ping()

    def admit(
        self, networks: Sequence[str], endpoint: str, windows: Sequence[Window], share: int
    ) -> Admission:
        """Count one request of an address to an endpoint.

        ``networks``: the opaque id of the address's network and, where it has one, of its subnet. The subnet
        has the ``windows``, the network ``share`` times as much; a network without subnet has them itself.
        """
        network, *subnets = networks
        names = [
            keys.address(network, endpoint),
            *(keys.address(network, endpoint, s) for s in subnets),
        ]
        factors = [share, 1] if subnets else [1]
        limits = [Window(w.limit * f, w.seconds) for f in factors for w in windows]
        longest = 1000 * max(w.seconds for w in windows)
        args: list[str | int] = [random_id(), longest, len(windows), *_flat(limits)]
        (tag, _, *stats), clock = self._admit(names, args)
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

    def _admit(self, names: Sequence[str], args: Sequence[str | int]) -> tuple[Reply, Clock]:
        reply, clock = self._run_admit(names, args, self._clock)
        if reply[0] == "late":
            # This process had heard nothing from Redis yet, or Redis's clock has been set forward since.
            reply, clock = self._run_admit(names, args, clock)
        if reply[0] == "late":
            raise StoreUnavailable(LATE)
        if reply[0] == "refused":
            reply.settle()
        return reply, clock

    def _run_admit(
        self, names: Sequence[str], args: Sequence[str | int], clock: Clock
    ) -> tuple[Reply, Clock]:
        """Run the rate limiter's script with a deadline on ``clock``; its reply, and the clock in it."""
        limit = deadline(clock, LIMITER_TIMEOUT)
        reply = self._scripts.run("admit", names, [limit, *args], LIMITER_TIMEOUT)
        self._clock = Clock.read(reply[1])
        return reply, self._clock

    def issue(self, phone: PhoneNumber, channel: Channel, caller: Caller, proposal: Challenge) -> Issued:
        """Charge one send; the answer's nonce is the proposal's, or the live code's where that is repeated.

        Raises ``TooManyAttempts`` (a failure budget is spent), ``TooManyOtpRequests`` (a window is full).
        """
        name, policy = self._keys(phone), self._policy
        request = random_id()
        reply = self._scripts.run(
            "issue",
            [name.code, name.attempts, name.sends, name.failures, name.failures_of(caller.client)],
            [
                deadline(caller.clock),
                request,
                proposal.nonce,
                proposal.digest,
                phone.masked,
                channel,
                1000 * policy.lifetime,
                policy.max_attempts,
                policy.max_failures_per_client,
                policy.max_failures_per_phone,
                self._horizon,
                *_flat(policy.windows),
            ],
            CALL_TIMEOUT,
        )
        match reply:
            case ["issued", left, wait, nonce]:
                return Issued(request, nonce.decode(), left, wait, reply.settled_at)
            case ["locked", wait, limit]:
                reply.settle()
                raise TooManyAttempts(wait, limit.decode())
            case ["limited", wait]:
                reply.settle()
                raise TooManyOtpRequests(wait)
            case _:
                raise StoreUnavailable(LATE)

    def withdraw(self, phone: PhoneNumber, issued: Issued, caller: Caller) -> None:
        """Take a send back that surely sent nothing: Redis is then as it was before it."""
        # A lost attempt of the send that came behind the withdrawal would send afresh.
        wait_until(issued.settled_at)
        name = self._keys(phone)
        tag, *_ = self._scripts.run(
            "withdraw",
            [name.code, name.attempts, name.sends],
            [deadline(caller.clock), issued.send_id, self._horizon, REPLAY_MS],
            CALL_TIMEOUT,
        )
        if tag != "withdrawn":
            raise StoreUnavailable(LATE)

    def verify(self, phone: PhoneNumber, code: str, caller: Caller) -> Session:
        """Compare a guess; a right one spends the code and opens a session.

        Raises ``InvalidCode`` (wrong, or no code is live), ``TooManyAttempts``.
        """
        name, policy = self._keys(phone), self._policy
        request, refresh, access = (random_id() for _ in range(3))
        session = session_id(self._codes)
        reply = self._scripts.run(
            "verify",
            [
                name.code,
                name.attempts,
                name.failures,
                name.failures_of(caller.client),
                name.session(session),
                name.sessions,
            ],
            [
                deadline(caller.clock),
                request,
                self._codes.digest(phone, code),
                1000 * policy.lifetime,
                policy.max_attempts,
                policy.max_failures_per_client,
                policy.max_failures_per_phone,
                1000 * policy.failure_period,
                session,
                refresh,
                1000 * policy.session_lifetime,
                policy.max_sessions,
                REPLAY_MS,
            ],
            CALL_TIMEOUT,
        )
        match reply:
            case ["verified", now, call]:
                seconds = now // 1000
                channel: Channel = "call" if call else "sms"
                return Session(session, refresh, access, seconds, seconds, channel)
            case ["wrong", left]:
                raise InvalidCode(left)
            case ["locked", wait, limit]:
                reply.settle()
                raise TooManyAttempts(wait, limit.decode())
            case _:
                raise StoreUnavailable(LATE)

    def _keys(self, phone: PhoneNumber) -> keys.PhoneKeys:
        return keys.PhoneKeys(self._codes.pid(phone))


def _flat(windows: Sequence[Window]) -> list[int]:
    return [number for w in windows for number in (w.limit, 1000 * w.seconds)]


def _tightest(window: Window, states: Sequence[tuple[Window, tuple[int, int, int]]]) -> Quota:
    """What a window leaves to an address, over its subnet and its network."""
    remaining, reset = min((max(0, w.limit - events), -leaves) for w, (events, leaves, _) in states)
    return Quota(window, remaining, -reset)

"""The nouns of the domain: frozen, typed, without I/O."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal, get_args

from otp_gateway.credit import Decision, Earned, GateMode

# "test": no message is sent, because the phone is a test number.
Channel = Literal["sms", "call", "test"]
# A session in Redis has the number of its channel.
CHANNELS: tuple[Channel, ...] = get_args(Channel)
Language = Literal["fa", "en"]


@dataclass(frozen=True, slots=True)
class PhoneNumber:
    """One mobile phone, in E.164 (``+989123456789``). Its text and repr are masked, so it is safe to log."""

    e164: str

    @property
    def masked(self) -> str:
        """``+98912***6789``: at most the first six and the last four characters, three digits hidden."""
        head = min(6, len(self.e164) - 7)
        return f"{self.e164[:head]}***{self.e164[-4:]}"

    def __repr__(self) -> str:
        return f"PhoneNumber({self.masked})"

    def __str__(self) -> str:
        return self.masked


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``limit`` events in any ``seconds``, sliding."""

    limit: int
    seconds: int


# The windows of the device lane. OTP_PHONE_LIMITS does not change them.
DEVICE_WINDOWS = (Window(3, 120), Window(5, 3_600), Window(10, 86_400))
# The longest OTP_DEVICE_DAYS. Redis keeps for so long that devices are forgotten, whatever the setting is.
MOST_DEVICE_DAYS = 400
# The most failures of a phone that are reserved for devices.
MOST_DEVICE_FAILURES = 10


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of codes and phones. Times in seconds.

    A phone has two lanes, each with its own code, tries, windows and failure budget. A *device*, which is a
    client with a good device token of the phone, uses the device lane. All other clients use the common lane.
    ``device_lifetime``: how long a device token is valid; 0: there is no device lane.
    """

    length: int
    lifetime: int
    max_attempts: int
    windows: tuple[Window, ...]
    max_failures_per_client: int
    max_failures_per_phone: int
    session_lifetime: int
    max_sessions: int = 10
    failure_period: int = 86_400
    device_lifetime: int = 0

    @property
    def device_failures(self) -> int:
        """The part of a phone's failure budget that is reserved for devices; 0 if there is no device lane."""
        return min(MOST_DEVICE_FAILURES, self.max_failures_per_phone // 5) if self.device_lifetime else 0

    @property
    def common_failures(self) -> int:
        """The rest of the failure budget: both lanes together have the budget of the phone."""
        return self.max_failures_per_phone - self.device_failures

    @property
    def has_devices(self) -> bool:
        """Whether there is a device lane. A lane without a failure budget could verify no code."""
        return self.device_failures > 0


@dataclass(frozen=True, slots=True)
class GateRules:
    """The settings of the send gate. ``credit``: the credit of each of the two pools of networks."""

    mode: GateMode = "off"
    credit: int = 60
    budget: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Clock:
    """Redis's clock as one request read it.

    Workers share no clock. So the time is the time in a reply of Redis, plus the time that has passed since
    then on this worker's monotonic clock. The sum is never ahead of Redis, because the reply needed time to
    arrive.
    """

    redis_ms: int
    read_at: float

    @classmethod
    def read(cls, redis_ms: int) -> Clock:
        """Make a clock that now shows ``redis_ms`` (milliseconds since 1970)."""
        return cls(redis_ms, time.monotonic())

    def now_ms(self) -> int:
        """Redis's time now, in milliseconds. It is behind Redis by at most the latency of the reply."""
        return self.redis_ms + int((time.monotonic() - self.read_at) * 1000)


@dataclass(frozen=True, slots=True)
class Caller:
    """The client that makes the request, as far as the core may know it.

    ``client``: an opaque id of the client's network. ``idempotency_key``: the client's own key. With the same
    key, a repeated request gets the outcome of the first request. ``device_made_at``: when the client's
    device token was made, in ms of Redis's clock, if it is a good token of the phone. Only Redis knows
    whether the operator has made the gateway forget it.
    """

    client: str
    clock: Clock
    idempotency_key: str | None = None
    device_made_at: int | None = None


@dataclass(frozen=True, slots=True)
class SendRequest:
    """The fields of a request for a code, after parsing.

    ``challenge``: the solution of a challenge as the client has sent it; it is not checked yet.
    ``device_token``: the device token as the client has sent it, or several of them (``abuse/devices.py``).
    ``language`` is from the body, ``accepted_language`` is from the header.
    """

    phone: PhoneNumber
    channel: Channel = "sms"
    challenge: str | None = None
    device_token: str | None = None
    language: Language | None = None
    accepted_language: Language | None = None
    android: bool = False


@dataclass(frozen=True, slots=True)
class Solution:
    """A right solution of a challenge. It is not known yet whether it was used before.

    ``id`` is the id of the challenge. So it does not depend on the form in which the client sends the
    solution. ``step``: the difficulty of the challenge.
    """

    id: str
    expires_at_ms: int
    step: int


@dataclass(frozen=True, slots=True, repr=False)
class ProposedCode:
    """A code that is proposed for a phone: the nonce from which it is derived, and its keyed digest."""

    nonce: str
    digest: str


@dataclass(frozen=True, slots=True, repr=False)
class Issued:
    """One send that the store has charged.

    ``expires_in``: the remaining lifetime of the code. ``resend_in``: the time until the phone may request a
    send again. Both are in milliseconds, counted from the store's reply. Until ``final_at``
    (``time.monotonic()`` seconds) a lost attempt of the same send can still run. ``fingerprint`` is empty
    without an idempotency key, and ``solution_id`` is empty without the solution of a challenge. ``device``:
    whether the send is in the device lane. ``gate``: the decision of the send gate, None without a gate.
    ``budget_reached``: the percentage of the send budget that this send has reached, or 0.
    """

    send_id: str
    nonce: str
    expires_in: int
    resend_in: int
    device: bool = False
    final_at: float = 0.0
    call_id: str = ""
    fingerprint: str = ""
    solution_id: str = ""
    gate: Decision | None = None
    budget_reached: int = 0


@dataclass(frozen=True, slots=True)
class Sent:
    """A code was sent. Both times are in milliseconds from now.

    ``expires_in`` and ``resend_in``: as in ``Issued``. ``backend``: the backend that has sent the message; it
    is empty for a repeated request. ``gate``: as in ``Issued``.
    """

    expires_in: int
    resend_in: int
    backend: str = ""
    gate: Decision | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """A login: ids of the session and of its tokens, times in whole seconds of Redis's clock."""

    id: str
    refresh_id: str
    access_id: str
    authenticated_at: int
    issued_at: int
    channel: Channel


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """A right code has opened the session.

    ``at_ms``: the login's time in ms of Redis's clock. ``device``: whether the code was in the device lane.
    ``earned``: the credit that the login gives to the send gate; None for a repeated reply, and without a
    gate.
    """

    session: Session
    at_ms: int
    device: bool
    earned: Earned | None = None

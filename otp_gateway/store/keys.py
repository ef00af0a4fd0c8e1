"""Every key name. ``{…}`` is the cluster's hash tag: keys of one script share a slot."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

# The beginnings of all names. A Redis user for the gateway needs access to keys with these prefixes, and to
# no others.
PREFIXES = ("otp:", "ip:", "admin:", "provider:", "gate:", "{usage}:")
PID = re.compile(r"[A-Za-z0-9_-]{22}")
DEVICE_LANE = "d:"
# The most keyed hashes of one phone: one under the present secret, the others under former secrets.
MOST_PIDS = 10
PROVIDER_ACCOUNT = "provider:account"
PROVIDER_TURN = "provider:account:turn"
PROVIDER_WARNED = "provider:account:warned"
# String: a call about a delivery has failed a moment ago. Sorted set: the calls of the last minute for pages.
DELIVERY_PAUSE = "provider:delivery:pause"
DELIVERY_CALLS = "provider:delivery:calls"
# Sorted sets: phones by their last send, and phones without a try by their last refusal.
RECENT_PHONES = "admin:phones:recent"
STUCK_PHONES = "admin:phones:stuck"
# List: the actions of operators.
ACTIVITY = "admin:activity"
# The send gate: one slot of a cluster. Hash: the credit of all new networks, and of all other networks.
GATE_SHARED = "gate:{send}:shared"
# Hash: the sends that the operator's budget has counted.
GATE_MONEY = "gate:{send}:money"
# Hash: the pauses of operators, with the expiry of each pause. A muted phone also has its masked number
# there.
GATE_PAUSES = "gate:{send}:pauses"


@dataclass(frozen=True, slots=True)
class PhoneKeys:
    """The keys of one phone, by its keyed hash ``pid``.

    ``lane``: empty for the common lane, ``DEVICE_LANE`` for the device lane. Each lane has its own code,
    tries, sends and undo. All other keys are the same.
    """

    pid: str
    lane: str = ""

    @property
    def of_devices(self) -> PhoneKeys:
        """The keys of the same phone in the device lane."""
        return PhoneKeys(self.pid, DEVICE_LANE)

    @property
    def code(self) -> str:
        """Hash: the active code's nonce, digest, channel and masked phone."""
        return f"otp:{{{self.pid}}}:{self.lane}code"

    @property
    def tries(self) -> str:
        """Hash: the wrong tries, and the failure budgets of the phone and of its clients."""
        return f"otp:{{{self.pid}}}:{self.lane}tries"

    def call(self, call_id: str) -> str:
        """String: the answer to one call, for a repeated attempt of this call."""
        return f"otp:{{{self.pid}}}:call:{call_id}"

    def challenge(self, solution_id: str) -> str:
        """String: the id of the send that has used the solution of a challenge."""
        return f"otp:{{{self.pid}}}:challenge:{solution_id}"

    @property
    def sends(self) -> str:
        """List: the log of sends from which every window of the phone is computed."""
        return f"otp:{{{self.pid}}}:{self.lane}sends"

    @property
    def devices_since(self) -> str:
        """Integer: device tokens that were made before this time are forgotten."""
        return f"otp:{{{self.pid}}}:devices_since"

    @property
    def outcomes(self) -> str:
        """List: the last sends with their outcomes, for the panel; refused and failed ones too."""
        return f"otp:{{{self.pid}}}:outcomes"

    def session(self, session_id: str) -> str:
        """Hash: the session's current refresh token id, its login time and channel."""
        return f"otp:{{{self.pid}}}:session:{session_id}"

    @property
    def sessions(self) -> str:
        """Sorted set: ids of the phone's sessions by login time."""
        return f"otp:{{{self.pid}}}:sessions"

    @property
    def mute(self) -> str:
        """Integer: the time until which no stranger may request a message for the phone."""
        return f"otp:{{{self.pid}}}:mute"

    @property
    def login(self) -> str:
        """String: the network for which the phone's logins count this week, and its last extra credit."""
        return f"otp:{{{self.pid}}}:login"

    def undo(self, undo_id: str) -> str:
        """Hash: the code or the tries that an operator's action has set aside, for five minutes."""
        return f"otp:{{{self.pid}}}:{self.lane}undo:{undo_id}"


def address(network: str, endpoint: str, subnet: str | None = None) -> str:
    """Sorted set: recent requests of a network (or of one subnet in it) to an endpoint, or their counts."""
    name = f"ip:{{{network}}}:{endpoint}"
    return f"{name}:{subnet}" if subnet else name


def gate_network(network: str) -> str:
    """Hash: a network's credit at the send gate, its logins and its sends with a solved challenge."""
    return f"gate:{{send}}:network:{network}"


def gate_prefix(prefix: str) -> str:
    """String: the credit of a foreign prefix."""
    return f"gate:{{send}}:prefix:{prefix}"


def gate_call(call_id: str) -> str:
    """String: one call of the gate, for a repeated attempt of it."""
    return f"gate:{{send}}:call:{call_id}"


def usage(span: str, start: int) -> str:
    """Hash: counts of one step of a span, which begins at ``start`` (seconds since 1970)."""
    # All counts are in one slot of a cluster, because a transaction needs this.
    return f"{{usage}}:{span}:{start}"


def tally(kind: str, span: str, start: int) -> str:
    """Hash: sends and logins by prefix or by network in one step of a span."""
    return f"{{usage}}:{kind}:{span}:{start}"


def batch(batch_id: str) -> str:
    """String: the counts of this batch are written."""
    return f"{{usage}}:batch:{batch_id}"


def warned(kind: str) -> str:
    """String: the log has warned of this kind of trouble within the last hour."""
    return f"{PROVIDER_WARNED}:{kind}"


def provider_delivery(pid: str) -> str:
    """String: the delivery states of a phone's last messages; empty while a page calls the provider."""
    return f"provider:delivery:phone:{pid}"


def delivery_sample(minute: int) -> str:
    """Sorted set: messages of a minute whose delivery status is read later."""
    return f"provider:delivery:sample:{minute}"


def delivery_turn(minute: int) -> str:
    """String: one worker reads the delivery status of the sample of this minute."""
    return f"provider:delivery:turn:{minute}"


def admin_session(session_id: str) -> str:
    """Integer: when an operator's session was opened."""
    # The name has a digest of the id, so that a reader of Redis cannot use the session.
    digest = hmac.digest(b"panel", session_id.encode(), "sha256").hex()
    return f"admin:session:{digest}"


def admin_failures(network: str) -> str:
    """Integer: wrong passwords of a network."""
    return f"admin:failures:{network}"


def probe(name: str) -> str:
    """A key that no gateway writes, for a command that changes no data."""
    return f"otp:{{check}}:{name}"


def read_pids(reference: str) -> tuple[str, ...]:
    """The keyed hashes in the reference to a phone, separated by dots. Empty if it is no reference."""
    pids = tuple(reference.split("."))
    return pids if len(pids) <= MOST_PIDS and all(map(PID.fullmatch, pids)) else ()

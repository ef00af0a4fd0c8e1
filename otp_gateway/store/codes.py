"""Sends of codes: issue, finish and withdraw. Times are in milliseconds of Redis's clock."""

from __future__ import annotations

from dataclasses import replace

from otp_gateway.codes import Codes, random_id
from otp_gateway.errors import StoreUnavailable
from otp_gateway.model import (
    DEVICE_WINDOWS,
    Caller,
    Issued,
    PhoneNumber,
    Policy,
    ProposedCode,
    SendRequest,
    Sent,
    Solution,
)
from otp_gateway.store.gate import GateStore, Ticket
from otp_gateway.store.issue_reply import read_issue_reply
from otp_gateway.store.keys import DEVICE_LANE, PhoneKeys
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Reply, Scripts, deadline, flat, wait_until

# Milliseconds for which the answer of a verify is kept for a repeated attempt: several times the timeout.
REPLAY_MS = 10_000
# Milliseconds for which an answer is kept if there is an idempotency key: the client can repeat the request.
KEYED_MS = 60_000


# Two ids of a call: one if the client is not a device, one if it is a device.
CallIds = tuple[str, str]


def ids_of_call(codes: Codes, route: str, phone: PhoneNumber, caller: Caller) -> CallIds:
    """Both ids of a call. They differ only if the client has an idempotency key and can be a device."""
    key = caller.idempotency_key
    call_id = codes.call_id(route, phone, key)
    if key is None or caller.device_made_at is None:
        return call_id, call_id
    return call_id, codes.call_id(route, phone, key, DEVICE_LANE)


class CodeStore:
    """Charges sends to the windows of phones, and decides which code they carry.

    Every method makes one round trip. It raises ``StoreUnavailable`` if Redis does not answer in time. Then
    the action does not happen later either. A method raises a refusal only when no lost attempt of its call
    can run any more. So an action that was refused does not happen later.
    """

    def __init__(
        self, scripts: Scripts, codes: Codes, policy: Policy, gate: GateStore, send_timeout: float = 10.0
    ) -> None:
        """``send_timeout``: seconds after which no send is still in progress."""
        self._gate = gate
        self._scripts = scripts
        self._codes = codes
        self._policy = policy
        self._send_ms = int(1000 * send_timeout)
        # A send is remembered as long as the longest window of its lane, or as long as its code can be valid.
        self._horizon, self._device_horizon = (
            1000 * max(policy.lifetime, *(w.seconds for w in windows))
            for windows in (policy.windows, DEVICE_WINDOWS)
        )

    def issue(
        self,
        send: SendRequest,
        caller: Caller,
        proposal: ProposedCode,
        *,
        solution: Solution | None = None,
        only_device: bool = False,
        only_earlier: bool = False,
    ) -> Issued | Sent:
        """Charge one send. The nonce in the result belongs to the proposal, or to a code that is repeated.

        If an earlier request has used the idempotency key, the result is ``Sent``: the outcome of that
        request. ``solution``: the checked solution of a challenge, which this send uses up. ``only_device``:
        refuse a client that is not a device. ``only_earlier``: look for the outcome of an earlier request,
        and charge no send.

        Raises ``TooManyAttempts`` (a failure budget is used up), ``TooManyOtpRequests`` (a window is full),
        ``SmsBusy`` (``only_device``), ``UnusableSolution`` and ``GateRefusal``. After an earlier request, it
        raises ``SmsUnconfirmed``, ``RequestInProgress`` or ``IdempotencyKeyReused``.
        """
        key, call_ids = caller.idempotency_key, ids_of_call(self._codes, "send", send.phone, caller)
        send_id, solution_id = random_id(), solution.id if solution else ""
        fingerprint = self._codes.fingerprint(key, *_body(send))
        pid = self._codes.pid(send.phone)
        ticket = None
        if not only_earlier:
            ticket = self._gate.decide(send_id, pid, send, caller, solved=bool(solution))
        reply = self._issue(
            ticket,
            self._issue_keys(send.phone, caller, call_ids, solution_id),
            [
                0 if only_earlier else deadline(caller.clock),
                *(send_id, proposal.nonce, proposal.digest, send.phone.masked, send.channel),
                *self._send_limits(caller.client),
                fingerprint,
                max(KEYED_MS, self._send_ms + REPLAY_MS),
                self._send_ms,
                solution.expires_at_ms if solution else "",
                *self._lane_limits(caller, only_device=only_device),
                *self._gate.arguments(send),
                ticket.record if ticket else "",
                *flat((*self._policy.windows, *DEVICE_WINDOWS)),
            ],
        )
        made = read_issue_reply(reply, solution)
        if isinstance(made, Sent):
            return made
        made = replace(made, send_id=send_id, call_id=call_ids[made.device])
        return replace(made, fingerprint=fingerprint, solution_id=solution_id)

    def _issue(self, ticket: Ticket | None, names: list[str], args: list[str | int]) -> Reply:
        try:
            reply = self._scripts.run("issue", names, args, CALL_TIMEOUT)
        except StoreUnavailable:
            if ticket:
                self._gate.give_back_unused(ticket, None)
            raise
        if ticket:
            self._gate.give_back_unused(ticket, reply)
        return reply

    def _issue_keys(
        self, phone: PhoneNumber, caller: Caller, call_ids: CallIds, solution_id: str
    ) -> list[str]:
        name = self._keys(phone)
        lane = name.of_devices
        return [
            *(name.code, name.tries, name.sends, name.call(call_ids[0]), name.challenge(solution_id)),
            *(lane.code, lane.tries, lane.sends, name.call(call_ids[1]), name.devices_since),
            *(name.mute, *self._gate.names(phone, caller.client)),
        ]

    def _send_limits(self, client: str) -> list[str | int]:
        policy = self._policy
        return [
            1000 * policy.lifetime,
            policy.max_attempts,
            policy.max_failures_per_client,
            policy.common_failures,
            self._horizon,
            1000 * policy.failure_period,
            client,
        ]

    def _lane_limits(self, caller: Caller, *, only_device: bool) -> list[int]:
        policy = self._policy
        return [
            caller.device_made_at or 0,
            policy.device_failures,
            self._device_horizon,
            int(only_device),
            len(policy.windows),
        ]

    def finish(self, phone: PhoneNumber, issued: Issued, *, sent: bool) -> None:
        """Keep the outcome of a send with an idempotency key, for the client's repeated request."""
        mark = issued.fingerprint
        self._scripts.run(
            "finish",
            [self._keys(phone).call(issued.call_id)],
            [
                f"{mark} sending:{issued.send_id}:",
                f"{mark} sent:{issued.nonce}" if sent else f"{mark} unconfirmed",
            ],
            CALL_TIMEOUT,
        )

    def withdraw(self, phone: PhoneNumber, issued: Issued, caller: Caller) -> None:
        """Take back a send that definitely sent no message. Redis is then as it was before the send."""
        # A lost attempt of the send could run after the withdrawal, and charge the send again.
        wait_until(issued.final_at)
        name, policy = self._keys(phone), self._policy
        lane = name.of_devices if issued.device else name
        horizon = self._device_horizon if issued.device else self._horizon
        reply = self._scripts.run(
            "withdraw",
            [
                *(lane.code, lane.tries, lane.sends),
                *(name.call(issued.call_id), name.challenge(issued.solution_id)),
                *self._gate.names(phone, caller.client)[:-1],
            ],
            [
                *(deadline(caller.clock), issued.send_id, max(horizon, 1000 * policy.failure_period)),
                *self._gate.prices,
            ],
            CALL_TIMEOUT,
        )
        if reply[0] != "withdrawn":
            raise StoreUnavailable(LATE)
        # On a cluster, the gate's credit is in another slot.
        self._gate.withdrawn(issued.send_id, reply[1].decode())

    def _keys(self, phone: PhoneNumber) -> PhoneKeys:
        return PhoneKeys(self._codes.pid(phone))


def _body(send: SendRequest) -> tuple[str, ...]:
    """The fields that make two bodies different. Defaults are not included: a client may omit them."""
    return (
        send.channel,
        ascii(send.challenge),
        send.language or "",
        "android" if send.android else "",
    )

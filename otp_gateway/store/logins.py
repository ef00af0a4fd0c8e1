"""Logins: verify compares a guess, and opens a session. Times are in milliseconds of Redis's clock."""

from __future__ import annotations

from dataclasses import dataclass

from otp_gateway.codes import Codes, session_id
from otp_gateway.credit import Earned
from otp_gateway.errors import IdempotencyKeyReused, InvalidCode, StoreUnavailable, TooManyAttempts
from otp_gateway.messages import NO_FIXED_CODES, FixedCodes
from otp_gateway.model import CHANNELS, Caller, Channel, Login, PhoneNumber, Policy, Session
from otp_gateway.store.charge import read_earned
from otp_gateway.store.codes import KEYED_MS, REPLAY_MS, ids_of_call
from otp_gateway.store.gate import GateStore
from otp_gateway.store.keys import PhoneKeys
from otp_gateway.store.scripts import CALL_TIMEOUT, LATE, Scripts, deadline


@dataclass(frozen=True, slots=True)
class LoginIds:
    """The ids of a login. They are derived from the id of its call."""

    call: str
    session: str
    refresh: str
    access: str

    @classmethod
    def of(cls, codes: Codes, call_id: str) -> LoginIds:
        """The ids under the present secret."""
        refresh, access = (codes.id_from(call_id, use) for use in ("refresh", "access"))
        return cls(call_id, session_id(codes, call_id), refresh, access)

    def login(self, at_ms: int, channel: Channel, earned: Earned | None, *, device: bool) -> Login:
        """The login with these ids."""
        seconds = at_ms // 1000
        return Login(
            Session(self.session, self.refresh, self.access, seconds, seconds, channel),
            at_ms,
            device,
            earned,
        )


class LoginStore:
    """Compares guesses, and counts the wrong ones as tries and in the failure budgets of phones.

    For round trips, ``StoreUnavailable`` and refusals, see ``CodeStore``: this class does the same.
    """

    def __init__(
        self,
        scripts: Scripts,
        codes: Codes,
        policy: Policy,
        gate: GateStore,
        fixed_codes: FixedCodes = NO_FIXED_CODES,
    ) -> None:
        self._gate = gate
        self._scripts = scripts
        self._fixed_codes = fixed_codes
        self._codes = codes
        self._policy = policy

    def verify(self, phone: PhoneNumber, code: str, caller: Caller) -> Login:
        """Compare a guess. A right guess uses the code and opens a session.

        Raises ``InvalidCode`` (wrong, or no code is active), ``TooManyAttempts``, ``IdempotencyKeyReused``.
        """
        key, digest = caller.idempotency_key, self._codes.digest(phone, code)
        call_ids = ids_of_call(self._codes, "verify", phone, caller)
        # If the client is definitely not a device, both ids of the call are the same.
        ids = [LoginIds.of(self._codes, call_id) for call_id in dict.fromkeys(call_ids)]
        reply = self._scripts.run(
            "verify",
            self._verify_keys(phone, ids[0], ids[-1]),
            [
                deadline(caller.clock),
                caller.client,
                digest,
                *self._guess_limits(),
                ids[0].session,
                ids[0].refresh,
                1000 * self._policy.session_lifetime,
                self._policy.max_sessions,
                KEYED_MS if key else REPLAY_MS,
                self._codes.fingerprint(key, digest),
                caller.device_made_at or 0,
                self._policy.device_failures,
                ids[-1].session,
                ids[-1].refresh,
                int(self._fixed_codes.code_of(phone, caller.clock.now_ms()) is not None),
                int(self._gate.is_on),
            ],
            CALL_TIMEOUT,
        )
        match reply:
            case ["verified", now, call, in_device_lane, device, *gained]:
                found, earned = ids[-1] if device else ids[0], read_earned(gained, caller.client)
                return found.login(now, CHANNELS[call], earned, device=bool(in_device_lane))
            case ["wrong", left]:
                raise InvalidCode(left)
            case ["locked", wait, limit]:
                reply.wait_until_final()
                raise TooManyAttempts(wait, limit.decode())
            case ["reused"]:
                raise IdempotencyKeyReused
            case _:
                raise StoreUnavailable(LATE)

    def _verify_keys(self, phone: PhoneNumber, common: LoginIds, device: LoginIds) -> list[str]:
        name = PhoneKeys(self._codes.pid(phone))
        lane = name.of_devices
        return [
            *(name.code, name.tries, name.sends, name.call(common.call)),
            *(name.session(common.session), name.sessions),
            *(lane.code, lane.tries, lane.sends, name.call(device.call)),
            *(name.session(device.session), name.devices_since, name.login),
        ]

    def _guess_limits(self) -> list[int]:
        policy = self._policy
        return [
            1000 * policy.lifetime,
            policy.max_attempts,
            policy.max_failures_per_client,
            policy.common_failures,
            1000 * policy.failure_period,
        ]

"""Builds the parts of a gateway without HTTP from the settings: for the app, the commands and the tests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from otp_gateway.abuse.challenge import Challenges
from otp_gateway.abuse.devices import Devices
from otp_gateway.abuse.gate import Home, SendGate, warn_of_budget
from otp_gateway.codes import Codes
from otp_gateway.delivery_reports import DeliveryReports
from otp_gateway.errors import StoreUnavailable
from otp_gateway.event_reporter import EventReporter
from otp_gateway.events import UnusedCharge
from otp_gateway.log import get_logger
from otp_gateway.model import PhoneNumber, Policy
from otp_gateway.observer import UNOBSERVED, Observer
from otp_gateway.phones import PhoneParser
from otp_gateway.recorder import Recorder, Writer
from otp_gateway.senders import Sender, backends_for
from otp_gateway.senders.failover import Failover
from otp_gateway.senders.kavenegar.reports import KavenegarReports
from otp_gateway.senders.slots import SendSlots
from otp_gateway.service import OtpService, Stores
from otp_gateway.settings import Settings
from otp_gateway.store import connect
from otp_gateway.store.activity import ActivityLog
from otp_gateway.store.address_limits import AddressLimits
from otp_gateway.store.admin_sessions import AdminSessions
from otp_gateway.store.client import RedisClient
from otp_gateway.store.codes import CodeStore
from otp_gateway.store.deliveries import DeliveryCache, DeliverySamples
from otp_gateway.store.gate import GateStore
from otp_gateway.store.gate_figures import GateFigures
from otp_gateway.store.gate_writer import CreditWriter, UnusedChargeWriter
from otp_gateway.store.logins import LoginStore
from otp_gateway.store.operator_actions import OperatorActions
from otp_gateway.store.outcomes import OutcomeStore
from otp_gateway.store.pauses import Pauses
from otp_gateway.store.phone_list import PhoneList
from otp_gateway.store.phone_state import PhoneState, PhoneStateStore
from otp_gateway.store.provider_account import ProviderAccountStore
from otp_gateway.store.recent_phones import RecentPhones
from otp_gateway.store.scripts import Scripts
from otp_gateway.store.servers import is_cluster
from otp_gateway.store.sessions import SessionStore
from otp_gateway.store.tls import RedisTls
from otp_gateway.store.usage import UsageStore
from otp_gateway.store.write_probe import WriteProbe
from otp_gateway.tokens import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The records that are written in the background, for people and for metrics.

    ``deliveries`` and ``samples`` are None if messages do not go through Kavenegar.
    """

    recorder: Recorder
    recent_phones: RecentPhones
    usage: UsageStore
    gate: GateFigures
    deliveries: DeliveryReports | None
    samples: DeliverySamples | None

    @classmethod
    def build(
        cls, settings: Settings, redis: RedisClient, scripts: Scripts, deliveries: DeliveryReports | None
    ) -> Self:
        """Make the recorder with its writers. Each writer gets every event."""
        recent_phones, usage = RecentPhones(redis), UsageStore(redis, scripts)
        gate = _gate(settings, redis, scripts, lambda _: None)
        credit = CreditWriter(gate, warn_of_budget)
        unused = UnusedChargeWriter(gate, redis, settings.policy.lifetime)
        writers: list[Writer] = [OutcomeStore(scripts), recent_phones, usage, credit, unused]
        samples = DeliverySamples(redis, deliveries.number_of) if deliveries else None
        return cls(
            recorder=Recorder([*writers, samples] if samples else writers),
            recent_phones=recent_phones,
            usage=usage,
            gate=GateFigures(redis, usage, settings.gate),
            deliveries=deliveries,
            samples=samples,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelStores:
    """The parts of the store that operators use, in the panel and by commands."""

    states: PhoneStateStore
    actions: OperatorActions
    phone_list: PhoneList
    activity: ActivityLog
    pauses: Pauses
    sessions: AdminSessions

    def muted_for(self, state: PhoneState) -> float:
        """For how many seconds the phone is still muted; 0 if it is not. Raises ``StoreUnavailable``."""
        ends = next((p.until for p in self.pauses.all() if (p.kind, p.target) == ("phone", state.pid)), 0)
        return max(0.0, ends / 1000 - state.now)

    @classmethod
    def build(cls, redis: RedisClient, scripts: Scripts, records: Records, policy: Policy) -> Self:
        """Make these parts for one Redis."""
        states = PhoneStateStore(redis, policy)
        return cls(
            states=states,
            actions=OperatorActions(redis, scripts, policy),
            phone_list=PhoneList(records.recent_phones, states, policy),
            activity=ActivityLog(redis),
            pauses=Pauses(redis),
            sessions=AdminSessions(redis),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Every part that knows no web framework. ``reports`` is None if messages do not go through Kavenegar."""

    settings: Settings
    redis: RedisClient
    scripts: Scripts
    codes: Codes
    phones: PhoneParser
    tokens: Tokens
    devices: Devices
    backends: Failover
    slots: SendSlots
    reports: KavenegarReports | None
    service: OtpService
    address_limits: AddressLimits
    write_probe: WriteProbe
    all_codes: Sequence[Codes]
    panel: PanelStores
    records: Records
    provider_account: ProviderAccountStore

    @classmethod
    def build(
        cls,
        settings: Settings,
        *,
        redis: RedisClient | None = None,
        sender: Sender | None = None,
        observer: Observer = UNOBSERVED,
    ) -> Self:
        """Make the parts; no part connects yet. ``redis`` and ``sender`` replace those of the settings."""
        all_codes = [Codes(secret, settings.otp_length) for secret in settings.secrets]
        codes, redis = all_codes[0], redis or _connect(settings)
        backends = backends_for(settings, observer, sender)
        # The metrics count the calls of requests, but not the calls of the probe and of the recorder.
        scripts, unobserved = Scripts(redis, observer), Scripts(redis)
        tokens, reports = Tokens.from_settings(settings), KavenegarReports.from_settings(settings, observer)
        records = Records.build(settings, redis, unobserved, _deliveries(reports, codes, redis, unobserved))
        write_probe, challenges = WriteProbe(redis, unobserved), Challenges(codes)
        slots, devices = SendSlots(settings.threads), Devices.of_policy(codes, settings.policy)
        service = OtpService(
            stores=_stores(settings, redis, scripts, all_codes, records.recorder),
            probe=write_probe,
            backends=backends,
            slots=slots,
            codes=codes,
            tokens=tokens,
            challenges=challenges,
            fixed_codes=settings.fixed_codes,
            events=EventReporter(records.recorder, all_codes),
            devices=devices,
            gate=SendGate(settings.gate.mode, challenges, observer, records.recorder.count),
        )
        return cls(
            settings=settings,
            redis=redis,
            scripts=scripts,
            codes=codes,
            phones=PhoneParser(settings.otp_regions),
            tokens=tokens,
            devices=devices,
            backends=backends,
            slots=slots,
            reports=reports,
            service=service,
            address_limits=AddressLimits(scripts),
            write_probe=write_probe,
            all_codes=all_codes,
            panel=PanelStores.build(redis, scripts, records, settings.policy),
            records=records,
            provider_account=ProviderAccountStore(redis, reports.account if reports else None),
        )

    def phone_pids(self, phone: PhoneNumber) -> tuple[str, ...]:
        """The phone's keyed hashes: under the present secret, and under the former ones."""
        return tuple(codes.pid(phone) for codes in self.all_codes)

    def prepare_redis(self) -> None:
        """Load the scripts and read Redis's clock, so that no request has to.

        Without Redis, log a warning.
        """
        try:
            self.scripts.load()
            self.address_limits.read_clock()
        except StoreUnavailable:
            # Redis can become available later. Until then, requests get 503. The first request then loads the
            # scripts.
            get_logger("otp_gateway.app").warning("Redis does not answer yet")


def _connect(settings: Settings) -> RedisClient:
    tls = RedisTls(settings.redis_tls_ca, settings.redis_tls_verify)
    return connect(settings.redis_url, tls, threads=settings.threads)


def _deliveries(
    reports: KavenegarReports | None, codes: Codes, redis: RedisClient, scripts: Scripts
) -> DeliveryReports | None:
    if reports is None:
        return None
    cache = DeliveryCache(redis, scripts)
    return DeliveryReports(reports=reports, codes=codes, cache=cache, waiting=threading.Lock())


def _gate(
    settings: Settings, redis: RedisClient, scripts: Scripts, report: Callable[[UnusedCharge], None]
) -> GateStore:
    is_foreign, apart = Home(settings.otp_regions).is_foreign, is_cluster(redis)
    return GateStore(scripts, settings.gate, is_foreign, apart=apart, report=report)


def _stores(
    settings: Settings, redis: RedisClient, scripts: Scripts, codes: Sequence[Codes], recorder: Recorder
) -> Stores:
    """``codes``: one for the present secret, and one for each former secret."""
    policy, gate = settings.policy, _gate(settings, redis, scripts, recorder.add)
    return Stores(
        codes=CodeStore(scripts, codes[0], policy, gate, settings.sms_timeout),
        logins=LoginStore(scripts, codes[0], policy, gate, settings.fixed_codes),
        sessions=SessionStore(scripts, codes),
    )

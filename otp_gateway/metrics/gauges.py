"""Values that are read and not counted: the build, the guess probability, the credit, the memory of Redis."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from otp_gateway.errors import StoreUnavailable
from otp_gateway.metrics import multiprocess
from otp_gateway.metrics.metrics import PREFIX
from otp_gateway.settings import Settings
from otp_gateway.store.gate_figures import BudgetUse
from otp_gateway.store.memory import Memory
from otp_gateway.store.provider_account import Account
from otp_gateway.store.write_probe import WriteProbe
from otp_gateway.version import __version__


class Gauges(Collector):
    """Gauges that are read when Prometheus scrapes."""

    def __init__(
        self,
        settings: Settings,
        account: Callable[[], Account | None],
        probe: WriteProbe,
        memory: Callable[[], Memory | None],
        budget: Callable[[], list[BudgetUse]],
    ) -> None:
        """Each function raises ``StoreUnavailable``.

        ``account``: the account as it was last read. ``memory``: the memory of Redis; None if Redis does
        not show it. ``budget``: the sends in each window of ``OTP_SEND_BUDGET``.
        """
        self._settings = settings
        self._account = account
        self._probe = probe
        self._memory = memory
        self._budget = budget

    def collect(self) -> Iterable[Metric]:
        """The present gauges."""
        build = GaugeMetricFamily(f"{PREFIX}_build_info", "What runs", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield build
        yield _gauge(
            "metrics_shared",
            "Whether a scrape shows the values of all workers; 0 if a worker cannot write its files",
            multiprocess.is_shared(),
        )
        yield _gauge(
            "guess_probability",
            "The probability that an attacker guesses a code of one phone within any 24 h, at most",
            float(self._settings.guess_probability),
        )
        yield _gauge(
            "sms_credit_minimum_rials",
            "KAVENEGAR_MIN_CREDIT: below it, the log warns",
            self._settings.kavenegar_min_credit,
        )
        up = self._probe.fault() is None
        yield _gauge("redis_up", "Whether Redis accepts the writes that a login needs", int(up))
        try:
            account = self._account()
        except StoreUnavailable:
            return
        yield from self._memory_gauges()
        yield from self._budget_gauges()
        if account is not None and account.credit is not None:
            yield _gauge("sms_credit_rials", "The provider's credit when last read", account.credit)
            yield _gauge(
                "sms_credit_read_timestamp_seconds",
                "When it was last read, by Redis's clock",
                account.read_at,
            )

    def _memory_gauges(self) -> Iterable[Metric]:
        try:
            memory = self._memory()
        except StoreUnavailable:
            # If only one primary of a cluster does not answer, redis_up stays 1.
            return
        if memory is not None:
            yield _gauge(
                "redis_memory_used_bytes",
                "Redis's used_memory; on a cluster, of the primary that is nearest to its limit",
                memory.used,
            )
            yield _gauge("redis_memory_max_bytes", "Redis's maxmemory; 0 without a limit", memory.maximum)

    def _budget_gauges(self) -> Iterable[Metric]:
        try:
            windows = self._budget()
        except StoreUnavailable:
            # As above: redis_up does not depend on this.
            return
        sends = _by_window("send_budget_sends", "Sends in a window of OTP_SEND_BUDGET, in seconds")
        limits = _by_window("send_budget_limit", "Sends that OTP_SEND_BUDGET allows in this window")
        for each in windows:
            sends.add_metric([str(each.window.seconds)], each.sends)
            limits.add_metric([str(each.window.seconds)], each.window.limit)
        yield from (sends, limits)


def _by_window(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=["window"])


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)

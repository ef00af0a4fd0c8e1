"""Counts and times of requests, of their outcomes, of Redis and of the provider. No label names a person."""

from __future__ import annotations

from flask import Flask, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from otp_gateway.api import context, outcomes, request_log
from otp_gateway.errors import SendFailed
from otp_gateway.metrics import multiprocess

PREFIX = "otp_gateway"
FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
# Prefixes that a worker shows one by one.
PREFIXES = 50
# The label of all members that are not shown one by one. No prefix and no network has this name.
REST = "rest"
LIMITS = (
    *("ip", "phone", "device", "tries", "session"),
    *("client_failures", "phone_failures", "device_failures"),
)


class Metrics:
    """The metrics of one application. It is also the core's ``Observer``."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter("http_requests", "Requests answered", "route", "method", "status")
        self._request_seconds = self._histogram(
            "http_request_duration_seconds", "From the first line of the request to its answer", SLOW, "route"
        )
        self._in_progress = Gauge(
            f"{PREFIX}_http_requests_in_progress",
            "Requests being answered now; each holds a thread",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._threads = Gauge(
            f"{PREFIX}_http_threads",
            "Threads that answer requests; 0 if the number is not known",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._outcomes = {
            each: self._counter(each.counter, f"Requests to {each.route} by outcome", "outcome")
            for each in outcomes.ALL
        }
        self._limits = self._counter("limit_hits", "Requests refused by a limit, by its kind", "limit")
        self._gate = self._gate_decisions()
        self._redis_seconds = self._histogram(
            "redis_call_duration_seconds", "Calls to Redis, repeats included, by script", FAST, "script"
        )
        self._redis_errors = self._counter(
            "redis_errors", "Attempts that Redis did not answer, or with an error", "reason"
        )
        self._provider_seconds = self._histogram(
            "sms_provider_call_duration_seconds", "HTTP exchanges with the SMS provider", SLOW, "call"
        )
        self._provider_errors = self._counter(
            "sms_provider_errors",
            "Exchanges without a confirmation, by the provider's code or the reason",
            "call",
            "code",
            "fault",
        )
        self._sms_attempts = self._counter(
            "sms_attempts", "Messages that a backend has tried to send, by outcome", "backend", "outcome"
        )
        self._deliveries = self._delivery_samples()
        self._prefixes: set[str] = set()
        # These are 0 from the start: an alert cannot see the first increase of a counter that is new.
        for each in outcomes.ALL:
            self._outcomes[each].labels(each.success)
        for limit in LIMITS:
            self._limits.labels(limit)

    def install(self, app: Flask) -> None:
        """Count the app's requests."""
        app.extensions["metrics"] = self
        app.before_request(self._open)
        app.after_request(self._close)
        app.teardown_request(self._leave)

    def set_threads(self, number: int) -> None:
        """Set the number of threads with which this process answers requests."""
        self._threads.set(number)

    def registry(self) -> CollectorRegistry:
        """The present values of all workers."""
        return multiprocess.registry() or self._registry

    def redis_call(self, script: str, seconds: float) -> None:
        self._redis_seconds.labels(script).observe(seconds)

    def redis_error(self, reason: str) -> None:
        self._redis_errors.labels(reason).inc()

    def provider_call(self, call: str, seconds: float) -> None:
        self._provider_seconds.labels(call).observe(seconds)

    def provider_error(self, call: str, error: SendFailed) -> None:
        self._provider_errors.labels(call, error.label, error.fault).inc()

    def sms_attempt(self, backend: str, outcome: str) -> None:
        self._sms_attempts.labels(backend, outcome).inc()

    def delivery(self, prefix: str, status: str) -> None:
        # One thread calls this.
        if len(self._prefixes) < PREFIXES:
            self._prefixes.add(prefix)
        self._deliveries.labels(prefix if prefix in self._prefixes else REST, status).inc()

    def gate_decision(self, mode: str, decision: str) -> None:
        self._gate.labels(mode, decision).inc()

    def _open(self) -> None:
        context.current().in_progress = True
        self._in_progress.inc()

    def _close(self, response: Response) -> Response:
        current = context.current()
        route, method = request_log.route() or "unmatched", request_log.method() or "other"
        self._requests.labels(route, method, str(response.status_code)).inc()
        self._request_seconds.labels(route).observe(current.elapsed)
        if current.outcomes:
            self._outcomes[current.outcomes].labels(current.outcomes.name(response)).inc()
        if "limit" in current.notes:
            self._limits.labels(current.notes["limit"]).inc()
        return response

    def _leave(self, _: BaseException | None) -> None:
        # False if another before-request function ended the request before ours.
        begun = context.begun()
        if begun and begun.in_progress:
            self._in_progress.dec()

    def _gate_decisions(self) -> Counter:
        return self._counter(
            "gate_decisions",
            "Decisions of the send gate; with observe, those that it would make with on",
            "mode",
            "decision",
        )

    def _delivery_samples(self) -> Counter:
        return self._counter(
            "sms_delivery_samples", "Sampled messages by the provider's delivery status", "prefix", "status"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, labels, buckets=buckets, registry=self._registry)

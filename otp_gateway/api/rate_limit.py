"""The limiter: Flask-Limiter over our own storage, one script for all windows of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Flask, Response, g, request
from flask_limiter import Limiter
from limits.storage import MovingWindowSupport, Storage

from otp_gateway.api.problems import seconds
from otp_gateway.errors import StoreUnavailable
from otp_gateway.model import Admission, Window
from otp_gateway.store import RedisStore

# A /48 may send as much as ten of its /64: one site can hold 65,536 of them.
SUBNETS = 10
SCHEME = "otp-gateway"


class LimiterStorage(Storage, MovingWindowSupport):
    """``limits``' storage interface over the gateway's store.

    Flask-Limiter asks window by window. The first question of a request runs the script for all of them,
    and its answer, kept for the request, serves the others and the headers; so some arguments go unused.
    """

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012  # declared so by the base class

    def __init__(
        self,
        uri: str | None = None,
        *,
        store: RedisStore,
        windows: Mapping[str, Sequence[Window]],
        **options: Any,
    ) -> None:
        """``windows``: by endpoint, as ``limit`` was called with."""
        super().__init__(uri, **options)
        self._store = store
        self._windows = windows

    @property
    def base_exceptions(self) -> type[Exception]:
        """What a caller may catch: the store is away."""
        return StoreUnavailable

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:  # noqa: ARG002
        """Whether the request may pass every window of its endpoint."""
        return self._admission().admitted

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """Start of the window (seconds since 1970) and the events in it, from the request's one answer."""
        admission = self._admission()
        quota = next(q for q in admission.quotas if q.window.seconds == expiry)
        ends = (admission.clock.redis_ms + quota.reset) / 1000
        return ends - expiry, limit - quota.remaining

    def check(self) -> bool:
        """Whether Redis answers."""
        try:
            self._store.ping()
        except StoreUnavailable:
            return False
        return True

    def _admission(self) -> Admission:
        if "admission" not in g:
            endpoint = request.endpoint or ""
            g.admission = self._store.admit(g.networks, endpoint, self._windows[endpoint], SUBNETS)
        admission: Admission = g.admission
        return admission

    # Parts of the interface that serve other strategies and the whole store's reset.

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError

    def get(self, key: str) -> int:
        raise NotImplementedError

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError

    def reset(self) -> int | None:
        raise NotImplementedError

    def clear(self, key: str) -> None:
        raise NotImplementedError


def limiter(store: RedisStore, windows: Mapping[str, Sequence[Window]]) -> Limiter:
    """The extension. An address is ``g.networks``; the store failing is an error, never a pass."""
    return Limiter(
        key_func=lambda: g.networks[-1],
        strategy="moving-window",
        storage_uri=f"{SCHEME}://",
        storage_options={"store": store, "windows": windows},  # type: ignore[dict-item]  # typed for URLs
        swallow_errors=False,
    )


def notation(windows: Sequence[Window]) -> str:
    """Windows in the notation of ``limits``."""
    return ";".join(f"{w.limit}/{w.seconds} second" for w in windows)


def install(app: Flask) -> None:
    """Write RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers) on what was counted."""
    app.after_request(_headers)


def _headers(response: Response) -> Response:
    admission: Admission | None = g.get("admission")
    if admission:
        # One window is called "ip"; further ones carry their length, for names must differ.
        names = [f'"ip-{q.window.seconds}"' if i else '"ip"' for i, q in enumerate(admission.quotas)]
        pairs = list(zip(names, admission.quotas, strict=True))
        response.headers["RateLimit-Policy"] = ", ".join(
            f"{name};q={q.window.limit};w={q.window.seconds}" for name, q in pairs
        )
        response.headers["RateLimit"] = ", ".join(
            f"{name};r={q.remaining};t={seconds(q.reset)}" for name, q in pairs
        )
    return response

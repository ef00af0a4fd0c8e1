"""The rate limiter: Flask-Limiter over our own storage, one script for all windows of a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from flask import Flask, Response, request
from flask_limiter import Limiter
from limits import parse_many
from limits.storage import MovingWindowSupport, Storage

from otp_gateway.admission import Admission
from otp_gateway.api import context
from otp_gateway.api.problems import seconds
from otp_gateway.errors import RateLimited, StoreUnavailable
from otp_gateway.model import Caller, Window
from otp_gateway.store.address_limits import AddressLimits

# A /48 may make as many requests as ten of its /64 networks. One site can have 65,536 of these.
SUBNETS = 10
SCHEME = "otp-gateway"
P = ParamSpec("P")
R = TypeVar("R")


class LimiterStorage(Storage, MovingWindowSupport):
    """``limits``' storage interface over the gateway's store.

    Flask-Limiter calls it once for each window. The first call of a request runs the script for all windows.
    Its reply is kept for the other calls of the request, and for the headers. So some arguments are not used.
    """

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012  # declared so by the base class

    def __init__(self, uri: str | None = None, *, limits: AddressLimits, **options: Any) -> None:
        super().__init__(uri, **options)
        self._limits = limits

    @property
    def base_exceptions(self) -> type[Exception]:
        """The error that a caller can catch: Redis is unavailable."""
        return StoreUnavailable

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:  # noqa: ARG002
        """Whether every window of the route admits the request."""
        return self._admission().admitted

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:  # noqa: ARG002
        """The start of the window (seconds since 1970) and its requests, from the reply of the script."""
        admission = self._admission()
        quota = next(q for q in admission.quotas if q.window.seconds == expiry)
        ends = (admission.clock.redis_ms + quota.reset) / 1000
        return ends - expiry, limit - quota.remaining

    def check(self) -> bool:
        """Required by the interface; no code uses it."""
        return True

    def _admission(self) -> Admission:
        current = context.current()
        if current.admission is None:
            current.admission = self._limits.admit(
                current.networks, request.endpoint or "", current.limit, SUBNETS
            )
        return current.admission

    # The interface requires these for other strategies and for a reset of the whole store. They are not used.

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


class RateLimiter:
    """Counts the requests of IP addresses.

    If Redis fails, this raises an error; it never admits the request.
    """

    def __init__(self, limits: AddressLimits) -> None:
        self._extension = Limiter(
            key_func=lambda: context.current().client,
            strategy="moving-window",
            storage_uri=f"{SCHEME}://",
            storage_options={"limits": limits},  # type: ignore[dict-item]  # typed for URLs
            swallow_errors=False,
        )

    def limit(
        self, windows: Sequence[Window]
    ) -> Callable[[Callable[Concatenate[Caller, P], R]], Callable[P, R]]:
        """The route's limit. Only an admitted request reaches the view, which then gets the ``Caller``.

        The decorated view raises ``RateLimited`` and ``StoreUnavailable``.
        """

        def decorate(view: Callable[Concatenate[Caller, P], R]) -> Callable[P, R]:
            items = parse_many(_notation(windows))

            @wraps(view)
            def limited(*args: P.args, **kwargs: P.kwargs) -> R:
                current = context.current()
                current.limit = windows
                hit = self._extension.limiter.hit
                if not all(hit(item, current.client, request.endpoint or "") for item in items):
                    raise RateLimited(0)
                return view(current.caller(), *args, **kwargs)

            return limited

        return decorate

    def install(self, app: Flask) -> None:
        """Write RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers) on counted replies."""
        # Flask-Limiter adds no hooks if it is registered already. Its hooks would look for limits before each
        # request, and parse the notation each time. They are not needed: ``limit`` evaluates the one limit of
        # a route.
        app.extensions.setdefault("limiter", set()).add(self._extension)
        self._extension.init_app(app)
        app.after_request(_headers)


def _notation(windows: Sequence[Window]) -> str:
    """Windows in the notation of ``limits``."""
    return ";".join(f"{w.limit}/{w.seconds} second" for w in windows)


def _headers(response: Response) -> Response:
    admission = context.current().admission
    if admission:
        # The first window is called "ip". The others have their length in their name, because names must
        # differ.
        names = [f'"ip-{q.window.seconds}"' if i else '"ip"' for i, q in enumerate(admission.quotas)]
        pairs = list(zip(names, admission.quotas, strict=True))
        response.headers["RateLimit-Policy"] = ", ".join(
            f"{name};q={q.window.limit};w={q.window.seconds}" for name, q in pairs
        )
        response.headers["RateLimit"] = ", ".join(
            f"{name};r={q.remaining};t={seconds(q.reset)}" for name, q in pairs
        )
    return response

"""The roots of the tree of errors."""

from __future__ import annotations

from typing import Any, ClassVar


class GatewayError(Exception):
    """``code`` is stable and for machines. ``detail`` is for people. ``meaning`` is the text that the OpenAPI
    document publishes about the code. None of them ever contains a secret, a phone number or an IP address.
    """

    code: ClassVar[str]
    meaning: ClassVar[str]
    detail: str
    # The decision of the send gate about the request, for the log. None: it has not decided.
    gate: str | None = None

    def __init__(self, detail: str | None = None) -> None:
        if detail is not None:
            self.detail = detail
        super().__init__(self.detail)

    @property
    def data(self) -> dict[str, Any]:
        """Further members of the problem document by name. The client may see them."""
        return {}


class Refused(GatewayError):
    """A limit is reached. ``retry_after`` is in milliseconds; it is enough to wait for so long.

    ``limit`` names the limit for logs and metrics. The client does not see it.
    """

    limit: str

    def __init__(self, retry_after: int, limit: str | None = None) -> None:
        super().__init__()
        self.retry_after = retry_after
        self.limit = limit or self.limit


class Challenged(GatewayError):
    """The client can solve the challenge in this error, and send its request again with the solution."""

    def __init__(self, challenge: dict[str, Any]) -> None:
        super().__init__()
        self.challenge = challenge

    @property
    def data(self) -> dict[str, Any]:
        return {"challenge": self.challenge}

"""Every key name. ``{…}`` is the cluster's hash tag: keys of one script share a slot."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhoneKeys:
    """The keys of one phone, by its keyed hash ``pid``."""

    pid: str

    @property
    def code(self) -> str:
        """Hash: the live code's nonce, digest, channel and masked phone."""
        return f"otp:{{{self.pid}}}:code"

    @property
    def attempts(self) -> str:
        """Hash: wrong tries, and the answers that a repeated request gets again."""
        return f"otp:{{{self.pid}}}:attempts"

    @property
    def sends(self) -> str:
        """List: the log of sends behind every window of the phone."""
        return f"otp:{{{self.pid}}}:sends"

    @property
    def failures(self) -> str:
        """Integer: failed verifies of the phone in its current period."""
        return f"otp:{{{self.pid}}}:failures"

    def failures_of(self, client: str) -> str:
        """Integer: failed verifies of the phone from one client's network."""
        return f"{self.failures}:{client}"

    def session(self, session_id: str) -> str:
        """Hash: the session's current refresh token id, its login time and channel."""
        return f"otp:{{{self.pid}}}:session:{session_id}"

    @property
    def sessions(self) -> str:
        """Sorted set: ids of the phone's live sessions by login time."""
        return f"otp:{{{self.pid}}}:sessions"


def address(network: str, endpoint: str, subnet: str | None = None) -> str:
    """Sorted set: recent requests of a network (or of one subnet in it) to an endpoint."""
    name = f"ip:{{{network}}}:{endpoint}"
    return f"{name}:{subnet}" if subnet else name

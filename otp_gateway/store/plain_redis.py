"""redis-py's client without its own retries and telemetry."""

from __future__ import annotations

from typing import Any

from redis import Redis


class PlainRedis(Redis):
    """Sends a command, and reads its reply.

    redis-py repeats each command after an error, and measures it. ``store/scripts.py`` repeats attempts, and
    the observer measures them. So this would happen twice. A connection that fails closes itself.
    """

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send the command, and return its reply. Raises the errors of redis-py."""
        pool = self.connection_pool
        connection: Any = pool.get_connection()
        try:
            connection.send_packed_command(connection.pack_command(*args), check_health=False)
            return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call]  # as above
        finally:
            pool.release(connection)

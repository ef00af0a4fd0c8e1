"""Short labels of Redis errors, for logs and metrics. A label never contains the text of Redis."""

from __future__ import annotations

import ssl

from redis.exceptions import (
    AuthenticationError,
    AuthenticationWrongNumberOfArgsError,
    AuthorizationError,
    BusyLoadingError,
    ClusterError,
    MaxConnectionsError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

# The first entry that fits counts, so a special kind is before a general kind.
KINDS: tuple[tuple[type[Exception], str], ...] = (
    (RedisTimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (BusyLoadingError, "loading"),
    (AuthenticationError, "authentication"),
    (AuthenticationWrongNumberOfArgsError, "authentication"),
    (AuthorizationError, "permission"),
    (NoPermissionError, "permission"),
    (MaxConnectionsError, "connections"),
    (OutOfMemoryError, "out_of_memory"),
    (ReadOnlyError, "read_only"),
    (ClusterError, "cluster"),
    (RedisClusterException, "cluster"),
    (RedisConnectionError, "unreachable"),
    (OSError, "unreachable"),
)
# If a command in a script fails, redis-py raises one general error, which quotes the error of the command.
MARKS: tuple[tuple[str, str], ...] = (
    ("NOAUTH", "authentication"),
    ("WRONGPASS", "authentication"),
    ("NOPERM", "permission"),
    # The texts of such an error inside a script: before Redis 7.2, and since Redis 7.2.
    ("The user executing the script can't", "permission"),
    ("ACL failure in script", "permission"),
    ("OOM ", "out_of_memory"),
    ("READONLY", "read_only"),
    ("MISCONF", "read_only"),
    ("NOREPLICAS", "read_only"),
    ("CLUSTERDOWN", "cluster"),
    ("TRYAGAIN", "cluster"),
    ("BUSY", "busy"),
)
# A server that has no place left sends this text to a new connection, and closes it.
FULL = "max number of clients"
OTHER = "refused"


def reason(error: Exception) -> str:
    """The label of an error of redis-py, or of the socket below it."""
    if isinstance(error, ResponseError):
        text = str(error)
        for mark, label in MARKS:
            if mark in text:
                return label
    tls = _tls_reason(error)
    if tls:
        return tls
    if isinstance(error, RedisConnectionError) and FULL in str(error):
        return "connections"
    return next((label for kind, label in KINDS if isinstance(error, kind)), OTHER)


def _tls_reason(error: BaseException | None) -> str | None:
    """The label of the TLS error from which this one comes, if there is one."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            # The numbers are X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH. The texts are
            # from OpenSSL.
            code = getattr(error, "verify_code", None)
            return "tls_hostname" if code in (62, 64) else "tls_certificate"
        # A server that has no place left closes the connection before TLS begins. That is not a fault of TLS.
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return "tls_protocol"
        error = error.__cause__ or error.__context__
    return None

"""What a Redis error is called: short labels for logs and metrics, never Redis's own words."""

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

# From the particular to the general.
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
# An error inside a script comes as one error of its own kind, which quotes the command's.
MARKS: tuple[tuple[str, str], ...] = (
    ("NOAUTH", "authentication"),
    ("WRONGPASS", "authentication"),
    ("NOPERM", "permission"),
    # The same, as scripts are told: Redis before 7.2, and from there on.
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
# What a server without a place left says to a new connection, which ends there.
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
            # The texts are OpenSSL's; the numbers of X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH.
            code = getattr(error, "verify_code", None)
            return "tls_hostname" if code in (62, 64) else "tls_certificate"
        # A server closes the connection before TLS begins if it has no place left: that is no fault of TLS.
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return "tls_protocol"
        error = error.__cause__ or error.__context__
    return None

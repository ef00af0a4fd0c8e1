"""The name of each Redis error. tests/metrics/test_redis.py uses real errors; here are the rare ones, too."""

from __future__ import annotations

import socket
import ssl

import pytest
import redis.exceptions
from redis._parsers import BaseParser

from otp_gateway.errors import StoreUnavailable
from otp_gateway.store import connect
from otp_gateway.store.error_labels import KINDS, MARKS, OTHER, reason
from otp_gateway.store.provider_account import ProviderAccountStore
from tests.support.servers import free_port

LABELS = {label for _, label in (*KINDS, *MARKS)} | {OTHER}
IN_SCRIPT = "Error running script (call to f_0): @user_script:1: @user_script: 1: -"


def as_redis_says(line: str) -> Exception:
    """The exception that redis-py makes of an error line of Redis."""
    error = BaseParser.parse_error(line)  # type: ignore[no-untyped-call]  # as shipped
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize("before", ["", IN_SCRIPT, "ERR "], ids=["plain", "in a script", "an ERR"])
@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("NOAUTH Authentication required.", "authentication"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "authentication"),
        ("NOPERM this user has no permissions to run the 'evalsha' command", "permission"),
        ("OOM command not allowed when used memory > 'maxmemory'.", "out_of_memory"),
        ("READONLY You can't write against a read only replica.", "read_only"),
        ("MISCONF Redis is configured to save RDB snapshots, but it cannot.", "read_only"),
        ("NOREPLICAS Not enough good replicas to write.", "read_only"),
        ("CLUSTERDOWN The cluster is down", "cluster"),
        ("BUSY Redis is busy running a script.", "busy"),
    ],
)
def test_an_error_is_named_wherever_it_was_raised(line: str, label: str, before: str) -> None:
    assert reason(as_redis_says(before + line)) == label


@pytest.mark.parametrize(
    ("line", "label"),
    [
        ("LOADING Redis is loading the dataset in memory", "loading"),
        ("ERR max number of clients reached", "connections"),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "cluster"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "refused"),
        ("ERR invalid password", "authentication"),
        ("ERR unknown command", "refused"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "refused"),
        ("", "refused"),
    ],
)
def test_what_redis_says_outside_of_scripts(line: str, label: str) -> None:
    assert reason(as_redis_says(line)) == label


@pytest.mark.parametrize(
    ("error", "label"),
    [
        (redis.exceptions.TimeoutError("Timeout reading from socket"), "timeout"),
        (TimeoutError(), "timeout"),
        (redis.exceptions.MaxConnectionsError("Too many connections"), "connections"),
        (redis.exceptions.ConnectionError("Connection closed by server."), "unreachable"),
        (ConnectionRefusedError(), "unreachable"),
        (socket.gaierror(-2, "Name or service not known"), "unreachable"),
        (ssl.SSLCertVerificationError("certificate verify failed"), "tls_certificate"),
        (ssl.SSLError(1, "wrong version number"), "tls_protocol"),
        (redis.sentinel.MasterNotFoundError("No master found for 'x'"), "unreachable"),
        (redis.exceptions.RedisClusterException("Redis Cluster cannot be connected."), "cluster"),
        (redis.exceptions.ClusterError("TTL exhausted."), "cluster"),
        (redis.exceptions.RedisError("?"), "refused"),
        (ValueError("+989123456789 482915"), "refused"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
def test_an_error_of_the_client_is_named_by_its_kind(error: Exception, label: str) -> None:
    assert reason(error) == label


def test_every_error_of_redis_py_has_a_label_of_ours_and_never_its_own_words() -> None:
    kinds = [k for k in vars(redis.exceptions).values() if isinstance(k, type) and issubclass(k, Exception)]
    assert len(kinds) > 20
    for kind in kinds:
        error = kind.__new__(kind)
        error.args = ("482915 +989123456789",)
        assert reason(error) in LABELS
    assert all(label.replace("_", "").isalpha() for label in LABELS)


def test_a_question_that_is_no_script_names_the_reason_too() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        ProviderAccountStore(connect(f"redis://127.0.0.1:{free_port()}/0"), None).last()
    assert caught.value.reason == "unreachable"

"""TLS to Redis: a platform's own certificate works, and each fault has a name and a remedy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from otp_gateway.errors import StoreUnavailable
from otp_gateway.settings import SettingsError
from otp_gateway.store.connect import connect
from otp_gateway.store.scripts import Scripts
from otp_gateway.store.tls import RedisTls
from otp_gateway.store.tls_connection import TlsConnection
from tests.api.support import assert_problem, make_api
from tests.checks.support import checked
from tests.conftest import make_settings
from tests.support.certificates import make_certificate, serving
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_liar import RedisLiar
from tests.support.redis_server import RedisServer
from tests.support.servers import LoopbackServer


@pytest.fixture(params=["localhost", "redis.internal"])
def site(
    request: pytest.FixtureRequest, redis_server: RedisServer, tmp_path: Path
) -> Iterator[tuple[str, Path]]:
    """The URL of a Redis whose certificate is self-signed, for its own name or for another one."""
    certificate = make_certificate(tmp_path, request.param)
    with RedisLiar(redis_server.port, {}, tls=serving(certificate)) as tls:
        yield f"rediss://localhost:{tls.port}/0", certificate


def reason(url: str, tls: RedisTls) -> str:
    try:
        Scripts(connect(url, tls)).ping()
    except StoreUnavailable as error:
        return error.reason
    return "ok"


def test_a_self_signed_certificate_works_once_the_operator_says_so(site: tuple[str, Path]) -> None:
    url, certificate = site
    own = certificate.stem == "localhost"
    assert reason(url, RedisTls()) in ("tls_certificate", "tls_hostname")
    assert reason(url, RedisTls(ca=str(certificate))) == ("ok" if own else "tls_hostname")
    assert reason(url, RedisTls(ca=str(certificate), verify="ca")) == "ok"
    assert reason(url, RedisTls(verify="ca")) == "tls_certificate"
    assert reason(url, RedisTls(verify="none")) == "ok"


def test_an_option_of_the_url_overrides_the_variables(site: tuple[str, Path]) -> None:
    url, _ = site
    assert reason(f"{url}?ssl_cert_reqs=none&ssl_check_hostname=false", RedisTls()) == "ok"
    assert reason(f"{url}?ssl_cert_reqs=required", RedisTls(verify="none")) == "tls_certificate"


def test_a_port_that_speaks_something_else_is_a_fault_of_the_protocol(emulator: KavenegarEmulator) -> None:
    url = f"rediss://localhost:{urlsplit(emulator.base_url).port}/0"
    assert reason(url, RedisTls(verify="none")) == "tls_protocol"


def test_a_server_that_closes_the_connection_before_tls_is_no_fault_of_tls() -> None:
    """Redis closes new connections when all its connections are in use."""

    def close(_connection: object, _address: object) -> None:
        return

    server = LoopbackServer(close)
    server.start()
    try:
        assert reason(f"rediss://localhost:{server.port}/0", RedisTls()) == "unreachable"
    finally:
        server.stop()


def test_a_redis_without_tls_does_not_answer_in_time(redis_server: RedisServer) -> None:
    # Redis waits for the rest of a command, so the client cannot see that it does not use TLS.
    url = f"rediss://localhost:{redis_server.port}/0"
    assert reason(url, RedisTls(verify="none")) == "timeout"


def test_the_reason_is_in_the_reply_of_readyz_and_the_remedy_in_the_check(site: tuple[str, Path]) -> None:
    url, certificate = site
    settings = make_settings(REDIS_URL=url)
    api = make_api(connect(settings.redis_url), KAVENEGAR_API_KEY="a-key")
    problem = assert_problem(api.get("/readyz"), 503, "store_unavailable", members=["parts", "reasons"])
    assert problem["reasons"]["redis"].startswith("tls_")
    status, message = checked(REDIS_URL=url)["redis"]
    assert status == "fault"
    assert "REDIS_TLS_" in message
    assert checked(REDIS_URL=url, REDIS_TLS_VERIFY="none")["redis_tls"][0] == "warning"
    assert checked(REDIS_URL=url, REDIS_TLS_CA=certificate, REDIS_TLS_VERIFY="ca")["redis"][0] == "ok"


def test_sentinel_and_cluster_get_the_same_options() -> None:
    tls = RedisTls(ca="/etc/ca.pem", verify="ca")
    assert tls.of_several({}) == {}
    assert tls.of_several({"ssl": "true", "ssl_certfile": "/etc/own.pem"}) == {
        "connection_class": TlsConnection,
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": False,
        "ssl_ca_certs": "/etc/ca.pem",
        "ssl_certfile": "/etc/own.pem",
    }


@pytest.mark.parametrize(
    ("variables", "name", "words"),
    [
        ({"REDIS_TLS_CA": "/no/such/file"}, "REDIS_TLS_CA", "is no readable file"),
        ({"REDIS_TLS_VERIFY": "maybe"}, "REDIS_TLS_VERIFY", "full, ca, none"),
        ({"REDIS_URL": "rediss://h?ssl_cert_reqs=CERT_NONE"}, "REDIS_URL", "ssl_cert_reqs"),
        ({"REDIS_URL": "rediss://h?ssl_check_hostname=perhaps"}, "REDIS_URL", "ssl_check_hostname"),
        ({"REDIS_URL": "rediss://h?ssl_ca_certs=/no/such/file"}, "REDIS_URL", "ssl_ca_certs"),
        ({"REDIS_URL": "redis+cluster://h?ssl=on"}, "REDIS_URL", "ssl"),
        ({"REDIS_URL": "redis://h", "REDIS_TLS_VERIFY": "none"}, "REDIS_TLS_VERIFY", "rediss://"),
        ({"REDIS_URL": "redis://:pa#ss@h"}, "REDIS_URL", "percent-encoded"),
        ({"REDIS_URL": "redis://:pa/ss@h"}, "REDIS_URL", "percent-encoded"),
        ({"REDIS_URL": "redis://h/one"}, "REDIS_URL", "database"),
        ({"REDIS_URL": "redis://h:port"}, "REDIS_URL", "port"),
        ({"REDIS_URL": "http://h"}, "REDIS_URL", "rediss://"),
        ({"REDIS_URL": "redis+sentinel://h"}, "REDIS_URL", "name of the primary"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_names_the_part(
    variables: dict[str, str], name: str, words: str
) -> None:
    given = {"REDIS_URL": "rediss://h"} | variables
    with pytest.raises(SettingsError) as error:
        make_settings(**given)
    assert words in " ".join(error.value.faults[name])


def test_an_encrypted_connection_to_an_unknown_redis_is_warned_of() -> None:
    settings = make_settings(REDIS_URL="rediss://h", REDIS_TLS_VERIFY="none")
    assert any("REDIS_TLS_VERIFY=none" in text for text in settings.warnings())

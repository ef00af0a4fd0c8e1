"""``flask otp check`` on the host of deploy/: a healthy one, and one with the wrong number of proxies."""

from __future__ import annotations

import json

import pytest

from tests.cli.support import flask
from tests.conftest import SECRET_KEY
from tests.deploy.conftest import Host, RunHost


def check(host: Host, **variables: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit status, and status and message of the findings by name."""
    env = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": host.redis.url,
        "KAVENEGAR_API_KEY": host.emulator.api_key,
        "KAVENEGAR_BASE_URL": host.emulator.base_url,
        "TRUSTED_PROXIES": "1",
        "REQUESTS_CA_BUNDLE": str(host.nginx.directory / "fullchain.pem"),
    } | variables
    done = flask("otp", "check", "--url", host.nginx.origin, "--json", env=env)
    found = json.loads(done.stdout)["checks"]
    return done.returncode, {f["name"]: (f["status"], f["message"]) for f in found}


def test_a_host_set_up_as_written_has_no_fault(run_host: RunHost) -> None:
    with run_host() as host:
        status, found = check(host)
    assert status == 0, found
    assert {name for name, (kind, _) in found.items() if kind == "fault"} == set()
    for name in ("https", "host", "proxies", "exposed", "redis", "eviction", "sms", "credit"):
        assert found[name][0] == "ok", found[name]


@pytest.mark.parametrize("trusted", ["0", "2"])
def test_a_wrong_number_of_trusted_proxies_is_found_from_outside(run_host: RunHost, trusted: str) -> None:
    with run_host(TRUSTED_PROXIES=trusted) as host:
        # The shell's own environment may have the right number. The gateway's number counts.
        status, found = check(host)
    assert status == 1
    assert found["proxies"][0] == "fault"
    # nginx starts the list again, so that no client chooses an address even then.
    assert "set 1" in found["proxies"][1]

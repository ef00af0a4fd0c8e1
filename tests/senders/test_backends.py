"""Every place that a new SMS backend needs: each test names the missing part."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

import otp_gateway
from otp_gateway.senders import BACKENDS, backends_for
from otp_gateway.settings import Settings, SettingsError
from otp_gateway.sms_backends import SMS_BACKENDS
from tests.conftest import SECRET_KEY, make_settings

PACKAGE = Path(otp_gateway.__file__).parent
VALUES = {"SMS_HTTP_URL": "https://sms.example.com/?to={phone}&code={code}"}
EXAMPLE = Path(__file__).parents[2] / ".env.example"
# A module may compare with the name of its own provider only.
OWN_NAME = {"kavenegar": PACKAGE / "senders" / "kavenegar" / "reports.py"}


def test_every_backend_has_its_facts_and_its_sender() -> None:
    assert SMS_BACKENDS.keys() - BACKENDS.keys() == set(), "no sender in otp_gateway.senders.BACKENDS"
    assert BACKENDS.keys() - SMS_BACKENDS.keys() == set(), "no facts in otp_gateway.sms_backends"


def test_the_setting_takes_every_backend_and_names_them_all_when_it_refuses_one() -> None:
    for name in SMS_BACKENDS:
        assert make_settings(SMS_BACKEND=name).sms_backend == (name,)
    with pytest.raises(SettingsError) as caught:
        make_settings(SMS_BACKEND="no-such-backend")
    (text,) = caught.value.faults["SMS_BACKEND"]
    assert re.findall(r"[a-z_]+", text.partition("use one of")[2].partition(", or a list")[0]) == list(
        SMS_BACKENDS
    )


def test_the_example_file_names_every_backend() -> None:
    above, _, _ = EXAMPLE.read_text(encoding="utf-8").partition("\nSMS_BACKEND=")
    comment = above.rpartition("\n\n")[2].rpartition("=")[2]
    for name in SMS_BACKENDS:
        assert re.search(rf"\b{name}\b", comment), f"{name} is missing above SMS_BACKEND in .env.example"


@pytest.mark.parametrize("name", SMS_BACKENDS)
def test_a_backend_is_configured_once_each_variable_that_it_requires_is_set(name: str) -> None:
    required = SMS_BACKENDS[name].required
    assert {variable.lower() for variable in required} <= {field.name for field in fields(Settings)}
    values = {variable: VALUES.get(variable, "a-value") for variable in required}
    assert backends_for(make_settings(SMS_BACKEND=name, **values)).configured
    for missing in required:
        some = {variable: value for variable, value in values.items() if variable != missing}
        assert not backends_for(make_settings(SMS_BACKEND=name, **some)).configured


@pytest.mark.parametrize("name", SMS_BACKENDS)
def test_a_production_gateway_warns_at_its_start_if_its_backend_delivers_nothing(name: str) -> None:
    production = {"SECRET_KEY": SECRET_KEY, "REDIS_URL": "redis://localhost", "SMS_BACKEND": name}
    warnings = [text for text in make_settings(**production).warnings() if "SMS_BACKEND" in text]
    assert len(warnings) == (0 if SMS_BACKENDS[name].delivers else 1)
    assert all(text.startswith(f"SMS_BACKEND={name} ") for text in warnings)


def test_no_module_compares_with_the_name_of_a_backend() -> None:
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            for name in compared(node):
                assert OWN_NAME.get(name) == file, f"{file} compares with {name!r}"


def compared(node: ast.AST) -> set[str]:
    """The names of backends in comparisons and in the ``case`` of a ``match``."""
    if not isinstance(node, ast.Compare | ast.MatchValue):
        return set()
    # "http" is also the scheme of a URL.
    names = SMS_BACKENDS.keys() - {"http"}
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value in names}

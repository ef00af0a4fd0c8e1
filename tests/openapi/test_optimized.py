"""Python's -OO removes docstrings and assertions. The document does not depend on either."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import SECRET_KEY
from tests.support.gateway import ROOT

CONFIGURATIONS = {
    "defaults": {},
    "cookies": {"AUTH_COOKIES": "true"},
    "cookies and a token for metrics": {"AUTH_COOKIES": "true", "METRICS_TOKEN": "a-token-for-scrapers"},
    "other origins": {"CORS_ORIGINS": "https://app.example.com"},
    "calls": {"KAVENEGAR_API_KEY": "key", "KAVENEGAR_TEMPLATE": "login", "OTP_LENGTH": "8"},
}
# Prints the docstring of create_app and the document of each configuration that is given.
PROGRAM = """
import json, sys
from otp_gateway import create_app
from otp_gateway.settings import Settings

def document(variables):
    app = create_app(Settings.load(variables, dotenv=None))
    return app.test_client().get("/openapi.json").text

documents = {name: document(variables) for name, variables in json.loads(sys.argv[1]).items()}
print(json.dumps([create_app.__doc__, documents]))
"""


def documents_of(*options: str) -> tuple[str | None, dict[str, str]]:
    """The output of the program in a new Python with these options."""
    variables = {name: {"SECRET_KEY": SECRET_KEY} | given for name, given in CONFIGURATIONS.items()}
    done = subprocess.run(
        [sys.executable, *options, "-c", PROGRAM, json.dumps(variables)],
        cwd=ROOT,
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    docstring, documents = json.loads(done.stdout)
    return docstring, documents


@pytest.fixture(scope="module")
def plain() -> dict[str, str]:
    docstring, documents = documents_of()
    assert docstring
    return documents


@pytest.fixture(scope="module")
def optimized() -> dict[str, str]:
    docstring, documents = documents_of("-OO")
    assert docstring is None
    return documents


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_document_is_the_same_without_docstrings(
    plain: dict[str, str], optimized: dict[str, str], name: str
) -> None:
    assert json.loads(plain[name])["openapi"].startswith("3.1.")
    assert optimized[name] == plain[name]


def test_the_configurations_have_different_documents(plain: dict[str, str]) -> None:
    assert len(set(plain.values())) == len(CONFIGURATIONS)

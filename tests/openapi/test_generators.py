"""Generators of clients read /openapi.json without a warning, and their clients work."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from werkzeug.test import TestResponse

from tests.conftest import SECRET_KEY
from tests.openapi.provoke import PROVOKE
from tests.openapi.site import Document, Site
from tests.openapi.test_document import CASES, COOKIES, MODES, PAGE, TOKEN
from tests.support.gateway import ROOT, Gateway
from tests.support.kavenegar import KavenegarEmulator
from tests.support.programs import node_project, require_program
from tests.support.redis_server import RedisServer

PHONE = "+989123456789"
VARIANTS: dict[str, dict[str, str]] = {
    "body": {},
    "cookies": COOKIES,
    "token": TOKEN,
    "origins": {"CORS_ORIGINS": PAGE},
    "calls": {"KAVENEGAR_API_KEY": "key", "KAVENEGAR_TEMPLATE": "login", "OTP_LENGTH": "8"},
}


class Generated:
    """A Python client that was generated from the document of a variant."""

    def __init__(self, folder: Path, variant: str) -> None:
        self.document = Site(**VARIANTS[variant]).document
        self.name = f"client_{variant}"
        file = folder / f"{variant}.json"
        file.write_text(json.dumps(self.document.whole), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "openapi_python_client",
            "generate",
            "--path",
            str(file),
            "--meta",
            "none",
        ]
        self.done = subprocess.run(
            [*command, "--output-path", str(folder / self.name), "--fail-on-warning"],
            # It calls ruff by this name.
            env={"PATH": str(Path(sys.executable).parent), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def module(self, name: str) -> Any:
        return importlib.import_module(f"{self.name}.{name}")

    def operation(self, operation_id: str) -> Any:
        """The module of an operation."""
        (tag,) = (
            found["tags"][0]
            for *_, found in self.document.operations()
            if found["operationId"] == operation_id
        )
        name = re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", operation_id)
        return self.module(f"api.{tag.lower()}.{name}")

    def parse(self, operation_id: str, reply: TestResponse) -> Any:
        """The reply as the client returns it."""
        client = self.module("client").Client(base_url="http://localhost", raise_on_unexpected_status=True)
        received = httpx.Response(reply.status_code, headers=list(reply.headers), content=reply.data)
        return self.operation(operation_id)._parse_response(client=client, response=received)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Generated]]:
    folder = tmp_path_factory.mktemp("clients")
    sys.path.insert(0, str(folder))
    yield {variant: Generated(folder, variant) for variant in VARIANTS}
    sys.path.remove(str(folder))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_python_client_is_generated_without_a_warning(clients: dict[str, Generated], variant: str) -> None:
    done = clients[variant].done
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"Generating \S+\s*", done.stdout)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_python_client_has_a_class_for_each_kind_of_problem(
    clients: dict[str, Generated], variant: str
) -> None:
    generated = clients[variant]
    kinds = generated.document.problems()
    assert len(kinds) > 15
    assert [name for name in kinds if not hasattr(generated.module("models"), name)] == []


@pytest.mark.parametrize(("operation", "answer", "mode"), CASES)
def test_the_python_client_reads_each_reply(
    clients: dict[str, Generated], operation: str, answer: str, mode: dict[str, str]
) -> None:
    (variant,) = (name for name, variables in MODES.items() if variables is mode)
    reply = PROVOKE[operation, answer](partial(Site, **mode))

    found = clients[variant].parse(operation, reply)

    if reply.is_json or reply.mimetype == "application/problem+json":
        assert found.to_dict() == json.loads(reply.data)
    elif answer == "200":
        assert found == reply.text
    else:
        assert found is None
    if not answer.isdigit():
        assert found.code == answer


def test_the_python_client_logs_in(
    clients: dict[str, Generated], redis_server: RedisServer, emulator: KavenegarEmulator
) -> None:
    generated = clients["body"]
    models, client = generated.module("models"), generated.module("client")
    variables = {
        "SECRET_KEY": SECRET_KEY,
        "REDIS_URL": redis_server.url,
        "KAVENEGAR_API_KEY": emulator.api_key,
        "KAVENEGAR_BASE_URL": emulator.base_url,
    }
    redis_server.clear()
    with Gateway(variables, workers=1) as gateway, client.Client(base_url=gateway.url) as guest:

        def call(operation: str, **fields: Any) -> Any:
            return generated.operation(operation).sync_detailed(client=guest, **fields)

        sent = call("sendOtp", body=models.SendRequest(phone_number=PHONE), idempotency_key="k" * 16)
        code = emulator.code_for(PHONE)
        wrong = "000000" if code != "000000" else "111111"
        refused = call("verifyOtp", body=models.VerifyRequest(phone_number=PHONE, code=wrong))
        opened = call("verifyOtp", body=models.VerifyRequest(phone_number=PHONE, code=code))
        device = models.SendRequest(phone_number=PHONE, device_token=opened.parsed.device_token)
        again = call("sendOtp", body=device)
        body = models.TokenRequest(refresh_token=opened.parsed.refresh_token)
        refreshed = call("refreshTokens", body=body)
        with client.AuthenticatedClient(base_url=gateway.url, token=refreshed.parsed.access_token) as user:
            me = generated.operation("getUser").sync_detailed(client=user)
        ended = call("revokeSession", body=body)
        used = call("refreshTokens", body=body)

    assert (sent.status_code, sent.parsed.phone_number, sent.parsed.expires_in) == (200, PHONE, 300)
    assert isinstance(refused.parsed, models.InvalidCode)
    assert (refused.parsed.code, refused.parsed.attempts_remaining) == ("invalid_code", 2)
    assert isinstance(opened.parsed, models.Login)
    assert again.status_code == 200
    assert isinstance(refreshed.parsed, models.TokenPair)
    assert (me.status_code, me.parsed.phone_number) == (200, PHONE)
    assert ended.status_code == 204
    assert isinstance(used.parsed, models.InvalidToken)


def compile_types(folder: Path, document: Document, source: str) -> subprocess.CompletedProcess[str]:
    """The errors of TypeScript's strict mode for a source that uses the types generated from the document."""
    project = node_project()
    node = require_program("node")
    file, types = folder / "openapi.json", folder / "schema.ts"
    file.write_text(json.dumps(document.whole), encoding="utf-8")
    generator = project / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    made = subprocess.run(
        [node, str(generator), str(file), "--output", str(types)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=project,
    )
    assert made.returncode == 0, made.stderr
    assert not re.search("warn|error", made.stdout + made.stderr, re.IGNORECASE)
    shutil.copy(ROOT / "tests" / "openapi" / source, folder)
    compiler = project / "node_modules" / "typescript" / "bin" / "tsc"
    return subprocess.run(
        [node, str(compiler), "--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", source],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )


def test_a_typescript_client_needs_only_what_is_required_and_tells_problems_apart(tmp_path: Path) -> None:
    done = compile_types(tmp_path, Site().document, "client.ts")
    assert (done.returncode, done.stdout) == (0, "")


def test_no_member_of_a_request_is_described_with_a_default() -> None:
    for variables in VARIANTS.values():
        document = Site(**variables).document
        for *_, operation in document.operations():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                members = document.follow(content["schema"]).get("properties", {})
                assert [name for name, schema in members.items() if "default" in schema] == []

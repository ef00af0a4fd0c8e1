"""The app on the imitation of Heroku, for all modules: some of its connections must be idle for 90 s."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.long.heroku import App, Dyno, HerokuRedis
from tests.long.router import ADDRESS, KEEP_SECONDS, Router
from tests.long.visitors import VERIFY, Platform
from tests.support.certificates import make_certificate, serving
from tests.support.gateway import ROOT
from tests.support.kavenegar import KavenegarEmulator

README = (ROOT / "README.md").read_text(encoding="utf-8")
DEPLOY = README.partition("\n## Deploy\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", DEPLOY, re.MULTILINE | re.DOTALL)
# Connections that the router uses again, each after another pause, up to almost the time for which it keeps
# them.
PAUSES = [5 + n * (KEEP_SECONDS - 6) / 39 for n in range(40)]


def block(word: str) -> str:
    """README's lines for a deployment: the one block that has this word, with values for the placeholders."""
    (lines,) = [lines for lines in BLOCKS if word in lines]
    return str(lines)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The app of README's lines, pushed and built, without a dyno."""
    folder = tmp_path_factory.mktemp("heroku")
    certificate = make_certificate(folder)
    with ExitStack() as stack:
        redis = stack.enter_context(HerokuRedis(folder))
        emulator = stack.enter_context(KavenegarEmulator())
        router = stack.enter_context(Router(serving(certificate)))
        app = App(folder, redis.url, {"KAVENEGAR_BASE_URL": emulator.base_url})
        found = Platform(app, redis, emulator, router, certificate)
        lines = block("git push heroku").replace(
            "KAVENEGAR_API_KEY=…", f"KAVENEGAR_API_KEY={emulator.api_key}"
        )
        assert "…" not in lines
        done = app.shell(lines.partition("heroku run")[0])
        assert done.returncode == 0, done.stderr
        app.build()
        yield found
        for dyno in found.dynos:
            dyno.terminate()
        for dyno in found.dynos:
            dyno.wait()


@pytest.fixture(scope="session")
def web(platform: Platform) -> Dyno:
    """The first dyno."""
    dyno = platform.boot(1)
    dyno.wait_until_up()
    return dyno


@pytest.fixture(scope="session")
def reused(web: Dyno) -> Iterator[Future[list[str]]]:
    """The answers on connections that are idle for a while between two requests; they take 90 s."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(use_again, web.port)


def use_again(port: int) -> list[str]:
    """Open a connection for each pause, and use it again after that pause; the answers."""
    connections = [
        http.client.HTTPConnection("127.0.0.1", port, timeout=30, source_address=(ADDRESS, 0)) for _ in PAUSES
    ]
    used: list[float] = []
    for number, connection in enumerate(connections):
        connection.connect()
        assert post(connection, number) == "400"
        used.append(time.monotonic())
    answers = []
    for number, (connection, pause, since) in enumerate(zip(connections, PAUSES, used, strict=True)):
        time.sleep(max(0.0, since + pause - time.monotonic()))
        answers.append(post(connection, number))
        connection.close()
    return answers


def post(connection: http.client.HTTPConnection, client: int) -> str:
    """The status of a POST of one of the clients, or the error. It opens no new connection."""
    connection.auto_open = 0
    headers = {"Content-Type": "application/json", "X-Forwarded-For": f"203.0.113.{client + 1}"}
    try:
        connection.request("POST", VERIFY, "{}", headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    return str(response.status)

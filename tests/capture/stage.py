"""The place of the run: a real Redis, the provider over HTTP, gateways in this process, and a record."""

from __future__ import annotations

import atexit
import json
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from unittest import mock

from flask import Flask
from werkzeug.test import Client, TestResponse

from otp_gateway import create_app
from otp_gateway.api.outcomes import REFRESHES, SENDS, VERIFIES
from otp_gateway.settings import Settings
from tests.capture import metrics, normal
from tests.capture.trace import Trace
from tests.support.kavenegar import KavenegarEmulator
from tests.support.redis_server import RedisServer

SECRET_KEY = "a-secret-key-for-the-capture-of-forty-ch"
HOME = "192.0.2.1"
# The thread that writes usage every two seconds. Here usage is written when the run says so.
BACKGROUND = "recorder"
# Headers that depend on the files' times, which differ from checkout to checkout.
OF_FILES = ("Last-Modified", "ETag")


class Stage:
    """One run. ``files``: what has been recorded, by the golden file's name."""

    def __init__(self, server: RedisServer, emulator: KavenegarEmulator) -> None:
        self.server = server
        self.emulator = emulator
        self.files: defaultdict[str, str] = defaultdict(str)
        self.sites: list[Site] = []
        self.idle_threads = 0
        self._ours = server.client()
        self._trace: Trace | None = Trace(server, self._ours)
        self._began = 0.0
        self._seen = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the scene began."""
        return time.monotonic() - self._began

    def scene(self, title: str) -> None:
        """Begin a scene, with an empty Redis and a provider without faults."""
        self._note_provider()
        self.emulator.set_fault(None)
        if self._trace:
            self._ours.flushall()
            self._trace.mark(title)
        print(f"\n# {title}", file=sys.stderr, flush=True)  # noqa: T201  # into the log, which is recorded
        for name in ("replies.txt", "panel.txt", "pages.txt", "provider.txt"):
            self.files[name] += f"\n# {title}\n"
        self._began = time.monotonic()

    def end_trace(self) -> None:
        """Write down the commands that Redis received. Redis may stop after this."""
        if self._trace:
            commands, inside = self._trace.end()
            self.files["redis-commands.txt"] = commands
            self.files["redis-in-scripts.txt"] = inside
            self._trace = None

    def note_metrics(self, site: Site, title: str) -> None:
        """Write down what a scraper reads now."""
        self.files["metrics.txt"] += f"# {title}\n{metrics.describe(site.scrape())}\n"

    def end(self) -> None:
        """Write down the rest, and drop titles that have no text under them."""
        self._note_provider()
        for site in self.sites:
            self.note_metrics(site, f"{site.name}, in the end")
        for name in ("replies.txt", "panel.txt", "pages.txt", "provider.txt"):
            parts = self.files[name].split("\n# ")
            self.files[name] = "".join(f"# {part}\n" for part in parts if "\n" in part.rstrip())

    def forget_deliveries(self) -> None:
        """Let the delivery reports expire that pages of the panel keep."""
        names = list(self._ours.scan_iter("provider:delivery:*"))
        if names:
            self._ours.delete(*names)

    def idle(self, thread: threading.Thread, start: Callable[[threading.Thread], None]) -> None:
        """Start a thread, unless it is the one that would write at times of its own."""
        if thread.name == BACKGROUND:
            self.idle_threads += 1
        else:
            start(thread)

    def _note_provider(self) -> None:
        requests = self.emulator.requests
        for request in requests[self._seen :]:
            form = dict(request.form)
            for name in ("localid", "token"):
                if name in form:
                    form[name] = ",".join("<number>" for _ in form[name].split(","))
            with suppress(LookupError):
                form["message"] = _without_code(form["message"])
            headers = {name: value for name, value in request.headers.items() if name != "content-length"}
            headers["host"] = "<host>"
            headers["user-agent"] = headers["user-agent"].partition("/")[0]
            lines = [f"{request.method} {request.path}", *(f"{n}: {v}" for n, v in sorted(headers.items()))]
            lines.append(json.dumps(form, ensure_ascii=False))
            self.files["provider.txt"] += "".join(f"{line}\n" for line in lines) + "\n"
        self._seen = len(requests)


class Site:
    """A gateway of the stage, by its variables; None removes one of the usual ones."""

    def __init__(self, stage: Stage, name: str, /, **variables: str | None) -> None:
        self.stage = stage
        self.name = name
        self._at_exit: list[Callable[[], object]] = []
        usual = {
            "SECRET_KEY": SECRET_KEY,
            "REDIS_URL": stage.server.url,
            "KAVENEGAR_API_KEY": stage.emulator.api_key,
            "KAVENEGAR_BASE_URL": stage.emulator.base_url,
        }
        environ = {name: value for name, value in (usual | variables).items() if value is not None}
        with mock.patch.object(atexit, "register", self._keep):
            self.app: Flask = create_app(Settings.load(environ, dotenv=None))
        self.client = self.app.test_client(use_cookies=False)
        stage.sites.append(self)

    def flush(self) -> None:
        """Do now what otherwise happens every two seconds, and at the end of the process."""
        for function in self._at_exit:
            function()

    def scrape(self) -> str:
        """Its metrics as the oldest scrapers read them."""
        token = {"Authorization": "Bearer a-token-for-scrapers"}
        overrides = {"REMOTE_ADDR": "127.0.0.1"}
        return self.client.get("/metrics", headers=token, environ_overrides=overrides).text

    def break_down(self, path: str) -> None:
        """From now on, this route raises an unexpected error."""

        def broken(**_: str) -> str:
            raise RuntimeError("a fault of the gateway")

        for rule in self.app.url_map.iter_rules():
            if rule.rule == path:
                outcomes = {"otp": SENDS, "verify": VERIFIES, "refresh": REFRESHES}.get(
                    path.rpartition("/")[2]
                )
                self.app.view_functions[rule.endpoint] = outcomes.of_route(broken) if outcomes else broken

    def ask(
        self,
        method: str,
        path: str,
        *,
        file: str = "replies.txt",
        ip: str = HOME,
        headers: Mapping[str, str] | None = None,
        client: Client | None = None,
        hidden: tuple[str, ...] = (),
        body: bool = True,
        varies: Sequence[str] = (),
        **options: Any,
    ) -> TestResponse:
        """Make a request and record it with its reply.

        ``hidden``: texts that replace a random value. Without ``body`` only the head of the reply is
        recorded. ``varies``: headers whose values differ between any two runs, or any two checkouts.
        """
        made = dict(headers or {})
        reply = (client or self.client).open(
            path, method=method, headers=made, environ_overrides={"REMOTE_ADDR": ip}, **options
        )
        # Not a client of its own that has cookies: its replies have no new facts.
        lines = [f"{method} {normal.request(path)}", *(f"> {name}: {value}" for name, value in made.items())]
        given = options.get("json", options.get("data"))
        if given is not None:
            text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, default=repr)
            lines.append(f"> {text if len(text) < 300 else f'{len(text)} characters'}")
        asked = normal.request("\n".join(lines))
        told = "\n".join([reply.status, *self._headers(reply, varies)])
        if body:
            told += f"\n\n{reply.text}" + ("" if reply.text.endswith("\n") or not reply.text else "⏎")
        text = f"{asked}\n{normal.reply(told, self.stage.elapsed)}\n"
        for secret in hidden:
            text = re.sub(rf"(?<!\d){re.escape(secret)}(?!\d)", "<hidden>", text)
        self.stage.files[file] += f"{text.rstrip()}\n\n"
        return reply

    def _headers(self, reply: TestResponse, varies: Sequence[str]) -> list[str]:
        pairs = sorted(reply.headers.items())
        return [f"{name}: {'<varies>' if name in varies else value}" for name, value in pairs]

    def _keep(self, function: Callable[[], object]) -> Callable[[], object]:
        self._at_exit.append(function)
        return function


def _without_code(message: str) -> str:
    return "".join("0" if c.isascii() and c.isdigit() else c for c in message)

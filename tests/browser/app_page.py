"""An app of an operator: a server with one page, which adds phone login as the docs' example shows."""

from __future__ import annotations

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

from playwright.sync_api import Dialog, Page

from tests.support.gateway import ROOT

DOCUMENT = (ROOT / "docs" / "LOGIN_PAGE.md").read_text(encoding="utf-8")
SOURCE = "https://otp.example.com/static/otp.js"


def example(source: str) -> str:
    """The example of the docs, with the script from another place."""
    (html,) = re.findall(r"```html\n(.*?)```", DOCUMENT, re.DOTALL)
    assert html.count(SOURCE) == 1
    return str(html).replace(SOURCE, source)


class App:
    """The server; a context manager. ``page`` is its only page, and can be set later."""

    def __init__(self, page: str = "") -> None:
        self.page = page
        app = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(f"<!doctype html><title>App</title>{app.page}".encode())

            def log_message(self, *_: object) -> None:
                """Keep request lines out of the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def answer_prompts(page: Page, answers: dict[str, object]) -> None:
    """Answer the dialogs of the example by their text; a function is called for its answer."""

    def answer(dialog: Dialog) -> None:
        found = answers[dialog.message]
        dialog.accept(str(found() if callable(found) else found))

    page.on("dialog", answer)

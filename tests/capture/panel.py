"""The panel as an operator meets it: every page, every action, and every refusal."""

from __future__ import annotations

import re
import time
from typing import Any

from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from tests.capture import normal
from tests.capture.api import ABROAD, GUESS, OTHER, PHONE, log_in, send, verify
from tests.capture.stage import OF_FILES, Site, Stage
from tests.support import kavenegar_faults as faults

FILE = "panel.txt"
PASSWORD = "a password for the capture"
LIST, LOGIN, USAGE = "/admin/accounts/otptoken/", "/admin/login/", "/admin/usage/"
# In these last seconds of a bucket of the usage page, no event is counted.
CLOSE = 3
BUCKET = 300


class Operator:
    """A browser at the panel that records what it sees; ``ip`` is its address."""

    def __init__(self, site: Site, ip: str = "192.0.2.10") -> None:
        self.site = site
        self.ip = ip
        self.client = site.app.test_client()

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.site.ask("GET", path, file=FILE, ip=self.ip, client=self.client, **options)

    def post(
        self, path: str, *, csrf: str | None = None, hidden: tuple[str, ...] = (), **form: str
    ) -> TestResponse:
        """A form; with the session's token, unless another is given."""
        token = self._csrf() if csrf is None else csrf
        data = form | ({"csrf": token} if token else {})
        secrets = (*hidden, token) if csrf is None else hidden
        return self.site.ask(
            "POST", path, file=FILE, ip=self.ip, client=self.client, hidden=secrets, data=data
        )

    def follow(self, reply: TestResponse, **options: Any) -> TestResponse:
        """The page that a reply leads to."""
        return self.get(reply.location, **options)

    def log_in(self) -> TestResponse:
        return self.post(LOGIN, password=PASSWORD, next="")

    def _csrf(self) -> str:
        page = self.client.get(LOGIN, environ_overrides={"REMOTE_ADDR": self.ip}).text
        found = re.search(r'name="csrf" value="([^"]+)"', page)
        assert found, page
        return found[1]


def run(stage: Stage) -> tuple[Operator, str]:
    """Every scene in which Redis answers; an operator who is signed in, and a phone's path."""
    secret = generate_password_hash(PASSWORD, method="pbkdf2:sha256:1")
    variables = {"OTP_IP_LIMITS": "100/minute", "OTP_PHONE_LIMITS": "9/2minute;10/hour"}
    site = Site(stage, "panel", ADMIN_PASSWORD_HASH=secret, ADMIN_REVEAL_CODES="true", **variables)
    closed = Site(
        stage,
        "panel that shows no codes",
        ADMIN_PASSWORD_HASH=secret,
        KAVENEGAR_TEMPLATE="login",
        **variables,
    )
    outside(stage, site)
    operator = Operator(site)
    path = helping(stage, site, operator)
    looking(stage, site, operator)
    closed_panel(stage, closed, path)
    counting(stage, site)
    locked(stage, site)
    stage.scene("Panel: signed in, before Redis goes")
    operator.log_in()
    return operator, path


def away(stage: Stage, operator: Operator, path: str) -> None:
    """Every page without a Redis."""
    stage.scene("Panel: Redis is away")
    operator.get(LIST)
    operator.get(USAGE)
    operator.get(f"{path}unlock/")
    operator.post(f"{path}unlock/")
    operator.post(LOGIN, password=PASSWORD)


def outside(stage: Stage, site: Site) -> None:
    stage.scene("Panel: outside")
    operator = Operator(site)
    for name in ("admin.css", "figures.css", "controls.css"):
        operator.get(f"/admin/static/{name}", body=False, varies=OF_FILES)
    for path in ("/admin", "/admin/", LIST, USAGE, "/admin/nowhere/"):
        operator.get(path)
    operator.get(f"{LOGIN}?next={USAGE}")
    operator.get(f"{LOGIN}?next=https://evil.example", body=False)
    operator.post(LOGIN, csrf="", password=PASSWORD)
    operator.post(LOGIN, csrf="another", password=PASSWORD)
    operator.post(LOGIN, password="a wrong one", next=USAGE)
    operator.post(LIST, phone=PHONE)
    operator.post(f"{LIST}{'x' * 22}/void/")
    operator.follow(operator.log_in())
    operator.follow(operator.post("/admin/logout/"), body=False)


def helping(stage: Stage, site: Site, operator: Operator) -> str:
    stage.scene("Panel: a phone, and what can be done for it")
    operator.log_in()
    send(site)
    code = stage.emulator.code_for(PHONE)
    path = operator.post(LIST, phone="0912 345 6789").location
    operator.get(LIST)
    operator.get(path)
    operator.post(f"{path}code/", hidden=(code,))
    stage.forget_deliveries()
    stage.emulator.set_fault(faults.html())
    operator.get(path)
    stage.emulator.set_fault(None)
    stage.forget_deliveries()
    for action in ("unlock", "clear-sends", "void", "end-sessions"):
        operator.get(f"{path}{action}/")
    operator.follow(operator.post(f"{path}unlock/"))
    for _ in range(3):
        verify(site, GUESS)
    operator.get(LIST)
    operator.get(path)
    undo(operator, operator.post(f"{path}unlock/"))
    undo(operator, operator.post(f"{path}void/"))
    operator.post(f"{path}unlock/")
    verify(site, code)
    operator.get(path)
    operator.follow(operator.post(f"{path}end-sessions/"))
    operator.follow(operator.post(f"{path}void/"))
    return path


def undo(operator: Operator, reply: TestResponse) -> None:
    """See what was done, undo it, and try the undo once more without effect."""
    page = operator.follow(reply)
    found = re.search(r'action="([^"]+/undo/[^"]+)"', page.text)
    assert found, page.text
    operator.follow(operator.post(found[1]))
    operator.follow(operator.post(found[1]))


def looking(stage: Stage, site: Site, operator: Operator) -> None:
    stage.scene("Panel: lists, and what is not there")
    operator.log_in()
    operator.get(LIST)
    operator.get(f"{LIST}?before=7-{'x' * 22}")
    operator.get(f"{LIST}?q=0912&state=locked")
    operator.post(LIST, phone="0912")
    operator.post(LIST, phone=ABROAD)
    operator.follow(operator.post(LIST, phone=OTHER))
    send(site)
    time.sleep(0.01)
    log_in(site, OTHER)
    operator.get(LIST)
    operator.get("/admin/nowhere/")
    operator.get(f"{LIST}short/")
    operator.get(f"{LIST}{'x' * 22}/nothing/")
    operator.get(f"{LIST}{'x' * 22}/undo/{'x' * 12}/")
    operator.post(f"{LIST}{'x' * 22}/undo/{'x' * 12}/")
    operator.post(f"{LIST}{'x' * 22}/void/", csrf="another")
    operator.post("/admin/nowhere/")


def closed_panel(stage: Stage, site: Site, path: str) -> None:
    stage.scene("Panel: without codes, with a template")
    operator = Operator(site)
    operator.log_in()
    send(site)
    operator.get(path)
    operator.post(f"{path}code/")


def counting(stage: Stage, site: Site) -> None:
    site.flush()
    stage.scene("Panel: usage")
    operator = Operator(site)
    operator.log_in()
    usage(stage, operator)
    while time.time() % BUCKET > BUCKET - CLOSE:
        time.sleep(0.1)
    log_in(site)
    send(site)
    send(site, "0912")
    verify(site, GUESS)
    site.flush()
    usage(stage, operator)
    stage.note_metrics(site, "panel, while Redis answers")


def usage(stage: Stage, operator: Operator) -> None:
    before = len(stage.files[FILE])
    for span in ("hour", "day", "week", "month"):
        operator.get(f"{USAGE}?span={span}")
    operator.get("/admin/traffic/")
    operator.get("/admin/activity/?lang=fa", body=False)
    operator.get("/admin/activity/?lang=en")
    stage.files[FILE] = stage.files[FILE][:before] + normal.usage(stage.files[FILE][before:])


def locked(stage: Stage, site: Site) -> None:
    stage.scene("Panel: too many wrong passwords")
    operator = Operator(site)
    for _ in range(6):
        operator.post(LOGIN, password="a wrong one")
    operator.log_in()
    for _ in range(4):
        operator.log_in()

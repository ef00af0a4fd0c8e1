"""Values that schemathesis cannot read in the document: real phones, codes that were sent, valid tokens.

It runs in a process of its own, which loads this file. The environment names the gateway and the provider.
"""

from __future__ import annotations

import os
import re
import unicodedata
import uuid
from typing import Any

import requests
import schemathesis
from hypothesis import strategies as st

from otp_gateway.phones import PhoneParser
from tests.support.challenges import easy_solution

GATEWAY = os.environ["TEST_GATEWAY"]
# The provider's list of what it has sent, newest first.
OUTBOX = os.environ["TEST_OUTBOX"]
API = f"{GATEWAY}/api/v1/usr"
SEND = "/api/v1/usr/otp"
VERIFY = "/api/v1/usr/otp/verify"
KEY = "Idempotency-Key"
# Ways to write an Iranian mobile. No pattern describes all of them, so the document says just "phone".
SPELLINGS = ("+98{}", "0098{}", "0{}", "{}", "+98 (0){}", "98-{}", "\u200e+98{}\u200e", " 0{} ")
SCRIPTS = ("0123456789", "۰۱۲۳۴۵۶۷۸۹", "٠١٢٣٤٥٦٧٨٩", "０１２３４５６７８９")

PHONES = PhoneParser(["IR"])

session = requests.Session()
session.headers["Sec-Fetch-Site"] = "same-origin"


def spell(number: int, spelling: str, script: str) -> str:
    text = spelling.format(f"9{number:09d}")
    return text.translate(str.maketrans("0123456789", script))


schemathesis.openapi.format(
    "phone",
    st.builds(
        spell,
        st.integers(0, 999_999_999),
        st.sampled_from(SPELLINGS),
        st.sampled_from(SCRIPTS),
    ),
)


def texted(phone: str) -> str:
    """Have a code sent to this phone, and read it."""
    reply = session.post(f"{API}/otp", json={"phone_number": phone}, timeout=10)
    reply.raise_for_status()
    (entry,) = session.get(OUTBOX, params={"pagesize": "1"}, timeout=10).json()["entries"]
    (code,) = re.findall(r"(?<![0-9])[0-9]{6}(?![0-9])", entry["message"])
    assert entry["receptor"] == "0" + reply.json()["phone_number"].removeprefix("+98")
    return str(code)


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A well-formed request has a key of its own; a verify has the right code, spaced as it was generated.

    A send that has a member `challenge` has a right solution for its phone.
    """
    del context, kwargs
    if not case.meta or not case.meta.generation.mode.is_positive:
        return
    if case.headers and KEY in case.headers:
        case.headers[KEY] = uuid.uuid4().hex
    if case.path == SEND and "challenge" in case.body:
        case.body["challenge"] = easy_solution(PHONES.parse(case.body["phone_number"]).e164)
    if case.path == VERIFY:
        code = iter(texted(case.body["phone_number"]))
        case.body["code"] = "".join(
            chr(ord(c) - unicodedata.digit(c) + int(next(code))) if c.isdigit() else c
            for c in case.body["code"]
        )


@schemathesis.auth(refresh_interval=None).apply_to(
    path=[f"/api/v1/usr/{name}" for name in ("me", "token/refresh", "token/revoke")]
)
class Login:
    """Every case that needs a login gets a new one: refresh rotates tokens, revoke ends sessions."""

    def get(self, case: Any, context: Any) -> requests.Response:
        del case, context
        phone = "+989123456789"
        code = texted(phone)
        return session.post(f"{API}/otp/verify", json={"phone_number": phone, "code": code}, timeout=10)

    def set(self, case: Any, data: requests.Response, context: Any) -> None:
        del context
        if data.cookies:
            case.cookies = {**(case.cookies or {}), **data.cookies.get_dict()}
        else:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data.json()['access_token']}"}

"""The templates of a provider's HTTP interface: SMS_HTTP_URL, _HEADERS and _BODY.

A placeholder such as ``{phone}`` is replaced by its value, escaped for its place. All other braces stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

NAMES = ("phone", "phone_local", "code", "message", "channel", "reference")
PHONES = frozenset({"phone", "phone_local"})
TEXTS = frozenset({"code", "message"})
PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# The HTTP library writes these headers itself.
FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "host"})
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
# Values that show, when the gateway starts, whether each place escapes the characters of a message.
SAMPLE = {
    "phone": "+989120000000",
    "phone_local": "09120000000",
    "code": "012345",
    "message": 'کد "012345" \\ &=\n@example.com #012345',
    "channel": "sms",
    "reference": "4611686018427387903",
}


@dataclass(frozen=True, slots=True, repr=False)
class Filled:
    """One request to the provider: path with query, headers and body. Each part can hold a secret."""

    path: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class SentRule:
    """How a reply shows that a message is sent: by ``value`` in the ``member`` (a path) of the JSON reply.

    Without a member, each status from 200 to 299 shows it.
    """

    member: tuple[str, ...] = ()
    value: str = ""

    def read(self, reply: Any) -> str | None:
        """The member's value in a reply, as text; None if the reply does not have it."""
        for name in self.member:
            members = reply if isinstance(reply, dict) else {}
            # The documentation of some providers has other upper-case letters than their replies.
            found = [key for key in members if key.lower() == name.lower()]
            if not found:
                return None
            reply = members[name if name in members else found[0]]
        return reply if isinstance(reply, str) else json.dumps(reply)


@dataclass(frozen=True, slots=True, repr=False)
class HttpTemplate:
    """The three templates, and the method. ``headers`` are text by name."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""

    def fill(self, values: Mapping[str, str]) -> Filled:
        """The request for these values, by placeholder."""
        parts = urlsplit(self.url)
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        headers = {name: _fill(text, values, str) for name, text in self.headers.items()}
        if not self.body:
            return Filled(_fill(target, values, _for_url), headers, None)
        escape = quote_plus if self.media_type == FORM else _for_json
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = self.media_type
        return Filled(_fill(target, values, _for_url), headers, _fill(self.body, values, escape).encode())

    @property
    def names_channel(self) -> bool:
        """Whether the provider learns the channel. Otherwise it can only send text messages."""
        return any(name == "channel" for _, name in self._placeholders())

    @property
    def media_type(self) -> str:
        """The media type of the body, as the header Content-Type names it; JSON without this header."""
        found = next((text for name, text in self.headers.items() if name.lower() == "content-type"), JSON)
        return found.partition(";")[0].strip().lower()

    def faults(self) -> Iterator[tuple[str, str]]:
        """The variables that the gateway refuses, each with the reason."""
        unknown = list(self._unknown_placeholders())
        yield from unknown
        yield from self._url_faults()
        yield from self._header_faults()
        if self.method == "GET" and self.body:
            yield "SMS_HTTP_BODY", "must be empty: SMS_HTTP_METHOD is GET"
        if self.body and self.media_type not in (JSON, FORM):
            yield "SMS_HTTP_HEADERS", f"Content-Type must be {JSON} or {FORM}"
        used = [name for _, name in self._placeholders()]
        place = "SMS_HTTP_BODY" if self.body else "SMS_HTTP_URL"
        if sum(name in TEXTS for name in used) != 1:
            yield place, "the templates must contain exactly one of {code} and {message}, once"
        if not PHONES.intersection(used):
            yield place, "the templates must contain {phone} or {phone_local}"
        if self.body and self.media_type == JSON and not unknown:
            try:
                json.loads(_fill(self.body, SAMPLE, _for_json))
            except ValueError:
                yield "SMS_HTTP_BODY", "is not JSON; put each placeholder between double quotes"

    def _placeholders(self) -> Iterator[tuple[str, str]]:
        """Each placeholder with its variable."""
        texts = [("SMS_HTTP_URL", self.url), ("SMS_HTTP_BODY", self.body)]
        texts += [("SMS_HTTP_HEADERS", text) for text in self.headers.values()]
        for variable, text in texts:
            for found in PLACEHOLDER.finditer(text):
                yield variable, found[1]

    def _unknown_placeholders(self) -> Iterator[tuple[str, str]]:
        known = ", ".join(f"{{{name}}}" for name in NAMES)
        for variable, name in self._placeholders():
            if name not in NAMES:
                yield variable, f"{{{name}}} is no placeholder; use {known}"

    def _url_faults(self) -> Iterator[tuple[str, str]]:
        before_path = self.url.split("/", 3)[:3]
        if PLACEHOLDER.search("/".join(before_path)):
            yield "SMS_HTTP_URL", "placeholders are only allowed in its path and its query"

    def _header_faults(self) -> Iterator[tuple[str, str]]:
        for name, text in self.headers.items():
            if not HEADER_NAME.fullmatch(name) or name.lower() in FRAMING:
                yield "SMS_HTTP_HEADERS", "has a name that cannot be a header of a request"
            elif not (text.isascii() and text.isprintable()):
                yield "SMS_HTTP_HEADERS", f"the value of {name} must be printable ASCII"
            elif "{message}" in text:
                yield "SMS_HTTP_HEADERS", f"{name} cannot hold {{message}}: a header has one line of ASCII"


def _fill(text: str, values: Mapping[str, str], escape: Callable[[str], str]) -> str:
    return PLACEHOLDER.sub(lambda found: escape(values[found[1]]), text)


def _for_url(value: str) -> str:
    return quote(value, safe="")


def _for_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]

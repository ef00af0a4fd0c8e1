"""Makes ``.env.example`` from the declarations, so that no default and no help is written twice."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from typing import Any

from otp_gateway.settings.declaration import Variable, declared
from otp_gateway.settings.variables import Variables

WIDTH = 110
INTRODUCTION = """\
Every setting of otp-gateway, with its default. Made by: python -m otp_gateway.settings > .env.example
Copy this file to .env for development. In production, set environment variables; they outrank .env.
A variable that is set but empty counts as unset. A line with # in front of a name has no fixed default."""


def env_example() -> str:
    """The text of ``.env.example``."""
    blocks = ["\n".join(_comment(INTRODUCTION))]
    for variable in declared(Variables).values():
        if variable.heading:
            blocks.append(f"# ---- {variable.heading} ----")
        blocks.append("\n".join(_lines(variable)))
    return "\n\n".join(blocks) + "\n"


def _lines(variable: Variable[Any]) -> Iterator[str]:
    allowed = f"\nAllowed: {variable.allowed}." if variable.allowed else ""
    yield from _comment(variable.help + allowed)
    if isinstance(variable.default, str):
        yield f"{variable.name}={_quoted(variable.default)}"
    else:
        yield f"# {variable.name}="


def _comment(text: str) -> Iterator[str]:
    for paragraph in text.splitlines():
        # A command must not be divided into lines.
        yield from textwrap.wrap(
            paragraph,
            WIDTH,
            initial_indent="# ",
            subsequent_indent="# ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _quoted(text: str) -> str:
    """Quote the text for python-dotenv and for a shell."""
    return f'"{text}"' if re.search(r"\s", text) else text

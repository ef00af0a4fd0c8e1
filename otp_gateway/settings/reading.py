"""Reads the variables: the environment over the ``.env`` file, then each text by its declaration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from marshmallow import ValidationError

from otp_gateway.settings.declaration import declared
from otp_gateway.settings.variables import Variables

Faults = Mapping[str, list[str]]


class SettingsError(Exception):
    """One or more variables are wrong.

    ``faults``: for the name of each such variable, the fault and advice.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults = dict(faults)
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [f"  {name}: {text}" for name, texts in sorted(self.faults.items()) for text in texts]
        return "\n".join(["otp-gateway cannot start, its settings are wrong:", *lines])


def read_variables(environ: Mapping[str, str], dotenv: Path | None) -> dict[str, str]:
    """The environment, with priority over the ``.env`` file. A variable that is empty counts as unset."""
    try:
        file = dotenv_values(dotenv) if dotenv is not None and dotenv.is_file() else {}
    except (OSError, UnicodeDecodeError):
        raise SettingsError({".env": ["cannot be read as UTF-8 text"]}) from None
    keep_empty = {variable.name for variable in declared(Variables).values() if variable.keep_empty}
    found = {name: value for name, value in file.items() if value or name in keep_empty}
    found |= {name: value for name, value in environ.items() if value or name in keep_empty}
    return {name: value or "" for name, value in found.items()}


def read_values(variables: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Every setting by the name of its field, and the faults by variable. An invalid setting is None."""
    values: dict[str, Any] = {}
    faults: dict[str, list[str]] = {}
    for field, variable in declared(Variables).items():
        text = variables.get(variable.name)
        try:
            values[field] = variable.default_value() if text is None else variable.parse(text)
        except ValidationError as error:
            values[field] = None
            faults[variable.name] = list(error.messages)
    return values, faults

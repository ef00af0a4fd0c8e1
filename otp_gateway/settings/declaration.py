"""Declares a setting: one dataclass field with its parser, its default and its help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Parser(Generic[T]):
    """A parser that can name the values that it accepts, for the example file."""

    parse: Callable[[str], T]
    allowed: str

    def __call__(self, text: str) -> T:
        return self.parse(text)


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """The declaration of one setting."""

    name: str
    parse: Callable[[str], T]
    default: str | Callable[[], T]
    help: str
    heading: str
    keep_empty: bool

    def default_value(self) -> T:
        """The value of an unset variable."""
        return self.parse(self.default) if isinstance(self.default, str) else self.default()

    @property
    def allowed(self) -> str:
        """The accepted values in words. It is empty if the help names them."""
        return self.parse.allowed if isinstance(self.parse, Parser) else ""


def variable(
    parse: Callable[[str], T],
    default: str | Callable[[], T],
    *,
    help: str,  # noqa: A002  # the usual name, as in argparse and click
    heading: str = "",
    secret: bool = False,
    keep_empty: bool = False,
) -> T:
    """Declare a field of ``Settings``; the variable has the field's name in upper case.

    ``default``: the text that is used if the variable is unset, or a function that computes the value.
    ``heading`` begins a group in the example file. ``secret``: the repr does not show the value.
    ``keep_empty``: a variable that is set but empty is not the same as an unset one.
    """
    metadata = {
        "parse": parse,
        "default": default,
        "help": help,
        "heading": heading,
        "keep_empty": keep_empty,
    }
    # The return type is the type of the value, as in dataclasses.field. So mypy compares parser and type.
    return cast("T", field(repr=not secret, metadata=metadata))


def optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """The parser for a setting that is None if it is empty."""
    return lambda text: parse(text) if text else None


def declared(settings: type) -> dict[str, Variable[Any]]:
    """The declarations of a class by the names of its fields, in order."""
    return {f.name: Variable(name=f.name.upper(), **f.metadata) for f in fields(settings)}

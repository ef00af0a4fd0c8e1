"""Marks the tests that start another program, such as a server or a browser. ``make check`` leaves them out.

The rule: a test gets the mark ``program`` if its code names one of `STARTERS`. Its fixtures count too, and
the helpers in tests/ that they use.
"""

from __future__ import annotations

import functools
import inspect
import subprocess
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType

import pytest
from playwright.sync_api import sync_playwright

from tests.support.programs import require_program

STARTERS = (
    subprocess.Popen,
    subprocess.check_output,
    subprocess.run,
    # Chromium's, through the driver of Playwright.
    sync_playwright,
    # The program may be missing.
    require_program,
)


def mark(items: list[pytest.Item]) -> None:
    """Add the mark ``program`` to the tests that start one."""
    for item in items:
        if isinstance(item, pytest.Function) and _needs_program(item):
            item.add_marker("program")


def _needs_program(item: pytest.Function) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if parameters.get("redis_client") == "redis":
        return True
    fixtures = item._fixtureinfo.name2fixturedefs
    # redis_client starts a server for one of its parameters only: the one above.
    names = [name for name in item.fixturenames if name in fixtures and name != "redis_client"]
    return any(map(_starts, (item.function, *(fixtures[name][-1].func for name in names))))


@functools.cache
def _starts(function: Callable[..., object]) -> bool:
    """Whether the code of the function, or of what it uses in tests/, names one of `STARTERS`."""
    seen: list[object] = []
    todo: list[object] = [function]
    while todo:
        found = todo.pop()
        if any(found is starter for starter in STARTERS):
            return True
        if not any(found is other for other in seen):
            seen.append(found)
            todo += _used_by(found)
    return False


def _used_by(thing: object) -> Iterator[object]:
    """The functions and classes of tests/ that this one names."""
    if isinstance(thing, type):
        yield from (value for value in vars(thing).values() if isinstance(value, FunctionType))
        return
    function = inspect.unwrap(thing) if callable(thing) else thing
    if not isinstance(function, FunctionType):
        return
    names = set(_names(function.__code__))
    scopes = [function.__globals__]
    scopes += [vars(used) for name in names if isinstance(used := scopes[0].get(name), ModuleType)]
    for scope in scopes:
        for name in names & scope.keys():
            if callable(scope[name]) and _is_of_interest(scope[name]):
                yield scope[name]


def _is_of_interest(used: object) -> bool:
    module = getattr(used, "__module__", None) or ""
    return module.startswith("tests.") or any(used is starter for starter in STARTERS)


def _names(code: CodeType) -> Iterator[str]:
    """The globals and attributes in the code, and in the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)

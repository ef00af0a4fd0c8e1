"""The package's structure: rules for imports, names and sizes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.gateway import ROOT

PACKAGE = ROOT / "otp_gateway"
MODULES = sorted(PACKAGE.rglob("*.py"))
LONGEST_MODULE = 250
LONGEST_FUNCTION = 50
# The first part of every key's name.
KEY_NAME = re.compile(r"^\{?(?:otp|ip|admin|provider|usage|gate):|^\{usage\}:")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def texts(tree: ast.AST) -> list[str]:
    """Every text in the code, also the parts of f-strings, but not docstrings."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


@each_module
def test_no_module_is_too_long_to_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE


@each_module
def test_no_function_is_too_long_to_read(path: Path) -> None:
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= LONGEST_FUNCTION
        # Routes are functions inside the function that installs them.
        and not (node.name == "install" and path.parent.name == "api")
    }
    assert long == {}


@each_module
def test_no_module_has_the_name_of_a_library_that_it_imports(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    } | {
        (node.module or "").partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and not node.level
    }
    assert path.stem not in imported - {"otp_gateway"}


@each_module
def test_only_one_module_names_redis_keys(path: Path) -> None:
    if path == PACKAGE / "store" / "keys.py":
        return
    found = texts(ast.parse(path.read_text(encoding="utf-8")))
    assert [text for text in found if KEY_NAME.match(text)] == []


@each_module
def test_only_one_module_uses_flasks_g(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    uses = any(
        isinstance(node, ast.ImportFrom)
        and node.module == "flask"
        and "g" in {alias.name for alias in node.names}
        for node in ast.walk(tree)
    )
    assert uses == (path == PACKAGE / "api" / "context.py")


@each_module
def test_no_module_compares_with_the_name_of_an_sms_backend(path: Path) -> None:
    if path.parent == PACKAGE / "senders" / "kavenegar":
        # It may check whether it is the chosen one itself.
        return
    compared = [
        constant.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        for constant in ast.walk(side)
        if isinstance(constant, ast.Constant)
    ]
    assert not {"console", "kavenegar"} & set(compared)

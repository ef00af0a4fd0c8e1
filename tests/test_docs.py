"""docs/ARCHITECTURE.md names the existing files, modules, keys and tests."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from otp_gateway.store import keys
from tests.support.gateway import ROOT
from tests.test_structure import KEY_NAME, PACKAGE

DOCUMENT = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
# A file, or a folder with a slash at its end. It is relative to the project or to the package.
FILE = r"(?:[\w.-]+/)*[\w.-]+\.(?:conf|css|example|html|js|json|lua|md|py|toml|txt|yml)"
NAMED = set(re.findall(rf"`({FILE}|(?:[\w-]+/)+)(?:::[\w:]+)?`", DOCUMENT))
FILES = sorted(
    path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts and path.suffix
)


def place_of(name: str) -> Path:
    """The file or folder of a name in the document."""
    return ROOT / name if (ROOT / name).exists() else PACKAGE / name


def test_every_file_that_the_architecture_names_exists() -> None:
    assert len(NAMED) > 100
    assert [name for name in sorted(NAMED) if not place_of(name).exists()] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_is_in_the_project_layout(path: Path) -> None:
    own = path.relative_to(PACKAGE)
    folders = {f"{folder}/" for folder in own.parents if folder.name}
    if own.name in {"__init__.py", "py.typed"}:
        # Its folder is named instead.
        assert folders <= NAMED
    elif path.suffix in {".py", ".lua"}:
        assert str(own) in NAMED
    else:
        assert {str(own), f"{own.parent}/", f"{own.parents[1]}/"} & NAMED


def test_every_test_that_the_architecture_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", DOCUMENT)
    assert len(named) > 30
    missing = [
        f"{file}::{names}"
        for file, names in named
        for name in names.split("::")
        if not re.search(rf"\b(?:def|class) {name}\b", (ROOT / file).read_text(encoding="utf-8"))
    ]
    assert missing == []


def test_every_name_in_the_table_of_rules_is_in_its_file() -> None:
    named = re.findall(rf"`({FILE})`: ((?:`[^`]+`(?:, )?)+)", DOCUMENT)
    assert len(named) > 30
    missing = [
        f"{file}: {name}"
        for file, names in named
        for name in re.findall("`([^`]+)`", names)
        if name not in place_of(file).read_text(encoding="utf-8")
    ]
    assert missing == []


def _pattern(part: ast.expr) -> str:
    """The pattern for a part of a key's name."""
    if isinstance(part, ast.Constant):
        return re.escape(str(part.value))
    of_a_lane = isinstance(part, ast.FormattedValue) and ast.unparse(part.value) == "self.lane"
    return f"(?:{keys.DEVICE_LANE})?" if of_a_lane else "[^`:]+"


def test_the_table_of_redis_has_every_key() -> None:
    tree = ast.parse((PACKAGE / "store" / "keys.py").read_text(encoding="utf-8"))
    joined = [node.values for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    inside = {id(part) for parts in joined for part in parts}
    plain: list[list[ast.expr]] = [
        [node] for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in inside
    ]
    patterns = [
        "".join(map(_pattern, parts))
        for parts in (*joined, *plain)
        if isinstance(parts[0], ast.Constant)
        and KEY_NAME.match(str(parts[0].value))
        and parts[0].value not in keys.PREFIXES
    ]
    assert len(patterns) > 12
    assert [pattern for pattern in patterns if not re.search(f"`{pattern}[`:]", DOCUMENT)] == []


def test_the_picture_of_the_layers_is_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = [layer.replace("otp_gateway.", "") for layer in contract["contracts"][0]["layers"]]
    picture = DOCUMENT.partition("```\n")[2].partition("```")[0]
    drawn = [re.split(r"  +", line)[0] for line in picture.splitlines() if not line.startswith("─")]
    assert [line.replace("│", "|") for line in drawn] == layers
    top = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    # These start the package, or every layer uses them.
    without_layer = {"__init__", "__main__", "gunicorn.conf", "log", "terminal_log"}
    assert top - without_layer == {name for layer in layers for name in layer.split(" | ")}

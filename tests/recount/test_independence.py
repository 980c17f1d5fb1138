"""The recount may not borrow a rule from what it checks."""

import ast
from pathlib import Path

ALLOWED = {"tests", "confluent_kafka", "xxhash"}
STDLIB = {
    "json",
    "re",
    "time",
    "base64",
    "bisect",
    "hashlib",
    "collections",
    "dataclasses",
    "datetime",
    "decimal",
    "operator",
    "typing",
    "zoneinfo",
}


def imported(path: Path) -> set[str]:
    """Top-level names of what a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def modules() -> list[Path]:
    return [path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")]


def test_recount_imports_neither_meter_nor_streams() -> None:
    names = set().union(*(imported(path) for path in modules()))
    assert {name.split(".")[0] for name in names} <= ALLOWED | STDLIB
    assert {name for name in names if name.startswith("tests")} == {
        f"tests.recount.{path.stem}" for path in modules() if path.stem not in {"__init__", "recount"}
    }

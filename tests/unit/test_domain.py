"""Rules that hold for every module of the domain: its examples are true, and no float comes near money or minutes."""

import ast
import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

PACKAGE = Path(__file__).parents[2] / "meter"
SOURCES = sorted(PACKAGE.glob("**/*.py"))
MODULES = [importlib.import_module(f"meter.{path.stem}") for path in SOURCES if path.stem != "__init__"]
WITH_EXAMPLES = {"meter.money", "meter.outputs", "meter.durations"}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_in_docstrings_are_true(module: ModuleType) -> None:
    failed, attempted = doctest.testmod(module, raise_on_error=False)
    assert failed == 0
    assert attempted > 0 or module.__name__ not in WITH_EXAMPLES


def floats_in(source: str) -> list[str]:
    """Each float literal, mention of `float`, and true division: of two ints it makes a float."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.expr | ast.stmt):
            continue
        is_literal = isinstance(node, ast.Constant) and isinstance(node.value, float | complex)
        is_name = isinstance(node, ast.Name) and node.id == "float"
        is_division = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
        if is_literal or is_name or is_division:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_domain_has_no_floats(path: Path) -> None:
    assert floats_in(path.read_text()) == []


@pytest.mark.parametrize("source", ["x = 0.5", "x = float(y)", "x = a / b", "x /= b", "def f(x: float): ...", "1e3"])
def test_a_float_would_be_found(source: str) -> None:
    assert floats_in(source)

"""`streams` imports `meter`, never back; `meter` imports no clock, environment, network or log; classes are small."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from meter.rejects import Refusal
from streams.engine import agent

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "aiohttp", "aiokafka", "asyncio", "faust", "logging", "os", "random", "requests", "secrets", "socket", "sqlalchemy",
    "streams", "structlog", "subprocess", "threading", "time", "urllib",
}  # fmt: skip


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def test_the_domain_touches_nothing_outside() -> None:
    modules = sorted((ROOT / "meter").glob("**/*.py"))
    assert len(modules) > 10
    assert {module.name: imports_of(module) & OUTSIDE for module in modules if imports_of(module) & OUTSIDE} == {}


def test_the_domain_asks_no_clock() -> None:
    calls = ("now(", "utcnow(", "today(")
    found = [m.name for m in (ROOT / "meter").glob("**/*.py") if any(call in m.read_text() for call in calls)]
    assert found == []


#: Fields and methods that a class may have, unless a comment above it says why it must have more.
MOST_FIELDS, MOST_METHODS = 12, 15


def stored(method: ast.AST) -> Iterator[str]:
    """The fields that a method sets."""
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def size_of(node: ast.ClassDef) -> tuple[int, int]:
    """How many fields and methods a class has of its own."""
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
    declared = {
        item.target.id for item in node.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    return len(declared.union(*map(stored, methods))), len(methods)


def is_excused(node: ast.ClassDef, lines: list[str]) -> bool:
    """Whether a comment above a class says why it has so many parts."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return re.fullmatch(r"# So many (fields|methods): .{15,}\.", lines[first - 2].strip()) is not None


def too_large(text: str) -> dict[str, tuple[int, int]]:
    """The classes of a module that are too large without a reason: their fields and methods."""
    lines = text.splitlines()
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    sizes = {node.name: size_of(node) for node in nodes if not is_excused(node, lines)}
    return {name: size for name, size in sizes.items() if size[0] > MOST_FIELDS or size[1] > MOST_METHODS}


def test_no_class_has_more_parts_than_can_be_held_in_mind_unless_it_says_why() -> None:
    paths = [path for top in ("meter", "streams") for path in sorted((ROOT / top).rglob("*.py"))]
    assert len(paths) > 200
    found = {str(path.relative_to(ROOT)): too_large(path.read_text()) for path in paths}
    assert {path: classes for path, classes in found.items() if classes} == {}


def test_a_class_that_is_too_large_would_be_found() -> None:
    fields = "".join(f"    f{number}: int\n" for number in range(MOST_FIELDS + 1))
    methods = "".join(f"    def m{number}(self): ...\n" for number in range(MOST_METHODS + 1))
    assert too_large(f"import a\n\nclass A:\n{fields}class B:\n{methods}") == {"A": (13, 0), "B": (0, 16)}
    assert too_large(f"import a\n# So many fields: the record has them all.\n@final\nclass A:\n{fields}") == {}


#: What is read by the million and came from others, and what workers tell each other in the group.
STRUCTS_ELSEWHERE = {"meter/intake.py", "streams/engine/assignor.py"}


def test_what_the_meter_published_is_read_by_one_set_of_forms() -> None:
    paths = [path for top in ("meter", "streams") for path in sorted((ROOT / top).rglob("*.py"))]
    found = {str(path.relative_to(ROOT)) for path in paths if "(msgspec.Struct" in path.read_text()}
    assert found == {"meter/readback.py", *STRUCTS_ELSEWHERE}


NAMED = re.findall(r"`((?:meter|streams)\.[\w.]+)`", agent.__doc__ or "")


def test_the_agent_names_every_stage() -> None:
    assert len(NAMED) > 9


@pytest.mark.parametrize("name", NAMED)
def test_what_the_agent_names_is_there(name: str) -> None:
    parts = name.split(".")
    depth = next(d for d in range(len(parts), 0, -1) if (ROOT / Path(*parts[:d])).with_suffix(".py").exists())
    found: Any = import_module(".".join(parts[:depth]))
    for part in parts[depth:]:
        found = getattr(found, part)
    assert callable(found)


def test_a_class_name_means_one_thing() -> None:
    """Two classes of one name send a reader to the wrong one. The recount counts the same things by itself, so it may
    name them alike; so may tests among themselves."""
    ours = classes_of(*(ROOT / "meter").rglob("*.py"), *(ROOT / "streams").rglob("*.py"))
    others = classes_of(*(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py"))
    assert len(ours) > 300
    assert {name: places for name, places in ours.items() if len(places) > 1} == {}
    assert {name: others[name] for name in ours.keys() & others.keys()} == {}


def test_a_refusal_is_a_value_of_one_shape() -> None:
    """For a completion, a command and a price book, in the fold and at every door: nothing in the domain raises one."""
    named = {name for name in classes_of(*(ROOT / "meter").rglob("*.py")) if re.search("Refus", name)}
    assert named == {"Refusal"}
    assert Refusal("code", "message") == Refusal(code="code", message="message")
    assert not issubclass(Refusal, Exception)


def classes_of(*files: Path) -> dict[str, list[str]]:
    """Where each class is defined, by its name."""
    found: dict[str, list[str]] = {}
    for file in files:
        if "recount" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(f"{file.relative_to(ROOT)}:{node.lineno}")
    return found


def modules() -> dict[str, Path]:
    paths = [path for top in ("meter", "streams") for path in sorted((ROOT / top).glob("**/*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def arrows() -> dict[str, set[str]]:
    """Which modules each module imports, within functions too."""
    known = modules()
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        named = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= {each if each in known else node.module for each in inner}
            elif isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
        found[name] = (named & set(known)) - {name}
    return found


def folder(module: str) -> str:
    """What stands side by side in a house: `meter`, a folder of `streams`, or a module at its root."""
    parts = module.split(".")
    return parts[0] if parts[0] == "meter" else ".".join(parts[:2])


def circle(graph: dict[str, set[str]]) -> list[str]:
    """What is left when all that imports nothing, and all that then imports nothing, is taken away."""
    left = {name: set(others) for name, others in graph.items()}
    while done := [name for name, others in left.items() if not others & left.keys()]:
        for name in done:
            del left[name]
    return sorted(left)


def test_imports_run_one_way() -> None:
    between = arrows()
    assert circle(between) == []
    folders: dict[str, set[str]] = {}
    for name, others in between.items():
        folders.setdefault(folder(name), set()).update(folder(other) for other in others)
    assert circle({name: others - {name} for name, others in folders.items()}) == []


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == ["a", "b", "c", "d"]


def test_no_file_lies_loose_in_streams() -> None:
    assert {path.name for path in (ROOT / "streams").glob("*.py")} == {
        "__init__.py", "__main__.py", "errors.py", "settings.py",
    }  # fmt: skip

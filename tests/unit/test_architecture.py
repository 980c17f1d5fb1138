"""`streams` imports `meter`, never back; `meter` imports no clock, environment, network or log."""

import ast
from pathlib import Path

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

"""What `make audit` says of what pip-audit prints: no answer is never taken for no fault."""

import json
import re
from typing import Any

import pytest

from tests.audit.__main__ import FAULTS, LOCKS, NONE_KNOWN, NOT_ASKED, ROOT, answer

CLEAN = {"name": "idna", "version": "3.20", "vulns": []}
FAULTY = {
    "name": "jinja2",
    "version": "3.1.4",
    "vulns": [{"id": "GHSA-1", "aliases": ["CVE-2024-1"], "fix_versions": ["3.1.5"], "description": "..."}],
}
SKIPPED = {"name": "idna", "skip_reason": "Dependency not found on PyPI and could not be audited: idna (3.20)"}


def printed(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize(
    ("out", "code", "said"),
    [
        (printed(CLEAN), NONE_KNOWN, ["audit: 1 packages, no known fault"]),
        (
            printed(CLEAN, FAULTY, FAULTY),
            FAULTS,
            ["jinja2 3.1.4: GHSA-1 CVE-2024-1, mended in 3.1.5", "audit: 1 known faults"],
        ),
        (
            printed(SKIPPED, FAULTY),
            FAULTS,
            ["jinja2 3.1.4: GHSA-1 CVE-2024-1, mended in 3.1.5", "audit: 1 known faults"],
        ),
        (
            printed(CLEAN, SKIPPED),
            NOT_ASKED,
            [f"audit: 1 of 2 packages could not be looked up: {SKIPPED['skip_reason']}"],
        ),
        (printed(), NOT_ASKED, ["audit: 0 of 0 packages could not be looked up: no package was read"]),
        ("", NOT_ASKED, ["audit: the database of known faults could not be asked: ConnectionError: no such host"]),
    ],
)
def test_no_answer_is_not_taken_for_no_fault(out: str, code: int, said: list[str]) -> None:
    assert answer(out, "Traceback (most recent call last):\n  File ...\nConnectionError: no such host\n") == (
        code,
        said,
    )


def test_every_lock_of_the_project_is_asked_about() -> None:
    there = [*ROOT.glob("*.lock"), *(ROOT / "tests").rglob("requirements*.lock")]
    assert sorted(LOCKS) == sorted(str(path.relative_to(ROOT)) for path in there)
    for lock in LOCKS:
        assert re.search(r"^\S+==\S+ .*\\$\n +--hash=", (ROOT / lock).read_text("utf-8"), re.MULTILINE), lock
